"""One call from its checked request to its record: what the client gets, and when the call is over.

Owns the client's side of a call and its state. Does not own who is asked (attempts.py, succession.py), the bytes of
an answer (relay.py), deadlines (deadlines.py), nor the words of a failed end (ending.py).

Phases: RECEIVED -> TRYING -> COMMITTED -> DONE. Faults before content was sent lead to another attempt; afterwards
the stream is gone on with by another answer or ends with an in-band error, and anything else ends without the end
that its framing asks for.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from trunkline.engine.answer_head import answer_block, gateway_block
from trunkline.engine.deadlines import NEVER, Due, due
from trunkline.engine.ending import error_answer
from trunkline.engine.origin import Origin, origin_of
from trunkline.engine.patience import idle
from trunkline.engine.recording import attempt_record, usage_record
from trunkline.engine.relay import EVENTS_TYPE, Relay
from trunkline.engine.sink import Sink
from trunkline.engine.splicing import Splicing, could_splice
from trunkline.engine.succession import Succession
from trunkline.engine.upload import Upload
from trunkline.errors import CLIENT_GONE, FIRST_TOKEN_TIMEOUT, INTERNAL, SHUTTING_DOWN, TOTAL_TIMEOUT, Fault
from trunkline.policy.record import UsageRecord
from trunkline.routing.needs import Needs
from trunkline.streams.answer import AS_IT_IS, AnswerSettings
from trunkline.streams.rewrite import OBJECTS, Rewriter
from trunkline.wire.error_body import sse_error
from trunkline.wire.sse import comment
from trunkline.wire.values import SSE_SURFACES, Call

if TYPE_CHECKING:
    from trunkline.engine.choices import Choice
    from trunkline.engine.runtime import Runtime

KEEP_ALIVE = comment(b"keep-alive")
_ONLY_THOUGHTS = b"x-trunkline-note: only-thoughts\r\n"
SMALL_BODY = 4096
"""Bytes of a request body that may stay until the call is recorded, a moment later."""


class Exchange(Succession):
    """The whole life of one call."""

    # Defaults stand on the class: a call sets what differs.
    _head_sent = False
    _in_events = False  # the client reads a stream of events, and is between two of them
    _head_at = 0.0
    _ended = 0.0
    _status = 0
    _bytes_out = 0
    _fault: Fault | None = None
    _hold_at = NEVER
    _rewriter: Rewriter | None = None

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

    def __repr__(self) -> str:
        attempt = len(self._attempts) + 1
        return f"<Exchange {self.call.request_id.decode()} attempt {attempt} committed={self.committed}>"

    def naming(self) -> bytes:
        """The header lines that say who answered."""
        choice, pick = self._choice, self._pick
        if not self._attempts:
            if self._fault is not None:
                return b""  # nobody was asked
            if pick is None:
                return choice.naming
            if pick.tier == 0 and (known := choice.namings[pick.candidate.place]):
                return known
        pool = choice.route.pool(0 if pick is None else pick.tier)
        attempts = len(self._attempts) + (self._fault is None)  # the present one is noted when it has failed
        naming = self._runtime.choices.naming(pool.name, self._upstream, attempts)
        if self._failover is not None and self._failover.evicted:
            return b"%bx-trunkline-evicted: %b\r\n" % (naming, self._failover.evicted)
        if not self._attempts and pick is not None and pick.tier == 0:
            choice.namings[pick.candidate.place] = naming
        return naming

    @property
    def own_errors(self) -> bool:
        """Whether an upstream's error may be put in other words: not where all is forwarded as it is."""
        return not self._runtime.settings.passthrough

    @property
    def own_credential(self) -> bool:
        """Whether the present backend gets the gateway's credential, not the client's."""
        return self._upstream.own_credential

    @property
    def streams(self) -> bool:
        """Whether the present backend was asked for a stream."""
        return self.call.stream

    @property
    def answer(self) -> AnswerSettings:
        """What is to be done with the present backend's answer."""
        return AS_IT_IS

    def rewriter(self, *, folds: bool) -> Rewriter | None:
        """What a stream goes through on its way to the client: one for all streams that an answer is joined of."""
        call = self.call
        if call.surface in OBJECTS and not (self.committed and self._rewriter is not None):
            self._rewriter = Rewriter(
                call.surface,
                self.answer,
                include_usage=call.include_usage or folds,
                request_id=call.request_id.decode(),
                created=int(time.time()),
                asked=call.model,
            )
        return self._rewriter

    def masked(self, body: bytes) -> bytes:
        """An upstream's error body without the credential it got: some quote the key that they refuse."""
        return self._upstream.mask(body)

    def timings(self) -> tuple[float, float]:
        """Seconds since the call came, and since the present attempt was sent."""
        now = self._runtime.clock.now
        return now - self._started, now - self._tried_at

    def _leave(self, relay: Relay | None) -> None:
        if relay is not None and self.committed:
            self._bytes_out += relay.passed
        self._relay = None

    # the answer; called by the relay

    def commit(self, relay: Relay, length: int | None) -> None:
        """Content is about to be sent: no other answer from here on, but one that goes on with it."""
        self.committed = True
        if self._trial is not None:
            self._trial.committed(self.events_asked, self._runtime.clock.now)
        self._in_events = relay.is_event_stream or bool(relay.retyped)
        if relay.is_event_stream and self.events_asked and could_splice(self.call, self._upstream):
            self._splicing = Splicing()
            relay.transcript = self._splicing.transcript
        else:
            self._drop_body()
            self._sink.release()
        if not self._head_sent:
            self._head_sent = True
            self._head_at = self._runtime.clock.read()
            assert relay.head is not None
            self._status = relay.status
            block = answer_block(self, relay.head, decoded=relay.decoded, retyped=relay.retyped)
            self._sink.head(relay.status, block, length)
        if not self._sink.writable:  # an earlier answer on the same connection has not been read yet
            relay.pause(True)

    @property
    def promised(self) -> bool:
        """Whether the client was told to expect events before any backend had sent one."""
        return self._head_sent and not self.committed

    def _drop_body(self) -> None:
        """Nobody is asked again: the request's bytes are not kept for the record's sake."""
        self.call.body = b""
        self.call.fields = None

    def send(self, data: bytes) -> None:
        """Body bytes to the client."""
        self._bytes_out += len(data)
        self._sink.data(data)

    def framed(self) -> Callable[[bytes], None] | None:
        """Where chunks of the body may be written as they are."""
        return self._sink.framed()

    def deliver(self, relay: Relay, body: bytes) -> None:
        """A whole answer to the client, and with it the end of the call."""
        head = relay.head
        assert head is not None
        sink = self._sink
        runtime = self._runtime
        self._over = True
        if self._body_size > SMALL_BODY:
            self._drop_body()
        self._head_at = self._ended = runtime.clock.now
        self._status = status = relay.status
        self._bytes_out = len(body)
        trial = self._trial
        if trial is not None:
            trial.committed(False, self._ended)
            self._end_trial(trial, None, self._ended)
            self._free_place()
        elif self._target.noted:
            self._went_well()
        block = answer_block(self, head, decoded=relay.decoded, retyped=relay.retyped)
        if relay.only_thoughts:
            block += _ONLY_THOUGHTS
        if not body and self.call.method == b"HEAD" and status not in (204, 304):
            named = head.fields.get(b"content-length", b"")
            sink.head(status, block, int(named) if named.isdigit() and len(named) < 19 else None)
            sink.end()
        else:
            sink.respond(status, block, body)
        sink.done()
        runtime.finished(self)

    def pause_request(self, paused: bool) -> None:
        """The upstream stopped, or began again, to take the request body."""
        if self._upload is not None:
            self._sink.pause_body(paused)

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
            total_at=self._started + self._choice.total,
            first_token_at=self._first_token_at if self._replaceable(now) else NEVER,
            hold_at=self._hold_at,
            idle=idle(self._upstream, self._target) if relay is not None and relay.streaming else NEVER,
        )
        if verdict is Due.NOTHING:
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

    def _show_life(self, now: float) -> None:
        """Head commit without content: proxies in front of the gateway would give up."""
        self._hold_at = now + self._runtime.settings.server.hold_head
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
