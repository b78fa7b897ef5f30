"""The client side reads answers: every framing in any packets, and what becomes of the connection."""

import asyncio

import pytest

from tests.contract.net.serving import MUCH, until
from tests.contract.net.upstreams import GET, Receiver, upstream
from tests.contract.simulator.raw import on_both_loops
from trunkline.errors import Fault
from trunkline.net.http1_client import MAX_INTERIM

OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = OK + b"content-length: 5\r\n\r\nhello"
CHUNKS = OK + b"transfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nx-t: 1\r\n\r\n"
CLOSE = OK + b"connection: close\r\n"

ANSWERS: dict[str, tuple[bytes, bytes, bool]] = {  # bytes, body, whether the connection is kept
    "length": (LENGTH, b"hello", True),
    "equal lengths": (OK + b"content-length: 5\r\ncontent-length: 5\r\n\r\nhello", b"hello", True),
    "chunked": (CHUNKS, b"hello", True),
    "chunk size padded": (
        OK + b"Transfer-Encoding: Chunked\r\n\r\n5  \r\nhello\r\n0\r\n\r\n",
        b"hello",
        True,
    ),
    "empty": (OK + b"content-length: 0\r\n\r\n", b"", True),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
    "204 with a length": (b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n", b"", True),
    "304 with a length": (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", b"", True),
    "no reason": (b"HTTP/1.1 200\r\ncontent-length: 1\r\n\r\nx", b"x", True),
    "connection: close": (CLOSE + b"content-length: 5\r\n\r\nhello", b"hello", False),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello", b"hello", False),
    "HTTP/1.0 kept": (
        b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 5\r\n\r\nhello",
        b"hello",
        True,
    ),
    "after 100": (b"HTTP/1.1 100 Continue\r\n\r\n" + LENGTH, b"hello", True),
    "after hints": (b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * MAX_INTERIM + CHUNKS, b"hello", True),
}


@pytest.mark.parametrize("slowly", [False, True])
@pytest.mark.parametrize("name", sorted(ANSWERS))
@on_both_loops
async def test_an_answer_in_any_packets(name: str, slowly: bool) -> None:
    raw, body, kept = ANSWERS[name]
    async with upstream() as up:
        for _ in range(2):  # the second time its head is known
            receiver, connection, peer = await up.ask()
            if slowly:
                await peer.send_slowly(raw)
            else:
                peer.send(raw)
            assert await receiver.ended() is True
            assert receiver.body == body
            assert connection.closed is not kept
            assert up.pool.idle == int(kept)


@on_both_loops
async def test_an_answer_cut_in_two_anywhere() -> None:
    async with upstream() as up:
        for raw in (LENGTH, CHUNKS):
            for position in range(1, len(raw)):
                receiver, connection, _ = await up.ask()
                connection.data_received(raw[:position])
                connection.data_received(raw[position:])
                assert receiver.ends == [True]
                assert receiver.body == b"hello"
        assert len(up.accepted) == 1


@pytest.mark.parametrize("raw", [OK + b"\r\nhello", b"HTTP/1.0 200 OK\r\n\r\nhello", CLOSE + b"\r\nhello"])
@on_both_loops
async def test_a_body_until_the_connection_closes(raw: bytes) -> None:
    async with upstream() as up:
        receiver, _, peer = await up.ask()
        peer.send(raw)
        peer.close()
        assert await receiver.ended() is False
        assert receiver.body == b"hello"
        assert (up.pool.idle, up.pool.open_count) == (0, 0)


@on_both_loops
async def test_an_answer_to_head_has_no_body() -> None:
    async with upstream() as up:
        for raw in (
            OK + b"content-length: 5\r\n\r\n",
            OK + b"transfer-encoding: chunked\r\n\r\n",
            OK + b"\r\n",
        ):
            receiver, connection, peer = await up.ask(no_body=True)
            peer.send(raw)
            assert await receiver.ended() is True
            assert receiver.body == b""
            connection.abort()
            await until(lambda: up.pool.open_count == 0)


# what ends a connection


@pytest.mark.parametrize("extra", [b"x", b"\r\n", LENGTH])
@pytest.mark.parametrize(
    "raw", [LENGTH, CHUNKS, OK + b"content-length: 0\r\n\r\n", b"HTTP/1.1 204 N\r\n\r\n"]
)
@on_both_loops
async def test_bytes_behind_an_answer_poison_the_connection(raw: bytes, extra: bytes) -> None:
    async with upstream() as up:
        receiver, connection, peer = await up.ask()
        peer.send(raw + extra)
        assert await receiver.ended() is True
        assert connection.closed
        assert up.pool.idle == 0
        second, fresh, _ = await up.ask()
        assert fresh is not connection
        assert second.head is None


@pytest.mark.parametrize("extra", [b"x", LENGTH])
@on_both_loops
async def test_bytes_on_an_idle_connection_end_it(extra: bytes) -> None:
    async with upstream() as up:
        receiver, connection, peer = await up.ask()
        peer.send(LENGTH)
        await receiver.ended()
        assert up.pool.idle == 1
        peer.send(extra)
        await until(lambda: up.pool.open_count == 0)
        assert connection.closed
        assert (up.pool.idle, up.pool.take()) == (0, None)


@on_both_loops
async def test_an_answer_before_the_request_is_all_sent_ends_the_connection() -> None:
    async with upstream() as up:
        connection = await up.pool.open()
        receiver = Receiver()
        connection.send(b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\n", b"part", receiver, partial=True)
        peer = await up.until_accepted(1)
        await peer.until_received(b"part")
        peer.send(LENGTH)
        assert await receiver.ended() is True
        assert connection.closed
        connection.write(b"ignored", last=True)


@on_both_loops
async def test_a_request_sent_in_parts_keeps_the_connection_when_it_is_whole() -> None:
    async with upstream() as up:
        connection = await up.pool.open()
        receiver = Receiver()
        connection.send(b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\n", b"part", receiver, partial=True)
        connection.write(b" two", last=False)
        connection.write(b"!", last=True)
        peer = await up.until_accepted(1)
        await peer.until_received(b"part two!")
        peer.send(LENGTH)
        assert await receiver.ended() is True
        assert not connection.closed


@pytest.mark.parametrize("where", ["head", "body", "end"])
@pytest.mark.parametrize("raw", [LENGTH, CHUNKS, OK + b"\r\nhello"])
@on_both_loops
async def test_a_receiver_may_abort_in_any_callback(where: str, raw: bytes) -> None:
    async with upstream() as up:
        connection = await up.pool.open()
        receiver = Receiver(**{where: connection.abort})
        connection.send(GET, b"", receiver)
        peer = await up.until_accepted(1)
        peer.send(raw)
        if raw.endswith(b"\n\r\nhello"):
            peer.close()
        await until(lambda: connection.lost)
        assert receiver.head is not None
        if where == "end":
            assert len(receiver.ends) == 1
        else:
            assert receiver.ends == []
        assert len(receiver.pieces) <= (0 if where == "head" else 2)
        assert (up.pool.idle, up.pool.open_count) == (0, 0)


# back-pressure


@on_both_loops
async def test_an_upstream_is_read_only_while_its_client_reads() -> None:
    async with upstream() as up:
        receiver, connection, peer = await up.ask()
        peer.transport.set_write_buffer_limits(high=0)
        peer.send(OK + b"content-length: %d\r\n\r\n" % MUCH)
        await until(lambda: receiver.head is not None)
        connection.pause(True)
        peer.send(b"x" * MUCH)
        for _ in range(50):
            await asyncio.sleep(0)
        assert receiver.body == b""
        assert peer.transport.get_write_buffer_size() > 0
        connection.pause(False)
        assert await receiver.ended() is True
        assert len(receiver.body) == MUCH


@pytest.mark.parametrize("raw", [LENGTH, CHUNKS])
@on_both_loops
async def test_an_answer_that_ends_while_it_is_paused_leaves_a_connection_that_is_read(raw: bytes) -> None:
    async with upstream() as up:
        connection = await up.pool.open()
        receiver = Receiver(body=lambda: connection.pause(True))
        connection.send(GET, b"", receiver)
        peer = await up.until_accepted(1)
        peer.send(raw)
        assert await receiver.ended() is True
        assert up.pool.take() is connection
        second = Receiver()
        connection.send(GET, b"", second)
        peer.send(raw)
        assert await second.ended() is True
        assert second.body == b"hello"


@on_both_loops
async def test_a_request_body_waits_for_the_upstream() -> None:
    async with upstream() as up:
        connection = await up.pool.open()
        receiver = Receiver()
        peer = await up.until_accepted(1)
        peer.transport.pause_reading()
        connection.send(b"POST / HTTP/1.1\r\n\r\n", b"x" * MUCH, receiver)
        await until(lambda: receiver.writable == [False])
        peer.transport.resume_reading()
        await until(lambda: receiver.writable == [False, True])
        assert isinstance(receiver.ends, list)
        connection.abort()
        assert receiver.ends == []


@on_both_loops
async def test_reprs_tell_the_state() -> None:
    async with upstream() as up:
        receiver, connection, peer = await up.ask()
        assert repr(connection) == "<ClientConnection head, request 1>"
        assert repr(up.pool) == "<Pool 1 open, 0 idle, 0 waiting>"
        peer.send(LENGTH)
        assert not isinstance(await receiver.ended(), Fault)
        assert repr(connection) == "<ClientConnection idle, request 1>"
        assert repr(up.pool) == "<Pool 1 open, 1 idle, 0 waiting>"
