"""routing/breaker.py: the states, their table, and a model that it is compared with."""

from itertools import product

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from trunkline.routing.breaker import TRANSITIONS, Breaker, BreakerSettings, Event, State

OF = BreakerSettings()


def tripped(at: float = 0.0, settings: BreakerSettings = OF) -> Breaker:
    breaker = Breaker(settings)
    for _ in range(settings.failures):
        breaker.failure(at, at)
    return breaker


def test_the_table_leaves_out_only_what_cannot_happen() -> None:
    missing = {pair for pair in product(State, Event) if pair not in TRANSITIONS}
    assert missing == {
        (State.CLOSED, Event.TIME),
        (State.OPEN, Event.TRIP),
        (State.HALF_OPEN, Event.TRIP),
        (State.HALF_OPEN, Event.TIME),
    }


def test_the_window_is_told_while_it_is_open() -> None:
    breaker = Breaker(OF)
    breaker.success(0.0, 0.0)
    assert breaker.window(0.0) is None
    breaker.failure(1.0, 1.0)
    breaker.success(2.0, 2.0)
    assert breaker.window(11.0) == (2, 1, OF.window - 10.0)
    assert breaker.window(1.0 + OF.window) is None
    assert tripped().window(0.0) is None


def test_failures_in_a_row_eject() -> None:
    breaker = Breaker(OF)
    assert breaker.quiet
    for _ in range(4):
        breaker.failure(0.0, 0.0)
    assert breaker.admits(0.0)
    assert not breaker.quiet
    breaker.success(0.0, 0.0)
    for _ in range(4):
        breaker.failure(0.0, 0.0)
    assert breaker.admits(0.0)
    breaker.failure(0.0, 0.0)
    assert breaker.state is State.OPEN
    assert not breaker.admits(4.9)
    assert "open" in repr(breaker)


def test_a_share_of_failures_in_a_window_ejects() -> None:
    breaker = Breaker(OF)
    for at in range(10):
        breaker.failure(0.0, float(at))
        assert breaker.state is State.CLOSED
        breaker.success(0.0, float(at))
    breaker.failure(0.0, 10.0)
    assert breaker.state is State.OPEN


def test_a_window_that_is_over_is_forgotten() -> None:
    breaker = Breaker(OF)
    for at in range(9):
        breaker.failure(0.0, float(at))
        breaker.success(0.0, float(at))
    breaker.success(0.0, 30.0)
    assert breaker.quiet
    for at in range(9):
        breaker.failure(0.0, 31.0 + at)
        breaker.success(0.0, 31.0 + at)
    for at in range(9):
        breaker.failure(0.0, 61.0 + at)
        breaker.success(0.0, 61.0 + at)
    assert breaker.state is State.CLOSED


@pytest.mark.parametrize(
    ("settings", "ends"), [(OF, [5, 13, 21, 29]), (BreakerSettings(max_ejection=20.0), [5, 15, 35, 55])]
)
def test_each_failed_probe_doubles_the_ejection_up_to_the_limit(
    settings: BreakerSettings, ends: list[float]
) -> None:
    breaker = tripped(0.0, settings)
    for end in ends:
        assert breaker.until == end
        assert not breaker.admits(end - 0.1)
        assert breaker.admits(end)
        assert breaker.take_probe()
        breaker.failure(end, end)
        assert breaker.state is State.OPEN
    assert breaker.ejected_at == 0.0


def test_one_probe_at_a_time_and_its_success_closes() -> None:
    breaker = tripped()
    assert not breaker.take_probe()
    assert breaker.look(5.0) is State.HALF_OPEN
    assert breaker.take_probe()
    assert not breaker.take_probe()
    assert not breaker.admits(6.0)
    breaker.release_probe()
    assert breaker.admits(6.0)
    assert breaker.take_probe()
    breaker.success(6.0, 7.0)
    assert breaker.state is State.CLOSED
    assert breaker.quiet


def test_what_began_before_says_nothing() -> None:
    breaker = tripped(10.0)
    breaker.success(9.0, 11.0)
    assert breaker.state is State.OPEN
    breaker.look(15.0)
    breaker.failure(14.0, 16.0)
    assert breaker.state is State.HALF_OPEN
    breaker.success(16.0, 16.0)
    assert breaker.state is State.CLOSED


def test_a_last_resort_that_goes_well_closes() -> None:
    breaker = tripped()
    breaker.failure(1.0, 1.0)
    assert breaker.until == 5.0
    breaker.success(2.0, 2.0)
    assert breaker.state is State.CLOSED


def test_ejections_grow_while_it_flaps_and_begin_anew_after_a_sound_time() -> None:
    breaker = tripped()
    breaker.success(5.0, 5.0)
    for _ in range(5):
        breaker.failure(6.0, 6.0)
    assert breaker.until == 14.0
    breaker.success(14.0, 14.0)
    for _ in range(5):
        breaker.failure(40.0, 40.0)
    assert breaker.until == 45.0


def test_failures_and_ejections_in_a_row_are_told() -> None:
    breaker = tripped()
    assert (breaker.failures, breaker.ejections) == (5, 1)
    breaker.look(5.0)
    breaker.failure(5.0, 5.0)
    assert breaker.ejections == 2


TINY = 1e-6  # seconds: sums of floats


class BreakerModel(RuleBasedStateMachine):
    """Any order of outcomes and waits; attempts end in any order, long after they began or at once."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(OF)
        self.now = 100.0
        self.under_way: list[tuple[float, bool]] = []
        self.opened: float | None = None

    @rule(seconds=st.floats(0.001, 12.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def begin(self) -> None:
        if self.breaker.admits(self.now):
            assert self.opened is None or self.now >= self.opened + OF.base_ejection - TINY
            probe = self.breaker.take_probe()
            assert probe == (self.breaker.state is State.HALF_OPEN)
            self.under_way.append((self.now, probe))

    @precondition(lambda self: self.under_way)
    @rule(at=st.integers(0, 1000), outcome=st.sampled_from(["good", "bad", "bad", "nothing"]))
    def end(self, at: int, outcome: str) -> None:
        began, probe = self.under_way.pop(at % len(self.under_way))
        before = self.breaker.state
        if outcome == "good":
            self.breaker.success(began, self.now)
        elif outcome == "bad":
            self.breaker.failure(began, self.now)
        if probe:
            self.breaker.release_probe()
        after = self.breaker.state
        if after is State.OPEN and before is not State.OPEN:
            assert outcome == "bad"
            self.opened = self.now
            assert OF.base_ejection - TINY <= self.breaker.until - self.now <= OF.max_ejection + TINY
        if after is State.CLOSED and before is not State.CLOSED:
            assert outcome == "good"
            self.opened = None

    @invariant()
    def at_most_one_probe(self) -> None:
        assert sum(probe for _, probe in self.under_way) <= 1
        assert self.breaker.probing <= (self.breaker.state is State.HALF_OPEN)


TestBreakerModel = BreakerModel.TestCase
