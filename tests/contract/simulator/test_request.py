"""The request parser: any chunking gives the same requests, and everything doubtful is refused."""

from itertools import pairwise

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.simulator.request import BadRequest, Request, RequestReader

TWO = (
    b"POST /a?x=1 HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nx-a:\t2 \r\nContent-Length: 5\r\n\r\nhello"
    b"POST /b HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nt: 1\r\n\r\n"
    b"GET /c HTTP/1.0\r\n\r\n"
)


def read(*pieces: bytes) -> list[Request]:
    """The complete requests in the pieces."""
    reader = RequestReader()
    return [request for piece in pieces for request in reader.feed(piece) if request.complete]


def test_requests_are_read() -> None:
    first, second, third = read(TWO)
    assert (first.method, first.target, first.path, first.minor) == ("POST", "/a?x=1", "/a", 1)
    assert first.headers == [("Host", "h"), ("X-A", "1"), ("x-a", "2"), ("Content-Length", "5")]
    assert first.header("x-a") == "1, 2"
    assert (first.body, second.body, third.body) == (b"hello", b"abcde", b"")
    assert [request.wants_close for request in (first, second, third)] == [False, False, True]


@given(st.sets(st.integers(1, len(TWO) - 1)))
def test_any_chunking_gives_the_same_requests(cuts: set[int]) -> None:
    edges = [0, *sorted(cuts), len(TWO)]
    pieces = [TWO[start:stop] for start, stop in pairwise(edges)]
    assert read(*pieces) == read(TWO)


def test_a_request_is_announced_when_its_head_is_read() -> None:
    reader = RequestReader()
    (request,) = reader.feed(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\na")
    assert not request.complete
    (again,) = reader.feed(b"b")
    assert again is request
    assert request.complete


def h11_accepts(data: bytes) -> bool:
    """What another implementation thinks of it."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    try:
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                return False
            if isinstance(event, h11.EndOfMessage):
                return True
    except h11.RemoteProtocolError:
        return False


HEAD = b"POST / HTTP/1.1\r\nhost: h\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"GET  / HTTP/1.1\r\nhost: h\r\n\r\n",
        b"GET / HTTP/2.0\r\nhost: h\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nhost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\na",
        HEAD + b"content-length: 1, 1\r\n\r\na",
        HEAD + b"content-length: +1\r\n\r\na",
        HEAD + b"content-length: 0x1\r\n\r\na",
        HEAD + b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"transfer-encoding: identity\r\n\r\n",
        HEAD + b"a : b\r\n\r\n",
        HEAD + b"a: b\r\n c\r\n\r\n",
        HEAD + b"a: b\nc: d\r\n\r\n",
        HEAD + b"a: b\rc\r\n\r\n",
        HEAD + b"a: \x00\r\n\r\n",
        HEAD + b"nocolon\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\nxyz\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\n-1\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\n0x2\r\nab\r\n0\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\nabc0\r\n\r\n",
    ],
)
def test_doubtful_framing_is_refused(data: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        read(data)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (HEAD + b"content-length: 999999999999\r\n\r\n", 413),
        (HEAD + b"transfer-encoding: chunked\r\n\r\nfffffffff\r\n", 413),
        (HEAD + b"a: " + b"x" * 300_000 + b"\r\n\r\n", 431),
        (b"x" * 300_000, 431),
    ],
)
def test_sizes_are_limited(data: bytes, status: int) -> None:
    with pytest.raises(BadRequest) as caught:
        read(data)
    assert caught.value.status == status


@given(
    st.binary(max_size=60),
    st.sampled_from([b"content-length: %d\r\n\r\n%b", b"transfer-encoding: chunked\r\n\r\n%b"]),
)
def test_it_never_accepts_what_h11_refuses(tail: bytes, form: bytes) -> None:
    data = HEAD + (form % (len(tail), tail) if b"%d" in form else form % tail)
    try:
        accepted = bool(read(data))
    except BadRequest:
        accepted = False
    assert not accepted or h11_accepts(data)
