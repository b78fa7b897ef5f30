"""What the client gets of a call's answers: their head, their bytes, and what these go through.

Owns the client's side of an answer. Does not own who is asked (attempts.py, succession.py), the bytes of an answer
(relay.py), nor the client itself, deadlines and the end (exchange.py).
"""

import time
from collections.abc import Callable
from typing import Any

import msgspec

from trunkline.engine.answer_head import answer_block
from trunkline.engine.deadlines import NEVER
from trunkline.engine.recording import completion_size
from trunkline.engine.relay import Relay
from trunkline.engine.splicing import Splicing, could_splice
from trunkline.engine.succession import Succession
from trunkline.errors import Fault
from trunkline.streams.answer import AS_IT_IS, AnswerSettings
from trunkline.streams.rewrite import OBJECTS, Rewriter
from trunkline.wire.usage import Usage, render_usage

_ONLY_THOUGHTS = b"x-trunkline-note: only-thoughts\r\n"
SMALL_BODY = 4096
"""Bytes of a request body that may stay until the call is recorded, a moment later."""


class _Asked(msgspec.Struct, gc=False):
    n: Any = 1


_decode_asked = msgspec.json.Decoder(_Asked).decode


def choices_of(body: bytes) -> int:
    """How many choices a request asks for."""
    if b'"n"' not in body:
        return 1
    try:
        n = _decode_asked(body).n
    except (msgspec.DecodeError, RecursionError):
        return 1
    return n if type(n) is int and n > 0 else 1


class Delivery(Succession):
    """A call's answer on its way to the client."""

    # Defaults stand on the class: a call sets what differs.
    _head_sent = False
    _in_events = False  # the client reads a stream of events, and is between two of them
    _head_at = 0.0
    _ended = 0.0
    _status = 0
    _bytes_out: int = 0
    _fault: Fault | None = None
    _hold_at = NEVER
    _rewriter: Rewriter | None = None

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
        return self.call.stream if self._streams is None else self._streams

    @property
    def answer(self) -> AnswerSettings:
        """What is to be done with the present backend's answer."""
        orders = self._orders
        return AS_IT_IS if orders is None or orders.answer is None else orders.answer

    def rewriter(self, *, folds: bool) -> Rewriter | None:
        """What a stream goes through on its way to the client, as the operator wants the present backend's answers."""
        call = self.call
        self._rewriter = None
        if call.surface in OBJECTS:
            self._rewriter = Rewriter(
                call.surface,
                self.answer,
                include_usage=call.include_usage or folds,
                request_id=call.request_id.decode(),
                created=int(time.time()),
                asked=call.model,
                choices=choices_of(call.body),
            )
            if call.include_usage or folds:
                self._rewriter.estimate = self._estimated_usage
        return self._rewriter

    def _estimated_usage(self) -> bytes:
        """What a stream whose upstream never counted has used, about, for a client that wants to know."""
        relay = self._relay
        if relay is not None and (known := relay.usage(self.call.surface)) is not None:
            return render_usage(known)
        rates, model = self._runtime.rates, self._target.model or self.call.model
        said = (
            0 if relay is None else completion_size(relay.text_bytes, relay.bytes_in, streamed=self.streams)
        )
        prompt, completion = (
            rates.estimate(model, "prompt", self._body_size),
            rates.estimate(model, "completion", said),
        )
        return render_usage(Usage(prompt, completion, prompt + completion, source="estimated"))

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
            if relay.only_thoughts:
                block += _ONLY_THOUGHTS
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
        runtime.finished(self)  # type: ignore[arg-type] # exchange.py completes it

    def pause_request(self, paused: bool) -> None:
        """The upstream stopped, or began again, to take the request body."""
        if self._upload is not None:
            self._sink.pause_body(paused)
