"""Strategy `cost`: the cheapest that can be asked.

By the price that each candidate was given when the snapshot was made; unknown prices come last, equal ones in the
order written.
"""

from collections.abc import Sequence

from trunkline.routing.balancers.base import Allowed, Candidate, Rng, first_open

_UNKNOWN = float("inf")


class Cost:
    """Always the same order."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self._order = sorted(candidates, key=_price)

    def pick(self, rng: Rng, now: float, allowed: Allowed | None = None) -> Candidate | None:
        """The cheapest that can be asked."""
        return first_open(self._order, now, allowed)

    def score(self, candidate: Candidate, now: float) -> float:
        """Its price."""
        return _price(candidate)


def _price(candidate: Candidate) -> float:
    return _UNKNOWN if candidate.price is None else candidate.price
