"""Counters of the data plane: plain ints in dicts and lists, fed one record per call; and, of the few calls that came
to that, where they fell back and how a cut stream went on, which is known beside the record (engine/origin.py).

Owns what is counted and by which labels. Does not own the exposition format: `telemetry/prometheus.py`.

Why not a metrics library here: seven calls of one cost 8 us per request, all of `observe` costs less than 1. One
`Series` per (surface, model, backend) holds everything that these label, so a call finds its numbers with one look-up.
Model names come from clients, so their number is bounded: see `Metrics`.
"""

from bisect import bisect_left
from collections.abc import Iterable

from trunkline.policy.record import UsageRecord

# Upper bounds in seconds. From a cached embedding to the longest call (600 s is the default total timeout).
DURATION_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
FIRST_BYTE_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

MAX_MODELS = 200
"""Model names that are not configured and still get a label of their own: each costs about 50 time series."""

OTHER = "other"


class Series:
    """The numbers of one (surface, model, backend)."""

    __slots__ = (
        "cached_tokens",
        "completion_tokens",
        "duration",
        "duration_sum",
        "estimated_completion_tokens",
        "estimated_prompt_tokens",
        "first_byte",
        "first_byte_sum",
        "prompt_tokens",
        "reasoning_tokens",
        "statuses",
    )

    def __init__(self) -> None:
        self.statuses = [0] * 6
        """By first digit of the status; 0: no status was sent."""
        self.duration = [0] * (len(DURATION_BUCKETS) + 1)
        self.duration_sum = 0.0
        self.first_byte = [0] * (len(FIRST_BYTE_BUCKETS) + 1)
        self.first_byte_sum = 0.0
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.cached_tokens = 0
        self.reasoning_tokens = 0
        self.estimated_prompt_tokens = 0
        """Where the upstream did not say: in none of the four above."""
        self.estimated_completion_tokens = 0

    def __repr__(self) -> str:
        return f"<Series of {sum(self.statuses)} requests>"


class Metrics:
    """All counters of one worker.

    A model name gets its own label if it is configured (`models`) or among the first `MAX_MODELS` others that a
    backend was asked for; every other name counts as `other`, so that no client can fill the memory.
    `in_flight` and `client_connections` are gauges: whoever owns the thing counts it up and down.
    """

    __slots__ = (
        "_models", "_room", "attempts", "client_connections", "fallbacks", "in_flight", "series", "splices",
    )  # fmt: skip

    def __init__(self, models: Iterable[str] = ()) -> None:
        self.series: dict[tuple[str, str, str], Series] = {}
        """By surface, model, backend."""
        self.attempts: dict[tuple[str, str], int] = {}
        """By backend and outcome: the name of the fault's kind, "" if it went well."""
        self.fallbacks: dict[str, int] = {}
        """Calls that were answered, or failed at last, by a fallback: by its model."""
        self.splices: dict[str, int] = {}
        """Streams that were cut after content, by what became of them."""
        self.in_flight = 0
        self.client_connections = 0
        self._models = set(models)
        self._room = MAX_MODELS

    def __repr__(self) -> str:
        return f"<Metrics of {len(self.series)} series, {self.in_flight} in flight>"

    def know(self, models: Iterable[str]) -> None:
        """These are configured too, since a reload."""
        self._models.update(models)

    def observe(self, record: UsageRecord) -> None:
        """Count one finished call."""
        series = self.series.get((record.surface, record.model, record.backend)) or self._find(record)
        status = record.status // 100
        series.statuses[status if status < 6 else 0] += 1
        duration = record.ended - record.started
        series.duration[bisect_left(DURATION_BUCKETS, duration)] += 1
        series.duration_sum += duration
        if record.streamed and record.head_at:
            waited = record.head_at - record.started
            series.first_byte[bisect_left(FIRST_BYTE_BUCKETS, waited)] += 1
            series.first_byte_sum += waited
        usage = record.usage
        if usage is not None and usage.source == "estimated":
            series.estimated_prompt_tokens += usage.prompt_tokens
            series.estimated_completion_tokens += usage.completion_tokens
        elif usage is not None:
            series.prompt_tokens += usage.prompt_tokens
            series.completion_tokens += usage.completion_tokens
            series.cached_tokens += usage.cached_tokens
            series.reasoning_tokens += usage.reasoning_tokens
        attempts = self.attempts
        for attempt in record.attempts:
            key = (attempt.backend, attempt.fault)
            attempts[key] = attempts.get(key, 0) + 1

    def observe_fallback(self, model: str) -> None:
        """Count a call that ended at another model than its own."""
        self.fallbacks[model] = self.fallbacks.get(model, 0) + 1

    def observe_splice(self, outcome: str) -> None:
        """Count a stream that was cut after its client had content: `joined`, `diverged`, `failed`, `refused`."""
        self.splices[outcome] = self.splices.get(outcome, 0) + 1

    def _find(self, record: UsageRecord) -> Series:
        """The series of a record whose own labels have none yet: a new one, or that of `other`."""
        model = record.model
        if model and model not in self._models:
            if record.backend and self._room:
                self._room -= 1
                self._models.add(model)
            else:
                model = OTHER
        return self.series.setdefault((record.surface, model, record.backend), Series())
