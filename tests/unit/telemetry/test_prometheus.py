"""telemetry/prometheus.py: the page as Prometheus' own parser reads it."""

from prometheus_client.parser import text_string_to_metric_families

from trunkline.policy.record import AttemptRecord
from trunkline.telemetry.metrics import Metrics
from trunkline.telemetry.prometheus import CONTENT_TYPE, render
from trunkline.telemetry.states import BackendNumbers, States
from trunkline.wire.usage import Usage

from .test_metrics import record


def samples(page: bytes) -> dict[str, float]:
    """Every sample as `name{labels}` in the order of the labels' names."""
    return {
        sample.name + str(sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


def key(name: str, **labels: str) -> str:
    return name + str(sorted(labels.items()))


def test_page() -> None:
    metrics = Metrics()
    metrics.in_flight, metrics.client_connections = 3, 5
    attempts = (AttemptRecord("a", 1.0, fault="connect"), AttemptRecord("b", 1.0))
    metrics.observe(record(attempts=attempts, usage=Usage(3, 4), streamed=True, head_at=10.25, ended=10.75))
    metrics.observe(record('we"ird\n', status=502, ended=2000.0))
    page = samples(render(metrics, {("b", "idle"): 2, ("b", "busy"): 1}))
    ok = {"surface": "chat", "model": "m", "backend": "b"}
    assert page[key("trunkline_requests_total", **ok, status="2xx")] == 1
    assert (
        page[key("trunkline_requests_total", surface="chat", model='we"ird\n', backend="b", status="5xx")]
        == 1
    )
    assert key("trunkline_requests_total", **ok, status="5xx") not in page
    assert page[key("trunkline_request_duration_seconds_bucket", **ok, le="0.5")] == 0
    assert page[key("trunkline_request_duration_seconds_bucket", **ok, le="1.0")] == 1
    assert page[key("trunkline_request_duration_seconds_bucket", **ok, le="+Inf")] == 1
    assert page[key("trunkline_request_duration_seconds_sum", **ok)] == 0.75
    assert page[key("trunkline_request_duration_seconds_count", **ok)] == 1
    assert page[key("trunkline_first_byte_seconds_bucket", **ok, le="0.25")] == 1
    assert page[key("trunkline_first_byte_seconds_count", **ok)] == 1
    assert key("trunkline_first_byte_seconds_count", **{**ok, "model": 'we"ird\n'}) not in page
    assert page[key("trunkline_attempts_total", backend="a", outcome="connect")] == 1
    assert page[key("trunkline_attempts_total", backend="b", outcome="ok")] == 1
    assert page[key("trunkline_tokens_total", backend="b", kind="prompt")] == 3
    assert page[key("trunkline_tokens_total", backend="b", kind="completion")] == 4
    assert key("trunkline_tokens_total", backend="b", kind="cached") not in page
    assert key("trunkline_estimated_tokens_total", backend="b", kind="prompt") not in page
    assert page[key("trunkline_in_flight")] == 3
    assert page[key("trunkline_client_connections")] == 5
    assert page[key("trunkline_upstream_connections", backend="b", state="idle")] == 2
    assert page[key("trunkline_upstream_connections", backend="b", state="busy")] == 1


def test_estimates_are_a_counter_of_their_own() -> None:
    metrics = Metrics()
    metrics.observe(record(usage=Usage(3, 4)))
    metrics.observe(record(usage=Usage(30, 0, source="estimated")))
    page = samples(render(metrics, {}))
    assert page[key("trunkline_tokens_total", backend="b", kind="prompt")] == 3
    assert page[key("trunkline_estimated_tokens_total", backend="b", kind="prompt")] == 30
    assert key("trunkline_estimated_tokens_total", backend="b", kind="completion") not in page


def test_what_is_so_now_and_what_became_of_failures() -> None:
    metrics = Metrics()
    metrics.observe_fallback("ok")
    metrics.observe_fallback("ok")
    metrics.observe_splice("joined")
    states = States(
        (BackendNumbers("a", 1, 2, 3), BackendNumbers("b", 0, 0, 0)),
        (("a", "m", "ejected"),),
        retries=5,
        retries_refused=1,
    )
    page = samples(render(metrics, {}, states))
    assert page[key("trunkline_fallbacks_total", model="ok")] == 2
    assert page[key("trunkline_splices_total", outcome="joined")] == 1
    assert page[key("trunkline_retries_total")] == 5
    assert page[key("trunkline_retries_refused_total")] == 1
    for name, numbers in (
        ("trunkline_backend_up", (1, 0)),
        ("trunkline_backend_breaker", (2, 0)),
        ("trunkline_backend_waiting", (3, 0)),
    ):
        assert tuple(page[key(name, backend=backend)] for backend in ("a", "b")) == numbers
    assert page[key("trunkline_target_unusable", backend="a", model="m", reason="ejected")] == 1


def test_page_of_a_worker_that_did_nothing() -> None:
    page = samples(render(Metrics(), {}))
    assert page[key("trunkline_in_flight")] == 0
    assert CONTENT_TYPE.startswith("text/plain; version=")


def test_each_scrape_is_fresh() -> None:
    metrics = Metrics()
    for expected in (1, 2):
        metrics.observe(record())
        page = samples(render(metrics, {}))
        labels = {"surface": "chat", "model": "m", "backend": "b"}
        assert page[key("trunkline_requests_total", **labels, status="2xx")] == expected
