"""What is read at once in great pieces: others get their turn in between, and nothing is lost, doubled or reordered."""

import asyncio
from collections import Counter

import pytest

from tests.contract.net.serving import PLAIN_AND_TLS, answers, request, serving, until
from tests.contract.net.upstreams import GET, Receiver, upstream
from tests.contract.simulator.raw import Wire, on_both_loops
from trunkline.net.http1_client import TURN

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
POST = b"POST %b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
CLOSE = "Connection: close\r\n"
TINY = b"1\r\nx\r\n"
MANY = 4 * TURN // len(TINY)
LAST = b"0\r\n\r\n"


class Turns:
    """Counts the turns of the loop, and what happens in each."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._handle = self._loop.call_soon(self._tick)
        self.number = 0
        self.noted: Counter[int] = Counter()

    def _tick(self) -> None:
        self.number += 1
        self._handle = self._loop.call_soon(self._tick)

    def note(self, size: int) -> None:
        self.noted[self.number] += size

    def stop(self) -> int:
        """The most that happened in one turn."""
        self._handle.cancel()
        return max(self.noted.values())


async def bodies(wire: Wire) -> list[bytes]:
    """Of all answers up to the connection's end."""
    return [answer.body for answer in answers((await wire.rest()).raw)]


@PLAIN_AND_TLS
@on_both_loops
async def test_others_have_their_turn_while_tiny_chunks_of_a_request_come(tls: bool) -> None:
    async with serving(tls=tls) as server:
        wire = await server.connect(tls=tls)
        wire.send(POST % b"/pieces")
        taken = await server.app.until_taken(1)
        turns = Turns()
        piece = taken.on_piece
        taken.on_piece = lambda data, last, connection: (
            turns.note(len(data)),
            piece(data, last, connection),
        )[1]
        server.only._read(False)  # so that much is there to be read at once
        wire.send(TINY * 8 * MANY)
        await asyncio.sleep(0)
        server.only._read(True)
        wire.send(LAST + request("/next", headers=CLOSE))
        assert await bodies(wire) == [b"/pieces " + b"x" * 8 * MANY, b"/next "]
        # One part that was kept and one that was just read.
        assert turns.stop() <= 2 * (TURN // len(TINY) + 1)


@on_both_loops
async def test_others_have_their_turn_while_tiny_chunks_of_an_answer_come() -> None:
    async with upstream() as up:
        receiver, connection, peer = await up.ask()
        turns = Turns()
        receiver.on["body"] = lambda: turns.note(len(receiver.pieces[-1]))
        peer.send(HEAD)
        await until(lambda: receiver.head is not None)
        connection.pause(True)
        peer.send(TINY * 8 * MANY + LAST)
        await asyncio.sleep(0)
        connection.pause(False)
        assert await receiver.ended() is True
        assert receiver.body == b"x" * 8 * MANY
        assert turns.stop() <= 2 * (TURN // len(TINY) + 1)
        await until(lambda: up.pool.idle == 1)


@on_both_loops
async def test_an_answer_that_nobody_parses_is_handed_on_as_it_was_read() -> None:
    async with upstream() as up:
        receiver, connection, peer = await up.ask()
        body = bytes(5 * TURN)
        connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (len(body) + 1) + body)
        assert receiver.pieces == [body]
        peer.send(b"x")  # the socket goes on being read
        assert await receiver.ended() is True
        assert receiver.body == body + b"x"


@pytest.mark.parametrize("framing", [b"content-length: %d\r\n" % (4 * TURN), b""], ids=["length", "close"])
@on_both_loops
async def test_an_event_stream_is_parsed_in_parts_whatever_its_framing(framing: bytes) -> None:
    class Events(Receiver):
        is_event_stream = True  # type: ignore[assignment] # a constant will do

    async with upstream() as up:
        connection = await up.pool.open()
        peer = await up.peer_of(connection)
        receiver = Events()
        connection.send(GET, b"", receiver)
        await peer.until_received(GET)
        connection.data_received(b"HTTP/1.1 200 OK\r\n%b\r\n" % framing + b"\n" * 4 * TURN)
        assert receiver.pieces == [b"\n" * TURN]
        peer.close()
        await receiver.ended()
        assert receiver.pieces == [b"\n" * TURN] * 4


@on_both_loops
async def test_a_pause_holds_what_was_read_already() -> None:
    async with upstream() as up:
        receiver, connection, peer = await up.ask()
        connection.data_received(HEAD)
        receiver.on["body"] = lambda: connection.pause(True)
        connection.data_received(TINY * MANY)
        peer.send(TINY + LAST)
        for so_far in range(1, 5):
            for _ in range(5):
                await asyncio.sleep(0)
            assert len(receiver.pieces) == so_far
            if so_far == 4:
                del receiver.on["body"]
            connection.pause(False)
            connection.pause(True)  # of which only the last counts
            connection.pause(False)
        assert await receiver.ended() is True
        assert receiver.body == b"x" * (MANY + 1)
        await until(lambda: up.pool.idle == 1)


@on_both_loops
async def test_what_was_read_before_the_connection_was_lost_counts() -> None:
    async with upstream() as up:
        receiver, connection, _ = await up.ask()
        connection.data_received(HEAD)
        connection.data_received(TINY * MANY + LAST)
        assert connection._transport is not None
        connection._transport.abort()
        assert not receiver.ends
        assert await receiver.ended() is True
        assert receiver.body == b"x" * MANY


@on_both_loops
async def test_what_follows_an_answer_in_a_later_part_poisons_the_connection() -> None:
    async with upstream() as up:
        receiver, connection, peer = await up.ask()
        connection.data_received(HEAD)
        size = TURN - len(LAST) - len(b"ffff\r\n\r\n")
        answer = b"%x\r\n%b\r\n" % (size, bytes(size)) + LAST
        assert len(answer) == TURN
        connection.data_received(answer + b"?")
        assert receiver.ends == [True]
        assert connection.closed
        await until(lambda: peer.gone)


@on_both_loops
async def test_an_aborted_answer_leaves_nothing_to_go_on_with() -> None:
    async with upstream() as up:
        for when in ("body", "head"):
            receiver, connection, peer = await up.ask()
            receiver.on[when] = connection.abort
            connection.data_received(HEAD + TINY * MANY)
            await until(lambda peer=peer: peer.gone)
            assert len(receiver.pieces) == (when == "body")
            assert not receiver.ends


@on_both_loops
async def test_a_request_body_that_is_paused_is_not_gone_on_with() -> None:
    async with serving() as server:
        wire = await server.connect()
        wire.send(POST % b"/pieces")
        taken = await server.app.until_taken(1)
        connection = server.only
        connection.data_received(TINY * MANY + LAST + request("/next"))
        wire.send(request("/last", headers=CLOSE))
        connection.pause_body(True)
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(taken.pieces) == 1
        connection.pause_body(False)
        connection.pause_body(True)
        connection.pause_body(False)
        assert await bodies(wire) == [b"/pieces " + b"x" * MANY, b"/next ", b"/last "]


@on_both_loops
async def test_large_bodies_in_a_pipeline_keep_their_order() -> None:
    async with serving() as server:
        wire = await server.connect()
        parts = [
            b"%b%b%b" % (POST % b"/%d" % number, TINY * (MANY // 2 + number), LAST) for number in range(6)
        ]
        wire.send(b"".join(parts) + b"\r\n" * MANY + request("/last", headers=CLOSE))
        expected = [b"/%d " % number + b"x" * (MANY // 2 + number) for number in range(6)]
        assert await bodies(wire) == [*expected, b"/last "]


@on_both_loops
async def test_a_refused_body_that_is_being_read_is_dropped() -> None:
    async with serving(max_body=TURN) as server:
        wire = await server.connect()
        wire.send(POST % b"/pieces")
        await server.app.until_taken(1)
        server.only.data_received(TINY * 2 + b"!" * 4 * TURN)
        reply = await wire.answer()
        assert reply.status == 400
        assert server.app.taken[0].fault is not None
        await wire.close()
