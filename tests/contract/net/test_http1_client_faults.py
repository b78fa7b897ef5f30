"""The client side and upstreams that misbehave: what is called malformed, cut, reset or stale."""

import asyncio

import pytest

from tests.contract.net.serving import until
from tests.contract.net.upstreams import upstream
from tests.contract.simulator.raw import on_both_loops
from trunkline.errors import CUT, MALFORMED, RESET, STALE, Kind
from trunkline.net.http1_client import MAX_INTERIM

OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = OK + b"content-length: 5\r\n\r\nhello"
CHUNKS = OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"

MALFORMED_ANSWERS: dict[str, bytes] = {
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "HTTP/2": b"HTTP/2 200\r\n\r\n",
    "LF line ends": b"HTTP/1.1 200 OK\nX: 1\r\n\r\n",
    "CR in a value": OK + b"x: a\rb\r\n\r\n",
    "NUL": OK + b"x: \x00\r\n\r\n",
    "folded": OK + b"x: 1\r\n 2\r\n\r\n",
    "space before the colon": OK + b"content-length : 5\r\n\r\nhello",
    "status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "status 0xx": b"HTTP/1.1 020 OK\r\n\r\n",
    "length and coding": OK + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "different lengths": OK + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello",
    "length list": OK + b"content-length: 5, 5\r\n\r\nhello",
    "length plus": OK + b"content-length: +5\r\n\r\nhello",
    "length empty": OK + b"Content-Length: \r\n\r\nhello",
    "unknown coding": OK + b"transfer-encoding: gzip, chunked\r\n\r\n",
    "chunk no hex": OK + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
    "chunk too long": OK + b"transfer-encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n",
    "chunk LF": OK + b"transfer-encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n",
    "switching": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n",
    "too many hints": b"HTTP/1.1 103 Early Hints\r\n\r\n" * (MAX_INTERIM + 1),
    "head without end": OK + b"x: " + b"x" * 70_000,
    "head too long": OK + b"x: " + b"x" * 70_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("name", sorted(MALFORMED_ANSWERS))
@on_both_loops
async def test_a_malformed_answer_is_a_fault_and_ends_the_connection(name: str) -> None:
    async with upstream() as up:
        receiver, connection, peer = await up.ask()
        peer.send(OK + b"Content-Length: 5\r\n\r\nhello")  # a head that is known from now on
        await receiver.ended()
        receiver, connection, peer = await up.ask()
        peer.send(MALFORMED_ANSWERS[name])
        assert await receiver.ended() is receiver.fault
        assert receiver.fault.kind is MALFORMED
        assert connection.closed
        await until(lambda: up.pool.open_count == 0)


CUTS: dict[str, tuple[bytes, Kind]] = {
    "before a byte": (b"", RESET),
    "in the head": (OK, CUT),
    "after 100": (b"HTTP/1.1 100 Continue\r\n\r\n", CUT),
    "in a body of known length": (LENGTH[:-1], CUT),
    "in a chunk": (OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhel", CUT),
    "between chunks": (OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", CUT),
    "before the last line end": (CHUNKS[:-2], CUT),
}


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("name", sorted(CUTS))
@on_both_loops
async def test_a_connection_lost_is_blamed_by_where(name: str, how: str) -> None:
    raw, kind = CUTS[name]
    async with upstream() as up:
        receiver, connection, peer = await up.ask()
        peer.send(raw)
        await until(lambda: connection.answered is bool(raw))
        for _ in range(5):
            await asyncio.sleep(0)
        peer.close() if how == "close" else peer.reset()
        assert await receiver.ended() is receiver.fault
        assert receiver.fault.kind is kind


@on_both_loops
async def test_a_reset_in_a_body_until_close_is_a_cut() -> None:
    async with upstream() as up:
        receiver, _, peer = await up.ask()
        peer.send(OK + b"\r\nhel")
        await until(lambda: receiver.body == b"hel")
        peer.reset()
        await receiver.ended()
        assert receiver.fault.kind is CUT


@pytest.mark.parametrize(("after", "kind"), [(0.0, STALE), (0.24, STALE), (0.26, RESET)])
@on_both_loops
async def test_a_reused_connection_that_closes_soon_was_stale(after: float, kind: Kind) -> None:
    async with upstream() as up:
        receiver, connection, peer = await up.ask()
        peer.send(LENGTH)
        await receiver.ended()
        receiver, again, peer = await up.ask()
        assert again is connection
        connection.sent_at = up.clock.read() - after + (0.005 if kind is STALE and after else 0.0)
        connection.connection_lost(None)
        assert receiver.fault.kind is kind
        connection.counted = False  # the loop will say it again
        peer.close()


@on_both_loops
async def test_a_stale_connection_that_answered_a_byte_was_cut() -> None:
    async with upstream() as up:
        receiver, _, peer = await up.ask()
        peer.send(LENGTH)
        await receiver.ended()
        receiver, _, peer = await up.ask()
        peer.send(b"H")
        peer.close()
        await receiver.ended()
        assert receiver.fault.kind is CUT
