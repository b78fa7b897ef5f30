"""routing/retry_budget.py: 20 % of requests or 3 a second, whichever is more."""

from copy import deepcopy

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from trunkline.routing.retry_budget import KEPT_EARNED, KEPT_SECONDS, PER_SECOND, SHARE, RetryBudget


def takes(budget: RetryBudget, now: float, requests: int) -> int:
    count = 0
    while budget.take(now, requests):
        count += 1
    return count


def test_it_begins_with_ten_seconds_worth() -> None:
    budget = RetryBudget(0.0)
    assert takes(budget, 0.0, 0) == 30
    assert (budget.taken, budget.refused) == (30, 1)
    assert takes(budget, 1.0, 0) == 3
    assert takes(budget, 100.0, 0) == 30
    assert "by time" in repr(budget)


def test_requests_earn_a_fifth_and_time_is_not_added_to_it() -> None:
    budget = RetryBudget(0.0)
    takes(budget, 0.0, 0)
    requests = taken = 0
    for second in range(1, 101):
        requests += 100
        taken += takes(budget, float(second), requests)
    assert 2000 <= taken <= 2003


def test_requests_before_its_time_earn_nothing() -> None:
    budget = RetryBudget(0.0, requests=10_000)
    takes(budget, 0.0, 10_000)
    assert takes(budget, 0.0, 10_005) == 1


def test_what_was_not_used_is_kept_up_to_a_limit() -> None:
    assert takes(RetryBudget(0.0), 0.0, 1_000_000) == KEPT_EARNED


class BudgetModel(RuleBasedStateMachine):
    """Requests, waits and repeats in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.budget = RetryBudget(0.0)
        self.now = 0.0
        self.requests = self.taken = 0
        self.idle = PER_SECOND * KEPT_SECONDS  # what time alone would have left

    @rule(count=st.integers(1, 300))
    def come(self, count: int) -> None:
        self.requests += count

    @rule(seconds=st.floats(-1.0, 20.0))
    def wait(self, seconds: float) -> None:
        """Clocks may read a little back."""
        self.now += max(seconds, 0.0)
        self.idle = min(self.idle + PER_SECOND * max(seconds, 0.0), PER_SECOND * KEPT_SECONDS)

    @rule(times=st.integers(1, 60))
    def repeat(self, times: int) -> None:
        for _ in range(times):
            allowed = self.budget.take(self.now, self.requests)
            assert allowed or self.idle < 1.0 + 1e-6, "3 a second are always allowed"
            self.taken += allowed
            if allowed:
                self.idle = max(self.idle - 1.0, 0.0)

    @invariant()
    def what_is_left_could_be_taken(self) -> None:
        left, copy = self.budget.left(self.now, self.requests), deepcopy(self.budget)
        taken = 0
        while copy.take(self.now, self.requests):
            taken += 1
        assert left - 1.0 - 1e-6 <= taken <= left + 1e-6

    @invariant()
    def it_is_never_more_than_was_earned(self) -> None:
        earned = SHARE * self.requests + PER_SECOND * (self.now + KEPT_SECONDS)
        assert self.taken <= earned + 1.0


TestBudgetModel = BudgetModel.TestCase
