"""A scripted upstream, and a receiver that notes what it is told: for the tests of the client side."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncGenerator, Callable
from typing import cast

from tests.contract.net.dialling import connector, names
from tests.contract.net.serving import until
from trunkline.errors import Fault
from trunkline.net import receiver as contract
from trunkline.net.clock import Clock
from trunkline.net.http1_client import ClientConnection
from trunkline.net.pool import Pool
from trunkline.wire.head import ResponseHead

GET = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n"


class Accepted(asyncio.Protocol):
    """The upstream's end of one connection; the test plays it."""

    def __init__(self, upstream: "ScriptedUpstream") -> None:
        self._upstream = upstream
        self.received = b""
        self.gone = False
        self.error: Exception | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.port = transport.get_extra_info("peername")[1]
        self._upstream.accepted.append(self)
        if self._upstream.closed:
            self.transport.abort()
        elif self._upstream.greeting is not None:
            self._upstream.greeting(self)

    def data_received(self, data: bytes) -> None:
        self.received += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True
        self.error = exc

    def send(self, data: bytes) -> None:
        self.transport.write(data)

    async def send_slowly(self, data: bytes) -> None:
        """One byte per packet, as far as the kernel lets them be."""
        for position in range(len(data)):
            self.transport.write(data[position : position + 1])
            await asyncio.sleep(0)

    def close(self) -> None:
        self.transport.close()

    def reset(self) -> None:
        sock: socket.socket = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    async def until_received(self, end: bytes) -> None:
        await until(lambda: self.received.endswith(end))


class ScriptedUpstream:
    """A listening upstream with a pool of connections to it."""

    def __init__(self) -> None:
        self.accepted: list[Accepted] = []
        self.closed = False
        self.greeting: Callable[[Accepted], None] | None = None
        self.pool: Pool
        self.clock: Clock

    async def until_accepted(self, count: int) -> Accepted:
        await until(lambda: len(self.accepted) >= count)
        return self.accepted[count - 1]

    async def ask(self, *, no_body: bool = False) -> "tuple[Receiver, ClientConnection, Accepted]":
        """Send a GET on a connection of the pool; give all three ends."""
        connection = await self.pool.open()
        receiver = Receiver()
        peer = await self.peer_of(connection)
        before = len(peer.received)
        connection.send(GET, b"", receiver, no_body=no_body)
        await until(lambda: peer.received[before:] == GET)
        return receiver, connection, peer

    async def peer_of(self, connection: ClientConnection) -> Accepted:
        """The upstream's end of a connection."""
        assert connection._transport is not None
        port = connection._transport.get_extra_info("sockname")[1]
        while True:
            for peer in reversed(self.accepted):
                if peer.port == port:
                    return peer
            await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def upstream(limit: int = 10) -> AsyncGenerator[ScriptedUpstream]:
    """A scripted upstream on a free port, and a pool of `limit` connections to it; its clock ticks only by hand."""
    loop = asyncio.get_running_loop()
    running = ScriptedUpstream()
    server = await loop.create_server(lambda: Accepted(running), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    running.clock = Clock(loop)
    dialler = connector(f"http://h:{port}", resolver=names("127.0.0.1"))
    running.pool = Pool(dialler, running.clock, limit, f"h:{port}")
    running.clock.stop()  # the pool's own sweep: tests call `expire` when they want it
    try:
        yield running
    finally:
        running.closed = True
        running.pool.close()
        for peer in running.accepted:
            peer.transport.abort()
        server.close()
        await until(lambda: running.pool.open_count == 0)
        await server.wait_closed()


class Receiver(contract.Receiver):
    """Notes an answer. `on` maps a callback's name to what is done in it."""

    def __init__(self, **on: Callable[[], None]) -> None:
        self.on = on
        self.head: ResponseHead | None = None
        self.length = 0
        self.pieces: list[bytes] = []
        self.ends: list[bool | Fault] = []
        self.writable: list[bool] = []

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def fault(self) -> Fault:
        (end,) = self.ends
        assert isinstance(end, Fault)
        return end

    def _act(self, name: str) -> None:
        if name in self.on:
            self.on[name]()

    def on_head(self, head: ResponseHead, length: int) -> None:
        assert self.head is None
        self.head = head
        self.length = length
        self._act("head")

    def on_body(self, data: bytes) -> None:
        assert data
        assert not self.ends
        self.pieces.append(data)
        self._act("body")

    def on_end(self, framed: bool) -> None:
        assert not self.ends
        self.ends.append(framed)
        self._act("end")

    def on_fault(self, fault: Fault) -> None:
        assert not self.ends
        self.ends.append(fault)
        self._act("fault")

    def on_upstream_writable(self, writable: bool) -> None:
        self.writable.append(writable)

    async def ended(self) -> bool | Fault:
        await until(lambda: bool(self.ends))
        return self.ends[0]
