import pytest
from bench.figures import Figures
from bench.settings import Results, Sample, Settings


def figures(*samples: tuple[str, str, int, dict[str, float]]) -> Figures:
    results = Results(date="", machine="", settings=Settings(), versions={})
    results.samples = [
        Sample(measure=measure, gateway=gateway, round=number, values=values)
        for measure, gateway, number, values in samples
    ]
    return Figures(results)


def test_a_median_is_over_the_rounds() -> None:
    taken = figures(
        *(("requests", "nginx", number, {"cpu_us": value}) for number, value in enumerate((9.0, 30.0, 8.0)))
    )
    assert taken.median("requests", "nginx", "cpu_us") == 9.0


def test_a_ratio_divides_within_a_round_before_the_median() -> None:
    # Medians divided would be 20 / 10; the third round, in which everything was slow, would then count for one only.
    taken = figures(
        ("requests", "a", 0, {"cpu_us": 20.0}),
        ("requests", "nginx", 0, {"cpu_us": 10.0}),
        ("requests", "a", 1, {"cpu_us": 12.0}),
        ("requests", "nginx", 1, {"cpu_us": 4.0}),
        ("requests", "a", 2, {"cpu_us": 90.0}),
        ("requests", "nginx", 2, {"cpu_us": 30.0}),
    )
    assert taken.ratio("requests", "a", "nginx") == 3.0


def test_rounds_that_only_one_of_two_has_do_not_count() -> None:
    taken = figures(
        ("latency", "direct", 0, {"p50_ms": 1.0}),
        ("latency", "direct", 1, {"p50_ms": 2.0}),
        ("latency", "a", 1, {"p50_ms": 2.5}),
        ("latency", "a", 2, {"p50_ms": 99.0}),
    )
    assert taken.added("latency", "a", "p50_ms") == 0.5


def test_two_measures_are_compared_median_by_median() -> None:
    taken = figures(("heads", "a", 0, {"cpu_us": 30.0}), ("requests", "a", 7, {"cpu_us": 20.0}))
    assert taken.against("heads", "requests", "a") == 1.5


def test_memory_of_fewer_streams_is_scaled() -> None:
    taken = figures(("memory", "a", 0, {"idle_mb": 40.0, "kb_per_stream": 6.0, "streams": 200.0}))
    assert taken.open_mb("a", 5000) == pytest.approx(70.0)


def test_what_was_not_measured_is_none() -> None:
    taken = figures(("requests", "a", 0, {"cpu_us": 1.0}))
    assert taken.median("streams", "a", "cpu_us") is None
    assert taken.ratio("requests", "a", "nginx") is None
    assert taken.against("requests", "heads", "a") is None
    assert taken.added("latency", "a", "p50_ms") is None
    assert taken.open_mb("a", 5000) is None
