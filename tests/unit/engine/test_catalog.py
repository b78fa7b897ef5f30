"""engine/catalog.py: what is known of the backends' models."""

from typing import Any

import msgspec

from trunkline.engine.catalog import Catalog
from trunkline.errors import Fault
from trunkline.providers.model_list import ListedModel, parse_models
from trunkline.providers.model_traits import UNKNOWN, Traits
from trunkline.routing.backend import BackendSettings, CapabilitySettings
from trunkline.routing.plan import Plan


class World:
    """A catalog over backends called a, b, c ..., and how often it said that something changed."""

    def __init__(self, *backends: dict[str, Any]) -> None:
        settings: list[BackendSettings] = []
        for at, values in enumerate(backends):
            usual: dict[str, Any] = {"name": "abcdef"[at], "url": "http://h"}
            settings.append(BackendSettings(**(usual | values)))
        self.plan = Plan(settings)
        self.changes = 0
        self.catalog = Catalog(settings, self.plan, self._count)

    def _count(self) -> None:
        self.changes += 1

    @property
    def names(self) -> list[str]:
        return [entry["id"] for entry in self.catalog.entries()]


def models(*entries: str | dict[str, Any]) -> list[ListedModel]:
    body = {"data": [{"id": entry} if isinstance(entry, str) else entry for entry in entries]}
    found = parse_models(msgspec.json.encode(body))
    assert found is not None
    return found


def test_configured_names_come_first_then_lists_by_priority_each_name_once() -> None:
    world = World({"priority": 2}, {"priority": 1}, {"models": ["z", "x*", "b"], "priority": 9})
    world.catalog.learn(0, models("a1", "both", "b"), 1.0)
    world.catalog.learn(1, models("b1", "both", "glob/*"), 1.0)
    world.catalog.learn(2, models("x1", "other"), 1.0)
    assert world.names == ["z", "b", "b1", "both", "a1", "x1"]
    owners = {entry["id"]: entry["owned_by"] for entry in world.catalog.entries()}
    assert owners["both"] == "b"
    assert world.catalog.entries() is world.catalog.entries(), "made once"


def test_an_entry_has_what_typed_clients_need_and_what_the_server_said() -> None:
    world = World({"models": ["m", "n"]})
    world.catalog.learn(0, models({"id": "m", "created": 5, "max_model_len": 4096, "x": [1]}), 1.0)
    assert world.catalog.entries() == [
        {
            "id": "m",
            "object": "model",
            "created": 5,
            "owned_by": "a",
            "max_model_len": 4096,
            "x": [1],
            "context_length": 4096,
        },
        # What the server's only model can do is told for the names that are configured for it, too.
        {"id": "n", "object": "model", "created": 0, "owned_by": "a", "context_length": 4096},
    ]


def test_without_a_list_the_default_models_stand_in_for_it() -> None:
    world = World(
        {"default_model": "d", "default_embedding_model": "e"},
        {"deployment_name": "dep", "api_version": "1"},
        {"models": ["d*"], "default_model": "d2", "default_embedding_model": "f"},
    )
    assert world.names == ["dep", "d", "e", "d2"]
    world.catalog.learn(0, models("real"), 1.0)
    assert world.names == ["dep", "real", "d2"]
    assert world.plan.candidates("d") == (0, 2, 1), "it is served all the same"


def test_a_failure_keeps_the_last_good_list_with_its_age() -> None:
    world = World({})
    world.catalog.failed(0, "refused", 1.0)
    known = world.catalog.known[0]
    assert (known.models, known.listed_at, known.asked_at, known.error) == (None, 0.0, 1.0, "refused")
    assert world.plan.candidates("m") == (0,), "unknown excludes nothing"
    assert world.catalog.learn(0, models("m"), 2.0)
    assert (known.error, known.listed_at) == ("", 2.0)
    world.catalog.failed(0, "status 500", 3.0)
    assert (known.listed_at, known.asked_at, known.error) == (2.0, 3.0, "status 500")
    assert world.names == ["m"]
    assert isinstance(world.plan.candidates("n"), Fault)
    assert repr(world.catalog) == "<Catalog of 1 backends, 1 with a list>"


def test_a_list_that_differs_from_the_last_one_is_a_change_the_same_one_is_not() -> None:
    world = World({})
    assert world.catalog.learn(0, models("m"), 1.0)
    assert world.changes == 1
    assert not world.catalog.learn(0, models("m"), 2.0)
    assert world.changes == 1
    assert world.catalog.learn(0, models({"id": "m", "created": 7}), 3.0)
    assert world.catalog.entries()[0]["created"] == 7
    assert world.changes == 2, "what a model can do decides who is asked"
    world.catalog.learn(0, models("m", "n"), 4.0)
    assert world.changes == 3


def test_what_a_single_model_is_told_to_do_is_a_change_once() -> None:
    world = World({})
    world.catalog.learn(0, models("m"), 1.0)
    for _ in range(2):
        world.catalog.tell(0, "m", Traits(8))
    assert world.changes == 2
    world.catalog.tell(0, "m", Traits(9))
    assert world.changes == 3


def test_an_empty_list_says_nothing() -> None:
    world = World({"default_model": "d"})
    world.catalog.learn(0, models("m"), 1.0)
    world.catalog.learn(0, [], 2.0)
    assert world.plan.candidates("anything") == (0,)
    assert world.names == ["d"]
    assert world.catalog.traits(0, "m") == UNKNOWN


def test_traits_are_as_configured_then_as_listed_then_as_told() -> None:
    capabilities = {
        "m*": CapabilitySettings(context_window=100, json_schema=True),
        "m1": CapabilitySettings(context_window=50),
    }
    world = World({"capabilities": capabilities}, {})
    assert world.catalog.traits(0, "m1") == Traits(50, None, None, True)
    assert world.catalog.traits(0, "m2") == Traits(100, None, None, True)
    assert world.catalog.traits(0, "x") == UNKNOWN
    listed = models({"id": "m1", "max_model_len": 7}, {"id": "x:latest", "max_model_len": 9})
    for index in (0, 1):
        world.catalog.learn(index, listed, 1.0)
        world.catalog.tell(index, "m1", Traits(8, True))
        world.catalog.tell(index, "m1", Traits(8, True))
    assert world.catalog.traits(0, "m1") == Traits(50, True, None, True)
    assert world.catalog.traits(1, "m1") == Traits(7, True)
    assert world.catalog.traits(1, "x") == Traits(9), "by an alias"
    assert world.catalog.traits(1, "y") == UNKNOWN


def test_what_was_told_holds_as_long_as_the_entry_stays_as_it_is() -> None:
    world = World({})
    world.catalog.learn(0, models("m", "n"), 1.0)
    world.catalog.tell(0, "m", Traits(8))
    world.catalog.tell(0, "n", Traits(9))
    world.catalog.learn(0, models("m", {"id": "n", "created": 2}), 2.0)
    assert world.catalog.known[0].told == {"m": Traits(8)}
    assert world.catalog.entries()[0]["context_length"] == 8
