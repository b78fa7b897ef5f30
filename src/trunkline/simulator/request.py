"""Reads HTTP/1.1 requests from bytes, strictly.

Owns the request side of the simulator's wire: head, Content-Length and chunked bodies. Does not own sockets or
answers. It shares no code with the gateway on purpose: a simulator that parsed with the gateway's own parser
would share its mistakes, and could not show that a smuggled request got through.

`RequestReader.feed(data)` yields each request twice: when its head is read (`complete` False) and when its body
is (`complete` True). Whatever is not plain RFC 9112 is a `BadRequest`; after it the connection must be closed.
"""

import re
from collections.abc import Iterator

import msgspec

MAX_HEAD = 256 * 1024
"""Four times the gateway's own limit, so that its limit is the one that shows."""
MAX_BODY = 256 * 1024 * 1024

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ([!-~]+) HTTP/1\.([01])")
_NAME = re.compile(_TOKEN)
_BAD_IN_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t !-~\x80-\xff]*)?")


class BadRequest(Exception):
    """What arrived is not a request: `status` and `str()` are the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Request(msgspec.Struct):
    """One request. Header names keep the case in which they came; `minor` is the 1 of HTTP/1.1."""

    method: str
    target: str
    minor: int
    headers: list[tuple[str, str]]
    body: bytearray
    complete: bool = False

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    def header(self, name: str) -> str | None:
        """All values of a header, joined by `, ` as RFC 9110 says; None if it is absent. `name` is lower-case."""
        values = [value for key, value in self.headers if key.lower() == name]
        return ", ".join(values) if values else None

    @property
    def wants_close(self) -> bool:
        """Whether the client ends the connection after this request."""
        options = (self.header("connection") or "").lower()
        return "close" in options or (self.minor == 0 and "keep-alive" not in options)


class RequestReader:
    """A sans-IO parser of the requests on one connection."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._request: Request | None = None
        self._remaining: int | None = (
            None  # bytes of the body or chunk still to come; None: a chunk size is next
        )
        self._chunked = False
        self._in_trailers = False

    def feed(self, data: bytes) -> Iterator[Request]:
        """Take bytes, yield requests (see the module's first lines). Raises `BadRequest`."""
        self._buffer += data
        while True:
            if self._request is None:
                head = self._take_until(b"\r\n\r\n", MAX_HEAD)
                if head is None:
                    return
                self._request = self._begin(head)
                yield self._request
            if not self._read_body(self._request.body):
                return
            request, self._request = self._request, None
            request.complete = True
            yield request

    def _take_until(self, mark: bytes, limit: int) -> bytes | None:
        """Remove and return what comes before `mark`, None if it is not there yet."""
        end = self._buffer.find(mark)
        if end > limit or (end < 0 and len(self._buffer) > limit):
            raise BadRequest(431, "the head is too large")
        if end < 0:
            return None
        taken = bytes(self._buffer[:end])
        del self._buffer[: end + len(mark)]
        return taken

    def _begin(self, head: bytes) -> Request:
        first, *lines = head.split(b"\r\n")
        match = _REQUEST_LINE.fullmatch(first)
        if match is None:
            raise BadRequest(400, "malformed request line")
        headers = [_parse_header(line) for line in lines]
        method, target, minor = match.groups()
        request = Request(method.decode(), target.decode(), int(minor), headers, bytearray())
        self._frame(request)
        return request

    def _frame(self, request: Request) -> None:
        """Find out how the body is delimited (RFC 9112 section 6.3); every doubt is an error."""
        names = [name.lower() for name, _ in request.headers]
        if names.count("host") > 1 or (request.minor == 1 and "host" not in names):
            raise BadRequest(400, "exactly one Host header is needed")
        if names.count("content-length") > 1:
            raise BadRequest(400, "several Content-Length headers")
        length, coding = request.header("content-length"), request.header("transfer-encoding")
        if length is not None and coding is not None:
            raise BadRequest(400, "Content-Length together with Transfer-Encoding")
        if coding is not None and (coding.lower() != "chunked" or request.minor == 0):
            raise BadRequest(400, "the only transfer coding understood is chunked, in HTTP/1.1")
        if length is not None and not (length.isascii() and length.isdigit() and len(length) <= 15):
            raise BadRequest(400, "malformed Content-Length")
        self._chunked = coding is not None
        self._in_trailers = False
        self._remaining = None if self._chunked else int(length or 0)
        _check_size(self._remaining or 0)

    def _read_body(self, body: bytearray) -> bool:
        """Move bytes of the body into `body`; True when the body is complete."""
        if not self._chunked:
            self._move(body)
            return self._remaining == 0
        while not self._in_trailers:
            if self._remaining is None:
                line = self._take_until(b"\r\n", 4096)
                if line is None:
                    return False
                match = _CHUNK_SIZE.fullmatch(line)
                if match is None:
                    raise BadRequest(400, "malformed chunk size")
                self._remaining = int(match[1], 16)
                _check_size(len(body) + self._remaining)
                self._in_trailers = self._remaining == 0
                continue
            self._move(body)
            if self._remaining or len(self._buffer) < 2:
                return False
            if not self._buffer.startswith(b"\r\n"):
                raise BadRequest(400, "a chunk does not end where its size says")
            del self._buffer[:2]
            self._remaining = None
        return self._read_trailers()

    def _move(self, body: bytearray) -> None:
        remaining = self._remaining or 0
        piece = self._buffer[:remaining]
        del self._buffer[: len(piece)]
        body += piece
        self._remaining = remaining - len(piece)

    def _read_trailers(self) -> bool:
        while (line := self._take_until(b"\r\n", MAX_HEAD)) is not None:
            if not line:
                return True
            _parse_header(line)
        return False


def _check_size(size: int) -> None:
    if size > MAX_BODY:
        raise BadRequest(413, "the body is too large")


def _parse_header(line: bytes) -> tuple[str, str]:
    name, colon, value = line.partition(b":")
    value = value.strip(b" \t")
    if not colon or _NAME.fullmatch(name) is None or _BAD_IN_VALUE.search(value) is not None:
        raise BadRequest(400, "malformed header line")
    return name.decode(), value.decode("latin-1")
