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

CONTENT_TYPE = CONTENT_TYPE_LATEST

_LABELS = ("surface", "model", "backend")
_STATUSES = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")


class Collector:
    """Reads `Metrics` anew at each scrape. `upstream_connections`: open ones by backend and state (idle, busy)."""

    def __init__(self, metrics: Metrics, upstream_connections: Mapping[tuple[str, str], int]) -> None:
        self._metrics = metrics
        self._upstream_connections = upstream_connections

    def collect(self) -> Iterable[Metric]:
        """Give all metric families (prometheus_client's Collector protocol)."""
        yield self._requests()
        yield from self._times()
        yield self._attempts()
        yield self._tokens()
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

    def _tokens(self) -> Metric:
        family = CounterMetricFamily(
            "trunkline_tokens",
            "Tokens as counted upstream; cached are part of prompt, reasoning of completion.",
            labels=("backend", "kind"),
        )
        sums: dict[tuple[str, str], int] = defaultdict(int)
        for (_, _, backend), series in self._metrics.series.items():
            sums[backend, "prompt"] += series.prompt_tokens
            sums[backend, "completion"] += series.completion_tokens
            sums[backend, "cached"] += series.cached_tokens
            sums[backend, "reasoning"] += series.reasoning_tokens
        for labels, count in sums.items():
            if count:
                family.add_metric(labels, count)
        return family


def render(metrics: Metrics, upstream_connections: Mapping[tuple[str, str], int]) -> bytes:
    """Render one scrape (`CONTENT_TYPE`), with the process' own CPU, memory and descriptors."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector(metrics, upstream_connections))
    ProcessCollector(registry=registry)
    return generate_latest(registry)


def _gauge(name: str, text: str, value: int) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _buckets(bounds: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    """Prometheus' buckets are cumulative; ours count each value once."""
    return list(zip((*map(str, bounds), "+Inf"), accumulate(counts), strict=True))
