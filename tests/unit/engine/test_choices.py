"""engine/choices.py: from names to who can be asked, made ready for calls."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.engine.world import NOW, World
from trunkline.engine import choices as module
from trunkline.engine.choices import Choice
from trunkline.errors import Fault
from trunkline.routing import board as board_module

Make = Callable[..., World]
AT_A, AT_B = {"backend": "a", "model": "x"}, {"backend": "b", "model": "y"}


def choice(world: World, model: str, needs: str = "", pin: str = "") -> Choice:
    found = world.choices.find(model, needs, pin)
    assert isinstance(found, Choice), found
    return found


def refused(world: World, model: str, needs: str = "", pin: str = "") -> tuple[int, str, str]:
    found = world.choices.find(model, needs, pin)
    assert isinstance(found, Fault), found
    return found.http_status, found.error_code, found.message


def candidates(one: Choice) -> list[str]:
    return [
        f"{pick.candidate.target.backend.name}/{pick.candidate.target.model}"
        for pick in one.route.candidates()
    ]


def test_the_first_target_is_asked_without_more_ado_where_nothing_has_to_be_found_out(make: Make) -> None:
    world = make({}, {})
    one = choice(world, "m")
    assert one.target is one.pick.candidate.target is world.board.target("a", "m")
    assert one.upstream is world.upstreams["a"]
    assert one.naming == b"x-trunkline-model: m\r\nx-trunkline-backend: a\r\nx-trunkline-attempts: 1\r\n"
    assert candidates(one) == ["a/m", "b/m"]
    assert (one.touched, one.edits, one.reads) == (frozenset(), False, False)


@pytest.mark.parametrize(
    ("backend", "model"),
    [
        ({}, {"strategy": "round_robin"}),
        ({}, {"strategy": "latency"}),
        ({"max_concurrency": 3}, {}),
        ({"capabilities": {"x": {"vision": False}}}, {}),
        ({"capabilities": {"x": {"context_window": 9}}}, {"strategy": "weighted"}),
    ],
)
def test_else_it_is_found_out_per_call(make: Make, backend: dict[str, Any], model: dict[str, Any]) -> None:
    world = make(backend, {}, models={"m": {"targets": [AT_A, AT_B]} | model})
    one = choice(world, "m")
    assert one.target is None
    assert one.upstream is world.upstreams["a"], "errors before any attempt name somebody"
    assert one.reads == ("capabilities" in backend)


def test_who_may_not_know_the_backends_is_told_the_model_alone(make: Make) -> None:
    assert choice(make({}, exposes=False), "m").naming == b"x-trunkline-model: m\r\n"


def test_the_model_has_to_be_written_where_some_target_calls_it_by_another_name(make: Make) -> None:
    config = {
        "own": {"targets": [{"backend": "a"}]},
        "far": {"targets": [{"backend": "a"}], "fallbacks": ["other"]},
        "long": {"targets": [{"backend": "a"}], "context_fallback": "other"},
        "other": {"targets": [AT_B]},
    }
    world = make({}, {}, models=config)
    assert "model" not in choice(world, "own").touched
    for name in ("far", "long", "other"):
        assert "model" in choice(world, name).touched, name
    assert choice(world, "other").route.tiers[0].name == "other"


def test_all_that_some_candidate_wants_changed_is_looked_for(make: Make) -> None:
    world = make({}, {"provider": "groq"})
    both = choice(world, "m").touched
    assert both
    assert both == world.upstreams["b"].touched("m") | world.upstreams["a"].touched("m")


def test_the_time_of_a_call_is_that_of_its_first_target(make: Make) -> None:
    world = make({"timeouts": {"total": 9.0}}, {"timeouts": {"total": 5.0}})
    assert choice(world, "m").total == 9.0
    world = make(
        {"timeouts": {"total": 9.0}},
        {"timeouts": {"total": 5.0}},
        models={"m": {"targets": [AT_A, AT_B | {"priority": 1}]}},
    )
    assert choice(world, "m").total == 5.0


def test_requests_without_a_model_may_be_given_one(make: Make) -> None:
    world = make({"default_model": "d"}, {})
    assert choice(world, "").edits
    assert not choice(world, "d").edits
    assert candidates(choice(world, "")) == ["a/", "b/"]


def test_with_public_models_other_names_are_unknown(make: Make) -> None:
    world = make({"models": ["x"]}, models={"chat": {"targets": [AT_A], "aliases": ["gpt-*"]}})
    assert candidates(choice(world, "chat")) == candidates(choice(world, "gpt-4")) == ["a/x"]
    status, code, message = refused(world, "chatt")
    assert (status, code) == (404, "model_not_found")
    assert "`chat`" in message
    assert refused(world, "x")[0] == 404
    assert candidates(choice(world, "")) == ["a/"], "who names no model gets what there is"


def test_rules_and_routers_may_name_what_clients_may_not(make: Make) -> None:
    world = make({"models": ["x", "y"]}, models={"chat": {"targets": [AT_A]}})
    found = world.choices.find("y", led=True)
    assert isinstance(found, Choice)
    assert candidates(found) == ["a/y"]
    assert world.choices.known(led=True) == {"y": found}
    assert world.choices.known() == {}
    assert refused(world, "y")[0] == 404
    nowhere = world.choices.find("nowhere", led=True)
    assert isinstance(nowhere, Fault)
    assert nowhere.http_status == 404


@pytest.mark.parametrize("models", [{}, {"chat": {"targets": [AT_A]}}], ids=["lists", "public models"])
def test_close_names_are_looked_for_once(make: Make, models: dict[str, Any]) -> None:
    world = make({"models": ["x"]}, models=models)
    found = world.choices.find("chatt")
    assert isinstance(found, Fault)
    assert world.choices.find("chatt") is found


def test_without_public_models_the_lists_decide(make: Make) -> None:
    world = make({"models": ["x"]}, {"models": ["x", "y"]})
    assert candidates(choice(world, "x")) == ["a/x", "b/x"]
    assert candidates(choice(world, "y")) == ["b/y"]
    assert refused(world, "z")[:2] == (404, "model_not_found")


def test_a_pin_leaves_one_backend(make: Make) -> None:
    world = make({"models": ["x"]}, {"models": ["x"]})
    assert candidates(choice(world, "x", pin="b")) == ["b/x"]
    assert candidates(choice(world, "x")) == ["a/x", "b/x"]
    world = make({}, {}, models={"m": {"targets": [AT_A]}})
    status, code, message = refused(world, "m", pin="b")
    assert (status, code) == (400, "model_not_found")
    assert "`b`" in message


def test_a_pin_is_a_backends_name_or_else_a_providers(make: Make) -> None:
    world = make({"name": "groq"}, {"name": "b", "provider": "groq"}, {"name": "c", "provider": "openai"})
    assert candidates(choice(world, "m", pin="groq")) == ["groq/m"], "the name comes first"
    assert candidates(choice(world, "m", pin="openai")) == ["c/m"]
    for pin in ("nobody", "mistral"):
        assert refused(world, "m", pin=pin)[:2] == (400, "backend_not_found")
    assert ("", "nobody") not in world.choices._routes


def test_a_pin_may_name_what_is_not_public(make: Make) -> None:
    world = make({"models": ["x", "y"]}, models={"chat": {"targets": [AT_A]}})
    assert candidates(choice(world, "y", pin="a")) == ["a/y"]


def test_a_surface_leaves_those_that_speak_it(make: Make) -> None:
    world = make({"provider": "openai"}, {})
    assert candidates(choice(world, "m", "messages")) == ["b/m"]
    assert candidates(choice(world, "m")) == ["a/m", "b/m"]
    assert refused(make({"provider": "openai"}), "m", "messages")[:2] == (400, "unsupported_endpoint")


def test_what_was_found_is_known_until_lists_change(make: Make) -> None:
    world = make({}, {})
    known = world.choices.known()
    one = choice(world, "m")
    pinned = choice(world, "m", pin="b")
    assert known == {"m": one}
    assert world.choices.known("", "b") == {"m": pinned}
    assert repr(world.choices) == "<Choices for 2 models>"
    world.choices.forget()
    assert known == {}
    assert world.choices.known() is known, "whoever looks into it holds it"
    assert choice(world, "m").route is not one.route
    assert choice(world, "m").target is one.target, "what is known of a target stays"


def test_names_that_clients_make_up_do_not_grow_the_memory(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_CHOICES", 5)
    monkeypatch.setattr(module, "MAX_REFUSED", 5)
    world = make({}, models={"m*": {"targets": [{"backend": "a"}]}})
    for at in range(30):
        choice(world, f"m{at}")
        assert len(world.choices.known()) <= 5
        refused(world, f"n{at}")
        assert len(world.choices._refused) <= 5


def test_who_is_known_hears_of_its_backend_although_targets_were_forgotten(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Targets of names that clients made up are dropped in time: no choice may hold one that nobody tells anything."""
    monkeypatch.setattr(board_module, "MAX_TARGETS", 10)
    world = make({}, {})
    choice(world, "popular")
    choice(world, "popular", pin="a")
    for at in range(40):
        choice(world, f"m{at}")
        assert len(world.board.targets()) <= 12
    for _ in range(3):
        world.board.backends["a"].checked(False, NOW)
    for known in (world.choices.known(), world.choices.known("", "a")):
        for one in known.values():
            assert one.target is not None
            assert not one.target.usable
