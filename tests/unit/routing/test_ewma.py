"""routing/ewma.py: bad news at once, good news slowly."""

from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.routing.ewma import TAU, PeakEwma


def test_nothing_is_known_at_first() -> None:
    assert PeakEwma().read(100.0) == 0.0


def test_a_peak_is_believed_at_once_and_forgotten_with_time() -> None:
    value = PeakEwma()
    value.observe(0.2, 0.0)
    value.observe(3.0, 1.0)
    assert value.read(1.0) == 3.0
    assert value.read(1.0 + TAU) == pytest.approx(3.0 * exp(-1))
    assert "3.000" in repr(value)


def test_a_good_sample_counts_by_the_time_that_passed() -> None:
    value = PeakEwma()
    value.observe(3.0, 0.0)
    value.observe(0.2, 0.0)
    assert value.read(0.0) == 3.0
    value.observe(0.2, TAU)
    assert value.read(TAU) == pytest.approx(0.2 + 2.8 * exp(-1))
    value.observe(0.2, 20 * TAU)
    assert value.read(20 * TAU) == pytest.approx(0.2, abs=1e-6)


def test_time_that_goes_back_changes_nothing() -> None:
    value = PeakEwma()
    value.observe(1.0, 10.0)
    assert value.read(5.0) == 1.0


@given(st.lists(st.tuples(st.floats(0.001, 100), st.floats(0, 30)), min_size=1, max_size=30))
def test_it_stays_between_the_least_and_the_greatest_sample(samples: list[tuple[float, float]]) -> None:
    value, now = PeakEwma(), 0.0
    for sample, wait in samples:
        now += wait
        value.observe(sample, now)
        assert value.read(now) >= sample * (1 - 1e-9)
        assert value.read(now) <= max(one for one, _ in samples) * (1 + 1e-9)
