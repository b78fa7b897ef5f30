"""What every way to choose among the targets of one model is: the contract.

Owns the words that they share. Each balancer is one file, and one suite of tests runs over all of them. A balancer
holds what its method needs to remember (a turn, a queue) and nothing else: loads, latencies and breakers belong to
the targets.

`pick` gives one candidate that can be asked like any other and takes its turn; asked again with what was tried left
out it gives the next. What must wait (busy) or is a last resort is not its matter (route.py). The first pick among
many must be cheap: no balancer looks at all of a thousand targets as long as most of them are usable.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from trunkline.routing.target import Reason, Target


class Rng(Protocol):
    """Chance, as an argument: `random.Random` will do."""

    def random(self) -> float:
        """A number of [0, 1)."""
        ...


class Candidate(msgspec.Struct, frozen=True, gc=False, eq=False):
    """One target as one public model has it.

    `price` is of any unit, None unknown. `place` is its index in the model.
    """

    target: Target
    weight: float = 1.0
    priority: int = 99
    price: float | None = None
    place: int = 0


Allowed = Callable[[Candidate], bool]
"""Which candidates are not left out: by what was tried already, by what they can do."""


class Balancer(Protocol):
    """A way to choose. `candidates` are in the order written."""

    def __init__(self, candidates: Sequence[Candidate]) -> None: ...

    def pick(self, rng: Rng, now: float, allowed: Allowed | None = None) -> Candidate | None:
        """The one to ask, or None if none can be asked now."""
        ...

    def score(self, candidate: Candidate, now: float) -> float:
        """What it is compared by, for those who want to know; the lowest is asked."""
        ...


def open_to(candidate: Candidate, now: float, allowed: Allowed | None) -> bool:
    """Whether a candidate can be asked like any other."""
    target = candidate.target
    return (target.usable or target.why(now) is None) and (allowed is None or allowed(candidate))


def first_open(order: Sequence[Candidate], now: float, allowed: Allowed | None) -> Candidate | None:
    """The first of an order that can be asked like any other."""
    for candidate in order:
        if open_to(candidate, now, allowed):
            return candidate
    return None


def slow_one(candidates: Sequence[Candidate], now: float, allowed: Allowed | None) -> Candidate | None:
    """The first of those that are sound but slow: they stand behind the others of their model."""
    for candidate in candidates:
        if candidate.target.why(now) is Reason.SLOW and (allowed is None or allowed(candidate)):
            return candidate
    return None
