"""One call from its checked request to its record: which backend is asked, what the client gets, when it is over.

Owns the sequence of attempts, the deadlines of a call and the end of the answer. Does not own the bytes of an answer
(engine/relay.py), the order of backends (routing/plan.py) nor the verdict on a failure (routing/faults.py).

Phases: RECEIVED -> TRYING -> COMMITTED -> DONE. The first attempt on an open connection is sent in the very callback
that brought the request; only opening a connection awaits. Faults before content was sent lead to the next candidate;
afterwards the stream ends with an in-band error, anything else without the end that its framing asks for.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from trunkline.engine.answer_head import answer_block, gateway_block
from trunkline.engine.relay import Relay
from trunkline.errors import (
    CLIENT_GONE,
    ERROR_IN_STREAM,
    FIRST_TOKEN_TIMEOUT,
    IDLE_TIMEOUT,
    INTERNAL,
    INVALID_REQUEST,
    SHUTTING_DOWN,
    STALE,
    TOTAL_TIMEOUT,
    Fault,
)
from trunkline.net.dns import ConnectFailed
from trunkline.net.http1_client import ClientConnection
from trunkline.policy.record import AttemptRecord, UsageRecord
from trunkline.routing.backend import TimeoutSettings
from trunkline.routing.faults import tries_next
from trunkline.wire.chunked import LAST_CHUNK, encode_chunk
from trunkline.wire.error_body import render, sse_error
from trunkline.wire.head import CHUNKED
from trunkline.wire.openai import ABSENT
from trunkline.wire.sse import comment
from trunkline.wire.usage import parse_usage
from trunkline.wire.values import SSE_SURFACES, Call, dialect_of

if TYPE_CHECKING:
    from trunkline.engine.runtime import Runtime
    from trunkline.engine.upstream import Upstream

KEEP_ALIVE = comment(b"keep-alive")
_SSE_HEAD = b"content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache, no-transform\r\nx-accel-buffering: no\r\n"
_NEVER = float("inf")


class Sink(Protocol):
    """Where an answer goes: a client connection, or a Python program."""

    @property
    def writable(self) -> bool:
        """Whether more can be taken now."""
        ...

    def respond(self, status: int, block: bytes, body: bytes) -> None:
        """A whole answer; `block` are header lines."""

    def head(self, status: int, block: bytes, length: int | None = None) -> None:
        """The head of a streamed answer."""

    def data(self, data: bytes) -> None:
        """Body bytes."""

    def framed(self) -> Callable[[bytes], None] | None:
        """Where bytes may be written that are one chunk of the body already; None if chunks mean nothing here."""
        ...

    def end(self) -> None:
        """The body is whole."""

    def fail(self) -> None:
        """The body cannot be finished."""

    def done(self) -> None:
        """Nothing more will be sent."""

    def pause_body(self, paused: bool) -> None:
        """Stop or go on sending the request body."""


class Exchange:
    """The whole life of one call."""

    # Defaults stand on the class: a call sets what differs (a third of the cost of making one).
    _index = 0  # which candidate is being tried
    _fresh = False  # an idle connection was stale: replace it once
    _replaced = False
    _relay: Relay | None = None
    _opening: asyncio.Task[None] | None = None
    _backlog: list[bytes] | None = None  # pieces of a streamed request body that wait for a connection
    _spilled = False  # part of a streamed request body went upstream and cannot be sent again
    committed = False
    committed_at = 0.0
    _head_sent = False
    _over = False
    _status = 0
    bytes_out = 0
    _events_asked = False
    _first_token_at = _NEVER
    _hold_at = _NEVER

    def __init__(self, runtime: "Runtime", call: Call, sink: Sink, candidates: "tuple[Upstream, ...]") -> None:
        self._runtime = runtime
        self._sink = sink
        self._candidates = candidates
        self.call = call
        self._started = self._tried_at = now = runtime.clock.now
        self._attempts: list[AttemptRecord] = []
        self._total_at = now + candidates[0].settings.timeouts.total
        if call.length is not None:
            self._backlog = []
        if call.stream and call.surface in SSE_SURFACES:
            self._events_asked = True
            self._hold_at = now + runtime.settings.server.hold_head

    def __repr__(self) -> str:
        return f"<Exchange {self.call.request_id.decode()} attempt {len(self._attempts) + 1} committed={self.committed}>"

    def naming(self) -> bytes:
        """The header lines that say who answered."""
        attempts = len(self._attempts) + (not self._over)  # the present one is noted when it is over
        return self._runtime.naming(self.call.model, self._candidates[self._index].name, attempts)

    def timings(self) -> tuple[float, float]:
        """Seconds since the call came, and since the present attempt was sent."""
        now = self._runtime.clock.read()
        return now - self._started, max(0.0, now - self._tried_at)

    def start(self) -> None:
        """Send the first attempt, at once if a connection is open."""
        self._runtime.live.add(self)
        if self._backlog is not None:
            self._sink.pause_body(True)
        connection = None if self._backlog is not None else self._candidates[0].pool.take()
        if connection is None:
            self._opening = asyncio.get_running_loop().create_task(self._open())
        else:
            self._send(connection)

    # attempts

    async def _open(self) -> None:
        """Get a connection to the present candidate, or to the next ones, and send."""
        try:
            while True:
                # A streamed body cannot be sent twice, so it is never sent on a connection that may be stale.
                fresh = self._fresh or self._backlog is not None
                self._tried_at = self._runtime.clock.read()
                try:
                    connection = await self._candidates[self._index].pool.open(fresh=fresh)
                except ConnectFailed as failed:
                    self._note(failed.fault, None)
                    if self._next(failed.fault):
                        continue
                    self._opening = None
                    self._finish(failed.fault)
                    return
                self._opening = None
                self._send(connection)
                return
        except Exception as error:
            self._runtime.alarm("exchange", error)
            self._opening = None
            self._finish(Fault(INTERNAL, "the gateway failed; see its log"))

    def _send(self, connection: ClientConnection) -> None:
        upstream = self._candidates[self._index]
        call = self.call
        backlog, self._backlog = self._backlog, None
        try:
            length = call.length if backlog is not None else (len(call.body) if call.body or call.method == b"POST" else None)
            head = upstream.head(call, length)
        except ValueError as error:
            connection.abort()
            self._finish(Fault(INVALID_REQUEST, str(error)))
            return
        self._relay = relay = Relay(self, connection, own_credential=upstream.own_credential)
        no_body = call.method == b"HEAD"
        if backlog is None:
            connection.send(head, call.body, relay, no_body=no_body)
        else:
            self._spilled = True
            body = encode_chunk(call.body) if call.length == CHUNKED else call.body
            connection.send(head, body, relay, no_body=no_body, partial=True)
            self._sink.pause_body(False)
            for piece in backlog:
                self.on_piece(piece, False)
        self._tried_at = connection.sent_at
        if self._events_asked and self._index + 1 < len(self._candidates):
            self._first_token_at = connection.sent_at + self._runtime.first_token(upstream, call)
        if not self._sink.writable and self.committed:
            relay.pause(True)

    def settled(self, relay: Relay, fault: Fault | None) -> None:
        """The present attempt is over; called by its relay."""
        self._note(fault, relay)
        if fault is not None and self._next(fault):
            self._relay = None
            self._opening = asyncio.get_running_loop().create_task(self._open())
        else:
            self._finish(fault)

    def _next(self, fault: Fault) -> bool:
        """Whether another attempt is made, and which: the same backend on a fresh connection, or the next one."""
        if self._over or self.committed or self._spilled:
            return False
        if fault.kind is STALE and not self._replaced:
            self._replaced = self._fresh = True
            return True
        if not tries_next(fault.kind) or self._index + 1 >= len(self._candidates):
            return False
        self._index += 1
        self._fresh = self._replaced = False
        self._first_token_at = _NEVER
        return True

    def _note(self, fault: Fault | None, relay: Relay | None) -> None:
        now = self._runtime.clock.read()
        self._attempts.append(
            AttemptRecord(
                self._candidates[self._index].name,
                self._tried_at,
                relay.connection.sent_at if relay is not None else 0.0,
                relay.first_byte_at if relay is not None else 0.0,
                now,
                relay.status if relay is not None else 0,
                "" if fault is None else fault.kind.name,
                self._fresh,
                relay.bytes_in + relay.forwarded if relay is not None else 0,
            )
        )

    # the answer; called by the relay

    def commit(self, relay: Relay, length: int | None) -> None:
        """Content is about to be sent: no other backend from here on."""
        self.committed = True
        self.committed_at = self._runtime.clock.read()
        if not self._head_sent:
            self._head_sent = True
            assert relay.head is not None
            self._status = relay.status
            self._sink.head(relay.status, answer_block(self, relay.head, decoded=relay.decoded), length)

    def send(self, data: bytes) -> None:
        """Body bytes to the client."""
        self.bytes_out += len(data)
        self._sink.data(data)

    def framed(self) -> Callable[[bytes], None] | None:
        """Where chunks of the body may be written as they are."""
        return self._sink.framed()

    def deliver(self, relay: Relay, body: bytes) -> None:
        """A whole answer to the client."""
        self.committed = True
        self.committed_at = self._runtime.clock.now
        assert relay.head is not None
        if self._head_sent:  # the client was promised events
            self.send(b"data: %b\n\ndata: [DONE]\n\n" % body.replace(b"\n", b" "))
            return
        self._head_sent = True
        self._status = relay.status
        self.bytes_out += len(body)
        self._sink.respond(relay.status, answer_block(self, relay.head, decoded=relay.decoded), body)

    def pause_request(self, paused: bool) -> None:
        """The upstream stopped, or began again, to take the request body."""
        if self._spilled:
            self._sink.pause_body(paused)

    # the client; called by its connection

    whole = False

    def on_request(self, body: bytes, connection: object) -> None:
        """Never asked for: an exchange begins with its body, or the beginning of one."""

    def on_piece(self, data: bytes, last: bool, connection: object = None) -> None:
        """More of a streamed request body."""
        if self._backlog is not None:
            self._backlog.append(data)
            return
        if self._relay is None:
            return
        if self.call.length == CHUNKED:
            data = encode_chunk(data) + (LAST_CHUNK if last else b"")
        self._relay.connection.write(data, last=last)

    def on_writable(self, writable: bool) -> None:
        """The client stopped, or began again, to read: so does its upstream."""
        if self._relay is not None:
            self._relay.pause(not writable)

    def on_gone(self, fault: Fault) -> None:
        """The client left: the upstream is cut at once; what was used is still recorded."""
        self._cut(Fault(CLIENT_GONE, fault.message))

    def on_drain_over(self) -> None:
        """The gateway stops and cannot wait any longer."""
        self._cut(Fault(SHUTTING_DOWN, "the gateway is shutting down", retry_after=1.0))

    def _cut(self, fault: Fault) -> None:
        if self._over:
            return
        if self._opening is not None:
            self._opening.cancel()
            self._opening = None
            self._note(fault, None)
        elif self._relay is not None:
            self._relay.abandon()
            self._note(fault, self._relay)
        self._finish(fault)

    # deadlines; DESIGN section 4

    def sweep(self, now: float) -> None:
        """Called every 100 ms."""
        relay = self._relay
        if relay is not None:
            relay.look(now)
        if not self.committed and now >= self._total_at:
            self._cut(Fault(TOTAL_TIMEOUT, f"no answer within {self._timeouts().total:g} s"))
            return
        if relay is not None and relay.streaming and now - relay.last_at > self._timeouts().idle:
            if relay.finished_but_open:
                relay.finish_early()
            else:
                relay.fail(Fault(IDLE_TIMEOUT, f"the upstream was silent for {self._timeouts().idle:g} s"))
            return
        if self.committed:
            return
        if relay is not None and now >= self._first_token_at:
            limit = self._first_token_at - relay.connection.sent_at
            alive = relay.last_at > relay.connection.sent_at and now - relay.last_at < limit
            if not alive or now - relay.connection.sent_at > 3 * limit:
                relay.fail(Fault(FIRST_TOKEN_TIMEOUT, f"the upstream sent no content within {limit:g} s"))
                return
        if now >= self._hold_at:
            self._hold_at = now + self._runtime.settings.server.hold_head
            if not self._head_sent:
                self._head_sent = True
                self._status = 200
                self._sink.head(200, _SSE_HEAD + gateway_block(self))
            self._sink.data(KEEP_ALIVE)

    def _timeouts(self) -> TimeoutSettings:
        return self._candidates[self._index].settings.timeouts

    # the end

    def _finish(self, fault: Fault | None) -> None:
        """Give the client its end, and write the record."""
        if self._over:
            return
        self._over = True
        sink = self._sink
        if fault is None:
            sink.end()
            sink.done()
        elif fault.kind is CLIENT_GONE:
            pass
        elif not self._head_sent:
            self._refuse(fault)
        elif self._can_say_error():
            if fault.kind is not ERROR_IN_STREAM or not self.committed:  # else the client has the upstream's own
                self.send(sse_error(fault, self.call.surface, self.call.request_id.decode()))
            sink.end()
            sink.done()
        else:
            sink.fail()
        self._record(fault)

    def _can_say_error(self) -> bool:
        """Whether an error event can follow what the client has: a stream of events, not in the middle of one."""
        relay = self._relay
        if self.call.surface not in SSE_SURFACES or (relay is not None and relay.mid_event):
            return False
        return not self.committed or (relay is not None and relay.is_event_stream)

    def _refuse(self, fault: Fault) -> None:
        """No content was sent: the client gets an ordinary error answer, the upstream's own if there is one."""
        answer = fault.answer
        self._status = status = answer.status if answer is not None else fault.http_status
        if answer is not None and not 300 <= status < 400:
            block = answer_block(self, answer, decoded=self._relay is not None and self._relay.decoded)
            body = answer.body
        else:
            self._status = status = fault.http_status
            block = b"content-type: application/json\r\n" + gateway_block(self)
            body = render(fault, dialect_of(self.call.surface), self.call.request_id.decode())
        if fault.retry_after is not None and answer is None:
            block += b"retry-after: %d\r\n" % max(1, round(fault.retry_after))
        if status >= 400:
            block += b"x-should-retry: false\r\n"
        self.bytes_out += len(body)
        self._sink.respond(status, block, body)
        self._sink.done()

    def _record(self, fault: Fault | None) -> None:
        runtime = self._runtime
        runtime.live.discard(self)
        relay = self._relay
        raw = relay.usage if relay is not None else ABSENT
        call = self.call
        runtime.observe(
            UsageRecord(
                call.request_id.decode(),
                call.key,
                call.surface,
                call.model,
                call.stream,
                self._candidates[self._index].name,
                tuple(self._attempts),
                None if raw is ABSENT else parse_usage(raw, call.surface),
                self._status or (fault.http_status if fault is not None else 0),
                "" if fault is None else fault.kind.name,
                self._started,
                self.committed_at,
                runtime.clock.now,
                len(call.body),
                self.bytes_out + (relay.forwarded if relay is not None else 0),
            )
        )
