"""Heads of HTTP/1.1 messages: bytes to values, strictly.

Owns the scan of request and response heads (RFC 9112) and the framing that follows from them: how long the body is
and whether the connection lives on. Does not own bodies (wire/chunked.py) nor sockets (net/).

One regular expression must match the whole head before anything is taken out of it, so there is one reading of every
request: what is not plainly right is refused, and nothing refused is ever passed on. Names come out in lower case.
"""

import re
from typing import Any, TypeVar

import msgspec

from trunkline.errors import BAD_FRAMING, HEAD_TOO_LARGE, Fault

Headers = list[tuple[bytes, bytes]]

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_FIELDS = rb"((?:" + _TOKEN + rb"++:[\t -~\x80-\xff]*+\r\n)*+)\r\n"
# A target holds visible ASCII; `#` (a fragment never travels) and `\` (parsers differ about it) are refused.
_REQUEST = re.compile(rb"(" + _TOKEN + rb"{1,32}) ([!-\"$-\[\]-~]++) HTTP/1\.([01])\r\n" + _FIELDS)
_RESPONSE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: [\t -~\x80-\xff]*+)?\r\n" + _FIELDS)
_BARE_LF = re.compile(rb"(?<!\r)\n")
_BARE_CR = re.compile(rb"\r(?!\n)")
# RFC 9112 3.2: `uri-host [":" port]`, empty where the target has no authority; `,` would be two hosts to some.
_HOST = re.compile(rb"(?:\[[0-9A-Za-z:.%_~-]+\]|[0-9A-Za-z._~%!$&'()*+;=-]*+)(?::[0-9]*+)?")
# Two readings of one of these would be two different requests.
_ONCE = (b"host", b"content-length", b"transfer-encoding", b"content-type", b"authorization", b"expect")
_MAX_LENGTH_DIGITS = 18  # below 2**63 in every language


class RequestHead(msgspec.Struct, gc=False):
    """A request line with its fields. `length` is -1 where the body is chunked, 0 where there is none.

    Heads are shared between requests that differ in the length only (`RequestHeads`), so the true length of a body
    travels beside its head. `memo` is the place for what an application derives from a head.
    """

    method: bytes
    target: bytes
    minor: int
    headers: Headers
    fields: dict[bytes, bytes]
    length: int
    keep_alive: bool
    memo: Any = None


class ResponseHead(msgspec.Struct, gc=False):
    """A status line with its fields. `length`: bytes; -1 chunked; -2 until the connection closes.

    Shared and with a `memo`, as request heads are.
    """

    status: int
    minor: int
    headers: Headers
    fields: dict[bytes, bytes]
    length: int
    keep_alive: bool
    memo: Any = None


_HeadT = TypeVar("_HeadT", RequestHead, ResponseHead)

CHUNKED = -1
UNTIL_CLOSE = -2


def scan_partial(head: bytes | bytearray) -> Fault | None:
    """Judge a head whose blank line has not come yet: a bare LF would otherwise wait for the timeout."""
    return Fault(BAD_FRAMING, "bare LF in the request head") if _BARE_LF.search(head) else None


def parse_request(head: bytes, max_headers: int) -> RequestHead | Fault:
    """Parse a head that ends in its blank line. Every doubt about framing is a `BAD_FRAMING` fault (RFC 9112 6.3)."""
    match = _REQUEST.fullmatch(head)
    if match is None:
        return Fault(BAD_FRAMING, _why(head))
    method, target, minor, block = match.groups()
    headers, fields = _fields(block)
    if len(headers) > max_headers:
        return Fault(HEAD_TOO_LARGE, f"{len(headers)} header lines; the limit is {max_headers}")
    if len(fields) != len(headers):
        names = [name for name, _ in headers]
        for name in _ONCE:
            if names.count(name) > 1:
                return Fault(BAD_FRAMING, f"more than one {name.decode()} header")
    host = fields.get(b"host")
    if host is None:
        if minor == b"1":
            return Fault(BAD_FRAMING, "no host header")
    elif not _HOST.fullmatch(host):
        return Fault(BAD_FRAMING, "malformed host header")
    length = _request_length(fields, minor == b"1")
    if isinstance(length, Fault):
        return length
    keep_alive = _keep_alive(headers, fields, minor == b"1")
    return RequestHead(method, target, 1 if minor == b"1" else 0, headers, fields, length, keep_alive)


def parse_response(head: bytes, *, no_body: bool) -> ResponseHead | str:
    """Parse a response head that ends in its blank line; a str says what is wrong with it.

    `no_body`: the request was HEAD, so whatever length is named, nothing follows.
    """
    match = _RESPONSE.fullmatch(head)
    if match is None:
        return "malformed response head"
    minor, status_text, block = match.groups()
    headers, fields = _fields(block)
    status = int(status_text)
    coding = fields.get(b"transfer-encoding")
    named = fields.get(b"content-length")
    if len(fields) != len(headers):
        if sum(name == b"transfer-encoding" for name, _ in headers) > 1:
            return "several transfer codings"
        if any(name == b"content-length" and value != named for name, value in headers):
            return "several different content-length headers"
    keep_alive = _keep_alive(headers, fields, minor == b"1")
    if no_body or status < 200 or status == 204 or status == 304:
        length = 0
    elif coding is not None:
        if named is not None:
            return "content-length together with transfer-encoding"
        if coding.lower() != b"chunked":
            return "unknown transfer coding"
        length = CHUNKED
        # An HTTP/1.0 server does not know the coding, so some other hop put it there (RFC 9112 6.1).
        keep_alive = keep_alive and minor == b"1"
    elif named is not None:
        if not named.isdigit() or len(named) > _MAX_LENGTH_DIGITS:
            return "malformed content-length"
        length = int(named)
    else:
        length = UNTIL_CLOSE
        keep_alive = False
    return ResponseHead(status, 1 if minor == b"1" else 0, headers, fields, length, keep_alive)


class RequestHeads:
    """Reads request heads, and remembers those it has read.

    A client sends the same head again and again, but for the digits of Content-Length: with that line cut out it is
    looked up, and a head that is known is not parsed again, nor is what was derived from it (`memo`).
    """

    def __init__(self, max_headers: int) -> None:
        self._max_headers = max_headers
        self._known: dict[bytes, RequestHead] = {}
        self._sized: dict[bytes, RequestHead] = {}

    def read(self, raw: bytes) -> tuple[RequestHead, int] | Fault:
        """The head and the length of its body."""
        # Only a line that begins with the name counts: the same text inside another value is that value's. Where the
        # line was, the key has a LF without CR, which no sound head has: so it is no other head's key.
        before, name, after = raw.partition(_LENGTH)
        if not name:
            before, name, after = raw.partition(_LENGTH_LOWER)
        if name:
            digits, _, rest = after.partition(b"\r")
            key = before + rest
            head = self._sized.get(key)
            if head is not None and digits.isdigit() and len(digits) <= _MAX_LENGTH_DIGITS:
                return head, int(digits)
            known = self._sized
        else:
            key = raw
            known = self._known
            head = known.get(key)
            if head is not None:
                return head, head.length
        parsed = parse_request(raw, self._max_headers)
        if isinstance(parsed, Fault):
            return parsed
        _remember(known, key, parsed)
        return parsed, parsed.length


class ResponseHeads:
    """As `RequestHeads`, for the answers of one backend.

    The look-up is written in both: a call would cost as much as its lines, and every request would pay for two.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, ResponseHead] = {}
        self._sized: dict[bytes, ResponseHead] = {}

    def read(self, raw: bytes, *, no_body: bool) -> tuple[ResponseHead, int] | str:
        """The head and the length of its body."""
        if no_body:
            parsed = parse_response(raw, no_body=True)
            return parsed if isinstance(parsed, str) else (parsed, 0)
        before, name, after = raw.partition(_LENGTH)
        if not name:
            before, name, after = raw.partition(_LENGTH_LOWER)
        if name:
            digits, _, rest = after.partition(b"\r")
            key = before + rest
            head = self._sized.get(key)
            if head is not None and digits.isdigit() and len(digits) <= _MAX_LENGTH_DIGITS:
                return head, int(digits) if head.length > 0 else head.length
            known = self._sized
        else:
            key = raw
            known = self._known
            head = known.get(key)
            if head is not None:
                return head, head.length
        parsed = parse_response(raw, no_body=False)
        if isinstance(parsed, str):
            return parsed
        # 204, 304 and an empty body have no length whatever they name, so the digits do not tell it; where the
        # length is named twice they are only half of it.
        if parsed.length and not (name and _named_twice(parsed.headers)):
            _remember(known, key, parsed)
        return parsed, parsed.length


_LENGTH, _LENGTH_LOWER = b"\r\nContent-Length: ", b"\r\ncontent-length: "
_MAX_KNOWN = 512  # heads of 1 KiB or so; emptied when full, as clients that never repeat themselves fill it
_MAX_KNOWN_HEAD = 4096  # bytes


def _remember(known: dict[bytes, _HeadT], key: bytes, head: _HeadT) -> None:
    if len(key) <= _MAX_KNOWN_HEAD:
        if len(known) >= _MAX_KNOWN:
            known.clear()
        known[key] = head


def _named_twice(headers: Headers) -> bool:
    return [name for name, _ in headers].count(b"content-length") > 1


def hop_by_hop(headers: Headers) -> frozenset[bytes]:
    """The names that the Connection header adds to the fields of this hop only (RFC 9110 7.6.1)."""
    return frozenset(
        token.strip().lower()
        for name, value in headers
        if name == b"connection"
        for token in value.split(b",")
    )


def _fields(block: bytes) -> tuple[Headers, dict[bytes, bytes]]:
    headers = [
        (n.lower(), v.strip()) for n, _, v in [line.partition(b":") for line in block.split(b"\r\n")[:-1]]
    ]
    return headers, dict(headers)


def _request_length(fields: dict[bytes, bytes], is_1_1: bool) -> int | Fault:
    coding = fields.get(b"transfer-encoding")
    named = fields.get(b"content-length")
    if coding is not None:
        if named is not None:
            return Fault(BAD_FRAMING, "content-length together with transfer-encoding")
        if not is_1_1:
            return Fault(BAD_FRAMING, "transfer-encoding in an HTTP/1.0 request")
        if coding.lower() != b"chunked":
            return Fault(BAD_FRAMING, "unknown transfer coding; only `chunked` is accepted")
        return CHUNKED
    if named is None:
        return 0
    if not named.isdigit() or len(named) > _MAX_LENGTH_DIGITS:
        return Fault(BAD_FRAMING, "malformed content-length")
    return int(named)


def _keep_alive(headers: Headers, fields: dict[bytes, bytes], is_1_1: bool) -> bool:
    connection = fields.get(b"connection")
    if connection is None:
        return is_1_1
    # `fields` holds the last line only; an earlier one may say `close`, which wins.
    if connection == b"keep-alive" and len(fields) == len(headers):
        return True
    tokens = hop_by_hop(headers)
    return b"close" not in tokens and (is_1_1 or b"keep-alive" in tokens)


def _why(head: bytes) -> str:
    """What is wrong with a request head that the scan refused; for the error message only."""
    line, _, rest = head.partition(b"\r\n")
    if b"\x00" in head:
        return "NUL in the request head"
    if _BARE_LF.search(head) or _BARE_CR.search(head):
        return "bare CR or LF in the request head"
    if not re.fullmatch(_TOKEN + rb"{1,32} [!-\"$-\[\]-~]++ HTTP/1\.[01]", line):
        return "malformed request line"
    for field in rest.split(b"\r\n"):
        if field[:1] in (b" ", b"\t"):
            return "folded header line"
        if re.match(_TOKEN + rb"++[ \t]++:", field):
            return "space before the colon of a header"
    return "malformed header line"
