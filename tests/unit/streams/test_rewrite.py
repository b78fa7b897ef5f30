"""streams/rewrite.py: what a client may rely on, whichever server answers.

Streams of real servers are in test_rewrite_upstreams.py, any text in any pieces is in test_rewrite_thoughts.py.
"""

import json
from typing import Any

import pytest

from tests.unit.streams.client import finishes, joined, told, usages
from tests.unit.streams.events import COMMENT, DONE, ROLE, STOP, USAGE, USED, WORD, delta, event, rewriter
from trunkline.streams.answer import AS_IT_IS, AnswerSettings
from trunkline.streams.rewrite import Rewriter
from trunkline.streams.think import ThinkSettings
from trunkline.wire.sse import LIMIT, Decoder

STRIP = AnswerSettings(think=ThinkSettings())
SPLIT = AnswerSettings(think=ThinkSettings(mode="split"))
NAMED = AnswerSettings(model="public")
HEAD: dict[str, Any] = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def chunk(*choices: Any, **more: Any) -> bytes:
    return event({**HEAD, "choices": list(choices), **more})


def through(*chunks: bytes, by: Rewriter | None = None) -> bytes:
    """What a client gets of a whole stream."""
    by = by or rewriter()
    return b"".join([by.feed(one) for one in chunks]) + by.done()


def datas(given: bytes) -> list[Any]:
    return [json.loads(one.data) for one in Decoder().feed(given)]


def test_a_stream_that_needs_no_change_goes_on_as_the_same_bytes() -> None:
    by = rewriter()
    odd = [
        COMMENT,
        b"\r\n",
        event([1]),
        event({"choices": "odd"}),
        event(b"{bad"),
        delta(content="x" * LIMIT),
    ]
    for one in (*odd, ROLE, WORD, *odd, STOP):
        assert by.feed(one) == one
    assert [by.feed(USED), by.feed(DONE)] == [USED, DONE]
    assert by.done() == by.release() == by.feed(DONE) == b""
    assert repr(by) == "<Rewriter of chat.completion.chunk, 1 choices>"


# the end


def test_the_mark_of_the_end_is_added_to_what_is_whole() -> None:
    assert through(ROLE, WORD, STOP, by=rewriter(include_usage=False)) == ROLE + WORD + STOP + DONE
    theirs = b"data:[DONE]\r\n\r\n"
    assert through(ROLE, STOP, theirs, by=rewriter(include_usage=False)) == ROLE + STOP + theirs


def test_a_finish_reason_that_never_came_is_told_before_the_end() -> None:
    chunks = told(through(ROLE, WORD, delta(index=1, tool_calls=[{"index": 0, "id": "a"}]), DONE))
    assert finishes(chunks) == [(0, "stop"), (1, "tool_calls")]
    assert chunks[-1]["choices"][0]["delta"] == {}
    assert {key: chunks[-1][key] for key in HEAD} == HEAD


def test_a_finish_reason_is_told_once() -> None:
    again = delta("stop")
    assert (
        through(ROLE, WORD, STOP, again, DONE, by=rewriter(include_usage=False)) == ROLE + WORD + STOP + DONE
    )
    late = [delta("stop", content="la"), delta("", content="te")]
    more = told(through(ROLE, STOP, *late, delta("length", index=1)))
    assert finishes(more) == [(0, "stop"), (1, "length")]
    assert joined(more) == "late"
    empty = told(through(ROLE, delta("", content="a"), delta("", content="b"), STOP))
    assert finishes(empty) == [(0, "stop")]
    assert [one["choices"][0]["finish_reason"] for one in empty] == [None, None, None, "stop"]


def test_what_was_held_back_comes_out_where_an_answer_breaks_off() -> None:
    for settings in (AS_IT_IS, STRIP):
        by = rewriter(settings)
        assert by.release() == b""
        by.feed(ROLE + WORD)
        assert by.release() == b""
    by = rewriter(STRIP)
    given = by.feed(ROLE + delta(content="a<thi"))
    (last,) = datas(by.release())
    assert joined([*datas(given), last]) == "a<thi"
    assert last["choices"][0]["finish_reason"] is None
    assert by.release() == b""


def test_odd_values_are_mended_and_parts_sorted() -> None:
    odd = event(
        b'{"id":"c","choices":[{"index":"0","delta":{"content":[{"type":"text","text":"<think>h</think>x"}]}}]}'
    )
    assert joined(told(through(ROLE, odd, DONE, by=rewriter(STRIP, include_usage=False)))) == "x"


def test_text_behind_a_finish_reason_is_not_lost() -> None:
    by = rewriter(STRIP, include_usage=False)
    given = told(through(ROLE, delta(content="x"), STOP, delta(content=" late <thi"), DONE, by=by))
    assert (joined(given), finishes(given)) == ("x late <thi", [(0, "stop")])


def test_nothing_is_said_of_thoughts_that_break_off() -> None:
    for thoughts in (delta(content="<think>h"), delta(reasoning_content="h")):
        by = rewriter(AnswerSettings(think=ThinkSettings(), reasoning="strip"))
        by.feed(ROLE + thoughts)
        assert by.release() == b""


def test_a_function_that_was_called_is_why_an_answer_ends() -> None:
    called = delta(function_call={"name": "f", "arguments": ""})
    for settings in (AS_IT_IS, STRIP):
        for first in (ROLE + called, called):
            by = rewriter(settings, include_usage=False)
            assert finishes(told(through(first, DONE, by=by))) == [(0, "function_call")]
            assert not by.only_thoughts


def test_an_answer_without_any_chunk_is_the_mark_alone() -> None:
    assert through() == DONE
    assert through(DONE) == DONE


# who answers


def test_the_first_delta_of_each_choice_has_a_role() -> None:
    chunks = told(through(WORD, delta(content="x", index=1), WORD, delta(role="assistant", index=2), STOP))
    roles = [(one["choices"][0]["index"], one["choices"][0]["delta"].get("role")) for one in chunks]
    assert roles[:4] == [(0, "assistant"), (1, "assistant"), (0, None), (2, "assistant")]
    first = told(through(chunk({"index": 0, "finish_reason": "stop"})))[0]
    assert first["choices"] == [{"index": 0, "finish_reason": "stop", "delta": {"role": "assistant"}}]


def test_all_chunks_have_the_same_id_created_and_model() -> None:
    said = [{"id": f"c{n}", "created": n, "model": f"m{n}"} for n in range(1, 5)]
    chunks = told(through(*[event({**json.loads(WORD[6:]), **one}) for one in said]))
    assert all({key: one[key] for key in HEAD} == {**HEAD, **said[0]} for one in chunks)


@pytest.mark.parametrize(
    "nothing", [{"id": "", "created": 0, "model": ""}, dict.fromkeys(("id", "created", "model")), {}]
)
def test_an_id_that_is_missing_is_made(nothing: dict[str, Any]) -> None:
    choice = {"index": 0, "delta": {"content": "x"}}
    chunks = told(
        through(event({**nothing, "choices": [choice]}), event({"id": "late", "choices": [choice]}))
    )
    made = {"id": "chatcmpl-r1", "created": 1, "model": "asked", "object": "chat.completion.chunk"}
    assert all({key: one[key] for key in made} == made for one in chunks)
    by = rewriter(surface="completions")
    assert told(through(event({"choices": [{"text": "x"}]}), by=by))[0] == {
        **made,
        "id": "cmpl-r1",
        "object": "text_completion",
        "choices": [{"text": "x", "index": 0}],
    }


AZURE: dict[str, Any] = {
    "choices": [],
    "created": 0,
    "id": "",
    "model": "",
    "object": "",
    "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}],
}


def test_azure_s_first_chunk_waits_until_the_id_is_known() -> None:
    by = rewriter()
    assert by.feed(event(AZURE)) == b""
    first, second = datas(by.feed(ROLE))
    assert first == {**AZURE, **HEAD}
    assert event(second) == ROLE
    # where nothing follows, it comes with what is made of it
    for end in (rewriter(), rewriter()):
        end.feed(event(AZURE))
    (alone,) = told(through(event(AZURE)))
    assert (alone["id"], alone["prompt_filter_results"]) == ("chatcmpl-r1", AZURE["prompt_filter_results"])
    end = rewriter()
    end.feed(event(AZURE))
    assert datas(end.release())[0]["id"] == "chatcmpl-r1"


def test_chunks_without_an_id_do_not_wait_for_ever() -> None:
    by = rewriter()
    given = [by.feed(event({"choices": [], "n": n})) for n in range(20)]
    assert [len(datas(one)) for one in given] == [0] * 15 + [16] + [1] * 4
    whole = event({**HEAD, "choices": []})
    assert rewriter().feed(whole) == whole  # says all that there is to know


def test_the_model_is_shown_by_another_name() -> None:
    chunks = told(through(ROLE, WORD, STOP, USED, DONE, by=rewriter(NAMED)))
    assert {one["model"] for one in chunks} == {"public"}
    assert {one["id"] for one in chunks} == {"c"}
    assert told(through(WORD, by=rewriter(AnswerSettings(model="m"))))[0]["model"] == "m"


@pytest.mark.parametrize("name", ["chat.completion", "", None, "x"])
def test_the_object_is_what_it_should_be(name: str | None) -> None:
    chunks = told(through(event({**json.loads(WORD[6:]), "object": name}), by=rewriter()))
    assert {one["object"] for one in chunks} == {"chat.completion.chunk"}


def test_a_choice_without_an_index_is_the_first() -> None:
    first = {"index": None, "delta": {"role": "assistant"}}
    chunks = told(through(chunk(first), chunk({"delta": {"content": "x"}}), chunk({"finish_reason": "stop"})))
    assert joined(chunks) == "x"
    assert finishes(chunks) == [(0, "stop")]


def test_what_nobody_knows_here_survives_byte_for_byte() -> None:
    raw = b'data: {"x": 12345678901234567890,"choices":[ {"y":1.0, "delta":{"content":"a","z":1e400}}] }\n\n'
    given = rewriter().feed(raw)
    for kept in (b'"x":12345678901234567890', b'"y":1.0', b'"z":1e400'):
        assert kept in given


# tool calls


def test_tool_calls_can_be_joined_and_are_never_lost() -> None:
    calls = [
        [{"id": "a", "function": {"name": "f", "arguments": "<think>"}}],
        [{"index": None, "function": {"name": "f", "arguments": "</think>"}}],
    ]
    chunks = told(through(ROLE, *[delta(tool_calls=one) for one in calls], STOP, by=rewriter(STRIP)))
    mended = [one["choices"][0]["delta"]["tool_calls"] for one in chunks[1:3]]
    assert mended == [
        [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "<think>"}, "type": "function"}],
        [{"index": 0, "function": {"arguments": "</think>"}}],
    ]


def test_an_empty_list_of_tool_calls_is_left_out() -> None:
    _, first, _ = told(through(ROLE, delta(content="x", tool_calls=[]), STOP))
    assert first["choices"][0]["delta"] == {"content": "x"}
    good = delta(
        tool_calls=[{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]
    )
    assert rewriter().feed(ROLE + good) == ROLE + good
    for nothing in ("", "{}"):
        assert b"tool_calls" not in rewriter().feed(delta(tool_calls=json.loads(nothing or '""')))


# usage


def test_usage_is_told_once_to_a_client_that_asked() -> None:
    def saying(count: int, *choices: Any) -> bytes:
        return chunk(*choices, usage={**USAGE, "completion_tokens": count})

    def content(text: str) -> dict[str, Any]:
        return {"index": 0, "delta": {"content": text}, "finish_reason": None}

    end: dict[str, Any] = {"index": 0, "delta": {}, "finish_reason": "stop"}
    empty = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
    streams = [
        [saying(1, content("a")), saying(2, content("b")), saying(3, end), saying(3)],
        [saying(1, content("a")), saying(2, content("b")), saying(3, end)],
        [chunk(content("a")), saying(1), chunk(content("b")), saying(2, end), saying(3), saying(4)],
        [chunk(content("a")), chunk(content("b")), chunk(end), saying(3, empty)],
        [
            chunk(content("a")),
            chunk(content("b")),
            chunk(end),
            event({"usage": {**USAGE, "completion_tokens": 3}}),
        ],
        [chunk(content("a")), chunk(content("b")), saying(3)],
        [saying(3), chunk(content("a")), chunk(content("b"))],
        [
            chunk(content("a"), usage={}),
            chunk(content("b"), usage=None),
            chunk(end),
            saying(3),
            chunk(usage={}),
        ],
        [chunk(content("a")), chunk(content("b")), saying(3, end), chunk(usage={})],
    ]
    for stream in [[ROLE, *one] for one in streams] + streams:
        chunks = told(through(*stream, DONE))
        (usage,) = usages(chunks)
        assert usage["completion_tokens"] == 3
        assert (chunks[-1]["choices"], chunks[-1]["usage"]) == ([], usage)
        assert {key: chunks[-1][key] for key in HEAD} == HEAD
        assert (joined(chunks), len(finishes(chunks))) == ("ab", 1)
        chunks = told(through(*stream, DONE, by=rewriter(include_usage=False)))
        assert not any("usage" in one and one["usage"] is not None for one in chunks)
        assert all(one["choices"] for one in chunks)
        assert (joined(chunks), len(finishes(chunks))) == ("ab", 1)


def test_a_usage_chunk_of_another_shape_keeps_what_else_it_says() -> None:
    more = {"usage": USAGE, "timings": {"n": 1}, "citations": ["c"]}
    shapes: list[Any] = [[], [{"index": 0, "delta": {}}], None]
    for choices in shapes:
        counted = event({**HEAD, "choices": choices, **more})
        (last,) = told(through(ROLE, STOP, counted, DONE, by=rewriter(NAMED)))[2:]
        assert last == {**HEAD, "model": "public", "choices": [], **more}
    # nobody asked for the counts, but for the rest perhaps; old clients need a choice in it
    by = rewriter(include_usage=False)
    (last,) = datas(by.feed(ROLE + STOP + chunk(**more)))[2:]
    assert last == {
        **HEAD,
        "choices": [{"index": 0, "delta": {}, "finish_reason": None}],
        "timings": {"n": 1},
        "citations": ["c"],
    }
    assert by.feed(chunk(**more)) == b""  # the same once more
    assert rewriter(include_usage=False).feed(ROLE + chunk(usage=USAGE)) == ROLE
    texts = rewriter(include_usage=False, surface="completions")
    assert datas(texts.feed(chunk(**more)))[0]["choices"] == [{"index": 0, "text": "", "finish_reason": None}]


def test_usage_between_choices_is_not_the_whole() -> None:
    """Choices that come one after the other, each with what was used so far."""
    counted = [chunk(usage={**USAGE, "completion_tokens": count}) for count in (3, 7)]
    second = [delta(index=1, role="assistant", content="b"), delta("stop", index=1)]
    given = told(through(ROLE, STOP, counted[0], *second, counted[1], DONE, by=rewriter(choices=2)))
    assert [usage["completion_tokens"] for usage in usages(given)] == [7]
    assert given[-1]["choices"] == []
    given = told(through(ROLE, STOP, counted[0], *second, DONE, by=rewriter(choices=2)))
    assert [usage["completion_tokens"] for usage in usages(given)] == [3]  # all that was ever said


def test_a_stream_that_never_said_what_it_used_is_estimated() -> None:
    by = rewriter()
    by.estimate = lambda: b'{"prompt_tokens":1,"estimated":true}'
    assert usages(told(through(ROLE, STOP, DONE, by=by))) == [{"prompt_tokens": 1, "estimated": True}]
    by = rewriter()
    by.estimate = lambda: b"{}"
    assert usages(told(through(ROLE, STOP, USED, DONE, by=by))) == [USAGE]
    assert usages(told(through(ROLE, STOP, DONE))) == []
    none = rewriter(include_usage=False)
    none.estimate = lambda: b"{}"
    assert usages(told(through(ROLE, STOP, by=none))) == []


# thoughts


def test_an_event_that_says_nothing_more_is_dropped() -> None:
    by = rewriter(STRIP)
    assert by.feed(ROLE) == ROLE
    for text in ("<thi", "nk>", "hm", "", "</think>"):
        given = by.feed(delta(content=text))
        assert given == (delta(content=text) if not text else b"")
    assert by.feed(WORD) == WORD
    assert by.feed(STOP) == STOP


@pytest.mark.parametrize(
    "kept",
    [
        delta("stop", content="<think>"),
        delta(content="<think>", refusal="no"),
        delta(content="<think>", tool_calls=[{"index": 0, "function": {"arguments": "x"}}]),
        delta(content="<think>", reasoning="r"),
        delta(content="<think>", new_field={"a": 1}),
        delta(content="<think>", index=1, role="assistant"),
        delta(content="<think>", index=1),
        chunk({"index": 0, "delta": {"content": "<think>"}}, citations=["c"]),
        chunk({"index": 0, "delta": {"content": "<think>"}}, {"index": 1, "delta": {"content": "x"}}),
        chunk({"index": 0, "delta": {"content": "<think>"}}, {"index": 1, "delta": {"role": "assistant"}}),
        chunk({"index": 0, "delta": {"content": "<think>"}, "content_filter_results": {"hate": {}}}),
    ],
)
def test_an_event_is_kept_that_says_anything_else(kept: bytes) -> None:
    by = rewriter(STRIP)
    by.feed(ROLE)
    (given,) = datas(by.feed(kept))
    expected = json.loads(kept[6:])
    expected["choices"][0]["delta"]["content"] = ""
    for choice in expected["choices"]:
        if choice["index"] == 1:
            choice["delta"]["role"] = "assistant"
        for call in choice["delta"].get("tool_calls", ()):
            call |= {"id": "call_r1_0_0", "type": "function", "function": {"arguments": "x", "name": ""}}
    assert given == expected


def test_an_event_whose_usage_was_all_that_is_left_is_dropped() -> None:
    thought = {"index": 0, "delta": {"content": "hm"}}
    by = rewriter(STRIP)
    by.feed(ROLE + delta(content="<think>"))
    assert by.feed(chunk(thought, usage=USAGE)) == b""
    assert by.feed(chunk(thought, usage=None, system_fingerprint="f", service_tier=None)) == b""
    again = [by.feed(chunk(thought, citations=["c"])) for _ in range(3)]
    assert [len(datas(one)) for one in again] == [1, 0, 0]
    assert by.feed(chunk(thought)) == b""
    condition = by.condition(0)
    assert len(datas(by.feed(chunk(thought, citations=["d"])))) == 1
    assert by.condition(0) not in (0, condition)  # what was dropped before would be kept now
    assert len(datas(by.feed(chunk(thought, citations=["c"])))) == 1
    assert usages(told(by.done())) == [USAGE]


def test_a_finish_reason_comes_with_the_text_that_was_held_back() -> None:
    chunks = told(through(ROLE, delta(content="a<thi"), STOP, by=rewriter(STRIP)))
    assert [one["choices"][0] for one in chunks[1:]] == [
        {"index": 0, "delta": {"content": "a"}, "finish_reason": None},
        {"index": 0, "delta": {"content": "<thi"}, "finish_reason": "stop"},
    ]
    chunks = told(through(ROLE, delta(content="a<thi"), DONE, by=rewriter(STRIP)))
    assert (joined(chunks), finishes(chunks)) == ("a<thi", [(0, "stop")])


def test_an_answer_that_was_only_thoughts_is_told() -> None:
    for settings, only in ((STRIP, True), (SPLIT, True), (AS_IT_IS, False)):
        by = rewriter(settings)
        chunks = told(through(ROLE, delta(content="<think>hm"), STOP, by=by))
        assert by.only_thoughts is only
        assert finishes(chunks) == [(0, "stop")]
        assert chunks[-1]["choices"][0]["delta"] == ({"content": ""} if only else {})
    by = rewriter(STRIP)
    through(
        ROLE, delta(content="<think>hm", tool_calls=[{"id": "a", "function": {"name": "f"}}]), STOP, by=by
    )
    assert not by.only_thoughts
    by = rewriter(STRIP)
    through(ROLE, delta(content="<think>hm"), delta(content="x", index=1), STOP, by=by)
    assert by.only_thoughts


def test_split_thoughts_go_where_they_are_wanted() -> None:
    for reasoning, field in (("keep", "reasoning_content"), ("reasoning", "reasoning")):
        settings = AnswerSettings(think=ThinkSettings(mode="split"), reasoning=reasoning)  # type: ignore[arg-type] # one of them
        chunks = told(
            through(ROLE, delta(content="<think>h"), delta(content="m</think>x"), by=rewriter(settings))
        )
        assert (joined(chunks), joined(chunks, field)) == ("x", "hm")


def test_completions_are_sorted_too() -> None:
    def text(text: str | None, finish: Any = None) -> bytes:
        return event(
            {
                **HEAD,
                "object": "text_completion",
                "choices": [{"text": text, "index": 0, "finish_reason": finish}],
            }
        )

    stream = [text("a<think>"), text("b"), text(None), text("</think>c<"), text("", "stop")]
    chunks = told(through(*stream, by=rewriter(STRIP, "completions")))
    assert (joined(chunks, "text"), finishes(chunks)) == ("ac<", [(0, "stop")])
    assert len(chunks) == 4
    chunks = told(through(*stream, by=rewriter(SPLIT, "completions")))
    assert (joined(chunks, "text"), joined(chunks, "reasoning_content")) == ("ac<", "b")
    chunks = told(through(*stream[:4], by=rewriter(STRIP, "completions")))
    assert (joined(chunks, "text"), finishes(chunks)) == ("ac<", [(0, "stop")])
    assert through(*stream, by=rewriter(surface="completions")) == b"".join(stream) + DONE


def test_logprobs_of_a_text_that_is_gone_are_too() -> None:
    def spelt(text: str) -> bytes:
        return chunk({"index": 0, "delta": {"content": text}, "logprobs": {"content": [{"token": text}]}})

    chunks = told(
        through(
            ROLE, *map(spelt, ("a", "b<", "c", "<think>", "h", "</think>", "d", "e<")), by=rewriter(STRIP)
        )
    )
    found = [(one["choices"][0]["delta"].get("content"), one["choices"][0].get("logprobs")) for one in chunks]
    assert found[1:] == [
        ("a", {"content": [{"token": "a"}]}),
        ("b", None),
        ("<c", {"content": [{"token": "c"}]}),
        ("d", {"content": [{"token": "d"}]}),
        ("e", None),
        ("<", None),
    ]


# the short way


def test_the_condition_is_that_of_the_choice() -> None:
    by = rewriter(STRIP)
    assert by.condition(0) == 0
    by.feed(ROLE + WORD + delta(content="<think>", index=1))
    assert [by.condition(index) for index in range(3)] == [1, 2, 0]
    assert by.marks(0) == "<"
    plain = rewriter()
    plain.feed(ROLE)
    assert (plain.condition(0), plain.marks(0)) == (1, "")
