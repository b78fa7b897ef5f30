"""The body of one request as it comes in: where it ends, how long it may be.

Owns counting and de-chunking. Does not own where the pieces go (http1_server.py).
"""

from trunkline.errors import BAD_FRAMING, BODY_TOO_LARGE, Fault
from trunkline.wire.chunked import ChunkedDecoder, FramingError
from trunkline.wire.head import CHUNKED


class RequestBody:
    """`length`: bytes, or CHUNKED. `complete` once the last byte was fed; `rest` is what followed it."""

    __slots__ = ("_decoder", "_limit", "_read", "_to_come", "complete", "rest")

    def __init__(self, length: int, limit: int) -> None:
        self._decoder = ChunkedDecoder() if length == CHUNKED else None
        self._to_come = length
        self._limit = limit
        self._read = 0
        self.complete = False
        self.rest = b""

    def feed(self, data: bytes) -> bytes | Fault:
        """Take bytes of the connection; give those of the body among them."""
        decoder = self._decoder
        if decoder is None:
            piece = data if len(data) <= self._to_come else data[: self._to_come]
            self._to_come -= len(piece)
            self.complete = not self._to_come
            self.rest = data[len(piece) :]
            return piece
        try:
            pieces = decoder.feed(data)
        except FramingError as error:
            return Fault(BAD_FRAMING, f"malformed chunked body: {error}")
        piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._read += len(piece)
        if self._read > self._limit:
            return too_large(self._limit)
        self.complete = decoder.done
        self.rest = decoder.rest
        return piece


def too_large(limit: int) -> Fault:
    """The fault of a body over the limit."""
    return Fault(BODY_TOO_LARGE, f"the request body is over {limit} bytes")
