"""The life of one connection from a client, apart from its requests: how long it may wait, and every way it ends.

Owns accepting, deadlines, pauses of reading, large reads, noticing that the client left, refusals, lingering, draining
and closing. Does not own requests (net/http1_server.py, whose connection is one of these) nor the bytes of answers
(net/answer_writer.py).

Nothing here runs for an ordinary request but the look at the deadline, every 100 ms. After a refusal the rest of the
body is read and dropped for a moment, because closing with unread bytes would reset the connection and take the answer
with it. After a large read the socket and the rest of what was read wait for the next turns of the loop: chunks of a
byte cost a microsecond each, and no client may keep all other connections waiting.
"""

import asyncio
import socket
import struct
from typing import cast

from trunkline.errors import CLIENT_GONE, SLOW_REQUEST, Fault
from trunkline.net.answer_writer import WRITE_HIGH, WRITE_LOW, AnswerWriter
from trunkline.net.clock import Clock
from trunkline.net.handler import Application, Handler
from trunkline.net.listener import ServerSettings
from trunkline.net.peer import Departures, taken
from trunkline.wire.head import RequestHeads

LINGER = 2.0
"""Seconds to go on reading after an answer that closes, between two reads; nginx: 5 s."""
LINGER_MAX = 30.0
"""And in all; nginx's. Many clients read nothing before they have sent everything."""

TURN = 64 * 1024
"""Bytes of one connection that are parsed in one turn of the loop; nearly every read is smaller."""

HEAD, NEXT, BODY, CALL, LINGERING, CLOSED = range(6)
"""Phases. NEXT: a pipelined request waits for its turn of the loop, or for the client to read its answers."""
NEVER = float("inf")

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 seconds
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
        self.connections: set[ConnectionLife] = set()
        self.departures = Departures()
        self.max_buffered = settings.max_buffered
        self.buffered = 0  # bytes of request bodies held, over all connections
        self.draining = False
        self.heads = RequestHeads(settings.max_headers)


class ConnectionLife(AnswerWriter, asyncio.Protocol):
    """A connection that can be accepted, watched, refused and ended."""

    __slots__ = (
        "_body_until", "_buffer", "_deadline", "_fin", "_handler", "_held", "_kept", "_kept_until", "_linger_until",
        "_phase", "_pieces", "_reading", "_resting", "_shared", "_taken", "_watched",
    )  # fmt: skip

    def __init__(self, shared: Shared) -> None:
        super().__init__()
        # per connection
        self._shared = shared
        self._phase = HEAD
        self._buffer = b""
        self._deadline = NEVER
        self._kept_until = shared.clock.now + shared.settings.keep_alive_age
        self._reading = True
        self._kept = b""  # of a large read, for later turns of the loop; the transport is paused meanwhile
        self._resting = False  # until the next turn of the loop, which goes on reading
        self._watched = -1  # in `Shared.departures`, while it is not being read
        self._fin = False
        self._taken = 0  # of what was sent, when the client was last looked at
        self._linger_until = 0.0
        # per request
        self._handler: Handler | None = None
        self._body_until = NEVER  # counts in the phase BODY only
        self._pieces: list[bytes] = []
        self._held = 0  # bytes counted in `Shared.buffered`

    # asyncio.Protocol: the beginning and the end

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        shared = self._shared
        if len(shared.connections) >= shared.settings.max_connections or shared.draining:
            self._phase = CLOSED
            self._transport.abort()
            return
        shared.connections.add(self)
        self._transport.set_write_buffer_limits(WRITE_HIGH, WRITE_LOW)
        self._deadline = shared.clock.now + shared.settings.head_timeout

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
        self._phase = CLOSED
        if self._handler is not None:
            self._gone(_LEFT)
        self.release()

    # time

    def sweep(self, now: float) -> None:
        """Called every 100 ms."""
        if now >= self._deadline:
            self._expire(now)
        elif self._phase == BODY and now >= self._body_until:
            limit = self._shared.settings.body_timeout
            self._broken(Fault(SLOW_REQUEST, f"the request body did not come within {limit:g} s"))

    def _expire(self, now: float) -> None:
        settings = self._shared.settings
        transport = self._transport
        if transport is None:
            return
        if not self.writable or self._phase == CLOSED:
            now_taken = taken(transport)
            if now_taken > self._taken:  # it reads, slowly
                self._taken = now_taken
                self._deadline = now + settings.slow_client
            elif self._handler is not None:
                self._gone(Fault(CLIENT_GONE, f"the client read nothing for {settings.slow_client:g} s"))
            else:
                self._abort()
        elif self._phase == LINGERING or (self._phase <= NEXT and not self._buffer):
            self._close()
        elif self._phase <= NEXT:
            self._refuse(Fault(SLOW_REQUEST, "the request head did not come in time"))
        elif self._phase == BODY:
            self._broken(Fault(SLOW_REQUEST, "the request body did not come in time"))
        else:
            self._abort()

    def drain(self) -> None:
        """No further request: close if idle, else after the present answer."""
        self._must_close = True
        self._kept_until = 0.0
        if self._phase <= NEXT and not self._buffer:
            self._close()

    def cut(self) -> None:
        """The drain time is over."""
        if self._handler is not None:
            self._handler.on_drain_over()
        if self._phase != CLOSED:
            self._close()

    # pauses of reading

    def _read(self, on: bool) -> None:
        transport = self._transport
        if on == self._reading or transport is None or transport.is_closing():
            return
        self._reading = on
        departures = self._shared.departures
        if on:
            departures.forget(self._watched, self._departed)
            if self._kept:
                self._rest()
            elif not self._resting:
                transport.resume_reading()
        else:
            transport.pause_reading()
            self._watched = departures.watch(transport, self._departed)

    def _begin_large(self, data: bytes) -> bytes:
        """What of a large read belongs to this turn of the loop; the rest waits, and so does the socket."""
        transport = self._transport
        if transport is not None and not transport.is_closing():
            transport.pause_reading()
            self._rest()
            self._kept = data[TURN:] + self._kept  # what a pipelined request began with is the older part
            data = data[:TURN]
        return data

    def _rest(self) -> None:
        if not self._resting:
            self._resting = True
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        """The next part of a large read; after the last the socket, which may be paused for another reason by now."""
        self._resting = False
        transport = self._transport
        if not self._reading or transport is None or transport.is_closing():
            return
        if kept := self._kept:
            self._rest()
            self._kept = kept[TURN:]
            self.data_received(kept[:TURN])
        else:
            transport.resume_reading()

    def _departed(self) -> None:
        """The client left while its socket was not being read."""
        if self._handler is not None:
            self._gone(_LEFT)

    # the end

    def release(self) -> None:
        """The request body is not held any more."""
        self._shared.buffered -= self._held
        self._held = 0
        self._pieces = []

    def fail(self) -> None:
        """The answer cannot be finished: close without the end that its framing asks for."""
        self._handler = None
        if self._unframed and self._transport is not None and not self._transport.is_closing():
            # An ordinary close would be the end of such a body: only a reset says that it was cut.
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._abort()
        else:
            self._close()

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
        self._leave(linger=True)

    def _leave(self, *, linger: bool) -> None:
        """The last answer is written. `linger`: the client may still be sending."""
        self._chunked = False
        self._head = None
        transport = self._transport
        if transport is None:
            return
        if linger and not self._fin:
            now = self._shared.clock.now
            self._phase = LINGERING
            self._buffer = self._kept = b""
            self._linger_until = now + LINGER_MAX
            self._deadline = now + LINGER
            self._read(True)
            if transport.can_write_eof():
                transport.write_eof()
        else:
            self._close()

    def _close(self) -> None:
        """Close when what is written has been sent, but do not wait for ever."""
        self._phase = CLOSED
        self._taken = -1
        self._deadline = self._shared.clock.now + self._shared.settings.slow_client
        if self._transport is not None:
            self._transport.close()

    def _gone(self, fault: Fault) -> None:
        handler, self._handler = self._handler, None
        if handler is not None:
            handler.on_gone(fault)
        self._abort()

    def _abort(self) -> None:
        self._phase = CLOSED
        self._deadline = NEVER
        if self._transport is not None:
            self._transport.abort()
