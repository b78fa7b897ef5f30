"""Power of two choices: of two candidates drawn at random the better one.

Owns the drawing, for balancers that compare loads. Nearly as even as looking at all, and as cheap with a thousand
candidates as with two; herds do not form, because not everybody sees the same best one (Mitzenmacher 1996).
"""

from collections.abc import Callable, Sequence

from trunkline.routing.balancers.base import Allowed, Candidate, Rng, open_to

_DRAWS = 8
"""Draws before all are looked at: with half of the candidates unusable one call in 30 gets there."""


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
