import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncGenerator
from typing import cast

import pytest

from tests.contract.net.serving import until
from tests.contract.simulator.raw import on_both_loops
from trunkline.net.peer import Departures, taken

RESET = struct.pack("ii", 1, 0)


class Accepted(asyncio.Protocol):
    """The watched end."""

    def __init__(self) -> None:
        self.lost = False
        self.received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.received += len(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


@contextlib.asynccontextmanager
async def connected() -> AsyncGenerator[tuple[Accepted, socket.socket]]:
    """An accepted connection and the socket at its other end."""
    accepted: list[Accepted] = []

    def accept() -> Accepted:
        accepted.append(Accepted())
        return accepted[-1]

    server = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0)
    with socket.create_connection(server.sockets[0].getsockname()) as sock:
        sock.setblocking(False)
        sock.send(b"x")
        await until(lambda: bool(accepted) and accepted[0].received == 1)
        try:
            yield accepted[0], sock
        finally:
            accepted[0].transport.abort()
            server.close()
            await server.wait_closed()


def leave(sock: socket.socket, how: str) -> None:
    if how == "fin":
        sock.shutdown(socket.SHUT_WR)
    else:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        sock.close()


@pytest.mark.parametrize("how", ["fin", "reset"])
@pytest.mark.parametrize("unread", [False, True])
@on_both_loops
async def test_who_leaves_while_not_being_read_is_told_of_once(how: str, unread: bool) -> None:
    async with connected() as (accepted, sock):
        departures = Departures()
        told: list[str] = []
        accepted.transport.pause_reading()
        departures.watch(accepted.transport, lambda: told.append("left"))
        assert repr(departures) == "<Departures 1 watched>"
        if unread:
            sock.send(b"more")
        leave(sock, how)
        await until(lambda: bool(told))
        for _ in range(3):
            await asyncio.sleep(0)
        assert told == ["left"]
        assert repr(departures) == "<Departures 0 watched>"
        departures.close()


@on_both_loops
async def test_data_is_no_departure() -> None:
    async with connected() as (accepted, sock):
        departures = Departures()
        told: list[str] = []
        accepted.transport.pause_reading()
        departures.watch(accepted.transport, lambda: told.append("left"))
        sock.send(b"more")
        leave(sock, "fin")
        await until(lambda: bool(told))  # what came before the FIN has been seen by then, and was not told
        assert accepted.received == 1
        assert told == ["left"]
        departures.close()


@on_both_loops
async def test_who_is_forgotten_is_not_told_of() -> None:
    async with connected() as (one, sock), connected() as (other, other_sock):
        departures = Departures()
        told: list[str] = []

        def one_left() -> None:
            told.append("one")

        one.transport.pause_reading()
        other.transport.pause_reading()
        descriptor = departures.watch(one.transport, one_left)
        departures.watch(other.transport, lambda: told.append("other"))
        departures.forget(descriptor, one_left)
        departures.forget(descriptor, one_left)  # twice does no harm
        departures.forget(-1, one_left)
        leave(sock, "fin")
        leave(other_sock, "fin")
        await until(lambda: bool(told))
        assert told == ["other"]
        departures.close()


@on_both_loops
async def test_a_descriptor_that_is_somebody_elses_by_now_stays_watched() -> None:
    async with connected() as (accepted, sock):
        departures = Departures()
        told: list[str] = []
        accepted.transport.pause_reading()
        descriptor = departures.watch(accepted.transport, lambda: told.append("left"))
        departures.forget(descriptor, lambda: None)  # of a connection that had the same descriptor before
        leave(sock, "fin")
        await until(lambda: bool(told))
        departures.close()


@on_both_loops
async def test_after_the_close_nothing_is_told() -> None:
    async with connected() as (accepted, sock):
        departures = Departures()
        told: list[str] = []
        accepted.transport.pause_reading()
        departures.watch(accepted.transport, lambda: told.append("left"))
        departures.close()
        departures.close()
        leave(sock, "fin")
        accepted.transport.resume_reading()
        await until(lambda: accepted.lost)
        assert told == []


@on_both_loops
async def test_what_a_peer_takes_grows_only_while_it_takes() -> None:
    async with connected() as (accepted, sock):
        transport = accepted.transport
        before = taken(transport)
        transport.write(b"x" * 8 * 1024 * 1024)
        await until(lambda: taken(transport) > before)
        stuck = -1
        while stuck != (stuck := taken(transport)):  # until all buffers are full
            await asyncio.sleep(0.05)
        left = transport.get_write_buffer_size()
        assert left > 0
        await asyncio.sleep(0.05)
        assert taken(transport) == stuck
        for _ in range(64):
            with contextlib.suppress(BlockingIOError):
                sock.recv(65536)
            await asyncio.sleep(0)
        await until(lambda: taken(transport) > stuck)
