"""policy/tokens.py: figures stay within what was seen, come to the truth, and no nonsense moves them far."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.policy.tokens import CHARS_PER_TOKEN, MAX_RATES, TokenRates, What

_SIZE = 12_000

_reports = st.lists(st.tuples(st.integers(0, 10**7), st.integers(-1, 10**7)), max_size=40)


def _rate(rates: TokenRates, what: What = "completion") -> float:
    return 10**9 / rates.estimate("m", what, 10**9)


@given(_reports)
def test_a_figure_is_never_outside_of_what_was_seen_and_the_guess(reports: list[tuple[int, int]]) -> None:
    rates = TokenRates()
    seen = [float(CHARS_PER_TOKEN)]
    for size, tokens in reports:
        rates.observe("m", "completion", size, tokens)
        if tokens > 0:
            seen.append(size / tokens)
        assert min(seen) * 0.999 <= _rate(rates) <= max(seen) * 1.001
        assert 0.49 <= _rate(rates) <= 16.1


@given(st.floats(0.6, 15), _reports)
def test_it_comes_to_the_truth_whatever_was_said_before(truth: float, before: list[tuple[int, int]]) -> None:
    rates = TokenRates()
    for size, tokens in before:
        rates.observe("m", "completion", size, tokens)
    for _ in range(60):
        rates.observe("m", "completion", _SIZE, round(_SIZE / truth))
    assert _rate(rates) == pytest.approx(truth, rel=0.02)


@given(st.floats(1, 8), st.integers(0, 10**9), st.integers(0, 10**9))
def test_one_nonsense_report_does_little_harm(truth: float, size: int, tokens: int) -> None:
    rates = TokenRates()
    for _ in range(60):
        rates.observe("m", "completion", _SIZE, round(_SIZE / truth))
    before = _rate(rates)
    rates.observe("m", "completion", size, tokens)
    assert 0.89 * before <= _rate(rates) <= 1.21 * before


@given(st.integers(-5, 10**9))
def test_without_a_report_it_is_the_guess(size: int) -> None:
    estimate = TokenRates().estimate("m", "prompt", size)
    if size <= 0:
        assert estimate == 0
    else:
        assert estimate >= 1
        assert abs(estimate * CHARS_PER_TOKEN - size) <= CHARS_PER_TOKEN


@given(_reports, st.integers(1, 10**6), st.integers(0, 10**6))
def test_a_longer_text_never_has_fewer_tokens(reports: list[tuple[int, int]], size: int, more: int) -> None:
    rates = TokenRates()
    for one in reports:
        rates.observe("m", "prompt", *one)
    assert 1 <= rates.estimate("m", "prompt", size) <= rates.estimate("m", "prompt", size + more)


def test_the_first_reports_count_for_more() -> None:
    rates = TokenRates()
    rates.observe("m", "completion", _SIZE, _SIZE // 2)
    assert _rate(rates) == pytest.approx(3, rel=0.001)
    rates.observe("m", "completion", _SIZE, _SIZE // 2)
    assert _rate(rates) == pytest.approx(8 / 3, rel=0.001)


@pytest.mark.parametrize(
    ("size", "tokens"),
    [
        (31, 16),  # too short to tell
        (4_000_000, 900),  # a picture
        (400, 4_000),  # thoughts that are not shown
        (400, 0),
        (0, 400),
    ],
)
def test_what_can_be_no_text_teaches_nothing(size: int, tokens: int) -> None:
    rates = TokenRates()
    rates.observe("m", "prompt", size, tokens)
    assert repr(rates) == "<TokenRates 0 figures>"


def test_models_prompts_and_completions_have_figures_of_their_own() -> None:
    rates = TokenRates()
    for _ in range(20):
        rates.observe("m", "prompt", _SIZE, _SIZE // 2)
    assert _rate(rates, "prompt") < 2.5
    assert _rate(rates, "completion") == CHARS_PER_TOKEN
    assert rates.estimate("other", "prompt", 400) == 100


def test_the_figures_that_learned_longest_ago_are_forgotten() -> None:
    rates = TokenRates()
    for number in range(MAX_RATES + 2):
        rates.observe(f"m{number}", "prompt", _SIZE, _SIZE)
        rates.observe("m0", "prompt", _SIZE, _SIZE)
    assert repr(rates) == f"<TokenRates {MAX_RATES} figures>"
    assert rates.estimate("m0", "prompt", _SIZE) > _SIZE / 2
    assert rates.estimate("m1", "prompt", _SIZE) == _SIZE / CHARS_PER_TOKEN
    assert rates.estimate(f"m{MAX_RATES + 1}", "prompt", _SIZE) > _SIZE / CHARS_PER_TOKEN
