"""A crowd of clients of all manners: polite ones, those that leave at any moment, those that ask for a faulty upstream.

Owns what each kind does and what it may expect. Does not own the gateway (harness.py) nor the upstream: faults are
asked for in the model's name (docs/simulator.md).

Every request is one deed, drawn by weight from a seeded generator, so a run can be repeated. A deed that sees
something the gateway must not do raises AssertionError.
"""

import asyncio
import contextlib
import enum
import json
import random
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable

RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 seconds
_MAX_ANSWER = 64 * 1024 * 1024
_SHORT = 0.05  # seconds: the longest that anyone waits on purpose

# Faults that end in some answer soon; with a short idle timeout, so do the stalls.
_FAULTS = (
    *("reset=accept", "reset=head", "reset=body", "reset=body;after=3"),
    *(
        "close=before_head",
        "close=head",
        "close=body",
        "close=body;after=3",
        "broken_chunk",
        "broken_chunk;after=2",
    ),
    *("lying_length=+7", "lying_length=-7", "http10", "no_length", "status=500", "status=429;retry_after=1"),
    *("error_200", "error_event=3", "malformed_event=3", "no_done", "no_finish", "empty_stream", "crlf"),
    *(
        "delay_head=0.03",
        "delay_chunk=0.002",
        "status=503;body=html",
        "redirect=http://127.0.0.1:1/",
        "bytes=200KiB",
    ),
    *("gzip", "interim=100", "comments", "big_event=100KiB", "bulk=200"),
)
_SLOW_FAULTS = ("stall=0.05", "stall;after=3", "role_stall", "drip", "stall;after=0")
# After these a stream of events that reached its end must not look like a good one.
_CUT = frozenset(("reset=body;after=3", "close=body;after=3", "broken_chunk;after=2", "stall;after=3"))


class Leaving(enum.Enum):
    """How a client goes."""

    FIN = "close"
    HALF = "close of the sending half"
    RESET = "reset"


class Line:
    """One client connection; reads and writes only when told to."""

    def __init__(self, port: int, receive_buffer: int = 0) -> None:
        self._loop = asyncio.get_running_loop()
        self._port = port
        self._sock = socket.socket()
        self._sock.setblocking(False)
        if receive_buffer:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._unread = b""
        self.closed = False

    async def open(self) -> "Line":
        await self._loop.sock_connect(self._sock, ("127.0.0.1", self._port))
        return self

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._sock, data)

    async def receive(self) -> bytes:
        """What there is to read now; empty when the gateway has closed."""
        try:
            return await self._loop.sock_recv(self._sock, 256 * 1024)
        except ConnectionError:
            return b""

    async def answer(self) -> "Reply":
        """Read one answer to its end, or to the end of the connection."""
        data = self._unread
        while (end := data.find(b"\r\n\r\n")) < 0:
            more = await self.receive()
            if not more:
                return Reply(0, b"", data, whole=False, closes=True)
            data += more
        head, body = data[:end].lower(), [data[end + 4 :]]
        size, tail = len(body[0]), body[0]
        length = _length(head)
        while not (size >= length if length is not None else tail.endswith(b"0\r\n\r\n")):
            more = await self.receive()
            if not more:
                break
            body.append(more)
            size += len(more)
            tail = (tail + more)[-16:]
            assert size < _MAX_ANSWER
        whole = size >= length if length is not None else tail.endswith(b"0\r\n\r\n")
        joined = b"".join(body)
        if length is not None:
            joined, self._unread = joined[:length], joined[length:]
        else:
            self._unread = b""
        closes = not whole or b"connection: close" in head
        return Reply(int(head.split(b" ", 2)[1]), head, joined, whole=whole, closes=closes)

    async def leave(self, how: Leaving) -> None:
        """Go. After a half-close the gateway must close its half too."""
        if how is Leaving.HALF:
            with contextlib.suppress(OSError):  # it may have closed already
                self._sock.shutdown(socket.SHUT_WR)
            while await self.receive():
                pass
        elif how is Leaving.RESET:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.close()

    def close(self) -> None:
        self.closed = True
        self._sock.close()


class Reply:
    """One answer as it came. `status` 0: none. `whole`: its framing ended properly."""

    def __init__(self, status: int, head: bytes, body: bytes, *, whole: bool, closes: bool) -> None:
        self.status = status
        self.head = head
        self.body = body
        self.whole = whole
        self.closes = closes

    def __repr__(self) -> str:
        return f"<Reply {self.status} whole={self.whole} {self.head!r} {self.body[-300:]!r}>"


class Crowd:
    """The clients of one gateway."""

    def __init__(self, port: int, seed: int) -> None:
        self._port = port
        self._rng = random.Random(seed)
        self.done: Counter[str] = Counter()
        self._left = 0
        self._deeds: dict[Callable[[Line], Awaitable[None]], int] = {
            self._json: 30,
            self._stream: 20,
            self._upload: 6,
            self._local: 2,
            self._faulty: 14,
            self._pipeline: 3,
            self._leaves_at_once: 7,
            self._leaves_waiting: 5,
            self._leaves_in_stream: 5,
            self._leaves_unread: 2,
            self._leaves_in_upload: 4,
            self._leaves_in_head: 2,
        }

    async def run(self, requests: int, at_once: int = 64) -> None:
        """Do so many deeds, some at a time."""
        self._left = requests
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(self._member())

    async def _member(self) -> None:
        """One client after another; polite ones use a connection again."""
        deeds, weights = list(self._deeds), list(self._deeds.values())
        line = await Line(self._port).open()
        try:
            while self._left > 0:
                self._left -= 1
                deed = self._rng.choices(deeds, weights)[0]
                if line.closed:
                    line = await Line(self._port).open()
                await deed(line)
                self.done[deed.__name__] += 1
        finally:
            line.close()

    # polite

    async def _json(self, line: Line) -> None:
        await line.send(chat("sim-small"))
        self._expect_good(line, await line.answer(), b"usage")

    async def _stream(self, line: Line) -> None:
        await line.send(chat("sim-small", stream=True))
        self._expect_good(line, await line.answer(), b"data: [DONE]")

    async def _upload(self, line: Line) -> None:
        body = _form(self._rng.randrange(1, 200_000))
        if self._rng.random() < 0.5:
            await line.send(_UPLOAD + b"content-length: %d\r\n\r\n" % len(body) + body)
        else:
            await line.send(_UPLOAD + b"transfer-encoding: chunked\r\n\r\n")
            for start in range(0, len(body), 50_000):
                piece = body[start : start + 50_000]
                await line.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            await line.send(b"0\r\n\r\n")
        self._expect_good(line, await line.answer(), b'"bytes":%d' % len(body))

    async def _local(self, line: Line) -> None:
        path = self._rng.choice((b"/v1/models", b"/health", b"/health/live"))
        await line.send(b"GET %b HTTP/1.1\r\nhost: localhost\r\n\r\n" % path)
        self._expect_good(line, await line.answer(), b"{")

    async def _pipeline(self, line: Line) -> None:
        await line.send(chat("sim-small") + chat("sim-small") + chat("sim-small"))
        if self._rng.random() < 0.3:
            await line.answer()
            await line.leave(self._leaving())
            return
        for _ in range(3):
            self._expect_good(line, await line.answer(), b"usage")

    def _expect_good(self, line: Line, reply: Reply, ending: bytes) -> None:
        assert reply.status == 200, reply
        assert reply.whole, reply
        assert ending in reply.body, reply
        if reply.closes:
            line.close()

    # asking for trouble

    async def _faulty(self, line: Line) -> None:
        fault = self._rng.choice(_SLOW_FAULTS if self._rng.random() < 0.06 else _FAULTS)
        stream = fault == "bulk=200" or self._rng.random() < 0.6
        await line.send(chat(f"sim-small!{fault}", stream=stream))
        reply = await line.answer()
        self.done[f"answered {reply.status}" if reply.whole else "cut"] += 1
        if stream and fault in _CUT and reply.whole:
            assert b'"error"' in reply.body, f"{fault}: {reply}"
        if reply.closes:
            line.close()

    # leaving

    async def _leaves_at_once(self, line: Line) -> None:
        await line.send(chat("sim-small", stream=self._rng.random() < 0.5))
        await line.leave(self._leaving())

    async def _leaves_waiting(self, line: Line) -> None:
        await line.send(chat("sim-small!delay_head=forever", stream=self._rng.random() < 0.5))
        await self._a_moment()
        await line.leave(self._leaving())

    async def _leaves_in_stream(self, line: Line) -> None:
        await line.send(chat("sim-small!words=400;delay_chunk=0.002", stream=True))
        await line.receive()
        await self._a_moment()
        await line.leave(self._leaving())

    async def _leaves_unread(self, line: Line) -> None:
        line.close()
        line = await Line(self._port, receive_buffer=4096).open()
        fault = self._rng.choice(("bytes=32MiB", "bulk=20000"))
        await line.send(chat(f"sim-small!{fault}", stream=True))
        await self._a_moment()
        await line.leave(self._leaving())

    async def _leaves_in_upload(self, line: Line) -> None:
        if self._rng.random() < 0.5:
            await line.send(_UPLOAD + b"content-length: 1000000\r\n\r\n" + _form(200_000))
        else:
            await line.send(_UPLOAD + b"transfer-encoding: chunked\r\n\r\n10000\r\n" + _form(30_000))
        if self._rng.random() < 0.5:
            await self._a_moment()
        await line.leave(self._leaving())

    async def _leaves_in_head(self, line: Line) -> None:
        await line.send(chat("sim-small")[:40])
        await line.leave(self._leaving())

    def _leaving(self) -> Leaving:
        return self._rng.choice(list(Leaving))

    async def _a_moment(self) -> None:
        await asyncio.sleep(self._rng.random() * _SHORT)


_UPLOAD = (
    b"POST /v1/audio/transcriptions HTTP/1.1\r\nhost: localhost\r\n"
    b"content-type: multipart/form-data; boundary=edge\r\n"
)
_FORM_START = (
    b'--edge\r\ncontent-disposition: form-data; name="model"\r\n\r\nsim-small\r\n'
    b'--edge\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
)
_FORM_END = b"\r\n--edge--\r\n"


def _form(size: int) -> bytes:
    """A form with a file of so many bytes."""
    return _FORM_START + b"\x00" * size + _FORM_END


def chat(model: str, *, stream: bool = False, user: str = "Say something.") -> bytes:
    """A chat request."""
    value = {"model": model, "stream": stream, "messages": [{"role": "user", "content": user}]}
    body = json.dumps(value).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    return b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body)


def _length(head: bytes) -> int | None:
    """The Content-Length of a head in lower case; None: chunked."""
    for line in head.split(b"\r\n"):
        if line.startswith(b"content-length: "):
            return int(line[16:])
    assert b"transfer-encoding: chunked" in head, head
    return None
