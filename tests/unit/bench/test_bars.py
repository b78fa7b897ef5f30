import pytest
from bench.bars import Bar, bars
from bench.figures import Figures
from bench.settings import Results, Sample, Settings


@pytest.mark.parametrize(
    ("value", "most", "digits", "unit", "verdict"),
    [
        (None, 2.5, 2, "x nginx", "not measured"),
        (2.5, 2.5, 2, "x nginx", "met"),
        (-0.01, 0.3, 3, "ms", "met"),
        (3.39, 2.5, 2, "x nginx", "**missed** by 0.89 x nginx (36 %)"),
        (0.45, 0.3, 3, "ms", "**missed** by 0.150 ms (50 %)"),
        (46.0, 45.0, 1, "MB", "**missed** by 1.0 MB (2 %)"),
    ],
)
def test_a_bar_is_met_up_to_its_value(
    value: float | None, most: float, digits: int, unit: str, verdict: str
) -> None:
    assert Bar("", value, most, digits, unit).verdict() == verdict


def test_a_miss_too_small_for_the_digits_is_still_a_miss() -> None:
    assert Bar("", 2.5001, 2.5, 2, "x nginx").verdict().startswith("**missed**")


def test_each_harder_variant_has_the_bar_of_its_measure() -> None:
    results = Results(date="", machine="", settings=Settings(), versions={})
    by_name = {(bar.what, bar.unit): bar.most for bar in bars(Figures(results), results.settings)}
    for unit, most in (("x nginx", 2.5), ("x vllm-router", 1.0)):
        assert by_name["CPU per request", unit] == most
        assert by_name["CPU per request, heads never seen before", unit] == most
    assert by_name["CPU per streamed chunk", "x nginx"] == 1.3
    assert by_name["CPU per streamed chunk, every event decoded", "x nginx"] == 1.3
    for share, most in (("p50", 0.3), ("p99", 2.0)):
        assert by_name[f"added latency, {share}", "ms"] == most
        assert by_name[f"added latency, {share}, bodies of 100 KB", "ms"] == most


def test_routing_compares_many_backends_with_two() -> None:
    results = Results(date="", machine="", settings=Settings(), versions={})
    results.samples = [
        Sample(measure="routing", gateway="2 backends", round=0, values={"cpu_us": 30.0}),
        Sample(measure="routing", gateway="1,000 backends", round=0, values={"cpu_us": 48.0}),
    ]
    [bar] = [bar for bar in bars(Figures(results), results.settings) if "1,000 backends" in bar.what]
    assert (bar.value, bar.verdict()) == (1.6, "**missed** by 0.10 x 2 backends (7 %)")
