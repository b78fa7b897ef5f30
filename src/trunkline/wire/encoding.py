"""Compressed answers, decoded where they are inspected, with bounds; sans-IO.

The gateway asks for `identity`; some upstreams and proxies compress all the same. gzip and deflate are understood.
"""

import zlib
from typing import Any

MAX_OUTPUT = 16 * 1024 * 1024
"""Bytes that one piece of input may become: a few KiB of zeros must not fill the memory."""
MAX_MEMBERS = 64
"""Gzip members that begin in one piece of input: empty ones take 20 bytes, and each costs a copy of what follows."""


class BadEncodingError(ValueError):
    """The body is not what its content-encoding says, or grows beyond the bound."""


_GZIP = zlib.MAX_WBITS | 16


class Inflater:
    """Decodes one body. `coding` is the content-encoding; BadEncodingError if it is not understood."""

    def __init__(self, coding: bytes) -> None:
        name = coding.strip().lower()
        if name not in (b"gzip", b"x-gzip", b"deflate"):
            raise BadEncodingError(f"content-encoding {name.decode('latin-1')[:40]!r} was not asked for")
        # Of a "deflate" body the first two bytes say which decoder it wants; they may come one by one.
        self._start: bytes | None = b"" if name == b"deflate" else None
        self._decoder: Any = zlib.decompressobj(_GZIP)

    def __repr__(self) -> str:
        return f"<Inflater {'done' if self.whole else 'unfinished'}>"

    def feed(self, data: bytes) -> bytes:
        """Take compressed bytes, give plain ones."""
        if self._start is not None:
            data = self._start + data
            if len(data) < 2:
                self._start = data
                return b""
            self._start = None
            self._decoder = zlib.decompressobj(_deflate_bits(data))
        plain = b""
        members = 0
        while data:
            if self._decoder.eof:  # gzip may come in several members, one after the other (RFC 1952 2.2)
                self._decoder = zlib.decompressobj(_GZIP)
                members += 1
                if members > MAX_MEMBERS:
                    raise BadEncodingError(f"the compressed body has over {MAX_MEMBERS} members at once")
            try:
                # One more than is allowed: at the bound itself the decoder may hold back without saying so.
                plain += self._decoder.decompress(data, MAX_OUTPUT + 1 - len(plain))
            except zlib.error as error:
                raise BadEncodingError(f"the compressed body is damaged: {error}") from error
            if len(plain) > MAX_OUTPUT:
                raise BadEncodingError(f"the compressed body grows over {MAX_OUTPUT} bytes at once")
            data = self._decoder.unused_data
        return plain

    @property
    def whole(self) -> bool:
        """Whether the compressed data came to its own end."""
        return self._decoder.eof


def _deflate_bits(start: bytes) -> int:
    """Which decoder: "deflate" means zlib (RFC 9110 8.4.1.2), but some servers send it without the wrapper.

    A zlib header names method 8 and is divisible by 31 (RFC 1950 2.2); no block of raw data begins with that method,
    as it would be a stored one with a bit of its padding set.
    """
    is_zlib = start[0] & 15 == 8 and int.from_bytes(start[:2], "big") % 31 == 0
    return zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS
