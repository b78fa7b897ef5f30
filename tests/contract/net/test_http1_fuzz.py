"""Framing fuzz: whatever the server passes to the application, h11 reads the same out of the same bytes.

Streams of requests, sound or spoilt in one or two places, go through a connection in random pieces. h11 is lenient
where we are strict (bare LF, folded lines), never the other way round: what h11 refuses, we must refuse.
llhttp (by httptools, in its strict mode) is asked about the bodies too.
"""

import asyncio
import itertools
import re
from collections.abc import Callable

import h11
import httptools
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contract.net.serving import Recorder
from trunkline.net.clock import Clock
from trunkline.net.connection_life import Shared
from trunkline.net.http1_server import ServerConnection
from trunkline.net.listener import ServerSettings

Read = tuple[bytes, bytes, list[tuple[bytes, bytes]], bytes]


class Line(asyncio.Transport):
    """The connection's other end: what is written is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing waits here."""

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None:
        """Short streams only."""

    resume_reading = pause_reading


async def ours(pieces: list[bytes]) -> tuple[list[Read], bytes]:
    """What the application got, complete requests only; and the answers."""
    app = Recorder()
    clock = Clock(asyncio.get_running_loop())
    connection = ServerConnection(Shared(app, ServerSettings(), clock))
    line = Line()
    connection.connection_made(line)
    for piece in pieces:
        if line.closed:
            break
        connection.data_received(piece)
        for _ in range(4):
            await asyncio.sleep(0)
    for _ in range(10):
        await asyncio.sleep(0)
    complete = [taken for taken in app.taken if taken.complete]
    return [(t.head.method, t.head.target, normal(t.head.headers), t.body) for t in complete], line.written


def normal(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """As h11 gives them: it puts the coding in lower case."""
    return [(name, value.lower() if name == b"transfer-encoding" else value) for name, value in headers]


def by_h11(raw: bytes) -> list[Read]:
    """What h11 reads, up to what it refuses.

    Known exception: h11 refuses empty lines before a request, which RFC 9112 2.2 lets servers skip: taken away here.
    """
    found: list[Read] = []
    while raw := re.sub(rb"\A(?:\r\n)+", b"", raw):
        server = h11.Connection(h11.SERVER)
        server.receive_data(raw)
        head: Read | None = None
        body = b""
        while True:
            try:
                event = server.next_event()
            except h11.RemoteProtocolError:
                return found
            if isinstance(event, h11.Request):
                headers = [(bytes(name), bytes(value)) for name, value in event.headers]
                head = (bytes(event.method), bytes(event.target), headers, b"")
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                return found
        assert head is not None
        found.append((*head[:3], body))
        if server.our_state is h11.MUST_CLOSE or server.their_state is h11.MUST_CLOSE:
            break
        raw = server.trailing_data[0]
    return found


class Bodies:
    """What llhttp reads: the bodies of complete requests."""

    def __init__(self) -> None:
        self.found: list[bytes] = []
        self._body = b""

    def on_message_begin(self) -> None:
        self._body = b""

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self.found.append(self._body)


def by_llhttp(raw: bytes) -> list[bytes]:
    bodies = Bodies()
    try:
        httptools.HttpRequestParser(bodies).feed_data(raw)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        pass
    return bodies.found


# streams

OWS = st.sampled_from([b"", b" ", b"\t", b"  "])
VALUES = st.binary(max_size=12).map(lambda b: bytes(c for c in b if c > 0x20 and c != 0x7F))
NAMES = st.sampled_from(
    [b"X-A", b"x-b", b"Accept", b"User-Agent", b"X_c", b"Keep-Alive", b"x-content-length"]
)
TARGETS = st.sampled_from([b"/", b"/a?b=c", b"*", b"http://other/x", b"/%0d%0aX:%201", b"/~!$&'()*+,;=:@"])
METHODS = st.sampled_from([b"GET", b"POST", b"PUT", b"OPTIONS", b"M-SEARCH"])
BODIES = st.binary(max_size=40)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    body = draw(BODIES)
    lines = [
        draw(NAMES) + b":" + draw(OWS) + draw(VALUES) + draw(OWS) for _ in range(draw(st.integers(0, 3)))
    ]
    lines.append(b"Host: h")
    framing = draw(st.sampled_from(["none", "length", "chunked"]))
    payload = b""
    if framing == "length":
        lines.append(b"Content-Length:" + draw(OWS) + b"%d" % len(body) + draw(OWS))
        payload = body
    elif framing == "chunked":
        lines.append(b"Transfer-Encoding: " + draw(st.sampled_from([b"chunked", b"Chunked"])))
        size = draw(st.integers(1, 20))
        for at in range(0, len(body), size):
            piece = body[at : at + size]
            payload += (
                b"%x" % len(piece) + draw(st.sampled_from([b"", b";a", b";a=b"])) + b"\r\n" + piece + b"\r\n"
            )
        payload += b"0\r\n" + draw(st.sampled_from([b"", b"X-T: 1\r\n"])) + b"\r\n"
    if draw(st.integers(0, 9)) == 0:
        lines.append(b"Connection: " + draw(st.sampled_from([b"close", b"x, Close"])))
    lines = draw(st.permutations(lines))
    version = b"1.1" if framing == "chunked" or draw(st.integers(0, 9)) else b"1.0"
    start = draw(METHODS) + b" " + draw(TARGETS) + b" HTTP/" + version
    return b"\r\n".join([start, *lines, b"", b""]) + payload


SPOILS: list[Callable[[bytes, int, bytes], bytes]] = [
    lambda raw, at, token: raw[:at] + token + raw[at:],
    lambda raw, at, token: raw[:at] + raw[at + 1 :],
    lambda raw, at, token: raw[:at] + token + raw[at + len(token) :],
    lambda raw, at, token: raw[:at],
    lambda raw, at, token: raw.replace(b"\r\n", b"\n", 1) if at % 2 else raw.replace(b": ", b" : ", 1),
    lambda raw, at, token: raw.replace(b"Host: h\r\n", b"Host: h\r\n" + token + b"\r\n", 1),
]
TOKENS = st.sampled_from(
    [
        b"\r", b"\n", b"\r\n", b"\x00", b" ", b"\t", b":", b";", b",", b"0", b"1", b"f", b"+", b"-", b"_", b"0x",
        b"\xff", b"Content-Length: 5", b"content-length: 0", b"Transfer-Encoding: chunked", b"Transfer-Encoding: x",
        b"Host: h", b" folded", b"Connection: close", b"\x0b", b"\x85", b"HTTP/1.1",
    ]
)  # fmt: skip


@st.composite
def streams(draw: st.DrawFn, *, spoilt: bool) -> bytes:
    raw = b"".join(draw(st.lists(requests(), min_size=1, max_size=4)))
    for _ in range(draw(st.integers(1, 2)) if spoilt else 0):
        raw = draw(st.sampled_from(SPOILS))(raw, draw(st.integers(0, max(0, len(raw) - 1))), draw(TOKENS))
    return raw


@st.composite
def cuts(draw: st.DrawFn) -> Callable[[bytes], list[bytes]]:
    points = draw(st.lists(st.integers(1, 400), max_size=6))

    def cut(raw: bytes) -> list[bytes]:
        edges = [0, *sorted({point for point in points if point < len(raw)}), len(raw)]
        return [raw[a:b] for a, b in itertools.pairwise(edges) if b > a]

    return cut


@settings(max_examples=300)
@given(streams(spoilt=False), cuts())
def test_sound_requests_are_all_read_as_h11_reads_them(
    raw: bytes, cut: Callable[[bytes], list[bytes]]
) -> None:
    read, written = asyncio.run(ours(cut(raw)))
    expected = by_h11(raw)
    assert read == expected
    assert written.count(b"x-by: app") == len(expected)


@settings(max_examples=1000)
@given(streams(spoilt=True), cuts())
def test_nothing_is_read_otherwise_than_h11_and_llhttp_read_it(
    raw: bytes, cut: Callable[[bytes], list[bytes]]
) -> None:
    read, written = asyncio.run(ours(cut(raw)))
    expected = by_h11(raw)
    assert read == expected[: len(read)]
    # llhttp gives up at methods that it does not know; up to there it must agree.
    assert all(body == other for (*_, body), other in zip(read, by_llhttp(raw), strict=False))
    if written.count(b"HTTP/1.1 400"):
        assert written.rindex(b"HTTP/1.1 ") == written.index(b"HTTP/1.1 400")  # the last answer
