"""The short way of a stream: whole chunks that nobody has to look at go on as they are, framing and all."""

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.contract.net.upstreams import GET, Receiver, upstream
from tests.contract.simulator.raw import on_both_loops
from trunkline.net.clock import Clock
from trunkline.net.http1_client import ClientConnection
from trunkline.net.pool import Pool
from trunkline.wire.chunked import ChunkedDecoder

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def framed(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def whole_chunk(data: bytes) -> bool:
    """One chunk, and nothing but it, and not the last: what `repeats` has to answer for."""
    _, _, rest = data.partition(b"\r\n")
    return len(rest) > 2 and data == framed(rest[:-2])


class Nowhere(asyncio.Transport):
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is written."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Nobody listens."""

    def is_closing(self) -> bool:
        return False


@given(
    st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=12),
    st.lists(st.integers(1, 500), max_size=30),
)
def test_what_is_forwarded_and_what_is_decoded_join_to_the_body(pieces: list[bytes], cuts: list[int]) -> None:
    async def scenario() -> None:
        clock = Clock(asyncio.get_running_loop())
        pool = Pool(Refusing(), clock, 1, "h:1")
        clock.stop()
        connection = ClientConnection(pool, clock)
        connection.connection_made(Nowhere())
        out: list[bytes] = []
        receiver = Receiver(body=lambda: out.append(receiver.pieces[-1]))
        forwarded: list[bytes] = []

        def forward(data: bytes) -> None:
            forwarded.append(data)
            decoder = ChunkedDecoder()
            out.extend(decoder.feed(data))
            assert decoder.at_boundary  # never in the middle of one

        connection.send(GET, b"", receiver)
        connection.data_received(HEAD)
        connection.forward = forward
        connection.repeats = whole_chunk
        raw = b"".join(map(framed, pieces)) + b"0\r\n\r\n"
        edges = [0, *sorted({cut for cut in cuts if cut < len(raw)}), len(raw)]
        for begin, end in itertools.pairwise(edges):
            connection.data_received(raw[begin:end])
        assert b"".join(out) == b"".join(pieces)
        assert connection.forwarded == sum(map(len, forwarded))
        assert receiver.ends == [True]
        assert connection.repeats is None
        assert pool.idle == 1

    asyncio.run(scenario())


class Refusing:
    async def connect(self, protocol_factory: object) -> tuple[asyncio.Transport, ClientConnection]:
        raise AssertionError("the connection is made by hand")


@pytest.mark.parametrize("slowly", [False, True])
@on_both_loops
async def test_over_a_socket(slowly: bool) -> None:
    pieces = [b"data: %d\n\n" % number for number in range(200)]
    async with upstream() as up:
        connection = await up.pool.open()
        out: list[bytes] = []
        receiver = Receiver(
            head=lambda: setattr(connection, "repeats", whole_chunk),
            body=lambda: out.append(receiver.pieces[-1]),
        )
        connection.forward = lambda data: out.extend(ChunkedDecoder().feed(data))
        connection.send(GET, b"", receiver)
        peer = await up.peer_of(connection)
        peer.send(HEAD)
        for piece in pieces:
            if slowly:
                await peer.send_slowly(framed(piece))
            else:
                peer.send(framed(piece))
                await asyncio.sleep(0)
        peer.send(b"0\r\n\r\n")
        assert await receiver.ended() is True
        assert b"".join(out) == b"".join(pieces)


@on_both_loops
async def test_of_several_chunks_in_one_read_those_before_one_that_differs_are_forwarded() -> None:
    async with upstream() as up:
        receiver, connection, _ = await up.ask()
        connection.data_received(HEAD)
        forwarded: list[bytes] = []
        connection.forward = forwarded.append
        connection.repeats = lambda data: whole_chunk(data) and b"no" not in data
        alike, other = framed(b"yes"), framed(b"no")
        connection.data_received(alike * 3 + other + alike + framed(b"yes, cut")[:-3])
        assert forwarded == [alike] * 3
        assert receiver.body == b"noyesyes, cu"
        connection.abort()


@on_both_loops
async def test_after_an_abort_nothing_is_forwarded() -> None:
    async with upstream() as up:
        receiver, connection, peer = await up.ask()
        peer.send(HEAD + framed(b"one"))
        while not receiver.pieces:
            await asyncio.sleep(0)
        connection.repeats = whole_chunk
        connection.abort()
        assert connection.repeats is None
        connection.data_received(framed(b"two"))
        assert (receiver.body, receiver.ends, connection.forwarded) == (b"one", [], 0)
