"""A real server with a recording application behind it, and a raw client in front: for the tests of the data plane.

The application takes every request and answers it by its path:

    /later...    when the test says so (`taken.answer()`)
    /pieces...   takes the body piece by piece, answers after the last
    /early...    takes it piece by piece, answers at the first
    /refused...  answered at the head with 404
    others       whole body, echoed
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, Callable
from typing import Any

import h11
import pytest

from tests.contract.net.dialling import CA, certificate
from tests.contract.simulator.raw import Wire
from trunkline.errors import Fault
from trunkline.net.clock import Clock
from trunkline.net.connection_life import LINGER, LINGERING
from trunkline.net.http1_server import ServerConnection
from trunkline.net.listener import ServerSettings
from trunkline.net.server import Server
from trunkline.wire.head import RequestHead

PLAIN_AND_TLS = pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
# A little above what the kernel holds of a connection that nobody reads.
MUCH = 8 * 1024 * 1024


class Taken:
    """One request that the application took, and what became of it."""

    def __init__(self, head: RequestHead, connection: ServerConnection) -> None:
        self.head = head
        self.connection = connection
        self.whole = not head.target.startswith((b"/pieces", b"/early"))
        self.pieces: list[bytes] = []
        self.complete = False
        self.answered = False
        self.writable: list[bool] = []
        self.fault: Fault | None = None
        self.drained = False

    def __repr__(self) -> str:
        return f"<Taken {self.head.method!r} {self.head.target!r} {self.body[:40]!r}>"

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    def answer(
        self, body: bytes | None = None, *, status: int = 200, block: bytes = b"x-by: app\r\n"
    ) -> None:
        self.answered = True
        self.connection.respond(status, block, self.head.target + b" " + self.body if body is None else body)
        self.connection.done()

    def on_request(self, body: bytes, connection: ServerConnection) -> None:
        assert self.whole
        self.on_piece(body, True, connection)

    def on_piece(self, data: bytes, last: bool, connection: ServerConnection) -> None:
        assert connection is self.connection
        assert not self.complete
        self.pieces.append(data)
        self.complete = last
        early = self.head.target.startswith(b"/early")
        if not self.answered and (early or (last and not self.head.target.startswith(b"/later"))):
            self.answer()

    def on_writable(self, writable: bool) -> None:
        self.writable.append(writable)

    def on_gone(self, fault: Fault) -> None:
        assert self.fault is None
        self.fault = fault

    def on_drain_over(self) -> None:
        self.drained = True
        self.answer(status=503)


class Recorder:
    """The application: `heads` are all that it saw, `taken` what it took, `faults` what the server refused."""

    def __init__(self) -> None:
        self.heads: list[RequestHead] = []
        self.taken: list[Taken] = []
        self.faults: list[Fault] = []

    def on_head(self, head: RequestHead, connection: ServerConnection) -> Taken | None:
        self.heads.append(head)
        if head.target.startswith(b"/refused"):
            connection.respond(404, b"", b"nothing here")
            return None
        taken = Taken(head, connection)
        self.taken.append(taken)
        return taken

    def refusal(self, fault: Fault, head: RequestHead | None) -> tuple[bytes, bytes]:
        self.faults.append(fault)
        after = b"" if fault.retry_after is None else b"retry-after: %d\r\n" % fault.retry_after
        return after, fault.message.encode()

    async def until_taken(self, count: int) -> Taken:
        """Wait until so many requests were taken; give the last of them."""
        await until(lambda: len(self.taken) >= count)
        return self.taken[count - 1]


class Serving(Server):
    """A running server and its application."""

    app: Recorder

    async def connect(self, *, tls: bool = False, **options: Any) -> Wire:
        """A raw client."""
        context: ssl.SSLContext | None = None
        if tls:
            context = ssl.create_default_context()
            CA.configure_trust(context)
        return Wire(*await asyncio.open_connection("127.0.0.1", self.port, ssl=context, **options))

    async def ask(self, raw: bytes) -> "list[Answer]":
        """Send bytes on a connection of their own; give the answers that came until its end."""
        wire = await self.connect()
        wire.send(raw)
        return answers((await wire.rest()).raw)

    async def end_lingering(self) -> None:
        """Wait until the one connection only reads what its client still sends, and end the time for that."""
        await until(lambda: len(self.shared.connections) == 1 and self.only._phase == LINGERING)
        self.only.sweep(self.shared.clock.read() + LINGER)

    @property
    def only(self) -> ServerConnection:
        """The one connection there is."""
        (connection,) = self.shared.connections
        assert isinstance(connection, ServerConnection)
        return connection


class Answer:
    """One answer, read by h11."""

    def __init__(self, response: h11.Response) -> None:
        self.status = response.status_code
        self.headers = dict(response.headers.raw_items())
        self.version = response.http_version
        self.body = b""
        self.complete = False

    def __repr__(self) -> str:
        return f"<Answer {self.status} {self.body[:60]!r}>"


def answers(raw: bytes, *, methods: tuple[bytes, ...] = ()) -> list[Answer]:
    """All answers in `raw`, which is everything up to the connection's end. `methods` of the requests; default GET."""
    found: list[Answer] = []
    while raw:
        reader = h11.Connection(h11.CLIENT)
        method = methods[len(found)] if len(found) < len(methods) else b"GET"
        reader.send(h11.Request(method=method, target="/", headers=[("host", "h")]))
        reader.send(h11.EndOfMessage())
        reader.receive_data(raw)
        fed_end = False
        while True:
            try:
                event = reader.next_event()
            except h11.RemoteProtocolError:
                return found  # cut short: `complete` stays False
            if isinstance(event, h11.Response):
                found.append(Answer(event))
            elif isinstance(event, h11.Data):
                found[-1].body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                found[-1].complete = True
                break
            elif event is h11.NEED_DATA and not fed_end:
                fed_end = True
                reader.receive_data(b"")
            elif not isinstance(event, h11.InformationalResponse):
                return found
        raw = reader.trailing_data[0]
    return found


@contextlib.asynccontextmanager
async def serving(*, tls: bool = False, **settings: Any) -> AsyncGenerator[Serving]:
    """A server on a free port, for as long as the block runs."""
    loop = asyncio.get_running_loop()
    clock = Clock(loop)
    app = Recorder()
    context = certificate("127.0.0.1") if tls else None
    server = Serving(app, ServerSettings(port=0, **settings), clock, context)
    server.app = app
    await server.start()
    try:
        yield server
    finally:
        await server.close()
        for connection in list(server.shared.connections):
            connection._abort()  # of clients that do not read what is left for them
        await until(lambda: not server.shared.connections)
        clock.stop()
    # Whatever happened on its connections, nothing may stay accounted for.
    assert server.shared.buffered == 0


async def until(check: Callable[[], bool]) -> None:
    """Wait until something is so; the test's patience is the limit."""
    while not check():
        await asyncio.sleep(0.005)


def request(
    target: str = "/", body: bytes | None = None, *, method: str = "", headers: str = "", version: str = "1.1"
) -> bytes:
    """The bytes of a request. `headers` are whole lines, each with its CRLF."""
    length = "" if body is None else f"Content-Length: {len(body)}\r\n"
    method = method or ("GET" if body is None else "POST")
    return f"{method} {target} HTTP/{version}\r\nHost: h\r\n{headers}{length}\r\n".encode() + (body or b"")


def chunked(target: str, *pieces: bytes, headers: str = "") -> bytes:
    """The bytes of a request whose body comes in these chunks."""
    head = f"POST {target} HTTP/1.1\r\nHost: h\r\n{headers}Transfer-Encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
