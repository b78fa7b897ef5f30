"""What a call does after an attempt that failed before content: made with the first failure, kept to its end.

Owns carrying out a step that changes the request (fewer turns, a lower limit) and remembering what was changed. Does
not own the order of steps (routing/retry.py), the arithmetic (policy/), nor the attempts (attempts.py).
"""

from typing import TYPE_CHECKING

import msgspec

from trunkline.engine.orders import Orders, applied
from trunkline.errors import UNFIT, Blame, Fault, Overflow
from trunkline.policy.eviction import Eviction, evict, render
from trunkline.policy.overflow_recovery import lower_limit, tokens_to_free
from trunkline.policy.tokens import CHARS_PER_TOKEN
from trunkline.routing.faults import OVERFLOWS
from trunkline.routing.needs import Needs
from trunkline.routing.retry import next_step
from trunkline.routing.retry_overflow import MAX_ROUNDS
from trunkline.routing.route import Pick, Route
from trunkline.routing.tries import Evict, LowerMaxTokens, Retry, Step, Tries
from trunkline.wire.values import Call

if TYPE_CHECKING:
    from trunkline.engine.runtime import Runtime

Fields = dict[str, msgspec.Raw]
_decode = msgspec.json.Decoder(Fields).decode


class Failover:
    """What one call has left to try, and its request as it was made smaller."""

    def __init__(
        self,
        runtime: "Runtime",
        call: Call,
        route: Route,
        pick: Pick,
        *,
        streamed: bool,
        deadline: float,
        needs: Needs | None,
    ) -> None:
        self._runtime = runtime
        self._call = call
        self.tries = Tries(route, pick, streamed=streamed, deadline=deadline, needs=needs)
        self._evictions: list[Eviction] = []
        self._fields: Fields | None = None  # with fewer turns
        self.limit: int | None = None
        """Tokens that the answer of the present target may have, where that was lowered."""
        self.orders: Orders | None = None
        """What the operator wanted of the attempt that failed."""
        self.last: Fault | None = None
        """What the last attempt came to."""
        self._overflow: Fault | None = None
        self.note = ""
        """What the last step changed in the request, in words."""
        self.spent = False
        """Whether the retry budget refused a repeat."""

    def __repr__(self) -> str:
        return f"<Failover {self.tries!r}>"

    @property
    def fields(self) -> Fields | None:
        """The request to send where it is not the client's any more."""
        if self.limit is None:
            return self._fields
        request = self._request()
        return lower_limit(request, self._call.surface, self.limit) or request

    @property
    def evicted(self) -> bytes:
        """The value of `x-trunkline-evicted`; empty if nothing was."""
        return render(self._evictions) if self._evictions else b""

    def last_word(self, fault: Fault) -> Fault:
        """The failure to tell a client of whose last attempt ended with this one."""
        if fault.kind is UNFIT:
            fault = self.last or fault
        if self._overflow is not None and fault.blame is not Blame.CLIENT:
            return self._overflow
        return fault

    def forget_limit(self) -> None:
        """The lower limit was for another target."""
        self.limit = None

    def after(self, fault: Fault, now: float, *, probe: bool, waits: bool = True) -> Step:
        """The step after a failed attempt; what it changes in the request is done. `waits`: for a place, if need be."""
        if fault.kind is not UNFIT:
            self.last = fault
        if fault.kind in OVERFLOWS:
            self._overflow = fault
        runtime, tries = self._runtime, self.tries
        self.note = ""
        while True:
            refused = runtime.retries.refused
            step = next_step(
                tries, fault, now, runtime.rng, runtime.retries, runtime.requests, probe=probe, waits=waits
            )
            self.spent = self.spent or runtime.retries.refused > refused
            overflow = fault.overflow or Overflow()
            if isinstance(step, Evict):
                if self._evict(overflow):
                    return step
                tries.evictions = MAX_ROUNDS  # nothing more can go: ask for what comes after
            elif isinstance(step, LowerMaxTokens):
                if self._lower(step.tokens):
                    return step
                tries.lowerings = MAX_ROUNDS
            else:
                if not isinstance(step, Retry):
                    self.limit = None  # of another target
                return step

    def _request(self) -> Fields:
        return self._fields or fields_of(self._call)

    def _sent(self) -> Fields:
        """The request as it was sent, as far as its length goes."""
        fields, _ = applied(self.orders, self._request())
        return fields if self.limit is None else lower_limit(fields, self._call.surface, self.limit) or fields

    def _evict(self, overflow: Overflow) -> bool:
        fields = self._request()
        messages = fields.get("messages")
        if messages is None:
            return False
        wanted = tokens_to_free(
            overflow,
            self._sent(),
            self._call.surface,
            prompt_tokens=len(messages) // CHARS_PER_TOKEN,
            window=self.tries.target.abilities.context_window,
        )
        counted = None if overflow.at_least else overflow.input
        gone = evict(messages, wanted, chars_per_token=CHARS_PER_TOKEN, prompt_tokens=counted)
        if gone is None:
            return False
        self._evictions.append(gone)
        self._fields = {**fields, "messages": gone.messages}
        self.limit = None
        self.note = f"{gone.evicted} messages left out, about {gone.tokens} tokens"
        return True

    def _lower(self, tokens: int) -> bool:
        if lower_limit(self._sent(), self._call.surface, tokens) is None:
            return False
        self.limit = tokens
        self.note = f"the limit for the answer lowered to {tokens} tokens"
        return True


def fields_of(call: Call) -> Fields:
    """The fields of a call's request object; none where it is no object."""
    if call.fields is not None:
        return call.fields
    try:
        return _decode(call.body)
    except msgspec.DecodeError:
        return {}
