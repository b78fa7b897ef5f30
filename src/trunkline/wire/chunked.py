"""The chunked transfer coding (RFC 9112 section 7.1), decoded strictly, and encoded; sans-IO.

Owns the framing of a chunked body. Does not own heads or Content-Length: `wire/head.py`.

Why not llhttp alone: it takes lenient input (bare LF, odd sizes) that another hop may read differently, which
is how requests are smuggled, and its callbacks cost more than the fast path here. How it works: body bytes are
sliced out of what is fed and never kept; only an unfinished size line (< 300 bytes) or trailer line (<= 8 KiB) is.
"""

import re

LAST_CHUNK = b"0\r\n\r\n"

MAX_SIZE_DIGITS = 16
"""Hex digits of a chunk size: 64 bits, what every other implementation can count to."""

MAX_EXTENSION = 256
"""Bytes after the `;`. Extensions are ignored; unlimited ones are a known way to burn CPU (CVE-2023-39326)."""

MAX_TRAILERS = 8 * 1024
MAX_TRAILER_LINES = 32
"""Trailers are dropped, so these only have to let every honest server through (checksums, gRPC status)."""

_MAX_SIZE_LINE = (
    MAX_SIZE_DIGITS + MAX_EXTENSION + 16
)  # room for `;`, CRLF and the spaces that `lenient_space` allows
_HEX = b"0123456789abcdefABCDEF"
_CONTROLS = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_TRAILER = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\x00-\x08\x0a-\x1f\x7f]*")
SMALL_SIZES = {b"%x" % size: size for size in range(1, 1024)}
"""Size lines of ordinary stream chunks: a look-up costs a third of checking the digits and int()."""
_FAST = 1024 + 7  # the longest chunk of such a size


def _size_lines() -> tuple[bytes, ...]:
    lines = [b""] * _FAST
    for line, size in SMALL_SIZES.items():
        lines[len(line) + 2 + size + 2] = line + b"\r\n"
    return tuple(lines)


SIZE_LINES = _size_lines()
"""By the length of a whole chunk: the size line that it begins with; b"" where there is none of that length."""


class FramingError(ValueError):
    """The peer's framing is wrong: nothing after this point can be trusted, the connection must be closed."""


class ChunkedDecoder:
    """Turns a chunked body into its bytes. Do not feed it after it raised.

    `at_boundary`: a size line begins with the next byte. `done`: the last chunk and the trailers were read.
    `rest`: what was fed after them (the next message).
    """

    __slots__ = (
        "_left",
        "_lenient_space",
        "_partial",
        "_trailer_bytes",
        "_trailer_lines",
        "at_boundary",
        "done",
        "rest",
    )

    def __init__(self, *, lenient_space: bool = False) -> None:
        """`lenient_space`: allow spaces and tabs after a chunk size (BWS; some real upstreams pad it)."""
        self.done = False
        self.rest = b""
        self._lenient_space = lenient_space
        self.at_boundary = True  # a size line begins with the next byte
        self._left = 0  # bytes of the present chunk still to come, its CRLF included
        self._partial = b""  # of a size or trailer line
        self._trailer_bytes = -1  # -1: not among the trailers
        self._trailer_lines = 0

    def __repr__(self) -> str:
        return f"<ChunkedDecoder {'done' if self.done else f'{self._left} bytes left in chunk'}>"

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes of the connection; give the body bytes among them. Raises FramingError."""
        if self.at_boundary and len(data) < _FAST:
            # The common case: one read holds exactly one chunk. `partition` copies it, but takes the fewest steps.
            line, _, rest = data.partition(b"\r\n")
            if SMALL_SIZES.get(line) == len(rest) - 2 and rest.endswith(b"\r\n"):
                return [rest[:-2]]
        out: list[bytes] = []
        pos, end = 0, len(data)
        # The next most common: several whole chunks.
        while self.at_boundary:
            head = data.find(b"\r\n", pos + 1, pos + MAX_SIZE_DIGITS + 2)
            size = SMALL_SIZES.get(data[pos:head])
            if size is None or head < 0 or not data.startswith(b"\r\n", head + 2 + size):
                break
            out.append(data[head + 2 : head + 2 + size])
            pos = head + 4 + size
            if pos == end:
                return out
        left = self._left
        while pos < end and not self.done:
            if left > 2:
                piece = data[pos : pos + left - 2]
                out.append(piece)
                pos += len(piece)
                left -= len(piece)
            elif left == 0:
                pos, left = self._line(data, pos)
            elif data.startswith(b"\r\n"[2 - left :], pos):
                pos += left
                left = 0
            elif left == 2 and end - pos == 1 and data[pos] == 0x0D:
                pos = end
                left = 1
            else:
                raise FramingError("no CRLF after the bytes of a chunk")
        self._left = left
        self.at_boundary = not (left or self._partial or self.done or self._trailer_bytes >= 0)
        if pos < end:
            self.rest += data[pos:]
        return out

    def _line(self, data: bytes, pos: int) -> tuple[int, int]:
        """Read (a part of) a size or trailer line; give the new position and the bytes of the chunk to come."""
        in_trailers = self._trailer_bytes >= 0
        room = (MAX_TRAILERS - self._trailer_bytes if in_trailers else _MAX_SIZE_LINE) - len(self._partial)
        end = data.find(b"\n", pos, pos + room) + 1
        if end == 0:
            if len(data) - pos >= room:
                raise FramingError("trailers too long" if in_trailers else "chunk size line too long")
            self._partial += data[pos:]
            return len(data), 0
        line = self._partial + data[pos:end]
        self._partial = b""
        if not line.endswith(b"\r\n"):
            raise FramingError("bare LF in chunked framing")
        if in_trailers:
            self._trailer(line)
            return end, 0
        size = self._size(line[:-2])
        if size == 0:
            self._trailer_bytes = 0
            return end, 0
        return end, size + 2

    def _size(self, line: bytes) -> int:
        digits, semicolon, extension = line.partition(b";")
        if self._lenient_space:
            digits = digits.rstrip(b" \t")
        if not 0 < len(digits) <= MAX_SIZE_DIGITS or digits.strip(_HEX):
            raise FramingError("invalid chunk size")
        if semicolon and (len(extension) > MAX_EXTENSION or _CONTROLS.search(extension)):
            raise FramingError("invalid chunk extension")
        return int(digits, 16)

    def _trailer(self, line: bytes) -> None:
        if line == b"\r\n":
            self.done = True
            return
        self._trailer_bytes += len(line)
        self._trailer_lines += 1
        if self._trailer_lines > MAX_TRAILER_LINES:
            raise FramingError("too many trailers")
        if not _TRAILER.fullmatch(line, 0, len(line) - 2):
            raise FramingError("malformed trailer")


def encode_chunk(data: bytes) -> bytes:
    """Frame one piece of a body. Nothing for no bytes: an empty chunk would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
