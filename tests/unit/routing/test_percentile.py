"""routing/percentile.py: slow by the 95th percentile of the last successes."""

import pytest

from trunkline.routing.percentile import MAX_AGE, SAMPLES, P95Window


@pytest.mark.parametrize(("count", "index"), [(1, 0), (2, 1), (10, 9), (20, 19), (21, 19), (100, 95)])
def test_which_sample_it_is(count: int, index: int) -> None:
    window = P95Window(1.0)
    for sample in range(count):
        window.observe(float(sample), 0.0)
    assert window.p95(0.0) == index


def test_slow_when_over_the_limit_and_not_at_it() -> None:
    window = P95Window(1.0)
    window.observe(1.0, 0.0)
    assert not window.slow(0.0)
    window.observe(1.5, 0.0)
    assert window.slow(0.0)
    assert "slow=True" in repr(window)


def test_many_quick_ones_make_it_quick_again() -> None:
    window = P95Window(1.0)
    window.observe(5.0, 0.0)
    for _ in range(SAMPLES):
        window.observe(0.1, 1.0)
    assert not window.slow(1.0)


def test_old_samples_do_not_count() -> None:
    window = P95Window(1.0)
    window.observe(5.0, 0.0)
    assert window.slow(MAX_AGE)
    assert not window.slow(MAX_AGE + 1.5)
    assert window.p95(MAX_AGE + 1.5) == 0.0
