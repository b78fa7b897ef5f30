"""Why a call went where it went: the candidates, and what spoke against each.

Owns the value and its making, and who would be asked first. It is computed when someone asks. Making it changes no
turn and no state, except that ejections which are over end.
"""

import msgspec

from trunkline.routing.models import Strategy
from trunkline.routing.needs import Needs, lack
from trunkline.routing.route import Pick, Route, able
from trunkline.routing.target import Reason

_ENDLESS = float("inf")


class Considered(msgspec.Struct, frozen=True, gc=False):
    """One candidate. `tier`: 0 the model's own, then its fallbacks. `score`: what its strategy compares, least first.

    None: endless (a weight of 0, an unknown price). `against`: why it is not asked like the others, "" if nothing
    speaks against it.
    """

    tier: int
    model: str
    strategy: Strategy
    backend: str
    target: str
    score: float | None
    against: str


class Decision(msgspec.Struct, frozen=True, gc=False):
    """The candidates of one call in the order of tiers and as written."""

    model: str
    candidates: tuple[Considered, ...]


def decide(
    route: Route,
    now: float,
    *,
    streamed: bool,
    needs: Needs | None = None,
) -> Decision:
    """What would be considered for a call now."""
    found: list[Considered] = []
    for tier, pool in enumerate(route.tiers):
        balancer = pool.streams if streamed else pool.whole
        for candidate in pool.candidates:
            target = candidate.target
            reason = target.why(now) or ""
            if not reason and needs is not None:
                reason = lack(target.abilities, needs) or ""
            score = balancer.score(candidate, now)
            found.append(
                Considered(
                    tier,
                    pool.name,
                    pool.strategy,
                    target.backend.name,
                    target.model,
                    score if score < _ENDLESS else None,
                    str(reason),
                )
            )
    return Decision(route.name, tuple(found))


def foremost(route: Route, now: float, *, streamed: bool, needs: Needs | None = None) -> Pick | None:
    """Who `Route.first` would ask, without taking its turn; None: nobody can be asked now.

    Where chance has a part (`latency`, `least_busy`) it is the one that looks best; the draw may take another.
    """
    allowed = None if needs is None else able(needs)
    for tier, pool in enumerate(route.tiers):
        balancer = pool.streams if streamed else pool.whole
        fitting = [one for one in pool.candidates if allowed is None or allowed(one)]
        sound = [one for one in fitting if one.target.why(now) is None]
        if sound:
            return Pick(tier, min(sound, key=lambda one: balancer.score(one, now)))
        slow = next((one for one in fitting if one.target.why(now) is Reason.SLOW), None)
        if slow is not None:
            return Pick(tier, slow)
    found = route.busy(now, allowed)
    return found if found or route.full(now, allowed) else route.last_resort(now, allowed)
