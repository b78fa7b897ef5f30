"""How many repeats all calls together may make: the retry budget.

Owns the count. Does not own what takes from it (retry.py): repeats on the same target, splices and last resorts do;
the first attempt at another available target never has to.

Repeats help against single failures and make an outage worse, so they are a share of the requests and not a number
per call. A repeat is allowed if requests have earned it (20 % of them), or time has (3 a second, so that a gateway
with few calls repeats too), and is paid from both: what is allowed is the larger of the two, not their sum. What was
not used is kept up to ten seconds' worth of time, and up to 100 of what requests have earned.

Nothing is done per request: the number of all requests is an argument of `take`.
"""

SHARE = 0.2
PER_SECOND = 3.0
KEPT_SECONDS = 10.0
KEPT_EARNED = 100.0


class RetryBudget:
    """Repeats that may still be made. It begins with what time has earned at most."""

    __slots__ = ("_at", "_by_requests", "_by_time", "_seen", "refused", "taken")

    def __init__(self, now: float, requests: int = 0) -> None:
        self._at = now
        self._seen = requests
        self._by_time = PER_SECOND * KEPT_SECONDS
        self._by_requests = 0.0
        self.taken = 0
        self.refused = 0

    def __repr__(self) -> str:
        return f"<RetryBudget {self._by_time:.1f} by time, {self._by_requests:.1f} by requests>"

    def left(self, now: float, requests: int) -> float:
        """Repeats that could be made now, one after the other."""
        earned = min(self._by_requests + SHARE * (requests - self._seen), KEPT_EARNED)
        return max(
            earned, min(self._by_time + PER_SECOND * max(now - self._at, 0.0), PER_SECOND * KEPT_SECONDS)
        )

    def take(self, now: float, requests: int) -> bool:
        """Whether one more repeat may be made. `requests`: all that have come so far."""
        earned = self._by_requests + SHARE * (requests - self._seen)
        waited = self._by_time + PER_SECOND * max(now - self._at, 0.0)
        self._by_requests = min(earned, KEPT_EARNED)
        self._by_time = min(waited, PER_SECOND * KEPT_SECONDS)
        self._seen = requests
        self._at = max(now, self._at)
        if self._by_requests < 1.0 and self._by_time < 1.0:
            self.refused += 1
            return False
        self._by_requests = max(self._by_requests - 1.0, 0.0)
        self._by_time = max(self._by_time - 1.0, 0.0)
        self.taken += 1
        return True
