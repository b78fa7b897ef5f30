"""routing/board.py: states by name, and their number."""

import pytest

from tests.unit.routing.world import eject
from trunkline.errors import RESET, Fault
from trunkline.routing import board as module
from trunkline.routing.backend import CapabilitySettings
from trunkline.routing.board import Adjusted, Board
from trunkline.routing.breaker import BreakerSettings, State
from trunkline.routing.changes import KEPT
from trunkline.routing.health import HealthSettings
from trunkline.routing.target import UNKNOWN, BackendState, RetryPolicy, Target


def board(*names: str) -> Board:
    made = Board()
    for name in names:
        made.enter(BackendState(name))
    return made


def test_a_pair_has_one_state() -> None:
    one = board("a", "b")
    assert one.target("a", "m") is one.target("a", "m")
    assert one.target("a", "m") is not one.target("b", "m")
    assert one.target("a", "m").abilities is UNKNOWN
    assert len(one.targets()) == 2
    assert repr(one) == "<Board 2 backends, 2 targets>"
    with pytest.raises(KeyError):
        one.target("c", "m")


def test_what_is_known_of_models_and_backends_goes_into_their_targets() -> None:
    one = Board(
        breaker=BreakerSettings(failures=1),
        abilities=lambda backend, model: CapabilitySettings(context_window=len(backend + model)),
        slow_above=lambda backend: 2.0,
    )
    one.enter(BackendState("a"))
    made = one.target("a", "mm")
    assert made.abilities.context_window == 3
    assert made.p95 is not None
    eject(made, 0.0)
    assert not made.usable


def test_what_is_learned_later_reaches_the_targets() -> None:
    known = {"a": UNKNOWN, "b": UNKNOWN}
    one = Board(abilities=lambda backend, model: known[backend])
    one.enter(BackendState("a"))
    one.enter(BackendState("b"))
    made, other = one.target("a", "m"), one.target("b", "m")
    known["a"] = known["b"] = CapabilitySettings(tools=False)
    one.learn("a")
    assert (made.abilities.tools, other.abilities.tools) == (False, None)


def test_a_backend_that_changed_or_left_takes_its_states_along() -> None:
    one = board("a", "b")
    before, other = one.target("a", "m"), one.target("b", "m")
    one.enter(BackendState("a"))
    assert one.target("a", "m") is not before
    assert one.target("b", "m") is other
    one.leave("b")
    assert list(one.backends) == ["a"]
    assert other not in one.targets()


def test_a_backend_that_stays_under_other_settings_keeps_its_calls_and_what_is_known() -> None:
    one = board("a", "b")
    state, made, other = one.backends["a"], one.target("a", "m"), one.target("b", "m")
    made.latency[0].observe(3.0, 0.0)
    state.health.up = False
    for _ in range(3):
        made.begin(0.0)
    eject(made, 1.0)
    like = BackendState("a", retry=RetryPolicy(max_retries=7), limit=3, max_queue=5)
    one.adjust({"a": Adjusted(like=like)}, BreakerSettings(), 1.0)
    assert one.backends["a"] is state
    assert one.target("a", "m") is made
    assert (state.limit, state.max_queue, state.retry.max_retries, state.inflight) == (3, 5, 7, 3)
    assert (state.health.up, made.breaker.state, made.latency[0].read(1.0) > 0) == (False, State.OPEN, True)
    assert (made.counted, made.usable, str(made.why(1.0)), other.counted) == (True, False, "full", False)
    one.adjust({"a": Adjusted(like=BackendState("a"))}, BreakerSettings(), 1.0)
    assert (made.counted, made.why(1.0)) == (False, "unhealthy")


def test_what_is_counted_by_other_rules_begins_anew() -> None:
    above = {"a": 0.0, "b": 9.0}
    one = Board(slow_above=above.__getitem__)
    for name in above:
        one.enter(BackendState(name))
    made, other = one.target("a", "m"), one.target("b", "m")
    window = other.p95
    for target in (made, other):
        eject(target, 0.0)
        target.backend.health.up = False
    above["a"] = 1.0
    rules = BreakerSettings(failures=1)
    like = BackendState("a", health=HealthSettings(fall=1), breaker=rules)
    changes = {
        "a": Adjusted(like=like, health=True, breaker=True, slow=True),
        "b": Adjusted(like=BackendState("b", breaker=rules), breaker=True),
    }
    one.adjust(changes, rules, 1.0)
    assert (made.why(1.0), made.backend.health.up, made.usable, made.counted) == (None, True, True, True)
    assert (made.p95 is not None, other.p95 is window) == (True, True)
    assert (other.breaker.state, other.backend.health.up) == (State.CLOSED, False)
    made.failed(Fault(RESET, "x"), 2.0, 2.0)
    assert made.breaker.state is State.OPEN, "after one failure"
    assert one.target("a", "new").breaker is not made.breaker
    above["a"] = 0.0
    one.adjust({"a": Adjusted(like=BackendState("a"), slow=True)}, rules, 3.0)
    assert (made.p95, made.counted) == (None, False)


def test_it_forgets_what_is_not_worth_remembering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TARGETS", 4)
    one = board("a")
    quiet, ejected, running, busy = (one.target("a", str(at)) for at in range(4))
    assert one.crowded
    eject(ejected, 0.0)
    running.begin(0.0)
    busy.busy_until = 5.0
    one.forget()
    assert not one.crowded
    assert one.targets() == [ejected, running, busy]
    assert one.backends["a"].targets == [ejected, running, busy]
    assert one.target("a", "0") is not quiet


def against(one: Board, target: Target, moment: float) -> str | None:
    then = one.against(moment)
    return None if then is None else then(target)


def test_what_spoke_against_a_target_is_known_afterwards() -> None:
    one = board("a")
    found = one.target("a", "m")
    assert against(one, found, 0.0) == ""
    eject(found, 10.0)
    assert [against(one, found, moment) for moment in (9.0, 12.0, 16.0)] == ["", "ejected", "probing"]
    assert found.why(16.0) is None  # somebody asks: it is half open now
    found.begin(16.0).end(None, 17.0)
    moments = (9.0, 12.0, 15.5, 16.5, 17.5)
    assert [against(one, found, moment) for moment in moments] == ["", "ejected", "probing", "probing", ""]


def test_what_is_too_long_ago_is_not_known() -> None:
    one = board("a")
    found = one.target("a", "m")
    for at in range(KEPT + 1):
        found.backend.drain(at % 2 == 0, float(at))
    assert against(one, found, -1.0) is None
    assert against(one, found, KEPT - 0.5) == ""
    assert against(one, found, KEPT + 0.5) == "draining"
