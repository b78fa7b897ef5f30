"""Strategy `priority`: the first that can be asked, in order.

Lower priority first, equal ones in the order written. It remembers nothing.
"""

from collections.abc import Sequence

from trunkline.routing.balancers.base import Allowed, Candidate, Rng, first_open


class Priority:
    """Always the same order."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self._order = sorted(candidates, key=lambda candidate: candidate.priority)
        self._places = {candidate.place: place for place, candidate in enumerate(self._order)}

    def pick(self, rng: Rng, now: float, allowed: Allowed | None = None) -> Candidate | None:
        """The first that can be asked."""
        return first_open(self._order, now, allowed)

    def score(self, candidate: Candidate, now: float) -> float:
        """Its place in the order."""
        return float(self._places[candidate.place])
