"""What one call has tried so far, and what can come next: the values that retry.py and retry_overflow.py share.

Owns both. Made when a call's first attempt has failed, so a call that goes well costs nothing here.
"""

import msgspec
from msgspec import structs

from trunkline.errors import Fault
from trunkline.routing.balancers.base import Allowed, Candidate
from trunkline.routing.needs import Needs, lack
from trunkline.routing.route import Pick, Route
from trunkline.routing.target import Target


class Retry(msgspec.Struct, frozen=True, gc=False):
    """The same target again, after `delay` seconds."""

    delay: float


class Next(msgspec.Struct, frozen=True, gc=False):
    """Another target of the model, at once."""

    pick: Pick


class Fallback(msgspec.Struct, frozen=True, gc=False):
    """A target of another model, at once."""

    pick: Pick
    model: str


class Evict(msgspec.Struct, frozen=True, gc=False):
    """The same target with a shorter prompt."""


class LowerMaxTokens(msgspec.Struct, frozen=True, gc=False):
    """The same target with this limit for the answer."""

    tokens: int


class Wait(msgspec.Struct, frozen=True, gc=False):
    """Another target, once it has a place; `next_step` is asked again if there is no waiting for one."""


class GiveUp(msgspec.Struct, frozen=True, gc=False):
    """The client gets this."""

    fault: Fault


Step = Retry | Next | Fallback | Evict | LowerMaxTokens | Wait | GiveUp


class Tries:
    """The attempts of one call. `pick`: the one that is under way, or has just failed."""

    __slots__ = (
        "_bad", "attempts", "deadline", "evictions", "lowered", "lowerings", "needs", "pick", "repeats", "route",
        "streamed", "tried", "window",
    )  # fmt: skip

    def __init__(
        self, route: Route, pick: Pick, *, streamed: bool, deadline: float, needs: Needs | None = None
    ) -> None:
        self.route = route
        self.pick = pick
        self.streamed = streamed
        self.deadline = deadline
        """When the call must be over; what does not fit before it is not begun."""
        self.needs = needs
        self.repeats = 0
        """How often the present target was asked again."""
        self.attempts = 1
        self.tried: set[Target] = {pick.candidate.target}
        self._bad: set[str] = set()
        self.evictions = 0
        self.lowerings = 0
        self.lowered = 0
        """The last limit for the answer that was tried, 0 for none."""
        self.window = 0
        """Tokens that a window must have, as far as refusals have told."""

    def __repr__(self) -> str:
        return f"<Tries {self.attempts} at {self.pick.candidate.target!r}>"

    @property
    def target(self) -> Target:
        """The one that is under way, or has just failed."""
        return self.pick.candidate.target

    def spoil_backend(self) -> None:
        """All of the present backend is of no use to this call."""
        self._bad.add(self.target.backend.name)

    def allowed(self, *, unknown: bool = True) -> Allowed:
        """What may come next: not tried, able, with a window that is large enough or, if `unknown`, not known."""
        needs = self.needs
        if needs is not None and self.window:  # an upstream has counted: no estimate says more
            needs = structs.replace(needs, tokens=0)

        def allows(candidate: Candidate) -> bool:
            target = candidate.target
            window = target.abilities.context_window
            return (
                target not in self.tried
                and target.backend.name not in self._bad
                and (unknown if window is None else window >= self.window)
                and (needs is None or lack(target.abilities, needs) is None)
            )

        return allows

    def move(self, pick: Pick) -> Next | Fallback:
        """Go on with another candidate."""
        before = self.pick.tier
        self.pick = pick
        self.repeats = 0
        self.attempts += 1
        self.tried.add(pick.candidate.target)
        if pick.tier == before:
            return Next(pick)
        return Next(pick) if pick.tier == 0 else Fallback(pick, self.route.pool(pick.tier).name)

    def again(self, delay: float) -> Retry:
        """Go on with the same one."""
        self.repeats += 1
        self.attempts += 1
        return Retry(delay)
