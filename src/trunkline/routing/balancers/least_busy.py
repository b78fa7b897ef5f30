"""Strategy `least_busy`: the one with the fewest calls under way, for its weight.

Among few candidates all are looked at, from a random one on, so that equals share; among many the better of two.
"""

from collections.abc import Sequence

from trunkline.routing.balancers.base import Allowed, Candidate, Rng, open_to
from trunkline.routing.balancers.two_choices import FEW, TwoChoices


class LeastBusy:
    """The calls are counted at the targets."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self._candidates = tuple(candidates)
        self._two = TwoChoices(candidates)

    def pick(self, rng: Rng, now: float, allowed: Allowed | None = None) -> Candidate | None:
        """The least busy that can be asked."""
        candidates = self._candidates
        count = len(candidates)
        if count > FEW:
            return self._two.pick(self.score, rng, now, allowed)
        start = int(rng.random() * count)
        best: Candidate | None = None
        least = 0.0
        for at in range(start, start + count):
            candidate = candidates[at % count]
            load = self.score(candidate, now)
            if (best is None or load < least) and open_to(candidate, now, allowed):
                best, least = candidate, load
        return best

    def score(self, candidate: Candidate, now: float) -> float:
        """Its load with one more call."""
        return (candidate.target.inflight + 1) / (candidate.weight or 1e-9)
