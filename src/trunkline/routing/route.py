"""The candidates of one public model, and which of them is asked.

Owns the tiers (the model's own targets, then those of each fallback), the choice over all of them and the order in
which what is not sound is asked after all. Does not own the choice among equals (balancers/), what a failure leads to
(retry.py) nor the making of routes (routes.py).

In each tier its balancer picks among the targets against which nothing speaks, then come those that are slow. When no
tier has one left: targets that are busy, the one that is free first; then, as a last resort (panic), targets that are
ejected or unhealthy, the one that is out longest. `full` and `draining` ones are never asked.

A model with strategy `priority` whose first target needs no watching is `plain`: while that target is `usable` it is
the choice, and nothing else need be looked at or reported.
"""

from collections.abc import Callable, Iterator, Sequence

import msgspec

from trunkline.errors import NO_BACKEND, Fault
from trunkline.routing.balancers.base import Allowed, Balancer, Candidate, Rng, slow_one
from trunkline.routing.balancers.cost import Cost
from trunkline.routing.balancers.latency import Latency
from trunkline.routing.balancers.least_busy import LeastBusy
from trunkline.routing.balancers.priority import Priority
from trunkline.routing.balancers.round_robin import RoundRobin
from trunkline.routing.balancers.weighted import Weighted
from trunkline.routing.models import Strategy
from trunkline.routing.needs import Needs, lack, lacks, says_something
from trunkline.routing.target import LAST_RESORT, Reason, Target

BALANCERS: dict[Strategy, Callable[[Sequence[Candidate]], Balancer]] = {
    "priority": Priority,
    "round_robin": RoundRobin,
    "weighted": Weighted,
    "least_busy": LeastBusy,
    "latency": Latency,
    "cost": Cost,
}
_WATCHED = frozenset(("least_busy", "latency"))
_BUSY = frozenset((Reason.BUSY,))
_COULD = frozenset((None, Reason.SLOW, Reason.BUSY))
_SOON = 1.0  # seconds after which a client may try again where nobody knows better
_LATEST = 120.0


class Pick(msgspec.Struct, frozen=True, gc=False):
    """Who is asked: a candidate, and the tier in which it stands (`OF_CONTEXT`: the context fallback's)."""

    tier: int
    candidate: Candidate


class Pool:
    """The targets of one public model under its strategy: its own calls and those of others that fall back to it."""

    __slots__ = ("candidates", "choosy", "name", "picks", "strategy", "streams", "whole")

    def __init__(self, name: str, strategy: Strategy, candidates: Sequence[Candidate]) -> None:
        self.name = name
        self.strategy: Strategy = strategy
        self.candidates = tuple(candidates)
        self.picks = tuple(Pick(0, candidate) for candidate in self.candidates)
        """Ready-made, by place: of calls to this model itself."""
        self.streams: Balancer = BALANCERS[strategy](self.candidates)
        """What chooses for streams."""
        self.whole = self.streams
        """What chooses for other calls."""
        if strategy == "latency":
            self.whole = Latency(self.candidates, streamed=False)
        if strategy in _WATCHED:
            for candidate in self.candidates:
                candidate.target.counted = True
        self.choosy = any(says_something(candidate.target.abilities) for candidate in self.candidates)

    def __repr__(self) -> str:
        return f"<Pool {self.name}: {len(self.candidates)} by {self.strategy}>"

    def pick(
        self, rng: Rng, now: float, *, streamed: bool, allowed: Allowed | None = None
    ) -> Candidate | None:
        """A target that is sound."""
        found = (self.streams if streamed else self.whole).pick(rng, now, allowed)
        return found if found is not None else slow_one(self.candidates, now, allowed)


OF_CONTEXT = -1


class Route:
    """One public model with its fallbacks. `tiers`: its own pool first."""

    __slots__ = ("alone", "choosy", "context", "evict", "lacks", "name", "tiers")

    def __init__(
        self, name: str, tiers: Sequence[Pool], *, context: Pool | None = None, evict: bool = False
    ) -> None:
        self.name = name
        self.tiers = tuple(tiers)
        self.context = context
        self.evict = evict
        self.choosy = any(pool.choosy for pool in self.tiers)
        """Whether what a request needs could exclude a target in favour of another."""
        self.lacks = lacks(
            target.abilities for target in {pick.candidate.target for pick in self.candidates()}
        )
        """What of a request is worth looking at: each is lacking somewhere; `tokens`: the smallest window, 0 none."""
        self.alone = sum(len(pool.candidates) for pool in self.tiers) == 1
        """Whether there is nobody else to ask."""
        self.choosy = self.choosy and not self.alone

    def __repr__(self) -> str:
        return f"<Route {self.name}: {' > '.join(pool.name for pool in self.tiers)}>"

    def pool(self, tier: int) -> Pool:
        """The pool of a tier, or of `OF_CONTEXT`."""
        if tier != OF_CONTEXT:
            return self.tiers[tier]
        assert self.context is not None
        return self.context

    def plain(self) -> Pick | None:
        """The one that is the choice as long as its target is `usable`, if there is such a one (see above)."""
        own = self.tiers[0]
        if own.strategy != "priority" or self.choosy:
            return None
        first = min(own.candidates, key=lambda candidate: candidate.priority)
        return None if first.target.counted else Pick(0, first)

    def first(self, rng: Rng, now: float, *, streamed: bool, needs: Needs | None = None) -> Pick | Fault:
        """Who is asked first; a fault if nobody can be now.

        `needs` leave out who is known to lack them: for a request that somebody is able to answer (`anyone`). A place
        that comes free is better than a target that is ejected, so while somebody is full there is no last resort.
        """
        own = self.tiers[0]
        if needs is None:  # nearly always one of the model's own
            candidate = (own.streams if streamed else own.whole).pick(rng, now)
            if candidate is not None:
                return own.picks[candidate.place]
        allowed = None if needs is None else able(needs)
        found = self.sound(rng, now, streamed=streamed, allowed=allowed) or self.busy(now, allowed)
        if found is None and not self.full(now, allowed):
            found = self.last_resort(now, allowed)
        return found or self.nobody(now)

    def sound(self, rng: Rng, now: float, *, streamed: bool, allowed: Allowed | None = None) -> Pick | None:
        """One against which nothing speaks but that it is slow: of the first tier that has one."""
        for tier, pool in enumerate(self.tiers):
            candidate = pool.pick(rng, now, streamed=streamed, allowed=allowed)
            if candidate is not None:
                return Pick(tier, candidate)
        return None

    def busy(self, now: float, allowed: Allowed | None = None) -> Pick | None:
        """The one that refused for load and is free first."""
        return self._first(now, allowed, _BUSY, lambda target: target.busy_until)

    def last_resort(self, now: float, allowed: Allowed | None = None) -> Pick | None:
        """Of those that are ejected or unhealthy the one that is out longest."""
        return self._first(now, allowed, LAST_RESORT, lambda target: target.out_since)

    def _first(
        self,
        now: float,
        allowed: Allowed | None,
        reasons: frozenset[Reason],
        key: Callable[[Target], float],
    ) -> Pick | None:
        fitting = (
            pick
            for pick in self.candidates()
            if pick.candidate.target.why(now) in reasons and (allowed is None or allowed(pick.candidate))
        )
        return min(fitting, key=lambda pick: key(pick.candidate.target), default=None)

    def another(self, target: Target, now: float, allowed: Allowed | None = None) -> bool:
        """Whether someone else could take over: what a limit for the first token depends on."""
        return any(
            pick.candidate.target is not target
            and pick.candidate.target.why(now) in _COULD
            and (allowed is None or allowed(pick.candidate))
            for pick in self.candidates()
        )

    def full(self, now: float, allowed: Allowed | None = None) -> bool:
        """Whether someone could be asked if a place came free."""
        return any(
            pick.candidate.target.why(now) is Reason.FULL and (allowed is None or allowed(pick.candidate))
            for pick in self.candidates()
        )

    def anyone(self, needs: Needs) -> bool:
        """Whether somebody, at another time perhaps, is able: if not, nobody is left out for what he lacks."""
        return any(lack(pick.candidate.target.abilities, needs) is None for pick in self.candidates())

    def candidates(self) -> Iterator[Pick]:
        """All of them, in order of tiers and as written."""
        for tier, pool in enumerate(self.tiers):
            for candidate in pool.candidates:
                yield Pick(tier, candidate)

    def nobody(self, now: float) -> Fault:
        """The refusal when every target is full or being taken out of service."""
        times = [pick.candidate.target.free_at - now for pick in self.candidates()]
        wait = min((seconds for seconds in times if seconds > 0), default=_SOON)
        reasons = {str(pick.candidate.target.why(now)) for pick in self.candidates()}
        message = f"no backend of `{self.name[:100]}` can take a call now ({', '.join(sorted(reasons))})"
        return Fault(NO_BACKEND, message, retry_after=min(max(wait, _SOON), _LATEST))


def able(needs: Needs) -> Allowed:
    """Those that are not known to lack what is needed."""
    return lambda candidate: lack(candidate.target.abilities, needs) is None
