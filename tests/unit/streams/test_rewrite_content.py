"""streams/rewrite.py: whether a client has seen anything yet."""

from typing import Any

import pytest

from tests.unit.streams.events import COMMENT, DONE, ROLE, STOP, USED, WORD, delta, event, relayed, rewriter
from trunkline.streams.answer import AS_IT_IS, AnswerSettings
from trunkline.streams.think import ThinkSettings
from trunkline.wire.sse import LIMIT

STRIP = AnswerSettings(think=ThinkSettings())


@pytest.mark.parametrize("settings", [AS_IT_IS, STRIP, AnswerSettings(model="public")])
@pytest.mark.parametrize(
    "content",
    [
        WORD,
        delta(content=[{"type": "text", "text": "x"}]),
        *(delta(reasoning_content="x"), delta(reasoning="x"), delta(refusal="x")),
        delta(reasoning_details=[{"type": "reasoning.text", "text": "x"}]),
        delta(tool_calls=[{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}]),
        delta(function_call={"name": "f"}),
        delta(audio={"id": "a"}),
        delta("length"),
        event({"choices": [{"text": "x"}]}),
        event({"choices": "odd"}),
        delta(content="x" * LIMIT),
    ],
)
def test_content_is_what_a_client_sees(settings: AnswerSettings, content: bytes) -> None:
    by = rewriter(settings)
    for silent in (
        COMMENT,
        event({"id": "c", "choices": []}),
        ROLE,
        delta(),
        delta(content="", tool_calls=[]),
        USED,
    ):
        by.feed(silent)
        assert not by.content
    by.feed(content)
    assert by.content
    by = rewriter(settings)
    inspector = relayed(ROLE, by=by)
    assert not by.content
    inspector.feed(content)
    assert by.content


@pytest.mark.parametrize("thoughts", [{"content": "<think>x"}, {"reasoning_content": "x"}])
def test_thoughts_that_the_client_does_not_get_are_none(thoughts: dict[str, Any]) -> None:
    by = rewriter(AnswerSettings(think=ThinkSettings(), reasoning="strip"))
    for silent in (
        ROLE,
        delta(**thoughts),
        delta(content="<"),
        event({"id": "c", "choices": [], "citations": [1]}),
    ):
        by.feed(silent)
        assert not by.content
    assert by.feed(STOP)
    assert by.content


def test_what_was_held_back_is_content_when_it_is_given_out() -> None:
    by = rewriter(STRIP, include_usage=False)
    by.feed(ROLE + delta(content="<thi"))
    assert not by.content
    assert b"<thi" in by.release()
    assert by.content
    assert by.release() == b""
    by = rewriter(include_usage=False)
    assert by.feed(DONE) == DONE
    assert not by.content  # there was no answer
