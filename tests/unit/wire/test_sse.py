"""wire/sse.py: behaviours 1.8, the WHATWG corner cases, and independence of the chunking."""

import re
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.wire.sse import Decoder, Event, EventSplitter, Fragment, comment, encode, parse_event

_PARTS = [
    b"\r",
    b"\n",
    b"\r\n",
    b"data",
    b":",
    b" ",
    b"x",
    b"event: e",
    b"data: y",
    b"id:",
    b"\n\n",
    b"\xef\xbb\xbf",
]
streams = st.lists(st.sampled_from(_PARTS), max_size=40).map(b"".join)
sizes = st.lists(st.integers(1, 9), min_size=1, max_size=20)


def cut(stream: bytes, lengths: list[int]) -> Iterable[bytes]:
    """Cut a stream into chunks of the given lengths, repeated."""
    pos = turn = 0
    while pos < len(stream):
        step = lengths[turn % len(lengths)]
        yield stream[pos : pos + step]
        pos, turn = pos + step, turn + 1


def reference(stream: bytes) -> list[bytes]:
    """The data of the events by the letter of the standard: line by line, no clever pattern."""
    found: list[bytes] = []
    data: list[bytes] = []
    for line in re.split(rb"\r\n|\r|\n", stream)[:-1]:
        if not line:
            if b"\n".join(data):
                found.append(b"\n".join(data))
            data = []
        elif line.partition(b":")[0] == b"data":
            data.append(line.partition(b":")[2].removeprefix(b" "))
    return found


@pytest.mark.parametrize(
    ("raw", "event"),
    [
        (b"data: hello world\n\n", Event(b"hello world")),
        (b"event: message\ndata: x\n\n", Event(b"x", b"message")),
        (b"id: 123\ndata: t\n\n", Event(b"t", id=b"123")),
        (b"data: a\ndata: b\ndata: c\n\n", Event(b"a\nb\nc")),
        (b"data:\n\n", None),
        (b"data: \n\n", None),
        (b"data\n\n", None),
        (b"data\ndata\n\n", Event(b"\n")),
        (b"data: key: value\n\n", Event(b"key: value")),
        (b"data:  hello\n\n", Event(b" hello")),
        (b"data:x\n\n", Event(b"x")),
        (b": comment\ndata: x\n\n", Event(b"x")),
        (b": comment\n\n", None),
        (b"unknown: y\ndata: kept\n\n", Event(b"kept")),
        (b"data: test\r\n\r\n", Event(b"test")),
        (b"data: a\rdata: b\r\r", Event(b"a\nb")),
        (b"\ndata: after the LF of a CRLF\n\n", Event(b"after the LF of a CRLF")),
        (b"\xef\xbb\xbfdata: x\n\n", Event(b"x")),
        (b"id: a\0b\ndata: x\n\n", Event(b"x")),
        (b"retry: 250\ndata: x\n\n", Event(b"x", retry=250)),
        (b"retry: soon\nretry: -1\ndata: x\n\n", Event(b"x")),
        (b"event:\ndata: x\n\n", Event(b"x")),
        ("data: \u2028 is no line end\n\n".encode(), Event("\u2028 is no line end".encode())),
        (b"data: form\x0cfeed\x0b\x1c\n\n", Event(b"form\x0cfeed\x0b\x1c")),
        (b"data: no blank line\ny", Event(b"no blank line")),
        (b"", None),
    ],
)
def test_fields(raw: bytes, event: Event | None) -> None:
    assert parse_event(raw) == event


def test_split_event_waits_for_its_end() -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"data: hel") == []
    assert splitter.pending == b"data: hel"
    assert splitter.mid_event
    assert splitter.feed(b"lo\n\ndata: 2\n\nda") == [b"data: hello\n\n", b"data: 2\n\n"]
    assert repr(splitter) == "<EventSplitter 2 bytes pending>"
    assert splitter.flush() == b"da"
    assert splitter.pending == b""
    assert not splitter.mid_event


def test_one_whole_event_is_the_same_object() -> None:
    chunk = b"data: " + bytes(300) + b"\n\n"
    assert EventSplitter().feed(chunk)[0] is chunk


@pytest.mark.parametrize("chunk", [b"", b"x", b"\n", b"\n\n", b"\n\n\n", b"a\n\nb\n\n", b"a\r\rb\n\n"])
def test_short_and_odd_chunks_lose_nothing(chunk: bytes) -> None:
    splitter = EventSplitter()
    assert b"".join(splitter.feed(chunk)) + splitter.pending == chunk


def test_cr_at_the_end_of_a_chunk_ends_the_event_at_once() -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"data: a\r\n\r") == [b"data: a\r\n\r"]
    assert splitter.feed(b"\ndata: b\r\n\r\n") == [b"\ndata: b\r\n\r\n"]


def test_a_line_end_between_events_does_not_wait() -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"data: [DONE]\r\n\r") == [b"data: [DONE]\r\n\r"]
    assert splitter.feed(b"\n") == [b"\n"]
    assert not splitter.mid_event
    assert splitter.feed(b"data: a\n\n\n") == [b"data: a\n\n", b"\n"]
    assert splitter.flush() == b""


def test_crlf_across_chunks_is_one_line_end() -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"data: a\r") == []
    assert splitter.feed(b"\ndata: b\r\n") == []
    assert splitter.feed(b"\r\n") == [b"data: a\r\ndata: b\r\n\r\n"]


@given(streams, sizes)
def test_any_chunking_gives_every_byte_and_the_same_events(stream: bytes, lengths: list[int]) -> None:
    splitter, decoder = EventSplitter(), Decoder()
    pieces: list[bytes] = []
    events: list[Event] = []
    for chunk in cut(stream, lengths):
        pieces += splitter.feed(chunk)
        events += decoder.feed(chunk)
    assert b"".join(pieces) + splitter.pending == stream
    assert decoder.flush() == []
    if b"\xef\xbb\xbf" not in stream:
        assert [event.data for event in events] == reference(stream)
    whole = Decoder()
    assert whole.feed(stream) == events


_bodies = st.lists(
    st.sampled_from([b"x", b"data: y", b"x\ny", b"data: long\ndata: z"]), min_size=1, max_size=3
).map(b"".join)


@given(
    st.lists(_bodies, max_size=12).map(lambda bodies: b"".join(body + b"\n\n" for body in bodies) + b"tail"),
    sizes,
)
def test_oversize_events_pass_through_in_pieces(stream: bytes, lengths: list[int]) -> None:
    def run(chunks: Iterable[bytes]) -> tuple[list[bytes], bytes, bytes]:
        splitter = EventSplitter(limit=12)
        pieces = [piece for chunk in chunks for piece in splitter.feed(chunk)]
        small = [piece for piece in pieces if not isinstance(piece, Fragment)]
        assert all(len(piece) <= 12 for piece in small)
        assert len(splitter.pending) <= 12
        return small, b"".join(pieces), splitter.pending

    small, joined, pending = run(cut(stream, lengths))
    assert joined + pending == stream
    assert run([stream])[0] == small


def test_oversize_event_and_the_one_after_it() -> None:
    splitter = EventSplitter(limit=8)
    first = splitter.feed(b"data: 123456\n")
    assert (first, type(first[0])) == ([b"data: 123456\n"], Fragment)
    assert repr(splitter) == "<EventSplitter 0 bytes pending, oversize>"
    assert splitter.feed(b"") == []
    assert splitter.feed(b"data: 7") == [b"data: 7"]
    assert splitter.mid_event
    assert splitter.feed(b"\n") == [b"\n"]
    last = splitter.feed(b"\ndata:b\n\n")
    assert [type(piece) for piece in last] == [Fragment, bytes]
    assert last == [b"\n", b"data:b\n\n"]
    assert not splitter.mid_event
    assert type(splitter.feed(b"data: whole but long\n\n")[0]) is Fragment


def test_flush_ends_an_oversize_event() -> None:
    splitter = EventSplitter(limit=2)
    assert splitter.feed(b"data: x") == [b"data: x"]
    assert splitter.flush() == b""
    assert splitter.feed(b"a") == []


def test_decoder_skips_an_oversize_event() -> None:
    decoder = Decoder(limit=9)
    assert decoder.feed(b"data: too long\n\ndata: a\n\n") == [Event(b"a")]


def test_every_byte_is_scanned_once() -> None:
    """A 2 MiB event, byte by byte in its last part: quadratic work would take minutes, not the test's second."""
    event = b"data: " + b"x" * (2 * 1024 * 1024) + b"\n\n"
    splitter = EventSplitter(limit=len(event))
    pieces = splitter.feed(event[:-200_000])
    for byte in event[-200_000:]:
        pieces += splitter.feed(bytes([byte]))
    assert pieces == [event]


@given(st.binary(min_size=1), st.none() | st.just(b"delta"), st.none() | st.just(b"7"))
def test_encoded_events_read_back(data: bytes, name: bytes | None, event_id: bytes | None) -> None:
    raw = encode(data, name, event_id)
    assert b"\r" not in raw
    lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    assert parse_event(raw) == Event(lines, name, event_id)
    assert EventSplitter().feed(raw) == [raw]


def test_encoded_forms() -> None:
    assert encode(b"{}") == b"data: {}\n\n"
    assert encode(b"a\r\nb", event=b"delta", id=b"1") == b"event: delta\nid: 1\ndata: a\ndata: b\n\n"
    assert comment(b"keep-alive") == b": keep-alive\n"
    assert Decoder().feed(encode(b"a") + comment(b"keep-alive") + encode(b"b")) == [Event(b"a"), Event(b"b")]


def test_a_line_end_cannot_smuggle_a_field() -> None:
    with pytest.raises(ValueError, match="line end"):
        comment(b"a\ndata: x")
    with pytest.raises(ValueError, match="line end"):
        encode(b"x", event=b"a\rdata: y")
