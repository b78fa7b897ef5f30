"""routing/routes.py: from names to routes."""

from collections.abc import Callable

import msgspec
import pytest

from trunkline.routing import routes as module
from trunkline.routing.board import Board
from trunkline.routing.models import ModelSettings
from trunkline.routing.routes import Routes
from trunkline.routing.target import BackendState


def routes(models: dict[str, object], **more: object) -> Routes:
    board = Board()
    for name in ("a", "b"):
        board.enter(BackendState(name))
    made = msgspec.convert(models, dict[str, ModelSettings])
    listed = {"own": ["a", "b"], "big": ["b"]}
    return Routes(made, board, listed=lambda name: listed.get(name, ()), **more)  # type: ignore[arg-type] # price


def shape(one: Routes, name: str) -> list[list[str]]:
    found = one.route(name)
    assert found is not None
    return [[f"{c.target.backend.name}/{c.target.model}" for c in pool.candidates] for pool in found.tiers]


CHAT = {
    "targets": [{"backend": "a", "model": "x", "weight": 3, "priority": 2}, {"backend": "b"}],
    "fallbacks": ["own", "mini", "nobody", "chat"],
    "context_fallback": "big",
    "evict": True,
}
MODELS: dict[str, object] = {
    "chat": CHAT,
    "mini": {"targets": [{"backend": "a", "model": "y"}], "fallbacks": ["chat"], "strategy": "latency"},
    "gpt-*": {"targets": [{"backend": "a"}], "aliases": ["o1"]},
}


def test_targets_then_fallbacks_of_which_nobody_asks_for_theirs() -> None:
    one = routes(MODELS)
    assert shape(one, "chat") == [["a/x", "b/chat"], ["a/own", "b/own"], ["a/y"]]
    found = one.route("chat")
    assert found is not None
    assert found.context is not None
    assert [c.target.model for c in found.context.candidates] == ["big"]
    assert found.evict
    assert [(c.weight, c.priority, c.place) for c in found.tiers[0].candidates] == [(3.0, 2, 0), (1.0, 99, 1)]


def test_a_pool_is_shared_by_all_who_use_it() -> None:
    one = routes(MODELS)
    chat, mini = one.route("chat"), one.route("mini")
    assert chat is not None
    assert mini is not None
    assert chat.tiers[2] is mini.tiers[0]
    assert mini.tiers[1] is chat.tiers[0]
    assert mini.tiers[0].strategy == "latency"


def test_a_route_is_made_once_until_lists_change() -> None:
    one = routes(MODELS)
    before = one.route("chat")
    assert one.route("chat") is before
    one.clear()
    assert one.route("chat") is not before
    assert repr(one) == "<Routes: 1 made>"


def test_a_glob_passes_the_name_on_and_other_names_go_to_who_lists_them() -> None:
    one = routes(MODELS)
    assert shape(one, "gpt-4") == [["a/gpt-4"]]
    assert shape(one, "own") == [["a/own", "b/own"]]
    assert one.route("nobody") is None


def price_of(backend: str, model: str) -> float | None:
    return 2.5 if model == "x" else None


def test_prices_come_from_outside() -> None:
    one = routes(MODELS, price=price_of)
    found = one.route("chat")
    assert found is not None
    assert [c.price for c in found.tiers[0].candidates] == [2.5, None]


def test_names_that_clients_make_up_do_not_grow_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ROUTES", 5)
    one = routes(MODELS)
    for at in range(100):
        assert shape(one, f"gpt-{at}") == [[f"a/gpt-{at}"]]
        assert len(one._routes) <= 5


def test_where_a_backend_has_a_share_the_first_picks_of_listed_models_are_divided() -> None:
    one = routes(MODELS, shares={"a": 1.0, "b": 3.0})
    own = one.route("own")
    assert own is not None
    assert own.tiers[0].strategy == "weighted"
    assert [c.weight for c in own.tiers[0].candidates] == [1.0, 3.0]
    for name in ("chat", "gpt-4"):
        public = one.route(name)
        assert public is not None
        assert public.tiers[0].strategy == "priority", "a public model says itself how it is divided"


def test_without_any_share_listed_models_are_asked_in_order() -> None:
    nobodys: list[dict[str, float]] = [{}, {"a": 0.0, "b": 0.0}, {"c": 1.0}]
    for shares in nobodys:
        own = routes(MODELS, shares=shares).route("own")
        assert own is not None
        assert own.tiers[0].strategy == "priority"
    own = routes(MODELS, shares={"b": 1.0}).route("own")
    assert own is not None
    assert [c.weight for c in own.tiers[0].candidates] == [0.0, 1.0], "no share, no first picks"


def test_a_target_without_a_weight_has_that_of_its_backend() -> None:
    found = routes(MODELS, weights={"a": 7.0, "b": 5.0}).route("chat")
    assert found is not None
    assert [c.weight for c in found.tiers[0].candidates] == [3.0, 5.0]


def only(name: str) -> Callable[[str], bool]:
    return lambda backend: backend == name


def test_backends_that_are_not_admitted_stand_nowhere() -> None:
    one = routes(MODELS, admits=only("b"))
    assert shape(one, "chat") == [["b/chat"], ["b/own"]], "nor in fallbacks, and an empty one is none"
    assert one.route("mini") is None
    assert one.route("gpt-4") is None
    found = one.route("chat")
    assert found is not None
    assert found.alone is False
    assert shape(routes(MODELS, admits=only("a")), "chat") == [
        ["a/x"],
        ["a/own"],
        ["a/y"],
    ]


def test_without_models_only_lists_count() -> None:
    bare = Routes({}, Board())
    assert bare.route("m") is None
    assert bare._price("a", "m") is None
