"""wire/chunked.py: strict RFC 9112 chunks, any chunking of the input, h11 and llhttp as oracles."""

from collections.abc import Iterator

import h11
import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.wire.chunked import LAST_CHUNK, ChunkedDecoder, FramingError, encode_chunk

_HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
bodies = st.lists(st.binary(min_size=1, max_size=40) | st.binary(min_size=1000, max_size=1100), max_size=5)
sizes = st.lists(st.integers(1, 40), min_size=1, max_size=10)


def cut(data: bytes, lengths: list[int]) -> Iterator[bytes]:
    pos = turn = 0
    while pos < len(data):
        step = lengths[turn % len(lengths)]
        yield data[pos : pos + step]
        pos, turn = pos + step, turn + 1


def decode(data: bytes, lengths: list[int], *, lenient_space: bool = False) -> tuple[bytes, bytes] | None:
    """Body and rest; None if it was refused or is unfinished."""
    decoder = ChunkedDecoder(lenient_space=lenient_space)
    try:
        pieces = [piece for part in cut(data, lengths) for piece in decoder.feed(part)]
    except FramingError:
        return None
    assert all(pieces)
    return (b"".join(pieces), decoder.rest) if decoder.done else None


def by_h11(data: bytes) -> bytes | None:
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("host", "a")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(_HEAD + data)
    body = b""
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                return body
            elif event is h11.NEED_DATA:
                return None
    except h11.RemoteProtocolError:
        return None


class _Collect:
    def __init__(self) -> None:
        self.body = b""
        self.complete = False

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.complete = True


def by_llhttp(data: bytes) -> bytes | None:
    collect = _Collect()
    parser = httptools.HttpResponseParser(collect)
    try:
        parser.feed_data(_HEAD + data)
    except httptools.HttpParserError:
        return None
    return collect.body if collect.complete else None


@given(bodies, sizes, st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", b"0\r\n\r\n"]))
def test_any_chunking_gives_the_body_and_the_rest(
    pieces: list[bytes], lengths: list[int], rest: bytes
) -> None:
    wire = b"".join(map(encode_chunk, pieces)) + LAST_CHUNK
    assert decode(wire + rest, lengths) == (b"".join(pieces), rest)
    assert decode(wire + rest, [len(wire + rest)]) == (b"".join(pieces), rest)
    assert by_h11(wire) == b"".join(pieces)
    assert by_llhttp(wire) == b"".join(pieces)


_MUTATIONS = st.sampled_from(
    [b"", b"\r", b"\n", b"\r\n", b"0", b"a", b"G", b" ", b"\t", b"+", b"-", b"_", b"0x", b"\0"]
)


@given(bodies, st.sampled_from([b"", b"A: b\r\n", b"A:\r\nB: c\r\n"]), st.data())
def test_whatever_is_accepted_reads_the_same_elsewhere(
    pieces: list[bytes], trailers: bytes, draw: st.DataObject
) -> None:
    wire = b"".join(map(encode_chunk, pieces)) + b"0\r\n" + trailers + b"\r\n"
    at = draw.draw(st.integers(0, len(wire)))
    wire = wire[:at] + draw.draw(_MUTATIONS) + wire[at + draw.draw(st.integers(0, 2)) :]
    lengths = draw.draw(sizes)
    found = decode(wire, lengths)
    assert decode(wire, [len(wire) or 1]) == found
    if found is not None and not found[1]:
        assert by_h11(wire) == found[0]
        assert by_llhttp(wire) == found[0]


@pytest.mark.parametrize(
    "wire",
    [
        b"\r\n",
        b"\r\nabc\r\n",
        b"g\r\n",
        b"0x5\r\nabcde\r\n",
        b"+5\r\nabcde\r\n",
        b"-5\r\nabcde\r\n",
        b"1_0\r\n",
        b" 5\r\nabcde\r\n",
        b"5 \r\nabcde\r\n",
        b"5\t;x\r\nabcde\r\n",
        b"5\nabcde\r\n",
        b"5\r\r\nabcde\r\n",
        b"5\rabcde\r\n\r\n",
        b"5\r\nabcde\n",
        b"5\r\nabcdef\r\n",
        b"5\r\nabcde\rx",
        b"5\r\nabcde0\r\n\r\n",
        b"10000000000000000\r\n",
        b"5;a\rb\r\nabcde\r\n",
        b"5;\0\r\nabcde\r\n",
        b"5;" + b"x" * 257 + b"\r\nabcde\r\n",
        b"5;" + b"x" * 400,
        b"0" * 400,
        b"0\r\n folded\r\n\r\n",
        b"0\r\nno colon\r\n\r\n",
        b"0\r\nspace : x\r\n\r\n",
        b"0\r\n: no name\r\n\r\n",
        b"0\r\nA: b\n\r\n",
        b"0\r\nA: b\rc\r\n\r\n",
        b"0\r\nA: \0\r\n\r\n",
        b"0\r\n\n",
        b"0\r\n" + b"A: b\r\n" * 33,
        b"0\r\n" + (b"A: " + b"b" * 1000 + b"\r\n") * 9,
        b"0\r\nA: " + b"b" * 9000,
    ],
)
@pytest.mark.parametrize("lengths", [[1], [3, 2], [10_000]])
def test_refused(wire: bytes, lengths: list[int]) -> None:
    decoder = ChunkedDecoder()
    with pytest.raises(FramingError):
        [decoder.feed(part) for part in cut(wire, lengths)]


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        (b"5\r\nabcde\r\n0\r\n\r\n", b"abcde"),
        (b"00A\r\n0123456789\r\n000\r\n\r\n", b"0123456789"),
        (b'5;name="v;w"; b\t=c\r\nabcde\r\n0;x\r\n\r\n', b"abcde"),
        (b"5;" + b"x" * 256 + b"\r\nabcde\r\n0\r\n\r\n", b"abcde"),
        (b"0000000000000001\r\na\r\n0\r\n\r\n", b"a"),
        (b"1\r\na\r\n0\r\n" + b"A: \xe9\tb\r\n" * 32 + b"\r\n", b"a"),
        (b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n"),
    ],
)
@pytest.mark.parametrize("lengths", [[1], [3, 2], [10_000]])
def test_accepted(wire: bytes, body: bytes, lengths: list[int]) -> None:
    assert decode(wire, lengths) == (body, b"")


def test_spaces_after_the_size_only_where_allowed() -> None:
    wire = b"5 \t \r\nabcde\r\n0 ;x\r\n\r\n"
    assert decode(wire, [100]) is None
    assert decode(wire, [100], lenient_space=True) == (b"abcde", b"")
    assert decode(b"  5\r\nabcde\r\n", [100], lenient_space=True) is None


def test_body_bytes_are_given_at_once_and_never_kept() -> None:
    decoder = ChunkedDecoder()
    assert decoder.feed(b"a\r\n01234") == [b"01234"]
    assert repr(decoder) == "<ChunkedDecoder 7 bytes left in chunk>"
    assert decoder.feed(b"567") == [b"567"]
    assert decoder.feed(b"89\r\n3\r\nabc\r\n2\r\nde\r\n0\r") == [b"89", b"abc", b"de"]
    assert not decoder.done
    assert decoder.feed(b"\n\r\nnext") == []
    assert repr(decoder) == "<ChunkedDecoder done>"
    assert decoder.feed(b" one") == []
    assert decoder.rest == b"next one"


def test_several_chunks_in_one_read() -> None:
    decoder = ChunkedDecoder()
    assert decoder.feed(b"1\r\na\r\n2\r\nbc\r\n") == [b"a", b"bc"]
    assert decoder.feed(b"1\r\nd\r\n") == [b"d"]
    assert decoder.feed(b"") == []
    assert decoder.feed(encode_chunk(bytes(5000)) * 2) == [bytes(5000), bytes(5000)]


def test_encode_chunk() -> None:
    assert encode_chunk(bytes(26)) == b"1a\r\n" + bytes(26) + b"\r\n"
    assert encode_chunk(b"") == b""
