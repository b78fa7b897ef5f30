"""Compressed answers, decoded where they are inspected, with bounds; sans-IO.

The gateway asks for `identity`; some upstreams and proxies compress all the same. gzip and deflate are understood.
"""

import zlib

MAX_OUTPUT = 16 * 1024 * 1024
"""Bytes that one piece of input may become: a few KiB of zeros must not fill the memory."""


class BadEncodingError(ValueError):
    """The body is not what its content-encoding says, or grows beyond the bound."""


class Inflater:
    """Decodes one body. `coding` is the content-encoding; BadEncodingError if it is not understood."""

    def __init__(self, coding: bytes) -> None:
        name = coding.strip().lower()
        if name not in (b"gzip", b"x-gzip", b"deflate"):
            raise BadEncodingError(f"content-encoding {name.decode('latin-1')[:40]!r} was not asked for")
        self._raw_tried = name != b"deflate"
        self._decoder = zlib.decompressobj(zlib.MAX_WBITS | (16 if name != b"deflate" else 0))

    def feed(self, data: bytes) -> bytes:
        """Take compressed bytes, give plain ones."""
        try:
            plain = self._decoder.decompress(data, MAX_OUTPUT)
        except zlib.error as error:
            if self._raw_tried:
                raise BadEncodingError(f"the compressed body is damaged: {error}") from error
            # "deflate" means zlib (RFC 9110 8.4.1.2), but some servers send it without the wrapper.
            self._raw_tried = True
            self._decoder = zlib.decompressobj(-zlib.MAX_WBITS)
            return self.feed(data)
        self._raw_tried = True
        if self._decoder.unconsumed_tail:
            raise BadEncodingError(f"the compressed body grows over {MAX_OUTPUT} bytes at once")
        return plain

    @property
    def whole(self) -> bool:
        """Whether the compressed data came to its own end."""
        return self._decoder.eof
