"""Strategy `weighted`: turns in proportion to weights, spread evenly.

Earliest deadline first: each candidate's next turn is due 1/weight after its last one, and the earliest is taken. So
weights 5, 1, 1 give a b a a c a a and not a a a a a b c, and a pick costs a heap's logarithm, where nginx's smooth
weighted round robin, whose order this is but for ties, looks at all candidates. (Envoy schedules its weighted hosts
like this.)

One that cannot be asked loses its turn and keeps its place in time: when it is back it gets its share, not what it
missed. Weight 0 gets nothing as long as another can be asked.
"""

from collections.abc import Sequence
from heapq import heapify, heappop, heappush, heapreplace

from trunkline.routing.balancers.base import Allowed, Candidate, Rng, first_open, open_to


class Weighted:
    """A heap of who is due when."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self._candidates = tuple(candidates)
        heavy = [candidate for candidate in self._candidates if candidate.weight > 0]
        self._steps = {candidate.place: 1.0 / candidate.weight for candidate in heavy}
        self._at = {candidate.place: at for at, candidate in enumerate(self._candidates)}
        # The first turn is due after half a step: else all of them would be due at once, light ones among the first.
        self._due = [(0.5 / candidate.weight, self._at[candidate.place]) for candidate in heavy]
        self._idle = [candidate for candidate in self._candidates if candidate.weight <= 0]
        heapify(self._due)

    def pick(self, rng: Rng, now: float, allowed: Allowed | None = None) -> Candidate | None:
        """The one that is due first among those that can be asked."""
        due, steps = self._due, self._steps
        passed: list[tuple[float, int]] = []
        found: Candidate | None = None
        while due:
            at, index = due[0]
            candidate = self._candidates[index]
            if open_to(candidate, now, allowed):
                heapreplace(due, (at + steps[candidate.place], index))
                found = candidate
                break
            passed.append(heappop(due))
        for at, index in passed:  # if nobody had a turn, nobody lost one
            step = 0.0 if found is None else steps[self._candidates[index].place]
            heappush(due, (at + step, index))
        if found is not None:
            return found
        return first_open(self._idle, now, allowed)

    def score(self, candidate: Candidate, now: float) -> float:
        """When its next turn is due, in turns of weight 1."""
        index = self._at[candidate.place]
        return next((at for at, other in self._due if other == index), float("inf"))
