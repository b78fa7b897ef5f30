"""Medians and ratios over the samples of one run.

Ratios are taken pair by pair (two gateways in the same round) and then the median of the rounds is quoted, so that a
noisy minute touches both sides of the division. Differences (added latency) likewise.
"""

import statistics
from collections.abc import Callable

from bench.settings import DIRECT, Results


class Figures:
    """What the samples say; None where something was not measured."""

    def __init__(self, results: Results) -> None:
        self._values: dict[tuple[str, str, str], dict[int, float]] = {}
        for sample in results.samples:
            for key, value in sample.values.items():
                self._values.setdefault((sample.measure, sample.gateway, key), {})[sample.round] = value

    def median(self, measure: str, gateway: str, key: str) -> float | None:
        """Return the median of a value."""
        rounds = self._values.get((measure, gateway, key))
        return statistics.median(rounds.values()) if rounds else None

    def _paired(
        self, measure: str, gateway: str, other: str, key: str, join: Callable[[float, float], float]
    ) -> float | None:
        mine = self._values.get((measure, gateway, key), {})
        theirs = self._values.get((measure, other, key), {})
        joined = [join(mine[number], theirs[number]) for number in mine.keys() & theirs.keys()]
        return statistics.median(joined) if joined else None

    def ratio(self, measure: str, gateway: str, other: str, key: str = "cpu_us") -> float | None:
        """Return the median of gateway / other within a round."""
        return self._paired(measure, gateway, other, key, lambda mine, theirs: mine / theirs)

    def against(self, measure: str, other: str, gateway: str, key: str = "cpu_us") -> float | None:
        """Return one measure of a gateway by another of its measures; they share no rounds, so median by median."""
        mine, theirs = self.median(measure, gateway, key), self.median(other, gateway, key)
        return None if mine is None or theirs is None else mine / theirs

    def added(self, measure: str, gateway: str, key: str) -> float | None:
        """Return the median of what the gateway adds to the direct latency of the same round."""
        return self._paired(measure, gateway, DIRECT, key, lambda mine, theirs: mine - theirs)

    def open_mb(self, gateway: str, streams: int) -> float | None:
        """Return the memory with that many streams open, in proportion if another number was measured."""
        idle = self.median("memory", gateway, "idle_mb")
        each = self.median("memory", gateway, "kb_per_stream")
        return None if idle is None or each is None else idle + each * streams / 1000
