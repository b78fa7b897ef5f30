"""One call from its checked request to its record: what the client gets, and when the call is over.

Owns the client, the deadlines that are obeyed and the end. Does not own who is asked (attempts.py, succession.py), what
the client gets of an answer (delivery.py), how deadlines are reckoned (deadlines.py), nor the words of a failed end
(ending.py).

Phases: RECEIVED -> TRYING -> COMMITTED -> DONE. Faults before content was sent lead to another attempt; afterwards
the stream is gone on with by another answer or ends with an in-band error, and anything else ends without the end
that its framing asks for.
"""

from typing import TYPE_CHECKING

from trunkline.engine.answer_head import gateway_block
from trunkline.engine.deadlines import NEVER, Due, due
from trunkline.engine.delivery import Delivery
from trunkline.engine.ending import error_answer
from trunkline.engine.origin import Origin, origin_of
from trunkline.engine.patience import idle
from trunkline.engine.recording import attempt_record, usage_record
from trunkline.engine.relay import EVENTS_TYPE
from trunkline.engine.sink import Sink
from trunkline.engine.splicing import Splicing
from trunkline.engine.upload import Upload
from trunkline.errors import CLIENT_GONE, FIRST_TOKEN_TIMEOUT, INTERNAL, SHUTTING_DOWN, TOTAL_TIMEOUT, Fault
from trunkline.policy.record import UsageRecord
from trunkline.routing.needs import Needs
from trunkline.wire import sse
from trunkline.wire.error_body import sse_error
from trunkline.wire.sse import comment
from trunkline.wire.values import SSE_SURFACES, Call

if TYPE_CHECKING:
    from trunkline.engine.choices import Choice
    from trunkline.engine.runtime import Runtime

KEEP_ALIVE = comment(b"keep-alive")
# Anthropic's clients know a sign of life of their own.
PING = sse.encode(b'{"type": "ping"}', b"ping")


class Exchange(Delivery):
    """The whole life of one call."""

    _alive_every = 0.0
    _said_bytes = 0
    _said_at = 0.0

    def __init__(
        self, runtime: "Runtime", call: Call, sink: Sink, choice: "Choice", needs: Needs | None = None
    ) -> None:
        self._runtime = runtime
        self._sink = sink
        self._choice = choice
        self._needs = needs
        self.call = call
        self._started = self._tried_at = runtime.clock.read()
        self._upload = None if call.length is None else Upload(call.length)
        self._body_size = len(call.body)
        runtime.live.add(self)
        if call.stream and call.surface in SSE_SURFACES:
            self.events_asked = True
            self._hold_at = self._started + runtime.settings.server.hold_head
            self._alive_every = runtime.settings.server.sse_keep_alive

    def __repr__(self) -> str:
        attempt = len(self._attempts) + 1
        return f"<Exchange {self.call.request_id.decode()} attempt {attempt} committed={self.committed}>"

    # the client; called by its connection

    whole = False

    def on_request(self, body: bytes, connection: object) -> None:
        """Never asked for: an exchange begins with its body, or the beginning of one."""

    def on_piece(self, data: bytes, last: bool, connection: object = None) -> None:
        """More of a streamed request body."""
        if self._upload is not None:
            self._upload.add(data, last=last)

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
        if self._opening is not None:
            self._opening.cancel()
            self._opening = None
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
            if not self._waits:
                self._note(fault, None)
        elif self._relay is not None:
            self._relay.abandon()
            self._note(fault, self._relay)
        self._finish(fault)

    def sweep(self, now: float) -> None:
        """Called every 100 ms: deadlines."""
        if self._over:  # by what the sweep did to another
            return
        relay = self._relay
        if relay is not None:
            relay.look(now)
        splicing = self._splicing
        if splicing is not None and self._late(splicing, now):
            return
        verdict = due(
            now,
            relay,
            started=self._started,
            committed=self.committed,
            begun=self.committed or (relay is not None and relay.begun),
            total_at=self._started + self._choice.total,
            first_token_at=self._first_token_at if self._replaceable(now) else NEVER,
            hold_at=self._hold_at,
            idle=idle(self._upstream, self._target) if relay is not None and relay.streaming else NEVER,
        )
        if verdict is Due.NOTHING:
            if self._in_events and self._alive_every:
                self._stay_alive(now)
            return
        if verdict is Due.HOLD:
            self._show_life(now)
        elif verdict is Due.FINISH and relay is not None:
            relay.finish_early()
        elif isinstance(verdict, Fault):
            if relay is None or verdict.kind is TOTAL_TIMEOUT:
                self._cut(verdict)
            else:
                relay.fail(verdict)

    def _replaceable(self, now: float) -> bool:
        """Whether a stream that should have begun by now could have another backend."""
        return now >= self._first_token_at and self._another()

    def _late(self, splicing: Splicing, now: float) -> bool:
        """See to a stream that may be gone on with by another answer; gives whether that one was given up."""
        if splicing.joint is None:
            if splicing.transcript.unfit and self.call.body:
                self._drop_body()
                self._sink.release()
                if self._relay is not None:
                    self._relay.forget()
            return False
        if splicing.joint.joined:
            if self._trial is not None and not splicing.told:
                splicing.told = True
                self._trial.committed(True, now)
            return False
        if now < splicing.until:
            if now >= self._hold_at:  # the first answer fell silent long ago
                self._hold_at = now + self._runtime.settings.server.hold_head
                self._sink.data(KEEP_ALIVE)
            return False
        late = Fault(FIRST_TOKEN_TIMEOUT, "no other answer came in time to go on with this one")
        if self._relay is not None:
            self._relay.fail(late)
        else:
            self._cut(late)
        return True

    def _stay_alive(self, now: float) -> None:
        """Break the silence of a stream that has begun: thoughts may be cut out of it for minutes."""
        relay = self._relay
        said = self._bytes_out + (0 if relay is None else relay.connection.forwarded - relay.withheld)
        if said != self._said_bytes:
            self._said_bytes, self._said_at = said, now
            return
        mid_event = relay is not None and relay.mid_event
        if now - self._said_at >= self._alive_every and self._sink.writable and not mid_event:
            self._said_at = now
            self._sink.data(PING if self.call.surface == "messages" else KEEP_ALIVE)

    def _show_life(self, now: float) -> None:
        """Head commit without content: proxies in front of the gateway would give up."""
        self._hold_at = now + (self._alive_every or self._runtime.settings.server.hold_head)
        if not self._head_sent:
            self._head_sent = True
            self._head_at = now
            self._status = 200
            self._sink.head(200, EVENTS_TYPE + gateway_block(self, answered=False))
        self._sink.data(KEEP_ALIVE)

    # the end

    def _finish(self, fault: Fault | None) -> None:
        """Give the client its end, and write the record."""
        if self._over:
            return
        self._over = True
        self._drop_body()
        self._fault = fault
        if self._trial is not None:
            self._end_trial(self._trial, fault, self._runtime.clock.now)
        if self._waits and self._opening is None:
            self._runtime.waiting.leave(self)
        self._free_place()
        self._ended = self._runtime.clock.now
        sink = self._sink
        if fault is None:
            sink.end()
            sink.done()
        elif fault.kind is CLIENT_GONE:
            pass
        elif not self._head_sent:
            self._head_at = self._ended
            self._status, block, body = error_answer(self, fault, self._relay)
            self._bytes_out += len(body)
            sink.respond(self._status, block, body)
            sink.done()
        elif self._may_say_error():
            if self._rewriter is not None and self.committed and (held := self._rewriter.release()):
                self.send(held)
            self.send(self._said or sse_error(fault, self.call.surface, self.call.request_id.decode()))
            sink.end()
            sink.done()
        else:
            sink.fail()
        self._runtime.finished(self)

    def _may_say_error(self) -> bool:
        """Whether an error event can follow what the client has: a stream of events, and not in the middle of one."""
        if self.call.surface not in SSE_SURFACES or (self._relay is not None and self._relay.mid_event):
            return False
        return self._in_events or not self.committed

    def record(self) -> UsageRecord:
        """What happened, when it is over: asked for once, a moment later, together with those of other calls."""
        relay, self._relay = self._relay, None  # each knows the other: one of the two ends that
        attempts, fault, call = self._attempts, self._fault, self.call
        if fault is None:
            last = attempt_record(
                self._upstream.name,
                self._target.model,
                self._tried_at,
                relay,
                None,
                self._ended,
                self._fresh,
                self._notes,
                call,
                self._body_size,
            )
            attempts = (*attempts, last)
        return usage_record(
            call,
            attempts,
            relay,
            fault,
            self._status,
            self._started,
            self._head_at,
            self._ended,
            self._body_size + (self._upload.bytes_in if self._upload is not None else 0),
            self._bytes_out,
        )

    def origin(self) -> "Choice | Origin":
        """How it came about, for those who ask."""
        failover, pick = self._failover, self._pick
        if failover is None and pick is None:
            return self._choice
        runtime, route = self._runtime, self._choice.route
        if pick is not None and pick.tier:
            runtime.observe_fallback(route.pool(pick.tier).name)
        origin = origin_of(self._choice, self._needs, failover, self._splicing)
        if isinstance(origin, Origin) and origin.spliced is not None:
            runtime.observe_splice(origin.spliced.outcome)
        return origin
