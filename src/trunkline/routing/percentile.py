"""Whether a target has become slow: its 95th percentile over the last successes.

Owns the window behind `latency_p95_threshold_ms`. Does not own the demotion (target.py).

The percentile is the sample at `min(int(n * 0.95), n - 1)` of the sorted last 100. Samples older than five minutes do
not count: a target that was demoted gets hardly any new ones, and would never come back.
"""

from collections import deque

SAMPLES = 100
MAX_AGE = 300.0
_RESORT = 10  # new samples after which the percentile is computed again: sorting costs 5 us


class P95Window:
    """The last successes of one target, in seconds."""

    __slots__ = ("_at", "_fresh", "_limit", "_samples", "is_slow")

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._samples: deque[tuple[float, float]] = deque(maxlen=SAMPLES)
        self._fresh = 0
        self._at = 0.0
        self.is_slow = False

    def __repr__(self) -> str:
        return f"<P95Window of {len(self._samples)}, slow={self.is_slow}>"

    def observe(self, seconds: float, now: float) -> None:
        """Take the duration of a success."""
        self._samples.append((now, seconds))
        self._fresh += 1
        if self._fresh >= _RESORT or len(self._samples) <= _RESORT:
            self._judge(now)

    def slow(self, now: float) -> bool:
        """Whether the percentile is over the limit."""
        if self.is_slow and now - self._at >= 1.0:  # samples grow old
            self._judge(now)
        return self.is_slow

    def p95(self, now: float) -> float:
        """The percentile, in seconds; 0.0 without samples."""
        samples = self._samples
        while samples and now - samples[0][0] > MAX_AGE:
            samples.popleft()
        if not samples:
            return 0.0
        ordered = sorted(seconds for _, seconds in samples)
        return ordered[min(int(len(ordered) * 0.95), len(ordered) - 1)]

    def _judge(self, now: float) -> None:
        self._fresh = 0
        self._at = now
        self.is_slow = self.p95(now) > self._limit
