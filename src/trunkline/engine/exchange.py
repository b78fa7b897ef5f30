"""One call from its checked request to its record: which backend is asked, what the client gets, when it is over.

Owns the sequence of attempts, the deadlines of a call and the end of the answer. Does not own the bytes of an answer
(engine/relay.py), the order of backends (routing/plan.py) nor the verdict on a failure (routing/faults.py).

Phases: RECEIVED -> TRYING -> COMMITTED -> DONE. The first attempt on an open connection is sent in the very callback
that brought the request; only opening a connection awaits. Faults before content was sent lead to the next candidate;
afterwards the stream ends with an in-band error, anything else without the end that its framing asks for.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from trunkline.engine.answer_head import answer_block, gateway_block
from trunkline.engine.relay import Relay
from trunkline.engine.sink import Sink
from trunkline.errors import (
    CLIENT_GONE,
    ERROR_IN_STREAM,
    FIRST_TOKEN_TIMEOUT,
    IDLE_TIMEOUT,
    INTERNAL,
    INVALID_REQUEST,
    RESET,
    SHUTTING_DOWN,
    STALE,
    TOTAL_TIMEOUT,
    Fault,
)
from trunkline.net.dns import ConnectFailed
from trunkline.net.http1_client import ClientConnection
from trunkline.policy.record import AttemptRecord, UsageRecord
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
_SSE_HEAD = (
    b"content-type: text/event-stream; charset=utf-8\r\n"
    b"cache-control: no-cache, no-transform\r\nx-accel-buffering: no\r\n"
)
_NEVER = float("inf")
LAST_WORD = 2.0
"""Seconds of silence after a stream's terminal event: then nothing more (usage) is to come, and clients wait for the
end of the body before they use the connection again."""


class Exchange:
    """The whole life of one call."""

    # Defaults stand on the class: a call sets what differs (a third of the cost of making one).
    _index = 0  # which candidate is being tried
    _fresh = False  # an idle connection was stale: replace it once
    _replaced = False
    _relay: Relay | None = None
    _opening: asyncio.Task[None] | None = None
    # Pieces of a streamed request body that wait for a connection, each with whether it is the last.
    _backlog: list[tuple[bytes, bool]] | None = None
    _spilled = False  # part of a streamed request body went upstream and cannot be sent again
    _bytes_in = 0  # of a streamed request body, behind its first piece
    committed = False
    _head_sent = False
    _head_at = 0.0
    _over = False
    _status = 0
    bytes_out = 0
    _events_asked = False
    _first_token_at = _NEVER
    _hold_at = _NEVER

    def __init__(
        self, runtime: "Runtime", call: Call, sink: Sink, candidates: "tuple[Upstream, ...]"
    ) -> None:
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
        attempt = len(self._attempts) + 1
        return f"<Exchange {self.call.request_id.decode()} attempt {attempt} committed={self.committed}>"

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
                    fault = failed.fault
                else:
                    if not connection.closed:
                        self._opening = None
                        self._send(connection)
                        return
                    # It was lost between the moment it was had and this one.
                    kind = STALE if connection.used else RESET
                    fault = Fault(kind, "the upstream closed the connection before the request was sent")
                self._note(fault, None)
                if not self._next(fault):
                    self._opening = None
                    self._finish(fault)
                    return
        except Exception as error:  # noqa: BLE001 # a client must get its end, whatever went wrong
            self._opening = None
            self.broke(error)

    def _send(self, connection: ClientConnection) -> None:
        upstream = self._candidates[self._index]
        call = self.call
        backlog, self._backlog = self._backlog, None
        if backlog is not None:
            length = call.length
        elif call.body or call.method == b"POST":
            length = len(call.body)
        else:
            length = None
        try:
            head = upstream.head(call, length)
        except ValueError as error:
            connection.abort()
            fault = Fault(INVALID_REQUEST, str(error))
            self._note(fault, None)
            self._finish(fault)
            return
        self._relay = relay = Relay(self, connection, own_credential=upstream.own_credential)
        no_body = call.method == b"HEAD"
        if backlog is None:
            connection.send(head, call.body, relay, no_body=no_body)
        else:
            self._spilled = True
            self._sink.pause_body(False)  # before anything is written: the upstream may not take it all
            body = encode_chunk(call.body) if call.length == CHUNKED else call.body
            connection.send(head, body, relay, no_body=no_body, partial=True)
            for piece, last in backlog:
                self._pass_piece(piece, last)
        self._tried_at = connection.sent_at
        if self._events_asked and self._index + 1 < len(self._candidates):
            self._first_token_at = connection.sent_at + self._runtime.first_token(upstream, call)

    def settled(self, relay: Relay, fault: Fault | None) -> None:
        """The present attempt is over; called by its relay."""
        try:
            self._note(fault, relay)
            if fault is not None and self._next(fault):
                self._relay = None
                self._opening = asyncio.get_running_loop().create_task(self._open())
            else:
                self._finish(fault)
        except Exception as error:  # noqa: BLE001 # no other callback comes that could end the answer
            self.broke(error)

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
        if not self._head_sent:
            self._head_sent = True
            self._head_at = self._runtime.clock.read()
            assert relay.head is not None
            self._status = relay.status
            self._sink.head(relay.status, answer_block(self, relay.head, decoded=relay.decoded), length)
        if not self._sink.writable:  # an earlier answer on the same connection has not been read yet
            relay.pause(True)

    @property
    def promised(self) -> bool:
        """Whether the client was told to expect events before any backend had sent one."""
        return self._head_sent and not self.committed

    def send(self, data: bytes) -> None:
        """Body bytes to the client."""
        self.bytes_out += len(data)
        self._sink.data(data)

    def framed(self) -> Callable[[bytes], None] | None:
        """Where chunks of the body may be written as they are."""
        return self._sink.framed()

    def deliver(self, relay: Relay, body: bytes) -> None:
        """A whole answer to the client."""
        head = relay.head
        assert head is not None
        self.committed = self._head_sent = True
        self._head_at = self._runtime.clock.now
        self._status = relay.status
        self.bytes_out += len(body)
        block = answer_block(self, head, decoded=relay.decoded)
        if not body and self.call.method == b"HEAD" and relay.status not in (204, 304):
            named = head.fields.get(b"content-length", b"")
            self._sink.head(relay.status, block, int(named) if named.isdigit() else None)
        else:
            self._sink.respond(relay.status, block, body)

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
        self._bytes_in += len(data)
        if self._backlog is not None:
            self._backlog.append((data, last))
        else:
            self._pass_piece(data, last)

    def _pass_piece(self, data: bytes, last: bool) -> None:
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

    def broke(self, error: Exception) -> None:
        """The gateway itself failed while it served this call: no attempt goes on, the client gets an end."""
        self._runtime.alarm("exchange", error)
        if self._relay is not None:
            self._relay.abandon()
        if not self._over:
            self._finish(Fault(INTERNAL, "the gateway failed; see its log"))
        elif self in self._runtime.live:  # it failed at its very end
            self._runtime.live.discard(self)
            self._sink.fail()

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
        if self._over:  # by what the sweep did to another
            return
        relay = self._relay
        if relay is not None:
            relay.look(now)
        if not self.committed and now >= self._total_at:
            self._cut(Fault(TOTAL_TIMEOUT, f"no answer within {self._total_at - self._started:g} s"))
            return
        if relay is not None and relay.streaming:
            idle = self._candidates[self._index].settings.timeouts.idle
            silence = now - relay.last_at
            if relay.finished_but_open and silence > min(idle, LAST_WORD):
                relay.finish_early()
                return
            if silence > idle:
                relay.fail(Fault(IDLE_TIMEOUT, f"the upstream was silent for {idle:g} s"))
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
                self._head_at = now
                self._status = 200
                self._sink.head(200, _SSE_HEAD + gateway_block(self))
            self._sink.data(KEEP_ALIVE)

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
            # An error event of the upstream's own has gone to the client with the content before it.
            if fault.kind is not ERROR_IN_STREAM or not self.committed:
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
        self._head_at = self._runtime.clock.now
        self._status = status = fault.http_status if answer is None else answer.status
        if answer is not None:
            block = answer_block(self, answer, decoded=self._relay is not None and self._relay.decoded)
            body = answer.body
        else:
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
                self._head_at,
                runtime.clock.now,
                len(call.body) + self._bytes_in,
                self.bytes_out + (relay.forwarded if relay is not None else 0),
            )
        )
