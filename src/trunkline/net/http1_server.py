"""One HTTP/1.1 connection from a client: requests in, one at a time and in order, an answer out.

Owns the protocol on an accepted transport: heads, bodies, pipelining, `100-continue`, deadlines and noticing that the
client left. Does not own what a request means (handler.py), the bytes of answers (answer_writer.py), nor listening
(server.py).

The application sees a request first as its head alone, before any body byte is kept, and either takes it (a
`Handler`) or answers at once. The socket stays read while a call runs, so a client's leaving is noticed; what it sends
ahead waits in a buffer of 64 KiB. After a refusal the rest of the body is read and dropped for a moment, because
closing with unread bytes would reset the connection and take the answer with it.
"""

import asyncio
import re
import socket
import struct
from typing import cast

from trunkline.errors import CLIENT_GONE, HEAD_TOO_LARGE, OVERLOADED, SLOW_REQUEST, Fault
from trunkline.net.answer_writer import WRITE_HIGH, WRITE_LOW, AnswerWriter
from trunkline.net.clock import Clock
from trunkline.net.handler import Application, Dropped, Handler
from trunkline.net.listener import ServerSettings
from trunkline.net.peer import Departures, taken
from trunkline.net.request_body import RequestBody, too_large
from trunkline.wire.head import RequestHead, RequestHeads, scan_partial

PIPELINE = 64 * 1024  # bytes sent ahead that are kept; DESIGN section 3
LINGER = 2.0  # seconds to go on reading after an answer that closes, between two reads; nginx: 5 s
LINGER_MAX = 30.0  # and in all; nginx's. Many clients read nothing before they have sent everything
DRAIN = 256 * 1024  # bytes of a refused body that are read to keep the connection

# _NEXT: a pipelined request waits for its turn of the loop, or for the client to read its answers.
_HEAD, _NEXT, _BODY, _CALL, _LINGER, _CLOSED = range(6)
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_EMPTY_LINES = re.compile(rb"(?:\r\n)+")
_NEVER = float("inf")
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 seconds
_DROPPED = Dropped()
_LEFT = Fault(CLIENT_GONE, "the client closed the connection before its answer")


class Shared:
    """What the connections of one server have in common."""

    __slots__ = (
        "app", "buffered", "clock", "connections", "departures", "draining", "heads", "max_buffered", "settings",
    )  # fmt: skip

    def __init__(self, app: Application, settings: ServerSettings, clock: Clock) -> None:
        self.app = app
        self.settings = settings
        self.clock = clock
        self.connections: set[ServerConnection] = set()
        self.departures = Departures()
        self.max_buffered = settings.max_buffered
        self.buffered = 0  # bytes of request bodies held, over all connections
        self.draining = False
        self.heads = RequestHeads(settings.max_headers)


class ServerConnection(AnswerWriter, asyncio.Protocol):
    """One client connection, and the sink of the answer to its present request."""

    __slots__ = (
        "_body", "_buffer", "_deadline", "_fin", "_handler", "_held", "_keep_alive_idle", "_kept_until",
        "_linger_until", "_max_head", "_phase", "_pieces", "_reading", "_served", "_shared", "_taken",
        "_watched", "body_length",
    )  # fmt: skip

    def __init__(self, shared: Shared) -> None:
        super().__init__()
        # per connection
        self._shared = shared
        self._phase = _HEAD
        self._buffer = b""
        self._deadline = _NEVER
        self._kept_until = shared.clock.now + shared.settings.keep_alive_age
        self._max_head = shared.settings.max_head
        self._keep_alive_idle = shared.settings.keep_alive_idle
        self._served = 0
        self._reading = True
        self._watched = -1  # in `Shared.departures`, while it is not being read
        self._fin = False
        self._taken = 0  # of what was sent, when the client was last looked at
        self._linger_until = 0.0
        # per request
        self._handler: Handler | None = None
        self._body: RequestBody | None = None  # while it is not all there
        self._pieces: list[bytes] = []
        self._held = 0  # bytes counted in `Shared.buffered`
        self.body_length = 0  # as the head names it; -1 chunked

    def __repr__(self) -> str:
        phase = ("head", "next", "body", "call", "linger", "closed")[self._phase]
        return f"<ServerConnection {phase}, {self._served} served>"

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        shared = self._shared
        if len(shared.connections) >= shared.settings.max_connections or shared.draining:
            self._phase = _CLOSED
            self._transport.abort()
            return
        shared.connections.add(self)
        self._transport.set_write_buffer_limits(WRITE_HIGH, WRITE_LOW)
        self._deadline = shared.clock.now + shared.settings.head_timeout

    def data_received(self, data: bytes) -> None:
        phase = self._phase
        if phase == _HEAD:
            # The common case: all of a head at once.
            end = data.find(b"\r\n\r\n") + 4
            if self._buffer or not 3 < end <= self._max_head or data.startswith(b"\r\n"):
                self._receive_head(data)
            else:
                self._read_head(data, end)
        elif phase == _BODY:
            self._receive_body(data)
        elif phase in (_CALL, _NEXT):
            self._buffer += data
            if len(self._buffer) > PIPELINE:
                self._read(False)
        elif phase == _LINGER and self.writable:
            self._deadline = min(self._shared.clock.now + LINGER, self._linger_until)

    def eof_received(self) -> bool:
        self._fin = True
        self._buffer = b""  # what it asked for beyond the present answer, nobody waits for
        if self._handler is not None:
            self._gone(_LEFT)
        return False  # what was answered already is still flushed

    def connection_lost(self, exc: Exception | None) -> None:
        self._shared.connections.discard(self)
        if not self._reading:
            self._shared.departures.forget(self._watched, self._departed)
        self._phase = _CLOSED
        if self._handler is not None:
            self._gone(_LEFT)
        self.release()

    def pause_writing(self) -> None:
        self.writable = False
        if self._transport is not None:
            self._taken = taken(self._transport)
        self._deadline = self._shared.clock.now + self._shared.settings.slow_client
        if self._phase <= _NEXT:  # who does not read its answers gets no further ones
            self._read(False)
        if self._handler is not None:
            self._handler.on_writable(False)

    def resume_writing(self) -> None:
        self.writable = True
        if self._phase == _CALL:
            self._deadline = _NEVER
        elif self._phase <= _NEXT:
            self._await_next()
        if self._handler is not None:
            self._handler.on_writable(True)

    # the request

    def _receive_head(self, data: bytes) -> None:
        """Bytes where a request begins or goes on to begin."""
        shared = self._shared
        settings = shared.settings
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
            self._phase = _CALL
            self._deadline = _NEVER
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
        self._phase = _BODY
        self._body = RequestBody(length, settings.max_body)
        self._deadline = shared.clock.now + settings.body_idle
        if rest:
            self._receive_body(rest, begins=True)
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
            self._phase = _CALL
            self._deadline = _NEVER
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

    def release(self) -> None:
        """The request body is not held any more."""
        self._shared.buffered -= self._held
        self._held = 0
        self._pieces = []

    def _broken(self, fault: Fault) -> None:
        """The request cannot be finished: tell the application, answer, close."""
        handler, self._handler = self._handler, None
        if handler is not None:
            handler.on_gone(fault)
        if self.started:
            self._abort()
        else:
            self._refuse(fault)

    def _refuse(self, fault: Fault) -> None:
        """Answer a request that is not passed on, and close: its end may not be where it seems."""
        self._must_close = True
        self.release()
        block, body = self._shared.app.refusal(fault, self._head)
        self.respond(fault.http_status, block, body)
        self._finish(linger=True)

    # the sink (head, data and end: answer_writer.py)

    def adopt(self, handler: Handler) -> None:
        """From now on this one hears about the client: writable, gone, pieces of the body."""
        self._handler = handler

    def fail(self) -> None:
        """The answer cannot be finished: close without the end that its framing asks for."""
        self._handler = None
        if self._unframed and self._transport is not None and not self._transport.is_closing():
            # An ordinary close would be the end of such a body: only a reset says that it was cut.
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._abort()
        else:
            self._close()

    def done(self) -> None:
        """The application is through with the request: go on with the next one, or close."""
        self._handler = None
        if self._held:
            self.release()
        if self._phase == _CALL:
            if self._buffer or self._must_close or self._fin or not self.writable or not self._reading:
                self._finish(linger=False)
                return
            # The common case: the next request has not begun to come.
            self._phase = _HEAD
            self._head = None
            self._chunked = False
            self._deadline = self._shared.clock.now + self._keep_alive_idle
        elif self._phase == _BODY:  # answered before the request was all there
            self._finish(linger=True)

    def pause_body(self, paused: bool) -> None:
        """Stop or go on taking the request body: back-pressure from the upstream."""
        if self._phase == _BODY:
            self._read(not paused)
            if self.writable:
                self._deadline = (
                    _NEVER if paused else self._shared.clock.now + self._shared.settings.body_idle
                )

    def _finish(self, *, linger: bool) -> None:
        """The answer is written: the next request, or the end. `linger`: the client may still be sending."""
        self._chunked = False
        self._head = None
        self._body = None
        transport = self._transport
        if transport is None:
            return
        shared = self._shared
        if not (linger or self._must_close or self._fin):
            if self.writable:
                self._await_next()
            else:
                self._phase = _NEXT
                self._read(False)
        elif (linger or self._buffer) and not self._fin:
            self._phase = _LINGER
            self._buffer = b""
            self._linger_until = shared.clock.now + LINGER_MAX
            self._deadline = shared.clock.now + LINGER
            self._read(True)
            if transport.can_write_eof():
                transport.write_eof()
        else:
            self._close()

    def _await_next(self) -> None:
        self._deadline = self._shared.clock.now + self._keep_alive_idle
        if self._buffer:
            self._phase = _NEXT
            asyncio.get_running_loop().call_soon(self._next)
        else:
            self._phase = _HEAD
            self._read(True)

    def _next(self) -> None:
        """A pipelined request; a turn of the loop later, so that a long pipeline does not nest."""
        if self._phase == _NEXT and self.writable:
            data, self._buffer = self._buffer, b""
            self._phase = _HEAD
            self._receive_head(data)

    def _close(self) -> None:
        """Close when what is written has been sent, but do not wait for ever."""
        self._phase = _CLOSED
        self._taken = -1
        self._deadline = self._shared.clock.now + self._shared.settings.slow_client
        if self._transport is not None:
            self._transport.close()

    def _read(self, on: bool) -> None:
        transport = self._transport
        if on == self._reading or transport is None or transport.is_closing():
            return
        self._reading = on
        departures = self._shared.departures
        if on:
            departures.forget(self._watched, self._departed)
            transport.resume_reading()
        else:
            transport.pause_reading()
            self._watched = departures.watch(transport, self._departed)

    def _departed(self) -> None:
        """The client left while its socket was not being read."""
        if self._handler is not None:
            self._gone(_LEFT)

    # deadlines and leaving

    def sweep(self, now: float) -> None:
        """Called every 100 ms."""
        if now >= self._deadline:
            self._expire(now)

    def drain(self) -> None:
        """No further request: close if idle, else after the present answer."""
        self._must_close = True
        self._kept_until = 0.0
        if self._phase <= _NEXT and not self._buffer:
            self._close()

    def cut(self) -> None:
        """The drain time is over."""
        if self._handler is not None:
            self._handler.on_drain_over()
        if self._phase != _CLOSED:
            self._close()

    def _expire(self, now: float) -> None:
        settings = self._shared.settings
        transport = self._transport
        if transport is None:
            return
        if not self.writable or self._phase == _CLOSED:
            now_taken = taken(transport)
            if now_taken > self._taken:  # it reads, slowly
                self._taken = now_taken
                self._deadline = now + settings.slow_client
            elif self._handler is not None:
                self._gone(Fault(CLIENT_GONE, f"the client read nothing for {settings.slow_client:g} s"))
            else:
                self._abort()
        elif self._phase == _LINGER or (self._phase <= _NEXT and not self._buffer):
            self._close()
        elif self._phase <= _NEXT:
            self._refuse(Fault(SLOW_REQUEST, "the request head did not come in time"))
        elif self._phase == _BODY:
            self._broken(Fault(SLOW_REQUEST, "the request body did not come in time"))
        else:
            self._abort()

    def _gone(self, fault: Fault) -> None:
        handler, self._handler = self._handler, None
        if handler is not None:
            handler.on_gone(fault)
        self._abort()

    def _abort(self) -> None:
        self._phase = _CLOSED
        self._deadline = _NEVER
        if self._transport is not None:
            self._transport.abort()
