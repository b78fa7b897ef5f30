"""streams/whole.py: whole JSON answers as the operator wants them, byte for byte but for that."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.streams.answer import AS_IT_IS, AnswerSettings
from trunkline.streams.think import ThinkSettings, split_thoughts
from trunkline.streams.whole import rewrite_whole

STRIP = AnswerSettings(think=ThinkSettings())
SPLIT = AnswerSettings(think=ThinkSettings(mode="split"))
NAMED = AnswerSettings(model="public")


def chat(content: Any, **more: Any) -> bytes:
    message = {"role": "assistant", "content": content, **more}
    return (
        b'{ "id":1e400, "choices": [%b], "model":"m","x":12345678901234567890 }'
        % json.dumps({"index": 0, "message": message, "finish_reason": "stop"}).encode()
    )


def message(body: bytes) -> dict[str, Any]:
    return json.loads(body)["choices"][0]["message"]


@pytest.mark.parametrize("settings", [AS_IT_IS, STRIP, SPLIT, AnswerSettings(reasoning="strip")])
@pytest.mark.parametrize(
    "body",
    [
        chat("no thoughts"),
        chat(None, tool_calls=[{"function": {"arguments": "<think>h</think>"}}]),
        b'{"choices":[]}',
        b'{"choices":null}',
        b'{"choices":[{"index":0}]}',
        b'{"choices":[{"message":null}]}',
        b'{"choices":"odd"}',
        b'{"choices":[{"message":{"content":"<think>h</think>"},"message":1}]}',
        b'{"choices":[{"message":' + b"[" * 9999,
        b'{"error":{"message":"<think>"}}',
        b"[1]",
        b"{broken",
        b'{"choices":[{"message":{"content":"\xff"}}]}',
        b"",
    ],
)
def test_what_needs_no_change_stays_as_it_is(settings: AnswerSettings, body: bytes) -> None:
    for surface in ("chat", "responses", "embeddings"):
        assert rewrite_whole(body, surface, settings) == (body, False)


def test_all_else_survives_byte_for_byte() -> None:
    body = chat("<think>h</think>x")
    out, only = rewrite_whole(body, "chat", STRIP)
    assert not only
    assert out == (
        b'{"id":1e400,"choices":[{"index":0,"message":{"role":"assistant","content":"x"},'
        b'"finish_reason":"stop"}],"model":"m","x":12345678901234567890}'
    )
    out, _ = rewrite_whole(body, "chat", SPLIT)
    assert message(out) == {"role": "assistant", "content": "x", "reasoning_content": "h"}


def test_the_model_is_shown_by_another_name_on_any_surface() -> None:
    for surface in ("chat", "messages", "embeddings"):
        assert rewrite_whole(b'{"model": 1,"x":1.0}', surface, NAMED) == (
            b'{"model":"public","x":1.0}',
            False,
        )
        assert rewrite_whole(b'{"x":1.0}', surface, NAMED) == (b'{"x":1.0}', False)
    assert rewrite_whole(chat("<think>"), "messages", STRIP)[0] == chat("<think>")


def test_an_answer_that_was_only_thoughts_is_told() -> None:
    out, only = rewrite_whole(chat("<think>h"), "chat", STRIP)
    assert only
    assert message(out)["content"] == ""
    assert rewrite_whole(chat("<think>h", tool_calls=[{"id": "a"}]), "chat", STRIP)[1] is False
    assert rewrite_whole(chat("<think>h", tool_calls=[]), "chat", STRIP)[1]
    two = b'{"choices":[{"message":{"content":"x"}},{"message":{"content":"<think>y"}}]}'
    assert rewrite_whole(two, "chat", STRIP) == (
        b'{"choices":[{"message":{"content":"x"}},{"message":{"content":""}}]}',
        True,
    )


def test_fields_that_are_thoughts_go_where_they_are_wanted() -> None:
    body = chat("x", reasoning="r")
    assert message(rewrite_whole(body, "chat", AnswerSettings(reasoning="strip"))[0]) == {
        "role": "assistant",
        "content": "x",
    }
    renamed = message(rewrite_whole(body, "chat", AnswerSettings(reasoning="reasoning_content"))[0])
    assert renamed == {"role": "assistant", "content": "x", "reasoning_content": "r"}
    wrapped = message(rewrite_whole(body, "chat", AnswerSettings(reasoning="wrap"))[0])
    assert wrapped == {"role": "assistant", "content": "<think>r</think>x"}


def test_completions_are_sorted_too() -> None:
    body = b'{"choices":[{"text":"a<think>b</think>c","index":0,"logprobs":null}]}'
    assert (
        rewrite_whole(body, "completions", STRIP)[0]
        == b'{"choices":[{"text":"ac","index":0,"logprobs":null}]}'
    )
    split = json.loads(rewrite_whole(body, "completions", SPLIT)[0])["choices"][0]
    assert split == {"text": "ac", "index": 0, "logprobs": None, "reasoning_content": "b"}
    for kept in (b'{"choices":[{"index":0}]}', b'{"choices":[{"text":null}]}'):
        assert rewrite_whole(kept, "completions", STRIP) == (kept, False)


@pytest.mark.parametrize(
    ("text", "kept"), [("<think>h</think>x", None), ("x", {"content": [{"token": "x"}]})]
)
def test_logprobs_that_spell_thoughts_go_with_them(text: str, kept: Any) -> None:
    logprobs = {"content": [{"token": "x"}]}
    choice = {"message": {"content": text}, "logprobs": logprobs}
    out = json.loads(rewrite_whole(json.dumps({"choices": [choice]}).encode(), "chat", STRIP)[0])
    assert out["choices"][0]["logprobs"] == kept
    choice = {"text": text, "logprobs": logprobs}
    out = json.loads(rewrite_whole(json.dumps({"choices": [choice]}).encode(), "completions", STRIP)[0])
    assert out["choices"][0]["logprobs"] == kept


_texts = st.lists(
    st.sampled_from(["a", " ", "\n", "ä", "😀", '"', "<", "<think>", "</think>", "<x>"]), max_size=8
)


@given(st.lists(_texts.map("".join), max_size=3), st.booleans(), st.booleans(), st.booleans())
def test_each_choice_is_what_split_thoughts_makes_of_it(
    texts: list[str], split: bool, chats: bool, ascii_only: bool
) -> None:
    settings = SPLIT if split else STRIP
    choices = [{"message": {"content": text}} if chats else {"text": text} for text in texts]
    body = json.dumps({"choices": choices}, ensure_ascii=ascii_only).encode()
    out, _ = rewrite_whole(body, "chat" if chats else "completions", settings)
    assert settings.think is not None
    for text, choice in zip(texts, json.loads(out)["choices"], strict=True):
        answer, thoughts = split_thoughts(text, settings.think)
        fields = choice.get("message", choice)
        assert fields["content" if chats else "text"] == answer
        assert fields.get("reasoning_content", "") == (thoughts if split else "")


_HIDDEN = b'"content":"<think>h</think>x"'
_SHOWN = b'"content":"x"'


@pytest.mark.parametrize(
    ("choice", "left"),
    [
        (rb'{"message":{"content":"<think>h</think>x\ud83d"}}', '{"message":{"content":"x\ufffd"}}'.encode()),
        (b'{"message":{%b},"n":NaN}' % _HIDDEN, b'{"message":{%b},"n":null}' % _SHOWN),
        (b'null,{"message":{%b}},1' % _HIDDEN, b'null,{"message":{%b}},1' % _SHOWN),
        (
            b'{"message":{%b,"tool_calls":[1e999]}}' % _HIDDEN,
            b'{"message":{%b,"tool_calls":[1e999]}}' % _SHOWN,
        ),
        (b'"x",{"message":"x"},{"message":null}', b'"x",{"message":"x"},{"message":null}'),
        (
            b'{"message":{"content":[{"type":"text","text":"<think>h</think>x","n":1.10}]}}',
            b'{"message":{"content":[{"type":"text","text":"x","n":1.10}]}}',
        ),
    ],
)
def test_one_odd_value_does_not_let_thoughts_through(choice: bytes, left: bytes) -> None:
    assert rewrite_whole(b'{"choices":[%b]}' % choice, "chat", STRIP)[0] == b'{"choices":[%b]}' % left


def test_what_cannot_be_read_stays_as_it_is() -> None:
    deep = b'{"choices":[{"message":{"content":' + b"[" * 900 + b"1e999" + b"]" * 900 + b"}}]}"
    for body in (deep, b"x", b"[1]", b'{"choices":[{"text":["<think>"]}]}'):
        for surface in ("chat", "completions"):
            assert rewrite_whole(body, surface, STRIP) == (body, False)
