"""An upstream that streams: one write per event, any number of streams, at a pace that the request names.

Run as `python -m bench.stream_upstream PORT PORT` (each port stands for one model server; one process serves both).
Prints a line when ready and ends when its stdin closes. A POST whose body contains `interval=N` is answered by an event
every N milliseconds until the connection closes; `interval=0` streams as fast as the loop turns, to measure headroom.
`interval=N varied` and `interval=N thinking` ask for other kinds of events: see `payload.Kind`.
Anything else gets a whole chat completion, which is enough for health checks and first requests.

How: a wheel per interval with one slot per millisecond, streams dealt out over the slots. One timer serves all: each
tick writes one event on every stream of the slots that came due. Every event is a write of its own on a socket with
TCP_NODELAY, hence a segment of its own.
"""

import asyncio
import random
import re
import socket
import sys
from typing import cast

import uvloop

from bench.payload import CHAT_ANSWER, Kind, render_event, render_thoughts

_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    b"Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
)
_PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
    len(CHAT_ANSWER),
    CHAT_ANSWER.encode(),
)
_INTERVAL = re.compile(rb"interval=(\d+) (alike|varied|thinking)")
_EVENTS: dict[Kind, list[bytes]] = {
    "alike": [render_event(index) for index in range(64)],
    # So many that a stream has met none of them when it comes to what a gateway remembers.
    "varied": [render_event(index, random.Random(index)) for index in range(4096)],
    "thinking": render_thoughts(),
}

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)


class Wheel:
    """All streams of one interval and one kind of event."""

    def __init__(self, interval_ms: int, kind: Kind) -> None:
        self.flat_out = interval_ms == 0
        self.events = _EVENTS[kind]
        self.slots: list[set[StreamProtocol]] = [set() for _ in range(max(1, interval_ms))]
        self.position = 0
        self._next = 0

    def add(self, stream: "StreamProtocol") -> set["StreamProtocol"]:
        """Put the stream into the next slot in turn and return that slot."""
        slot = self.slots[self._next % len(self.slots)]
        self._next += 1
        slot.add(stream)
        return slot


class Pacer:
    """The one timer that makes all streams speak."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._wheels: dict[tuple[int, Kind], Wheel] = {}
        self._turn = 0
        self._last = int(loop.time() * 1000)
        self._tick()

    def wheel(self, interval_ms: int, kind: Kind) -> Wheel:
        """Return the wheel of this interval and kind, made when first asked for."""
        if (interval_ms, kind) not in self._wheels:
            self._wheels[interval_ms, kind] = Wheel(interval_ms, kind)
        return self._wheels[interval_ms, kind]

    def _tick(self) -> None:
        now = int(self._loop.time() * 1000)
        due, self._last = now - self._last, now
        flat_out = False
        self._turn += 1
        for wheel in self._wheels.values():
            event = wheel.events[self._turn % len(wheel.events)]
            if wheel.flat_out:
                flat_out |= bool(wheel.slots[0])
                self._emit(wheel.slots[0], event)
                continue
            # After a late tick the missed slots follow at once, but no stream gets two events in one tick:
            # two writes in a row would reach the gateway as one read, which is not what is to be measured.
            for _ in range(min(due, len(wheel.slots))):
                wheel.position = (wheel.position + 1) % len(wheel.slots)
                self._emit(wheel.slots[wheel.position], event)
        if flat_out:
            self._loop.call_soon(self._tick)
        else:
            self._loop.call_later(0.001, self._tick)

    def _emit(self, slot: set["StreamProtocol"], event: bytes) -> None:
        for stream in slot:
            if not stream.paused:
                stream.transport.write(event)


class StreamProtocol(asyncio.Protocol):
    """One connection from a gateway."""

    transport: asyncio.Transport

    def __init__(self, pacer: Pacer) -> None:
        self._pacer = pacer
        self._pending = bytearray()
        self._needed = 0
        self._slot: set[StreamProtocol] | None = None
        self.paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; no Nagle."""
        # uvloop's transports do not derive from asyncio.Transport.
        self.transport = cast("asyncio.Transport", transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        """Answer once head and body are there."""
        self._pending += data
        # A long body is looked at twice only: when its head has come, and when it is whole.
        if len(self._pending) < self._needed:
            return
        head, blank, body = bytes(self._pending).partition(b"\r\n\r\n")
        if not blank:
            return
        length = _LENGTH.search(head)
        if length is not None and len(body) < int(length[1]):
            self._needed = len(head) + 4 + int(length[1])
            return
        if _CHUNKED.search(head) and not body.endswith(b"0\r\n\r\n"):
            return
        self._pending.clear()
        self._needed = 0
        interval = _INTERVAL.search(body)
        if interval is None or not head.startswith(b"POST"):
            self.transport.write(_PLAIN)
            return
        self.transport.write(_HEAD)
        self._slot = self._pacer.wheel(int(interval[1]), cast("Kind", interval[2].decode())).add(self)

    def pause_writing(self) -> None:
        """Skip this stream's turns while its gateway does not read."""
        self.paused = True

    def resume_writing(self) -> None:
        """Let it speak again."""
        self.paused = False

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave the wheel."""
        if self._slot is not None:
            self._slot.discard(self)


async def serve(ports: list[int]) -> None:
    """Listen on the ports until stdin closes."""
    loop = asyncio.get_running_loop()
    pacer = Pacer(loop)
    servers = [
        await loop.create_server(lambda: StreamProtocol(pacer), "127.0.0.1", port, backlog=4096)
        for port in ports
    ]
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    for server in servers:
        server.close()


if __name__ == "__main__":
    uvloop.run(serve([int(port) for port in sys.argv[1:]]))
