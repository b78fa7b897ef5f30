"""Strategy `priority`: the first that can be asked, in order.

Lower priority first, equal ones in the order written. It remembers nothing.
"""

from collections.abc import Sequence

from trunkline.routing.balancers.base import Allowed, Candidate, Rng, open_to


class Priority:
    """Always the same order."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self._order = sorted(candidates, key=lambda candidate: candidate.priority)
        self._places = {candidate.place: place for place, candidate in enumerate(self._order)}

    def pick(self, rng: Rng, now: float, allowed: Allowed | None = None) -> Candidate | None:
        """The first that can be asked."""
        for candidate in self._order:
            if open_to(candidate, now, allowed):
                return candidate
        return None

    def score(self, candidate: Candidate, now: float) -> float:
        """Its place in the order."""
        return float(self._places[candidate.place])
