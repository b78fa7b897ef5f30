"""Power of two choices: of two candidates the better one.

Owns the drawing, for balancers that compare loads. Nearly as even as looking at all, and as cheap with a thousand
candidates as with two; herds do not form, because not everybody sees the same best one (Mitzenmacher 1996).

Among few both are drawn at random. Among many they are taken in order, from two places that are a random distance
apart; the distance is drawn anew in each round. So each is looked at twice in a round, where chance would leave out
one in seven, and what is known of neighbours lies near each other in memory: at random a pick among a thousand takes
half as long again.
"""

from collections.abc import Callable, Sequence

from trunkline.routing.balancers.base import Allowed, Candidate, Rng, open_to

_DRAWS = 8
"""Draws before all are looked at: with half of the candidates unusable one call in 30 gets there."""


FEW = 16
"""Candidates among which both are drawn at random, or that are all looked at (3 us)."""


class TwoChoices:
    """The drawing for one model's candidates."""

    __slots__ = ("_apart", "_candidates", "_turn")

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self._candidates = tuple(candidates)
        self._turn = self._apart = -1

    def pick(
        self, cost: Callable[[Candidate, float], float], rng: Rng, now: float, allowed: Allowed | None
    ) -> Candidate | None:
        """The one of lower cost among two that can be asked; None if none can."""
        candidates = self._candidates
        count = len(candidates)
        if count > FEW and allowed is None:
            turn = self._turn
            if self._apart < 0:
                turn = int(rng.random() * count)
            if turn == 0 or self._apart < 0:
                self._apart = 1 + int(rng.random() * (count - 1))
            self._turn = turn + 1 if turn + 1 < count else 0
            first, other = candidates[turn], candidates[turn + self._apart - count]
            if first.target.usable and other.target.usable:
                return other if cost(other, now) < cost(first, now) else first
        return better_of_two(candidates, cost, rng, now, allowed)


def better_of_two(
    candidates: Sequence[Candidate],
    cost: Callable[[Candidate, float], float],
    rng: Rng,
    now: float,
    allowed: Allowed | None,
) -> Candidate | None:
    """The one of lower cost among two that can be asked; None if none can."""
    count = len(candidates)
    if count == 1:
        only = candidates[0]
        return only if open_to(only, now, allowed) else None
    if count == 2 and allowed is None:
        first, other = candidates
        if first.target.usable and other.target.usable:
            if rng.random() < 0.5:  # who is first when both cost the same
                first, other = other, first
            return other if cost(other, now) < cost(first, now) else first
    at = -1  # where the first of the two is
    for _ in range(_DRAWS):
        if at < 0:
            drawn = int(rng.random() * count)
            if open_to(candidates[drawn], now, allowed):
                at = drawn
            continue
        drawn = int(rng.random() * (count - 1))
        other = candidates[drawn + (drawn >= at)]
        if open_to(other, now, allowed):
            first = candidates[at]
            return other if cost(other, now) < cost(first, now) else first
    able = [candidate for candidate in candidates if open_to(candidate, now, allowed)]
    if len(able) < 2:
        return able[0] if able else None
    at = int(rng.random() * len(able))
    drawn = int(rng.random() * (len(able) - 1))
    first, other = able[at], able[drawn + (drawn >= at)]
    return other if cost(other, now) < cost(first, now) else first
