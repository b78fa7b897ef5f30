"""routing/plan.py: which backends, in which order, for which model."""

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import MODEL_UNKNOWN, Fault
from trunkline.routing import plan as routing_plan
from trunkline.routing.backend import BackendSettings
from trunkline.routing.plan import Plan


def backend(models: list[str] | None, priority: int = 99) -> BackendSettings:
    return BackendSettings(name="b", url="http://b", models=models, priority=priority)


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
        ("gpt-4o", (2, 1, 0)),  # listed ones first, by priority, then the one that takes anything
        ("llama3-8b", (1, 3, 0)),  # equal priority: as written; a glob lists a model as well as its name
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


def test_made_up_names_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing_plan, "_MAX_REMEMBERED", 3)
    plan = Plan([backend(None), backend(["a"])])
    for number in range(9):
        assert plan.candidates(f"m{number}") == (0,)
    assert plan.candidates("a") == (1, 0)
    assert len(plan._remembered) == 3
    assert isinstance(Plan([backend(["a"])]).candidates("b"), Fault)
    assert isinstance(Plan([]).candidates(""), Fault)


_names = st.sampled_from(["a", "b", "ab", "A", "a*", "*", "?", "[ab]", ""])
_backends = st.builds(backend, st.none() | st.lists(_names, max_size=3), st.integers(0, 2))


@given(st.lists(_backends, max_size=5), st.sampled_from(["a", "b", "ab", "A", "c", "[ab]"]))
def test_the_order_is_by_listing_then_priority_then_as_written(
    backends: list[BackendSettings], model: str
) -> None:
    found = Plan(backends).candidates(model)
    order = () if isinstance(found, Fault) else found

    def lists(index: int) -> bool:
        return any(name == model or fnmatchcase(model, name) for name in backends[index].models or ())

    able = [index for index, item in enumerate(backends) if item.models is None or lists(index)]
    assert list(order) == sorted(able, key=lambda index: (not lists(index), backends[index].priority, index))
