"""Backends, targets and routes to test with; chance that is not."""

from collections.abc import Sequence

from trunkline import errors
from trunkline.errors import Fault, Kind
from trunkline.routing.backend import CapabilitySettings
from trunkline.routing.balancers.base import Candidate
from trunkline.routing.models import Strategy
from trunkline.routing.route import Pool, Route
from trunkline.routing.target import UNKNOWN, BackendState, RetryPolicy, Target


class Draws:
    """Gives these numbers in turn, over and over."""

    def __init__(self, *numbers: float) -> None:
        self.numbers = numbers
        self.count = 0

    def random(self) -> float:
        self.count += 1
        return self.numbers[(self.count - 1) % len(self.numbers)]


def target(
    name: str = "a",
    *,
    limit: int = 0,
    retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
    abilities: CapabilitySettings = UNKNOWN,
    slow_above: float = 0.0,
) -> Target:
    """A backend of its own with one model."""
    return Target(
        BackendState(name, limit=limit, retry=retry), "m", abilities=abilities, slow_above=slow_above
    )


def candidates(count: int, weights: Sequence[float] = ()) -> list[Candidate]:
    """So many, on backends b0, b1, ..."""
    return [
        Candidate(target(f"b{at}"), weight=weights[at] if weights else 1.0, place=at) for at in range(count)
    ]


def pool(name: str, targets: Sequence[Target], strategy: Strategy = "priority") -> Pool:
    return Pool(name, strategy, [Candidate(one, place=at) for at, one in enumerate(targets)])


def route(*tiers: Sequence[Target], strategy: Strategy = "priority", **more: object) -> Route:
    """A model `m0` with these targets and fallbacks `m1`, ..."""
    pools = [pool(f"m{at}", targets, strategy) for at, targets in enumerate(tiers)]
    return Route("m0", pools, **more)  # type: ignore[arg-type] # as the caller says


def fault(kind: Kind = errors.SERVER_ERROR, retry_after: float | None = None, status: int = 0) -> Fault:
    return Fault(kind, "m", status=status, retry_after=retry_after)


def eject(one: Target, now: float) -> None:
    """Five failures in a row."""
    for _ in range(5):
        one.failed(fault(), now, now)
