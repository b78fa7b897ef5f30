"""routing/board.py: states by name, and their number."""

import pytest

from tests.unit.routing.world import eject
from trunkline.routing import board as module
from trunkline.routing.backend import CapabilitySettings
from trunkline.routing.board import Board
from trunkline.routing.breaker import BreakerSettings
from trunkline.routing.changes import KEPT
from trunkline.routing.target import UNKNOWN, BackendState, Target


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
