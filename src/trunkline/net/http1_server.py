"""One HTTP/1.1 connection from a client: requests in, one at a time and in order, an answer out.

Owns the requests on a connection: heads, bodies, pipelining and `100-continue`. Does not own what a request means
(handler.py), the bytes of answers (answer_writer.py), when and how a connection ends (connection_life.py), nor
listening (server.py).

The application sees a request first as its head alone, before any body byte is kept, and either takes it (a
`Handler`) or answers at once. The socket stays read while a call runs, so a client's leaving is noticed; what it sends
ahead waits in a buffer of 64 KiB.
"""

import asyncio
import re

from trunkline.errors import HEAD_TOO_LARGE, OVERLOADED, Fault
from trunkline.net.connection_life import (
    BODY,
    CALL,
    HEAD,
    LINGER,
    LINGERING,
    NEVER,
    NEXT,
    TURN,
    ConnectionLife,
    Shared,
)
from trunkline.net.handler import Dropped, Handler
from trunkline.net.peer import taken
from trunkline.net.request_body import RequestBody, too_large
from trunkline.wire.head import RequestHead, scan_partial

PIPELINE = 64 * 1024  # bytes sent ahead that are kept; DESIGN section 3
DRAIN = 256 * 1024  # bytes of a refused body that are read to keep the connection

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_EMPTY_LINES = re.compile(rb"(?:\r\n)+")
_DROPPED = Dropped()


class ServerConnection(ConnectionLife):
    """One client connection, and the sink of the answer to its present request."""

    __slots__ = ("_body", "_body_left", "_keep_alive_idle", "_max_head", "_served", "body_length")

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared)
        # per connection
        self._max_head = shared.settings.max_head
        self._keep_alive_idle = shared.settings.keep_alive_idle
        self._served = 0
        # per request
        self._body: RequestBody | None = None  # while it is not all there
        self._body_left = 0.0  # seconds of `body_timeout`, while the application pauses the body
        self.body_length = 0  # as the head names it; -1 chunked

    def __repr__(self) -> str:
        phase = ("head", "next", "body", "call", "linger", "closed")[self._phase]
        return f"<ServerConnection {phase}, {self._served} served>"

    # asyncio.Protocol (the beginning and the end: connection_life.py)

    def data_received(self, data: bytes) -> None:
        phase = self._phase
        if phase == HEAD:
            # The common case: all of a head at once.
            end = data.find(b"\r\n\r\n") + 4
            if self._buffer or not 3 < end <= self._max_head or data.startswith(b"\r\n"):
                self._receive_head(data)
            else:
                self._read_head(data, end)
        elif phase == BODY:
            self._receive_body(data if len(data) <= TURN else self._begin_large(data))
        elif phase in (CALL, NEXT):
            self._buffer += data
            if len(self._buffer) > PIPELINE:
                self._read(False)
        elif phase == LINGERING and self.writable:
            self._deadline = min(self._shared.clock.now + LINGER, self._linger_until)

    def pause_writing(self) -> None:
        self.writable = False
        if self._transport is not None:
            self._taken = taken(self._transport)
        self._deadline = self._shared.clock.now + self._shared.settings.slow_client
        if self._phase <= NEXT:  # who does not read its answers gets no further ones
            self._read(False)
        if self._handler is not None:
            self._handler.on_writable(False)

    def resume_writing(self) -> None:
        self.writable = True
        if self._phase == CALL:
            self._deadline = NEVER
        elif self._phase <= NEXT:
            self._await_next()
        if self._handler is not None:
            self._handler.on_writable(True)

    # the request

    def _receive_head(self, data: bytes) -> None:
        """Bytes where a request begins or goes on to begin."""
        shared = self._shared
        settings = shared.settings
        if len(data) > TURN:
            data = self._begin_large(data)
        held = self._buffer
        before = len(held)
        if before:
            data = held + data
        if data[:2] == b"\r\n":  # RFC 9112 2.2: empty lines before the request line are skipped
            data = _EMPTY_LINES.sub(b"", data, 1)
            before = 0
        end = data.find(b"\r\n\r\n", max(0, before - 3)) + 4
        if end > settings.max_head or (end == 3 and len(data) > settings.max_head):
            self._refuse(Fault(HEAD_TOO_LARGE, f"the request head is over {settings.max_head} bytes"))
        elif end == 3:
            if data[before - 1 : before] == b"\r":
                before -= 1  # the LF of a line end that was cut in two is not a bare one
            if (fault := scan_partial(data[before:])) is not None:
                self._refuse(fault)
                return
            if not held and data:
                self._deadline = shared.clock.now + settings.head_timeout
            self._buffer = data
            self._read(True)
        else:
            self._buffer = b""
            self._read_head(data, end)

    def _read_head(self, data: bytes, end: int) -> None:
        """A head that ends at `end`, and what follows it."""
        read = self._shared.heads.read(data[:end])
        if isinstance(read, Fault):
            self._refuse(read)
        else:
            self._take(read[0], read[1], data[end:])

    def _take(self, head: RequestHead, length: int, rest: bytes) -> None:
        """A request with a sound head: ask the application, then see to the body."""
        shared = self._shared
        settings = shared.settings
        self._head = head
        self.body_length = length
        self._served = served = self._served + 1
        self.started = False
        if length > settings.max_body:
            self._refuse(too_large(settings.max_body))
            return
        closes = (
            not head.keep_alive
            or served >= settings.keep_alive_requests
            or shared.clock.now > self._kept_until
        )
        if length == 0:
            self._buffer = rest
            rest = b""
        if length == len(rest):  # the common case: the body came with the head
            self._must_close = closes
            handler = shared.app.on_head(head, self) or _DROPPED
            self._handler = handler
            self._phase = CALL
            self._deadline = NEVER
            if not handler.whole:
                handler.on_piece(rest, True, self)
            elif self._hold(length):
                handler.on_request(rest, self)
            return
        expects = b"expect" in head.fields
        # A refused request keeps the connection only if it is easy to get past its body.
        self._must_close = closes or not 0 <= length <= DRAIN or expects
        handler = shared.app.on_head(head, self)
        if handler is None:
            if self._must_close:
                self._finish(linger=True)
                return
            handler = _DROPPED
        else:
            self._must_close = closes
            if handler.whole and not self._has_room(length):
                return
        self._handler = handler
        self._phase = BODY
        self._body = RequestBody(length, settings.max_body)
        now = shared.clock.now
        self._deadline = now + settings.body_idle
        self._body_until = now + settings.body_timeout
        if rest:
            self._receive_body(rest if len(rest) <= TURN else self._begin_large(rest), begins=True)
            return
        self._read(True)
        if expects and head.minor and head.fields[b"expect"].lower() == b"100-continue":
            self._write(_CONTINUE)

    def _receive_body(self, data: bytes, *, begins: bool = False) -> None:
        shared = self._shared
        body = self._body
        handler = self._handler
        if body is None or handler is None:
            return
        if self.writable:
            self._deadline = shared.clock.now + shared.settings.body_idle
        piece = body.feed(data)
        if isinstance(piece, Fault):
            self._broken(piece)
            return
        if handler.whole:
            if not self._hold(len(piece)):
                return
            self._pieces.append(piece)
        if body.complete:
            self._phase = CALL
            self._deadline = NEVER
            self._buffer = body.rest
            self._body = None
        elif begins:
            self._read(True)
        if not handler.whole:
            if piece or body.complete:
                handler.on_piece(piece, body.complete, self)
        elif body.complete:
            whole = b"".join(self._pieces)
            self._pieces = []
            handler.on_request(whole, self)

    def _has_room(self, size: int) -> bool:
        """Whether so many body bytes may be held; False if not, and the request was refused."""
        shared = self._shared
        if shared.buffered + size <= shared.max_buffered:
            return True
        self._broken(Fault(OVERLOADED, "too many request bodies are being held; try again", retry_after=1.0))
        return False

    def _hold(self, size: int) -> bool:
        """Account for body bytes that came; a length that was only named takes no room from others."""
        shared = self._shared
        buffered = shared.buffered + size
        if buffered > shared.max_buffered:
            return self._has_room(size)
        shared.buffered = buffered
        self._held += size
        return True

    # the sink (head, data and end: answer_writer.py)

    def adopt(self, handler: Handler) -> None:
        """From now on this one hears about the client: writable, gone, pieces of the body."""
        self._handler = handler

    def done(self) -> None:
        """The application is through with the request: go on with the next one, or close."""
        self._handler = None
        if self._held:
            self.release()
        if self._phase == CALL:
            if self._buffer or self._must_close or self._fin or not self.writable or not self._reading:
                self._finish(linger=False)
                return
            # The common case: the next request has not begun to come.
            self._phase = HEAD
            self._head = None
            self._chunked = False
            self._deadline = self._shared.clock.now + self._keep_alive_idle
        elif self._phase == BODY:  # answered before the request was all there
            self._finish(linger=True)

    def pause_body(self, paused: bool) -> None:
        """Stop or go on taking the request body: back-pressure from the upstream."""
        if self._phase == BODY:
            now = self._shared.clock.now
            if paused == self._reading:
                self._read(not paused)
                # A pause is not the client's time: what is left of it when one begins is left when it ends.
                if paused:
                    self._body_left = self._body_until - now
                    self._body_until = NEVER
                else:
                    self._body_until = now + self._body_left
            if self.writable:
                self._deadline = NEVER if paused else now + self._shared.settings.body_idle

    def _finish(self, *, linger: bool) -> None:
        """The answer is written: the next request, or the end. `linger`: the client may still be sending."""
        self._body = None
        if linger or self._must_close or self._fin:
            self._leave(linger=linger or bool(self._buffer or self._kept))
            return
        self._chunked = False
        self._head = None
        if self._transport is None:
            return
        if self.writable:
            self._await_next()
        else:
            self._phase = NEXT
            self._read(False)

    def _await_next(self) -> None:
        self._deadline = self._shared.clock.now + self._keep_alive_idle
        if self._buffer:
            self._phase = NEXT
            asyncio.get_running_loop().call_soon(self._next)
        else:
            self._phase = HEAD
            self._read(True)

    def _next(self) -> None:
        """A pipelined request; a turn of the loop later, so that a long pipeline does not nest."""
        if self._phase == NEXT and self.writable:
            data, self._buffer = self._buffer, b""
            self._phase = HEAD
            self._receive_head(data)
