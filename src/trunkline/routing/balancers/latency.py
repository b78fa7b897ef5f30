"""Strategy `latency`: of two drawn at random the one that will answer sooner.

Cost is the peak EWMA of the time to the first content (of streams; to the whole answer of other calls, apart), times
the calls under way and this one.

An average that is not fed falls with time, so a target that was slow is asked again. One call is enough for that:
while it waits for content the last measured value counts, and a slow target does not get all that come in the
meantime. Likewise one of which nothing is known: it gets the first call at once, the next ones as if it needed a
second.
"""

from collections.abc import Sequence

from trunkline.routing.balancers.base import Allowed, Candidate, Rng
from trunkline.routing.balancers.two_choices import TwoChoices

LEAST = 1e-3
"""Seconds that are added, so that load counts where nothing is known: less than any model needs."""
UNKNOWN = 1.0
"""Seconds that the first call counts as, until its content has come."""


class Latency:
    """Times and calls are kept at the targets. `streamed`: whose times it reads."""

    def __init__(self, candidates: Sequence[Candidate], *, streamed: bool = True) -> None:
        self._two = TwoChoices(candidates)
        self._streamed = streamed

    def pick(self, rng: Rng, now: float, allowed: Allowed | None = None) -> Candidate | None:
        """The better of two that can be asked."""
        return self._two.pick(self.score, rng, now, allowed)

    def score(self, candidate: Candidate, now: float) -> float:
        """Seconds, times calls."""
        target = candidate.target
        latency = target.latency[self._streamed]
        seconds = latency.value
        if target.waiting:
            seconds = seconds or UNKNOWN
        elif seconds:
            seconds = latency.read(now)
        return (seconds + LEAST) * (target.inflight + 1)
