"""wire/head.py: one reading of every head: a smuggling corpus, h11 as oracle, and caches that make no difference."""

from typing import Any

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trunkline.errors import BAD_FRAMING, HEAD_TOO_LARGE, Fault
from trunkline.wire import head as wire_head
from trunkline.wire.head import (
    CHUNKED,
    UNTIL_CLOSE,
    RequestHead,
    RequestHeads,
    ResponseHead,
    ResponseHeads,
    hop_by_hop,
    parse_request,
    parse_response,
    scan_partial,
)

START = b"POST /v1/chat/completions HTTP/1.1\r\n"


def request(*lines: bytes, start: bytes = START) -> bytes:
    return start + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def answer(*lines: bytes, start: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"".join(line + b"\r\n" for line in (start, *lines)) + b"\r\n"


def test_a_request_head() -> None:
    head = parse_request(request(b"Host: a:80", b"X:  v \t", b"x: w", b"CONTENT-LENGTH: 007", b"Y:"), 128)
    headers = [(b"host", b"a:80"), (b"x", b"v"), (b"x", b"w"), (b"content-length", b"007"), (b"y", b"")]
    assert head == RequestHead(b"POST", b"/v1/chat/completions", 1, headers, dict(headers), 7, True)


# Each of these has been used against some pair of servers, or is one edit away from what has.
_CODINGS = (
    b'xchunked|chunked, chunked|chunked, identity|gzip, chunked|identity||,|chunked;q=1|"chunked"|chunked,|'
    b"chunked\x80|ch\xc5\xbfunked|chunked chunked"
)
_LENGTHS = (
    b'|+5|-5|-0|5,5|5, 5|0x5|5.0|5 5|5e0|1_0|five|"5"|9999999999999999999|0000000000000000000|\xb2|'
    b"\xd9\xa5|\xef\xbc\x95"  # digits of other scripts
)
_HOSTS = b'a b|a\tb|a,b|a/b|user@a|a?b|a#b|a\\b|a:b|a:80:80|[::1|\xe4|[::1]x|[a b]|a]|<a>|"a"'
_STARTS = (
    b"GET / HTTP/1.2|GET / HTTP/2.0|GET / HTTP/0.9|GET / http/1.1|GET /|GET  / HTTP/1.1|GET /  HTTP/1.1|"
    b"GET\t/ HTTP/1.1| GET / HTTP/1.1|GET / HTTP/1.1 |GET /a b HTTP/1.1|GET /# HTTP/1.1|GET /\\ HTTP/1.1|"
    b"GET /\x7f HTTP/1.1|GET /\xc3\xa4 HTTP/1.1|G(T / HTTP/1.1|GGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG / HTTP/1.1||"
    b"PRI * HTTP/2.0"
)
TE = b"Transfer-Encoding: chunked"
SMUGGLING: list[tuple[list[bytes], str]] = [
    ([b"Content-Length: 6", TE], "together with"),
    ([TE, b"Content-Length: 6"], "together with"),
    ([b"Content-Length: 0", b"transfer-encoding: CHUNKED"], "together with"),
    *[([b"Transfer-Encoding: " + coding], "unknown transfer coding") for coding in _CODINGS.split(b"|")],
    ([TE, b"Transfer-Encoding: identity"], "more than one transfer-encoding"),
    ([TE, b"transfer-encoding: chunked"], "more than one transfer-encoding"),
    ([TE, b"Transfer-Encoding:"], "more than one transfer-encoding"),
    ([b"Transfer-Encoding : chunked"], "space before the colon"),
    ([b"Transfer-Encoding\t: chunked"], "space before the colon"),
    ([b"Content-Length : 5"], "space before the colon"),
    ([b"Transfer-Encoding:\x0bchunked"], "malformed header line"),
    ([b"Transfer-Encoding:\x0cchunked"], "malformed header line"),
    ([b"\xefTransfer-Encoding: chunked"], "malformed header line"),
    ([b"Transfer Encoding: chunked"], "malformed header line"),
    ([b"Transfer-Encoding chunked"], "malformed header line"),
    ([b": chunked"], "malformed header line"),
    ([b"Content-Length: 5\x0b"], "malformed header line"),
    ([b"X: y", b"", TE], "malformed header line"),
    ([TE + b"\x00"], "NUL"),
    ([b"X: y\n" + TE], "bare CR or LF"),
    ([b"X: y\r" + TE], "bare CR or LF"),
    ([b"Transfer-Encoding:", b" chunked"], "folded"),
    ([b"X: y", b"\t" + TE], "folded"),
    ([b"Content-Length: 5", b" 6"], "folded"),
    *[([b"Content-Length: " + length], "malformed content-length") for length in _LENGTHS.split(b"|")],
    ([b"Content-Length: 5", b"Content-Length: 5"], "more than one content-length"),
    ([b"Content-Length: 5", b"content-length: 6"], "more than one content-length"),
    ([b"Host: a"], "more than one host"),
    ([b"host: b"], "more than one host"),
    ([b"Content-Type: a/b", b"Content-Type: c/d"], "more than one content-type"),
    ([b"Authorization: a", b"Authorization: b"], "more than one authorization"),
    ([b"Expect: 100-continue", b"Expect: x"], "more than one expect"),
]
REFUSED: list[tuple[bytes, str]] = [
    *[(request(b"Host: a", *lines), why) for lines, why in SMUGGLING],
    *[
        (request(b"Host: a", start=start + b"\r\n"), "malformed request line")
        for start in _STARTS.split(b"|")
    ],
    *[(request(b"Host: " + host), "malformed host") for host in _HOSTS.split(b"|")],
    (request(), "no host header"),
    (request(b" Host: a"), "folded"),
    (request(b"Host: a", TE, start=b"POST / HTTP/1.0\r\n"), "HTTP/1.0"),
    (request(b"Host: a", start=b"GET /\x00 HTTP/1.1\r\n"), "NUL"),
    (request(b"Host: a").replace(b"\r\n", b"\n"), "bare CR or LF"),
    (request(b"Host: a") + b"X", "malformed header line"),
    (request(b"Host: a")[:-2], "malformed header line"),
    (b"\r\n" + request(b"Host: a"), "malformed request line"),
]


@pytest.mark.parametrize(("raw", "why"), REFUSED)
def test_what_can_be_read_in_two_ways_is_refused(raw: bytes, why: str) -> None:
    for fault in (parse_request(raw, 128), RequestHeads(128).read(raw)):
        assert isinstance(fault, Fault)
        assert fault.kind is BAD_FRAMING
        assert why in fault.message


@pytest.mark.parametrize(
    "host", b"|a|a:|a.b-c_d:80|127.0.0.1:8080|[::1]|[fe80::1%25eth0]:80|xn--a~%41!$&'()*+;=".split(b"|")
)
def test_hosts(host: bytes) -> None:
    head = parse_request(request(b"Host: " + host), 128)
    assert isinstance(head, RequestHead)
    assert head.fields[b"host"] == host


@pytest.mark.parametrize(
    ("lines", "length"),
    [
        ([b"Content-Length: 0"], 0),
        ([b"Content-Length: 000005"], 5),
        ([b"Content-Length:5"], 5),
        ([b"Content-Length:\t 5 \t"], 5),
        ([b"Content-Length: " + b"9" * 18], 10**18 - 1),
        ([b"Transfer-Encoding: chunked"], CHUNKED),
        ([b"transfer-encoding:\tCHUNKED "], CHUNKED),
        ([b"X-Content-Length: 5"], 0),
        ([b"X: Content-Length: 5"], 0),
        ([b"Content_Length: 5"], 0),
        ([], 0),
    ],
)
def test_lengths_of_request_bodies(lines: list[bytes], length: int) -> None:
    head = parse_request(request(b"Host: a", *lines), 128)
    assert isinstance(head, RequestHead)
    assert head.length == length


@pytest.mark.parametrize(
    ("minor", "lines", "stays"),
    [
        (1, [], True),
        (0, [], False),
        (1, [b"Connection: keep-alive"], True),
        (0, [b"Connection: keep-alive"], True),
        (0, [b"Connection: Keep-Alive, x"], True),
        (1, [b"Connection: close"], False),
        (1, [b"Connection: Close"], False),
        (1, [b"Connection: x , CLOSE"], False),
        (1, [b"Connection: close", b"Connection: keep-alive"], False),
        (1, [b"Connection: keep-alive", b"Connection: close"], False),
        (0, [b"Connection: close", b"Connection: keep-alive"], False),
        (0, [b"Connection: keep-alive", b"Connection: upgrade"], True),
        (1, [b"Connection: closed"], True),
    ],
)
def test_which_connections_stay(minor: int, lines: list[bytes], stays: bool) -> None:
    head = parse_request(request(b"Host: a", *lines, start=b"GET / HTTP/1.%d\r\n" % minor), 128)
    assert isinstance(head, RequestHead)
    assert (head.minor, head.keep_alive) == (minor, stays)
    reply = parse_response(
        answer(b"Content-Length: 1", *lines, start=b"HTTP/1.%d 200" % minor), no_body=False
    )
    assert isinstance(reply, ResponseHead)
    assert (reply.minor, reply.keep_alive) == (minor, stays)


def test_http_1_0_needs_no_host() -> None:
    assert isinstance(parse_request(b"GET / HTTP/1.0\r\n\r\n", 128), RequestHead)


def test_the_number_of_header_lines_is_limited() -> None:
    raw = request(b"Host: a", *[b"X: %d" % n for n in range(9)])
    assert isinstance(parse_request(raw, 10), RequestHead)
    fault = parse_request(raw, 9)
    assert isinstance(fault, Fault)
    assert (fault.kind, fault.http_status) == (HEAD_TOO_LARGE, 431)


def test_a_bare_lf_is_found_before_the_head_is_whole() -> None:
    fault = scan_partial(b"GET / HTTP/1.1\nHost")
    assert fault is not None
    assert fault.kind is BAD_FRAMING
    assert scan_partial(bytearray(b"\nGET")) is not None
    assert scan_partial(b"GET / HTTP/1.1\r\nHost: a\r") is None


def test_hop_by_hop_names() -> None:
    assert hop_by_hop([(b"connection", b"Close, X-a"), (b"x", b"y"), (b"connection", b"te")]) == {
        *(b"close", b"x-a", b"te")
    }


# answers


@pytest.mark.parametrize(
    ("status", "lines", "length", "stays"),
    [
        (200, [b"Content-Length: 5"], 5, True),
        (200, [b"Content-Length: 0"], 0, True),
        (200, [b"Content-Length: 5", b"content-length: 5"], 5, True),
        (200, [b"Transfer-Encoding: Chunked"], CHUNKED, True),
        (200, [], UNTIL_CLOSE, False),
        (200, [b"Connection: keep-alive"], UNTIL_CLOSE, False),
        (204, [b"Content-Length: 5"], 0, True),
        (204, [b"Transfer-Encoding: chunked"], 0, True),
        (304, [b"Content-Length: 5"], 0, True),
        (100, [], 0, True),
        (103, [b"Link: x"], 0, True),
        (999, [b"Content-Length: " + b"1" * 18], 111111111111111111, True),
    ],
)
def test_lengths_of_answers(status: int, lines: list[bytes], length: int, stays: bool) -> None:
    raw = answer(*lines, start=b"HTTP/1.1 %d Whatever \xe4\t" % status)
    head = parse_response(raw, no_body=False)
    assert isinstance(head, ResponseHead)
    assert (head.status, head.length, head.keep_alive) == (status, length, stays)


@pytest.mark.parametrize("start", [b"HTTP/1.1 200", b"HTTP/1.1 200 ", b"HTTP/1.0 200 OK"])
def test_reason_phrases_may_be_left_out(start: bytes) -> None:
    head = parse_response(answer(start=start), no_body=False)
    assert isinstance(head, ResponseHead)
    assert head.status == 200


def test_an_answer_to_head_has_no_body_whatever_it_names() -> None:
    for lines in ([b"Content-Length: 5"], [b"Transfer-Encoding: chunked"], []):
        head = parse_response(answer(*lines), no_body=True)
        assert isinstance(head, ResponseHead)
        assert (head.length, head.keep_alive) == (0, True)


def test_chunks_from_an_http_1_0_server_are_read_but_its_connection_is_not_used_again() -> None:
    raw = answer(b"Transfer-Encoding: chunked", b"Connection: keep-alive", start=b"HTTP/1.0 200 OK")
    head = parse_response(raw, no_body=False)
    assert isinstance(head, ResponseHead)
    assert (head.length, head.keep_alive) == (CHUNKED, False)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (answer(b"Content-Length: 5", b"Content-Length: 6"), "several different content-length"),
        (answer(b"Content-Length: 5", b"Transfer-Encoding: chunked"), "together with"),
        (answer(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), "several transfer codings"),
        (answer(b"Transfer-Encoding: gzip, chunked"), "unknown transfer coding"),
        (answer(b"Content-Length: 5, 5"), "malformed content-length"),
        (answer(b"Content-Length: -1"), "malformed content-length"),
        (answer(b"Content-Length: " + b"1" * 19), "malformed content-length"),
        (answer(b"Content-Length:"), "malformed content-length"),
        (answer(b"X : y"), "malformed response head"),
        (answer(b"X: y", b" z"), "malformed response head"),
        (answer(b"X: y\nz: w"), "malformed response head"),
        (answer(b"X: \x00"), "malformed response head"),
        (answer(start=b"HTTP/1.1 20 OK"), "malformed response head"),
        (answer(start=b"HTTP/1.1 099 OK"), "malformed response head"),
        (answer(start=b"HTTP/1.1 2000 OK"), "malformed response head"),
        (answer(start=b"HTTP/2 200 OK"), "malformed response head"),
        (answer(start=b"ICY 200 OK"), "malformed response head"),
        (b"200 OK\r\n\r\n", "malformed response head"),
    ],
)
def test_answers_that_can_be_read_in_two_ways_are_refused(raw: bytes, why: str) -> None:
    said = parse_response(raw, no_body=False)
    assert isinstance(said, str)
    assert why in said
    assert ResponseHeads().read(raw, no_body=False) == said


def test_answers_to_head_are_judged_too() -> None:
    assert ResponseHeads().read(b"x\r\n\r\n", no_body=True) == "malformed response head"
    read = ResponseHeads().read(answer(b"Content-Length: 5"), no_body=True)
    assert isinstance(read, tuple)
    assert read[1] == 0


# h11 as oracle

_NAMES = (
    b"Host|host|Content-Length|content-length|Transfer-Encoding|transfer-encoding|X|Expect|Connection|"
    b"Content-Length ||X:Y|X\xe4| X|X-Content-Length|Content_Length"
)
_VALUES = (
    b"a|5|0|005|5, 5|5,6|+5||chunked|Chunked|chunked, chunked|gzip|close|keep-alive|a b|\x00|\x0b5|5\x0b|\x7f|"
    b"\xe4|a\r\n b|a\nb|a\rb|100-continue|ontent-Length: 7|x\tontent-length: 7|9999999999999999999999999"
)
_ODD_STARTS = (
    b"GET / HTTP/1.0\r\n|HEAD /a HTTP/1.1\r\n|GET  / HTTP/1.1\r\n|OPTIONS * HTTP/1.1\r\n|G /\x7f HTTP/1.1\r\n|"
    b"GET /\xe4 HTTP/1.1\r\n|G\xe4 / HTTP/1.1\r\n|GET / HTTP/1.1\n|GET /?x HTTP/1.9\r\n"
)
lines = st.tuples(
    st.sampled_from(_NAMES.split(b"|")),
    st.sampled_from([b": "] * 6 + [b":", b":  ", b":\t", b" : ", b":\r\n "]),
    st.sampled_from(_VALUES.split(b"|")),
    st.sampled_from([b"\r\n"] * 12 + [b"\n", b" \r\n", b"\r\r\n"]),
).map(b"".join)
blocks = st.lists(lines, max_size=5).map(b"".join)
starts = st.sampled_from([START] * 9 + _ODD_STARTS.split(b"|"))
hosts = st.sampled_from([b"Host: a\r\n"] * 4 + [b""])
heads = st.tuples(starts, hosts, blocks, st.just(b"\r\n")).map(b"".join)


def h11_request(raw: bytes) -> h11.Request | None:
    """h11's reading; None if it refuses."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(raw)
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError:
        return None
    assert isinstance(event, h11.Request)
    return event


def h11_response(raw: bytes, method: bytes) -> tuple[h11.Response | h11.InformationalResponse, int] | None:
    """h11's reading, and the length of the body (-1 chunked, -2 until close); None if it refuses."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    connection.send(h11.Request(method=method, target=b"/", headers=[(b"host", b"a")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(raw)
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError:
        return None
    assert isinstance(event, h11.Response | h11.InformationalResponse)
    reader: Any = connection._reader
    lengths = {"ChunkedReader": CHUNKED, "Http10Reader": UNTIL_CLOSE}
    return event, lengths.get(type(reader).__name__, getattr(reader, "_length", 0))


@given(heads)
@example(request(b"Host: a", b"Content-Length: 5"))
@example(request(b"Host: a", b"Transfer-Encoding: chunked"))
def test_what_is_accepted_h11_reads_the_same_and_what_h11_refuses_is_refused(raw: bytes) -> None:
    """No exceptions: what h11 takes for wrong is wrong here too; it is laxer about line ends, folds and lengths."""
    ours = parse_request(raw, 128)
    theirs = h11_request(raw)
    if theirs is None:
        assert isinstance(ours, Fault)
    elif not isinstance(ours, Fault):
        assert (ours.method, ours.target) == (theirs.method, theirs.target)
        assert theirs.http_version == b"1.%d" % ours.minor
        assert _normal(ours.headers) == _normal(list(theirs.headers))


def _normal(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """h11 writes codings in lower case."""
    return [(name, value.lower() if name == b"transfer-encoding" else value) for name, value in headers]


@given(
    st.sampled_from([200, 200, 200, 404, 204, 304, 103, 99, 1000]),
    st.sampled_from([b"1.1", b"1.1", b"1.0", b"2.0"]),
    blocks,
    st.sampled_from([b"GET", b"POST", b"HEAD"]),
)
def test_answers_are_framed_as_h11_frames_them(
    status: int, version: bytes, block: bytes, method: bytes
) -> None:
    raw = b"HTTP/%b %d X\r\n%b\r\n" % (version, status, block)
    ours = parse_response(raw, no_body=method == b"HEAD")
    theirs = h11_response(raw, method)
    if isinstance(ours, str):
        return  # stricter on purpose: see the table above
    if theirs is None:
        # Lengths and codings that frame nothing are not looked at.
        assert ours.length == 0
        return
    event, length = theirs
    assert event.status_code == ours.status
    assert _normal(list(event.headers)) == _normal(_deduplicated(ours.headers))
    if status >= 200:
        assert length == ours.length


def _deduplicated(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """h11 keeps the first of several equal lengths."""
    return [
        pair for at, pair in enumerate(headers) if pair[0] != b"content-length" or pair not in headers[:at]
    ]


# the caches


def without_length(head: RequestHead | ResponseHead) -> tuple[Any, ...]:
    """All of a head but the length, which travels beside it when heads are shared."""
    headers = [(name, b"" if name == b"content-length" else value) for name, value in head.headers]
    fields = {**head.fields, b"content-length": b""} if b"content-length" in head.fields else head.fields
    first = (head.method, head.target) if isinstance(head, RequestHead) else (head.status,)
    return (*first, head.minor, headers, fields, head.keep_alive)


@given(st.lists(heads, min_size=1, max_size=3), st.lists(st.integers(0, 2), min_size=2, max_size=6))
@example([request(b"Host: a", b"Content-Length: 5"), request(b"Host: a", b"Content-Length: ")], [0, 1, 0])
@example([request(b"Host: a", b"Content-Length: "), request(b"Host: a", b"Content-Length: 5")], [0, 1, 0, 1])
@example([request(b"Host: a", b"content-length: 5"), request(b"Host: a", b"content-length: 12")], [0, 1])
@example([request(b"Host: a", b"Content-Length: 5"), request(b"Host: a", b"Content-Length: \nX: y")], [0, 1])
@example([request(b"Host: a", b"X: ontent-Length: 5", b"Content-Length: 6")] * 2, [0, 1])
def test_remembered_request_heads_read_like_new_ones(raws: list[bytes], order: list[int]) -> None:
    cache = RequestHeads(128)
    for turn in order:
        raw = raws[turn % len(raws)]
        fresh = parse_request(raw, 128)
        read = cache.read(raw)
        if isinstance(fresh, Fault):
            assert read == fresh
        else:
            assert isinstance(read, tuple)
            assert read[1] == fresh.length
            assert without_length(read[0]) == without_length(fresh)


answers = st.tuples(
    st.sampled_from([b"HTTP/1.1 %d OK\r\n" % status for status in (200, 200, 204, 304, 404, 103)]),
    blocks,
    st.just(b"\r\n"),
).map(b"".join)


@given(
    st.lists(answers, min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=2, max_size=6),
)
@example([answer(b"Content-Length: 5"), answer(b"Content-Length: ")], [(0, False), (1, False)])
@example([answer(b"Content-Length: 5"), answer(b"Content-Length: 0")], [(0, False), (1, False), (0, False)])
@example([answer(b"Content-Length: 5"), answer(b"Content-Length: 7")], [(0, True), (1, False), (0, False)])
@example(
    [answer(b"Content-Length: 5", b"content-length: 5"), answer(b"Content-Length: 7", b"content-length: 5")],
    [(0, False), (1, False)],
)
@example([answer(b"Content-Length: 5", start=b"HTTP/1.1 204 X")] * 2, [(0, False), (1, False)])
def test_remembered_answer_heads_read_like_new_ones(raws: list[bytes], order: list[tuple[int, bool]]) -> None:
    cache = ResponseHeads()
    for turn, no_body in order:
        raw = raws[turn % len(raws)]
        fresh = parse_response(raw, no_body=no_body)
        read = cache.read(raw, no_body=no_body)
        if isinstance(fresh, str):
            assert read == fresh
        else:
            assert isinstance(read, tuple)
            assert read[1] == fresh.length
            assert without_length(read[0]) == without_length(fresh)


def test_heads_that_differ_in_the_length_are_one_object() -> None:
    requests, replies = RequestHeads(128), ResponseHeads()
    first, again = (requests.read(request(b"Host: a", b"Content-Length: %d" % n)) for n in (5, 17))
    assert isinstance(first, tuple)
    assert isinstance(again, tuple)
    assert first[0] is again[0]
    assert (first[1], again[1]) == (5, 17)
    reply, same = (replies.read(answer(b"content-length: %d" % n), no_body=False) for n in (5, 17))
    assert isinstance(reply, tuple)
    assert isinstance(same, tuple)
    assert reply[0] is same[0]
    assert (reply[1], same[1]) == (5, 17)


def test_the_memory_of_heads_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire_head, "_MAX_KNOWN", 3)
    cache = RequestHeads(128)
    for number in range(10):
        cache.read(request(b"Host: a", b"X: %d" % number))
        assert len(cache._known) <= 3
    known = dict(cache._known)
    cache.read(request(b"Host: a", b"X: " + b"x" * 5000))
    assert cache._known == known
