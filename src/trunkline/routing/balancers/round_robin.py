"""Strategy `round_robin`: each in turn.

It remembers whose turn it is. One that cannot be asked loses its turn.
"""

from collections.abc import Sequence

from trunkline.routing.balancers.base import Allowed, Candidate, Rng, open_to


class RoundRobin:
    """Each in turn, in the order written; the first turn is the first one's."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self._candidates = tuple(candidates)
        self._turn = 0

    def pick(self, rng: Rng, now: float, allowed: Allowed | None = None) -> Candidate | None:
        """The next that can be asked."""
        candidates, turn = self._candidates, self._turn
        count = len(candidates)
        candidate = candidates[turn]
        if (
            allowed is None and candidate.target.usable
        ):  # mostly: and a call of `open_to` costs a third of a pick
            self._turn = turn + 1 if turn + 1 < count else 0
            return candidate
        for at in range(turn, turn + count):
            candidate = candidates[at % count]
            if open_to(candidate, now, allowed):
                self._turn = (at + 1) % count
                return candidate
        return None

    def score(self, candidate: Candidate, now: float) -> float:
        """How many turns it has to wait."""
        return float((candidate.place - self._turn) % len(self._candidates))
