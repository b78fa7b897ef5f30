"""routing/plan.py: which backends, in which order, for which model."""

from fnmatch import fnmatchcase

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import MODEL_UNKNOWN, Fault
from trunkline.routing import plan as routing_plan
from trunkline.routing.backend import BackendSettings
from trunkline.routing.plan import Plan, default_names, unknown_model


class Names(msgspec.Struct, frozen=True):
    """A backend's list; of `perhaps` it does not say whether it has them."""

    names: tuple[str, ...]
    perhaps: tuple[str, ...] = ()

    def holds(self, model: str) -> bool | None:
        return True if model in self.names else None if model in self.perhaps else False


def backend(models: list[str] | None, priority: int = 99, default: str | None = None) -> BackendSettings:
    return BackendSettings(name="b", url="http://b", models=models, priority=priority, default_model=default)


PLAN = Plan(
    [
        backend(None, 1),
        backend(["llama3*", "gpt-4o"], 5),
        backend(["gpt-4o", "GPT-4", "odd[1]"], 2),
        backend(["llama3-8b"], 5),
        backend([], 1),
    ]
)
LISTED = Plan([backend(["gpt-4o", "gpt-4o-mini", "Llama3*"]), backend(["gpt-4o", "whisper-1"], 1)])


@pytest.mark.parametrize(
    ("model", "order"),
    [
        ("gpt-4o", (2, 1, 0)),  # named ones first, by priority, then the one that may have anything
        ("llama3-8b", (3, 1, 0)),  # its name before a glob
        ("llama3", (1, 0)),
        ("LLAMA3", (0,)),
        ("gpt-4", (0,)),
        ("GPT-4", (2, 0)),
        ("odd[1]", (2, 0)),
        ("odd1", (2, 0)),
        ("anything", (0,)),
        ("", (0, 4, 2, 1, 3)),
    ],
)
def test_candidates(model: str, order: tuple[int, ...]) -> None:
    assert PLAN.candidates(model) == order
    assert PLAN.candidates(model) == order, "remembered"


@pytest.mark.parametrize(
    ("model", "order"),
    [
        ("both", (3, 1, 0, 4)),  # those that list it, by priority; a glob on its own; the unknown one last
        ("only-1", (1, 0, 4)),
        ("perhaps", (0, 4, 1)),
        ("star", (0, 4)),
        ("default", (4, 0)),  # what a backend is set up for, it has
        ("", (4, 3, 1, 0, 2)),
    ],
)
def test_lists_decide_where_nothing_is_configured(model: str, order: tuple[int, ...]) -> None:
    plan = Plan(
        [
            backend(["*"], 5),
            backend(None, 4),
            backend(["configured"], 9),
            backend(None, 3),
            backend(None, 2, "default"),
        ]
    )
    plan.learn(1, Names(("both", "only-1"), ("perhaps",)))
    plan.learn(2, Names(("both", "only-1")))
    plan.learn(3, Names(("both",)))
    assert plan.candidates(model) == order


def test_a_glob_that_the_backends_own_list_bears_out_is_as_good_as_the_name() -> None:
    plan = Plan([backend(["llama*"], 1), backend(["llama3"], 2)])
    assert plan.candidates("llama3") == (1, 0)
    plan.learn(0, Names(("llama3", "other")))
    assert plan.candidates("llama3") == (0, 1)
    assert isinstance(plan.candidates("other"), Fault), "what is configured limits what is listed"


def test_what_is_learned_takes_the_place_of_what_was_remembered() -> None:
    plan = Plan([backend(None), backend(None)])
    assert plan.candidates("m") == (0, 1)
    plan.learn(0, Names(("other",)))
    assert plan.candidates("m") == (1,)
    plan.learn(1, Names(("mm",)))
    fault = plan.candidates("m")
    assert isinstance(fault, Fault)
    assert fault.message == "no backend serves the model `m`; did you mean `mm`?"
    assert plan.candidates("m") is fault, "remembered"
    plan.learn(1, Names(("m",)))
    assert plan.candidates("m") == (1,)
    plan.learn(0, None)
    assert plan.candidates("m") == (1, 0)


@pytest.mark.parametrize(
    ("model", "hint"),
    [
        ("GPT-4O", "; did you mean `gpt-4o`, `gpt-4o-mini`?"),
        ("wisper-1", "; did you mean `whisper-1`?"),
        ("claude", ""),
        ("x" * 5000, ""),
    ],
)
def test_an_unknown_model_is_told_the_close_names(model: str, hint: str) -> None:
    fault = LISTED.candidates(model)
    assert isinstance(fault, Fault)
    assert (fault.kind, fault.http_status, fault.param) == (MODEL_UNKNOWN, 404, "model")
    assert fault.message == f"no backend serves the model `{model[:100]}`{hint}"


def test_names_of_models() -> None:
    assert LISTED.model_names() == ["gpt-4o", "whisper-1", "gpt-4o-mini"]
    assert PLAN.model_names() == ["gpt-4o", "GPT-4", "llama3-8b"]
    assert repr(PLAN) == "<Plan over 5 backends>"
    plan = Plan([backend(["a*", "b"]), backend(None, 1, "d")])
    plan.learn(0, Names(("a1", "x", "b")))
    plan.learn(1, Names(("y", "a1")))
    assert plan.all_names() == ["b", "d", "y", "a1"], (
        "configured, then listed by priority; nothing that is not served"
    )


def test_the_names_that_a_backend_is_set_up_with() -> None:
    settings = BackendSettings(
        name="b",
        url="http://b",
        deployment_name="dep",
        api_version="1",
        default_model="m",
        default_embedding_model="m",
    )
    assert default_names(settings) == ("dep", "m")
    assert default_names(msgspec.structs.replace(settings, api_version=None)) == ("m",)


def test_made_up_names_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing_plan, "_MAX_REMEMBERED", 3)
    monkeypatch.setattr(routing_plan, "_MAX_UNKNOWN", 2)
    plan = Plan([backend(None), backend(["a"])])
    for number in range(9):
        assert plan.candidates(f"m{number}") == (0,)
    assert plan.candidates("a") == (1, 0)
    assert len(plan._remembered) == 3
    plan = Plan([backend(["a"])])
    for number in range(9):
        assert isinstance(plan.candidates(f"m{number}"), Fault)
        assert len(plan._unknown) <= 2
    assert isinstance(Plan([]).candidates(""), Fault)


def test_close_names_are_looked_for_among_so_many_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing_plan, "MAX_COMPARED", 2)
    assert "`abcd`" not in unknown_model("abce", ["x", "y", "abcd"]).message
    assert "`abcd`" in unknown_model("abce", ["x", "abcd"]).message


_names = st.sampled_from(["a", "b", "ab", "A", "a*", "*", "?", "[ab]", ""])
_backends = st.builds(backend, st.none() | st.lists(_names, max_size=3), st.integers(0, 2))
_lists = st.none() | st.builds(
    Names,
    st.lists(st.sampled_from(["a", "b", "ab"]), max_size=2).map(tuple),
    st.sampled_from([(), ("a",), ("c",)]),
)


@given(
    st.lists(st.tuples(_backends, _lists), max_size=5), st.sampled_from(["a", "b", "ab", "A", "c", "[ab]"])
)
def test_the_order_is_by_what_is_known_then_priority_then_as_written(
    pairs: list[tuple[BackendSettings, Names | None]], model: str
) -> None:
    backends = [item for item, _ in pairs]
    plan = Plan(backends)
    for index, (_, names) in enumerate(pairs):
        plan.learn(index, names)
    found = plan.candidates(model)

    def rank(item: BackendSettings, names: Names | None) -> int | None:
        held = None if names is None else names.holds(model)
        if item.models is None:
            return {True: 0, None: 2, False: None}[held]
        if model in item.models or (held and any(fnmatchcase(model, glob) for glob in item.models)):
            return 0
        return 1 if any(fnmatchcase(model, glob) for glob in item.models) else None

    ranked = [(rank(*pair), pair[0].priority, index) for index, pair in enumerate(pairs)]
    order = sorted(item for item in ranked if item[0] is not None)
    assert (() if isinstance(found, Fault) else found) == tuple(index for *_, index in order)


def test_whether_any_model_may_be_asked_for() -> None:
    plan = Plan([backend(["a"]), backend(None)])
    assert plan.takes_any
    plan.learn(1, Names(("b",)))
    assert not plan.takes_any
    assert not Plan([backend(["a*"])]).takes_any
