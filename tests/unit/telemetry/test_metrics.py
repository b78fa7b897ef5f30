"""telemetry/metrics.py: one record in, sums out; no client can grow it without bound."""

from hypothesis import given
from hypothesis import strategies as st

from trunkline.policy.record import AttemptRecord, UsageRecord
from trunkline.telemetry.metrics import DURATION_BUCKETS, FIRST_BYTE_BUCKETS, MAX_MODELS, OTHER, Metrics
from trunkline.wire.usage import Usage


def record(
    model: str = "m",
    backend: str = "b",
    *,
    status: int = 200,
    attempts: tuple[AttemptRecord, ...] = (),
    usage: Usage | None = None,
    streamed: bool = False,
    head_at: float = 0.0,
    ended: float = 11.0,
) -> UsageRecord:
    """A call that started at 10.0."""
    return UsageRecord(
        request_id="r",
        key="k",
        surface="chat",
        model=model,
        streamed=streamed,
        backend=backend,
        attempts=attempts,
        usage=usage,
        status=status,
        fault="",
        started=10.0,
        head_at=head_at,
        ended=ended,
        bytes_in=1,
        bytes_out=2,
    )


def test_one_call() -> None:
    metrics = Metrics()
    metrics.observe(record(usage=Usage(3, 4, 7, 2, 1), streamed=True, head_at=10.25, ended=10.75))
    assert repr(metrics) == "<Metrics of 1 series, 0 in flight>"
    series = metrics.series["chat", "m", "b"]
    assert repr(series) == "<Series of 1 requests>"
    assert series.statuses == [0, 0, 1, 0, 0, 0]
    assert series.duration[DURATION_BUCKETS.index(1.0)] == 1
    assert series.first_byte[FIRST_BYTE_BUCKETS.index(0.25)] == 1  # a bound belongs to its own bucket
    assert (series.duration_sum, series.first_byte_sum) == (0.75, 0.25)
    counted = (series.prompt_tokens, series.completion_tokens, series.cached_tokens, series.reasoning_tokens)
    assert counted == (3, 4, 2, 1)


def test_what_nobody_counted_is_kept_apart() -> None:
    metrics = Metrics()
    metrics.observe(record(usage=Usage(3, 4, source="timings")))
    metrics.observe(record(usage=Usage(30, 40, source="estimated")))
    series = metrics.series["chat", "m", "b"]
    assert (series.prompt_tokens, series.completion_tokens) == (3, 4)
    assert (series.estimated_prompt_tokens, series.estimated_completion_tokens) == (30, 40)


def test_first_byte_counts_for_streams_that_had_one() -> None:
    metrics = Metrics()
    metrics.observe(record(streamed=False, head_at=10.5))
    metrics.observe(record(streamed=True, head_at=0.0))
    assert not any(metrics.series["chat", "m", "b"].first_byte)


def test_statuses_by_class() -> None:
    metrics = Metrics()
    for status in (0, 200, 204, 302, 404, 499, 502, 999):
        metrics.observe(record(status=status))
    assert metrics.series["chat", "m", "b"].statuses == [2, 0, 2, 1, 2, 1]


def test_attempts_by_backend_and_outcome() -> None:
    metrics = Metrics()
    attempts = (AttemptRecord("a", 1.0, fault="connect"), AttemptRecord("b", 1.0, status=200))
    metrics.observe(record(attempts=attempts))
    metrics.observe(record(attempts=attempts[1:]))
    assert metrics.attempts == {("a", "connect"): 1, ("b", ""): 2}


def test_model_names_are_bounded() -> None:
    metrics = Metrics(["configured"])
    for number in range(MAX_MODELS + 50):
        metrics.observe(record(f"m{number}"))
    metrics.observe(record("configured"))
    metrics.observe(record("m7"))
    metrics.observe(record("late"))
    metrics.observe(record(""))
    names = {model for _, model, _ in metrics.series}
    assert len(names) == MAX_MODELS + 3
    assert {"configured", "m7", OTHER, ""} <= names
    assert sum(metrics.series["chat", OTHER, "b"].statuses) == 51
    assert sum(metrics.series["chat", "m7", "b"].statuses) == 2


def test_a_name_that_no_backend_was_asked_for_takes_no_room() -> None:
    metrics = Metrics()
    for number in range(MAX_MODELS):
        metrics.observe(record(f"guess{number}", "", status=404))
    metrics.observe(record("real"))
    assert set(metrics.series) == {("chat", OTHER, ""), ("chat", "real", "b")}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([0, 200, 404, 500]), st.floats(0, 1000))))
def test_every_call_is_counted_once_everywhere(calls: list[tuple[str, int, float]]) -> None:
    metrics = Metrics()
    for model, status, seconds in calls:
        metrics.observe(record(model, status=status, ended=10.0 + seconds))
    assert sum(sum(series.statuses) for series in metrics.series.values()) == len(calls)
    assert sum(sum(series.duration) for series in metrics.series.values()) == len(calls)
