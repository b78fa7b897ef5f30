"""engine/router.py: how functions of all kinds are called and what their answers mean, on both loops."""

import asyncio
import enum
import functools
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.engine.asking import (
    VIEW,
    asking,
    coroutine_with_text,
    giving,
    giving_a_coroutine,
    no_threads,
)
from tests.contract.gateway.harness import on_both_loops
from trunkline.engine.router import Pinned, RequestView


class Kinds(str, enum.Enum):  # noqa: UP042 - that is what is tested
    """How people wrote it before there was StrEnum."""

    CODE = "code-llama"


def with_text(text: Any) -> Any:
    return f"got {text}"


def with_prompt(prompt: Any) -> Any:
    return f"got {prompt}"


def with_query(query: Any, models: Any = ()) -> Any:
    return f"got {query}"


def with_annotation(said: str) -> Any:
    return f"got {said}"


def with_written_annotation(said: "str") -> Any:
    return f"got {said}"


def with_view(request: Any) -> Any:
    return f"got {request.model} of {request.key}"


def with_annotated_view(text: RequestView) -> Any:
    return f"got {text.model} of {text.key}"


class Called:
    def __call__(self, text: Any) -> Any:
        return f"got {text}"


class CalledLikeACoroutine:
    async def __call__(self, text: Any) -> Any:
        return await coroutine_with_text(text)


@pytest.mark.parametrize(
    ("function", "answer"),
    [
        (with_text, "got write code"),
        (with_prompt, "got write code"),
        (with_query, "got write code"),
        (with_annotation, "got write code"),
        (with_written_annotation, "got write code"),
        (with_view, "got auto of team-a"),
        (with_annotated_view, "got auto of team-a"),
        (coroutine_with_text, "got write code"),
        (giving_a_coroutine, "got write code"),
        (Called(), "got write code"),
        (CalledLikeACoroutine(), "got write code"),
        (functools.partial(with_view), "got auto of team-a"),
        (functools.partial(coroutine_with_text), "got write code"),
    ],
)
@on_both_loops
async def test_functions_are_called_with_what_they_want(function: Callable[[Any], Any], answer: str) -> None:
    with asking(function) as world:
        assert [await world.choose() for _ in range(3)] == [answer] * 3
        assert world.warnings == []
    await no_threads()


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (None, None),
        ("fast-model", "fast-model"),
        ("modèle 1", "modèle 1"),
        (Kinds.CODE, "code-llama"),
        ({"model": "m"}, "m"),
        ({"model": "m", "reason": "short"}, "m"),
        ({"provider": None, "model": "m"}, "m"),
        ({"provider": "groq", "model": "llama"}, Pinned("groq", "llama")),
        ({"backend": "b", "model": "llama"}, Pinned("b", "llama")),
        ({"backend": "b", "provider": "groq", "model": "llama"}, Pinned("b", "llama")),
        ({"backend": "b"}, Pinned("b", "auto")),
        ({"provider": "groq"}, Pinned("groq", "auto")),
        (Pinned("b", "m"), Pinned("b", "m")),
    ],
)
@on_both_loops
async def test_answers_are_read(given: object, read: Pinned | str | None) -> None:
    for function in giving(lambda: given):
        with asking(function) as world:
            found = await world.choose()
            assert (found, type(found)) == (read, type(read))
            assert world.warnings == []


ODD = "gave a name that is empty, too long or not printable"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (7, "gave a value of type int"),
        (b"model", "gave a value of type bytes"),
        (["model"], "gave a value of type list"),
        (True, "gave a value of type bool"),
        ("", ODD),
        ("a\nb", ODD),
        ("\ud800", ODD),
        ("m" * 513, ODD),
        ({}, "gave a dict without model, provider and backend"),
        ({"models": ["a"]}, "gave a dict without model, provider and backend"),
        ({"model": 7}, "gave a name of type int"),
        ({"provider": ["a"], "model": "m"}, "gave a name of type list"),
        ({"provider": "a", "model": ""}, ODD),
        (Pinned("a", ""), ODD),
        ((item for item in "abc"), "gave a value of type generator"),
    ],
)
@on_both_loops
async def test_odd_answers_are_none(given: object, words: str) -> None:
    for function in giving(lambda: given):
        with asking(function) as world:
            assert await world.choose() is None
            (warning,) = world.warnings
            assert warning.startswith(f"router m:f {words}")
            assert warning.endswith("; the rules decide")


@on_both_loops
async def test_an_answer_that_cannot_be_looked_at_is_none() -> None:
    def who_asks(self: object) -> type:
        raise RuntimeError("who asks?")

    lying = type("Lying", (), {"__class__": property(who_asks)})
    for function in giving(lying):
        with asking(function) as world:
            assert await world.choose() is None
            assert "raised RuntimeError" in world.warnings[0]


@pytest.mark.parametrize(
    "error",
    [
        *(
            ValueError("the user's text"),
            SystemExit(1),
            KeyboardInterrupt(),
            GeneratorExit(),
            StopIteration(1),
        ),
        *(MemoryError(), BaseException("base"), TimeoutError("its own"), asyncio.CancelledError()),
    ],
    ids=lambda error: type(error).__name__,
)
@on_both_loops
async def test_no_exception_gets_out(error: BaseException) -> None:
    def fail() -> object:
        raise error

    for at, function in enumerate(giving(fail)):
        with asking(function) as world:
            assert await world.choose() is None
            (warning,) = world.warnings
            # A coroutine cannot raise StopIteration.
            name = "RuntimeError" if at and isinstance(error, StopIteration) else type(error).__name__
            assert warning.startswith(f"router m:f raised {name}")
            assert "text" not in warning  # an exception may quote the request
    await no_threads()


@on_both_loops
async def test_the_place_of_an_exception_is_told() -> None:
    with asking(lambda view: view.no_such_thing) as world:
        await world.choose()
        line = sys._getframe().f_lineno - 2
        assert world.warnings == [
            f"router m:f raised AttributeError (test_router.py:{line}); the rules decide"
        ]


@on_both_loops
async def test_the_view_cannot_be_changed() -> None:
    def choose(view: Any) -> object:
        view.model = "mine"
        return "never"

    with asking(choose) as world:
        assert await world.choose() is None
        assert "raised AttributeError" in world.warnings[0]
        assert VIEW.model == "auto"


@on_both_loops
async def test_each_kind_of_failure_is_told_once_a_minute() -> None:
    answers: list[Any] = [7, 8, ValueError(), 9, ValueError()]

    def choose(view: Any) -> object:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with asking(choose) as world:
        for _ in range(5):
            await world.choose()
        assert [line.split()[2] for line in world.warnings] == ["gave", "raised"]
        answers += [7, 8, 9]
        for at in (59.9, 60.0, 100.0):
            world.now = at
            await world.choose()
        assert len(world.warnings) == 3


@pytest.mark.parametrize("function", [max, dict], ids=["written in C", "a class"])
@on_both_loops
async def test_what_cannot_be_called_with_a_request_is_a_failure_like_others(
    function: Callable[[Any], Any],
) -> None:
    with asking(function) as world:
        assert await world.choose() is None
        assert "raised TypeError" in world.warnings[0]


@on_both_loops
async def test_where_it_runs_is_told() -> None:
    with asking(coroutine_with_text) as world:
        assert repr(world.router) == "<Router m:f on the loop, 0 overdue>"
