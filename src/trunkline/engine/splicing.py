"""What is done about a stream that was cut after its client had content: have another answer go on with it.

Owns whether that is tried for a call, where, and with which request. Does not own the comparison of the two answers
(streams/splice.py, streams/continuation.py), nor the attempts (attempts.py). DESIGN section 3, `on_cut`.

One attempt: the next target that is sound, else the same one, is asked again. Under `continue` a target that takes a
prefill is asked for the rest alone; if it refuses, it is asked from the start, once.
"""

from typing import TYPE_CHECKING

from trunkline.engine.deadlines import NEVER
from trunkline.engine.failover import Failover, Fields, fields_of
from trunkline.engine.orders import Ordering, applied
from trunkline.errors import Fault
from trunkline.policy.tokens import CHARS_PER_TOKEN
from trunkline.routing.balancers.base import Candidate
from trunkline.routing.faults import row_of
from trunkline.routing.route import Pick
from trunkline.routing.target import LAST_RESORT, Target
from trunkline.streams.continuation import Continuation, prefill, refused
from trunkline.streams.splice import MAX_PROMPT, Splice, unfit
from trunkline.streams.transcript import Had, Transcript
from trunkline.wire.values import Call

if TYPE_CHECKING:
    from trunkline.engine.runtime import Runtime
    from trunkline.engine.upstream import Upstream


class Splicing:
    """One stream's chance to be gone on with. Made at its content commit, where a cut could be mended."""

    __slots__ = ("_had", "cut", "fields", "joint", "notes", "target", "told", "transcript", "until", "why")

    def __init__(self) -> None:
        self.transcript = Transcript()
        self.joint: Splice | None = None
        """What the second answer goes through, once it was asked for."""
        self.fields: Fields | None = None
        """The request for the rest, with what the operator wants in it; None: the same as before."""
        self.notes: tuple[str, ...] = ()
        """What the operator's wants changed in that."""
        self.until = NEVER
        """When the second answer must have come to where the first was cut."""
        self.cut: Fault | None = None
        """What ended the first answer."""
        self.why = ""
        """Why there was no second answer, in words."""
        self.told = False
        """Whether the second target was told that its content came."""
        self.target: Target | None = None
        self._had: Had | None = None

    def __repr__(self) -> str:
        return f"<Splicing {self.joint or self.transcript!r}>"

    def begin(
        self,
        runtime: "Runtime",
        call: Call,
        upstreams: "dict[str, Upstream]",
        failover: Failover,
        fault: Fault,
        ordering: Ordering | None,
    ) -> Pick | None:
        """Where the answer is asked for again; None, and `why`, if it is not."""
        now, tries = runtime.clock.now, failover.tries
        self.cut = fault
        how = upstreams[tries.target.backend.name].settings.on_cut
        if not row_of(fault).next:
            return self._refuse("the failure is the client's own")
        had = self.transcript.read()
        if isinstance(had, str):
            return self._refuse(had)
        failover.forget_limit()
        fields = failover.fields or fields_of(call)
        if reason := unfit(
            call.surface, applied(failover.orders, fields)[0], len(call.body) / CHARS_PER_TOKEN
        ):
            return self._refuse(reason)
        allowed = tries.allowed()

        def agrees(candidate: Candidate) -> bool:
            return allowed(candidate) and not runtime.divergences.skipped(
                call.model, named(candidate.target), now
            )

        found = tries.route.sound(runtime.rng, now, streamed=True, allowed=agrees)
        if found is None:
            target = tries.target
            skipped = runtime.divergences.skipped(call.model, named(target), now)
            if skipped or target.why(now) in LAST_RESORT or row_of(fault).again == "no":
                return self._refuse("no target is left to ask")
            found = tries.pick
        if not runtime.retries.take(now, runtime.requests):
            return self._refuse("the retry budget is used up")
        style = upstreams[found.candidate.target.backend.name].settings.prefill
        self._had = had
        if how == "continue" and style is not None:
            backend = found.candidate.target.backend.name
            orders = None if ordering is None else ordering.at(found.tier, backend, call.surface)
            # The answer's beginning comes behind what the operator adds, and lowers the limit that he sets.
            fields, self.notes = applied(orders, fields)
            self.fields = prefill(fields, had, style)
        self.joint = Splice(had) if self.fields is None else Continuation(had)
        self.target = found.candidate.target
        tries.move(found)
        return found

    def restart(self, failover: Failover, fault: Fault) -> Pick | None:
        """After the second attempt failed: the same target from the start if it refused the prefill."""
        if self.fields is None or self.joint is None or self.joint.joined or not refused(fault):
            return None
        assert self._had is not None
        self.fields = None
        self.joint = Splice(self._had)
        return failover.tries.pick

    def over(self, runtime: "Runtime", call: Call) -> None:
        """The second answer is over: remember whether it said the same."""
        joint = self.joint
        if joint is not None and self.target is not None and (joint.diverged or joint.joined):
            now = runtime.clock.now
            runtime.divergences.observe(call.model, named(self.target), now, diverged=joint.diverged)

    def _refuse(self, why: str) -> None:
        self.why = why


def named(target: Target) -> str:
    """A target in the memory of divergences."""
    return f"{target.backend.name}/{target.model}"


def could_splice(call: Call, upstream: "Upstream") -> bool:
    """Whether it is worth keeping what a stream says. Looks at the request only where it is long."""
    if call.surface != "chat" or upstream.settings.on_cut == "error":
        return False
    tokens = len(call.body) / CHARS_PER_TOKEN
    return tokens <= MAX_PROMPT or not unfit(call.surface, fields_of(call), tokens)
