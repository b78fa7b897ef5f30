"""Why a call went where it went: the candidates, and what spoke against each.

Owns the value and its making. It is computed when a call fails over or someone asks, never for a call that goes
straight to its target. Making it changes no turn and no state, except that ejections which are over end.
"""

import msgspec

from trunkline.routing.needs import Needs, lack
from trunkline.routing.route import Route
from trunkline.routing.target import Target


class Considered(msgspec.Struct, frozen=True, gc=False):
    """One candidate. `tier`: 0 the model's own, then its fallbacks. `score`: what its strategy compares, least first.

    `against`: why it is not asked like the others, "" if nothing speaks against it.
    """

    tier: int
    model: str
    strategy: str
    backend: str
    target: str
    score: float
    against: str


class Decision(msgspec.Struct, frozen=True, gc=False):
    """The candidates of one call in the order of tiers and as written; `rule`: which one led here, "" none."""

    asked: str
    model: str
    rule: str
    candidates: tuple[Considered, ...]


def decide(
    route: Route,
    now: float,
    *,
    streamed: bool,
    needs: Needs | None = None,
    tried: frozenset[Target] = frozenset(),
    asked: str = "",
    rule: str = "",
) -> Decision:
    """What would be considered for a call now."""
    found: list[Considered] = []
    for tier, pool in enumerate(route.tiers):
        balancer = pool.balancer(streamed)
        for candidate in pool.candidates:
            target = candidate.target
            against = "tried" if target in tried else target.why(now) or ""
            if not against and needs is not None:
                against = lack(target.abilities, needs) or ""
            found.append(
                Considered(
                    tier,
                    pool.name,
                    pool.strategy,
                    target.backend.name,
                    target.model,
                    balancer.score(candidate, now),
                    str(against),
                )
            )
    return Decision(asked or route.name, route.name, rule, tuple(found))
