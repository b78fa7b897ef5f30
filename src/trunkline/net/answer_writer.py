"""Writing HTTP/1.1 answers: whole, or head first and then piece by piece.

Owns the bytes of an answer on one client connection. Does not own when it is sent, nor the connection's life
(net/http1_server.py, whose connection is one of these).
"""

import asyncio
from collections.abc import Callable

from trunkline.wire.chunked import LAST_CHUNK
from trunkline.wire.head import RequestHead
from trunkline.wire.status import STATUS_LINES

WRITE_HIGH, WRITE_LOW = 64 * 1024, 16 * 1024
"""Bytes of an answer that may wait in memory for a slow client; DESIGN section 3."""

_KEEP_ALIVE = (b"connection: keep-alive\r\n", b"")
"""What an HTTP/1.0 and an HTTP/1.1 client must be told when the connection stays."""


class AnswerWriter:
    """The sending half of a client connection."""

    __slots__ = ("_chunked", "_head", "_must_close", "_transport", "_unframed", "started", "writable")

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self.writable = True
        # per request
        self._head: RequestHead | None = None
        self._chunked = False
        self._unframed = False  # only the closing of the connection ends the body
        self._must_close = False
        self.started = False  # the head of the answer was sent

    def respond(self, status: int, block: bytes, body: bytes) -> None:
        """Send a whole answer. `block`: header lines, each with its CRLF."""
        transport = self._transport
        self.started = True
        if transport is None or transport.is_closing():
            return
        head = self._head
        close = (
            b"connection: close\r\n"
            if self._must_close
            else _KEEP_ALIVE[head.minor if head is not None else 1]
        )
        size = len(body)
        if status == 204 or status == 304:
            transport.write(b"%b%b%b\r\n" % (STATUS_LINES[status], block, close))
            return
        if head is not None and head.method == b"HEAD":
            body = b""
        form = b"%b%bcontent-length: %d\r\n%b\r\n%b"
        if size <= WRITE_HIGH:
            transport.write(form % (STATUS_LINES[status], block, size, close, body))
        else:
            transport.write(form % (STATUS_LINES[status], block, size, close, b""))
            transport.write(body)

    def head(self, status: int, block: bytes, length: int | None = None) -> None:
        """Begin a streamed answer; `length` where it is known."""
        self.started = True
        transport = self._transport
        request = self._head
        if transport is None or request is None or transport.is_closing():
            return
        self._chunked = length is None and request.minor == 1
        if length is not None:
            framing = b"content-length: %d\r\n" % length
        elif self._chunked:
            framing = b"transfer-encoding: chunked\r\n"
        else:
            framing = b""
            self._must_close = self._unframed = True
        close = b"connection: close\r\n" if self._must_close else _KEEP_ALIVE[request.minor]
        transport.write(b"%b%b%b%b\r\n" % (STATUS_LINES[status], block, framing, close))
        if request.method == b"HEAD":
            self._chunked = self._unframed = False

    def data(self, data: bytes) -> None:
        """Send body bytes (not of an answer to HEAD)."""
        if self._chunked and data:  # an empty chunk would be the end
            self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))  # pyright: ignore[reportOptionalMemberAccess] # hot path: `head` saw it
        elif self._transport is not None and self._head is not None and self._head.method != b"HEAD":
            self._transport.write(data)

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def framed(self) -> Callable[[bytes], None] | None:
        """Where bytes may be written that are one chunk of the body already; None if the answer is not chunked."""
        return self._transport.write if self._chunked and self._transport is not None else None

    def end(self) -> None:
        """The answer is whole."""
        if self._chunked and self._transport is not None:
            self._transport.write(LAST_CHUNK)
