"""The counters in Prometheus' text format.

Owns metric names, help texts and labels. Does not own the numbers: `telemetry/metrics.py`. A collector over plain
ints instead of prometheus_client's own metric objects, because those are too slow for the data plane; it runs only
when somebody asks. Importing the library takes 60 ms, so only the admin surface imports this module, when first asked.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from trunkline.telemetry.metrics import DURATION_BUCKETS, FIRST_BYTE_BUCKETS, Metrics
from trunkline.telemetry.states import States

CONTENT_TYPE = CONTENT_TYPE_LATEST

_LABELS = ("surface", "model", "backend")
_OF_BACKENDS = (
    ("trunkline_backend_up", "0 while health checks fail or the backend is drained.", "up"),
    ("trunkline_backend_breaker", "The backend's own breaker: 0 closed, 1 half open, 2 open.", "breaker"),
    ("trunkline_backend_waiting", "Calls that wait for a place at the backend.", "waiting"),
)
NO_STATES = States()
_STATUSES = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")


class Collector:
    """Reads `Metrics` anew at each scrape. `upstream_connections`: open ones by backend and state (idle, busy);
    `states`: of backends and targets now.
    """

    def __init__(
        self, metrics: Metrics, upstream_connections: Mapping[tuple[str, str], int], states: States
    ) -> None:
        self._metrics = metrics
        self._states = states
        self._upstream_connections = upstream_connections

    def collect(self) -> Iterable[Metric]:
        """Give all metric families (prometheus_client's Collector protocol)."""
        yield self._requests()
        yield from self._times()
        yield self._attempts()
        yield from self._tokens()
        yield _gauge("trunkline_in_flight", "Calls that are being answered.", self._metrics.in_flight)
        yield _gauge(
            "trunkline_client_connections", "Open connections of clients.", self._metrics.client_connections
        )
        upstream = GaugeMetricFamily(
            "trunkline_upstream_connections", "Open connections to backends.", labels=("backend", "state")
        )
        for labels, count in self._upstream_connections.items():
            upstream.add_metric(labels, count)
        yield upstream
        yield from self._resilience()
        yield from self._backends()

    def _resilience(self) -> Iterator[Metric]:
        states = self._states
        yield CounterMetricFamily(
            "trunkline_retries",
            "Repeats, splices and last resorts: what the retry budget paid.",
            states.retries,
        )
        yield CounterMetricFamily(
            "trunkline_retries_refused", "Those that it did not pay.", states.retries_refused
        )
        fallbacks = CounterMetricFamily(
            "trunkline_fallbacks", "Calls that ended at a fallback, by its model.", labels=("model",)
        )
        for model, count in self._metrics.fallbacks.items():
            fallbacks.add_metric((model,), count)
        yield fallbacks
        splices = CounterMetricFamily(
            "trunkline_splices",
            "Chat streams with on_cut that were cut after content: joined, diverged, failed, or refused.",
            labels=("outcome",),
        )
        for outcome, count in self._metrics.splices.items():
            splices.add_metric((outcome,), count)
        yield splices

    def _backends(self) -> Iterator[Metric]:
        families = [
            (GaugeMetricFamily(name, text, labels=("backend",)), field) for name, text, field in _OF_BACKENDS
        ]
        for one in self._states.backends:
            for family, field in families:
                family.add_metric((one.name,), getattr(one, field))
        for family, _ in families:
            yield family
        unusable = GaugeMetricFamily(
            "trunkline_target_unusable",
            "1 for each model at a backend with something against it; the reason says what.",
            labels=("backend", "model", "reason"),
        )
        for labels in self._states.unusable:
            unusable.add_metric(labels, 1)
        yield unusable

    def _requests(self) -> Metric:
        family = CounterMetricFamily(
            "trunkline_requests", "Finished calls, by the status sent.", labels=(*_LABELS, "status")
        )
        for labels, series in self._metrics.series.items():
            for status, count in zip(_STATUSES, series.statuses, strict=True):
                if count:
                    family.add_metric((*labels, status), count)
        return family

    def _times(self) -> Iterator[Metric]:
        duration = HistogramMetricFamily(
            "trunkline_request_duration_seconds", "From the request's head to the last byte.", labels=_LABELS
        )
        first_byte = HistogramMetricFamily(
            "trunkline_first_byte_seconds",
            "From the request's head to the first bytes of a streamed answer.",
            labels=_LABELS,
        )
        for labels, series in self._metrics.series.items():
            duration.add_metric(labels, _buckets(DURATION_BUCKETS, series.duration), series.duration_sum)
            if any(series.first_byte):
                first_byte.add_metric(
                    labels, _buckets(FIRST_BYTE_BUCKETS, series.first_byte), series.first_byte_sum
                )
        yield duration
        yield first_byte

    def _attempts(self) -> Metric:
        family = CounterMetricFamily(
            "trunkline_attempts",
            'Tries at backends; outcome "ok" or what failed.',
            labels=("backend", "outcome"),
        )
        for (backend, fault), count in self._metrics.attempts.items():
            family.add_metric((backend, fault or "ok"), count)
        return family

    def _tokens(self) -> Iterator[Metric]:
        counted = CounterMetricFamily(
            "trunkline_tokens",
            "Tokens as counted upstream; cached are part of prompt, reasoning of completion.",
            labels=("backend", "kind"),
        )
        # A counter of its own: nobody shall add guesses to what was counted without meaning to.
        estimated = CounterMetricFamily(
            "trunkline_estimated_tokens",
            "Tokens of answers whose upstream counted none; in no other counter.",
            labels=("backend", "kind"),
        )
        sums: dict[tuple[str, str], int] = defaultdict(int)
        guesses: dict[tuple[str, str], int] = defaultdict(int)
        for (_, _, backend), series in self._metrics.series.items():
            sums[backend, "prompt"] += series.prompt_tokens
            sums[backend, "completion"] += series.completion_tokens
            sums[backend, "cached"] += series.cached_tokens
            sums[backend, "reasoning"] += series.reasoning_tokens
            guesses[backend, "prompt"] += series.estimated_prompt_tokens
            guesses[backend, "completion"] += series.estimated_completion_tokens
        for family, found in ((counted, sums), (estimated, guesses)):
            for labels, count in found.items():
                if count:
                    family.add_metric(labels, count)
            yield family


def render(
    metrics: Metrics, upstream_connections: Mapping[tuple[str, str], int], states: States = NO_STATES
) -> bytes:
    """Render one scrape (`CONTENT_TYPE`), with the process' own CPU, memory and descriptors."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector(metrics, upstream_connections, states))
    ProcessCollector(registry=registry)
    return generate_latest(registry)


def _gauge(name: str, text: str, value: int) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _buckets(bounds: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    """Prometheus' buckets are cumulative; ours count each value once."""
    return list(zip((*map(str, bounds), "+Inf"), accumulate(counts), strict=True))
