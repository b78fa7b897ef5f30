"""streams/fold.py: events in any packets, whatever they hold; and that an answer unfolded is the answer."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.streams.events import COMMENT, DONE, ROLE, STOP, USAGE, USED, WORD, delta, event, typed
from tests.unit.streams.wholes import chat_answers, folded, rechunked, text_answers
from trunkline.streams.fold import Folder
from trunkline.streams.unfold import unfold
from trunkline.wire.sse import DECODER_LIMIT
from trunkline.wire.values import SSE_SURFACES

_HELLO = b"".join([ROLE, COMMENT, WORD, delta(content=" two"), STOP, USED, DONE])
_CHOICE = {"index": 0, "message": {"role": "assistant", "content": "word two"}, "finish_reason": "stop"}


@given(st.lists(st.integers(0, len(_HELLO)), max_size=5))
def test_packets_do_not_matter(places: list[int]) -> None:
    folder = Folder("chat")
    at = 0
    for place in [*sorted(places), len(_HELLO)]:
        folder.feed(_HELLO[at:place])
        at = place
    answer = json.loads(folder.result())
    assert answer["choices"] == [_CHOICE]
    assert answer["usage"] == USAGE


def test_size_is_what_is_held() -> None:
    folder = Folder("chat")
    folder.feed(ROLE + WORD)
    before = folder.size
    for _ in range(50):
        folder.feed(delta(content="x" * 100) + COMMENT)
    assert folder.size == before + 5000
    folder.feed(b"data: {" + b" " * 100)
    assert folder.size == before + 5107
    folder.feed(b"}\n\n")
    assert folder.size == before + 5000
    assert repr(folder) == f"<Folder {folder.size} bytes, <ChatFold of 1 choices>>"


def test_many_choices_and_calls_cost_something() -> None:
    folder = Folder("chat")
    for index in range(100):
        folder.feed(delta(index=index))
    folder.feed(delta(tool_calls=[{"index": index} for index in range(100)]))
    assert folder.size > 300 * 512


def test_an_event_over_the_limit_is_not_read() -> None:
    folder = Folder("chat")
    folder.feed(b"data: {" + b" " * DECODER_LIMIT)
    folder.feed(b"}\n\n" + WORD)
    assert json.loads(folder.result())["choices"][0]["message"]["content"] == "word"
    assert folder.size < 4096


_NO_ANSWERS = [
    b"",
    COMMENT,
    DONE,
    event(b"{"),
    event(b"[]"),
    event(b"\xff"),
    event(b"[" * 100_000),
    event({"type": "ping"}, b"ping"),
    event({"type": ["message_start"]}),
]


@pytest.mark.parametrize("surface", sorted(SSE_SURFACES))
def test_no_answer(surface: str) -> None:
    folder = Folder(surface)
    for data in _NO_ANSWERS[: -2 if surface in ("chat", "completions") else None]:
        folder.feed(data)
    assert folder.result() == b""


_names = st.sampled_from(
    [
        *(
            "id",
            "object",
            "created",
            "model",
            "choices",
            "usage",
            "index",
            "delta",
            "message",
            "text",
            "logprobs",
        ),
        *(
            "content",
            "finish_reason",
            "role",
            "tool_calls",
            "function",
            "name",
            "arguments",
            "type",
            "audio",
            "data",
        ),
        *(
            "function_call",
            "reasoning_details",
            "annotations",
            "token_ids",
            "summary",
            "thinking",
            "content_block",
        ),
        *(
            "citation",
            "citations",
            "partial_json",
            "input",
            "signature",
            "response",
            "item",
            "output_index",
            "output",
        ),
    ]
)
_any_json: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=4),
    max_leaves=12,
)
_kinds = st.sampled_from(
    [
        *("message_start", "message_delta", "content_block_start", "content_block_delta"),
        *("response.completed", "response.output_item.done"),
    ]
)
_deltas = st.dictionaries(_names, _any_json, max_size=4)


def _typed(kind: str, fields: dict[str, Any], inner: Any) -> dict[str, Any]:
    return {"type": kind, "delta": inner, **fields}


def _chunk(choice: dict[str, Any], inner: Any) -> dict[str, Any]:
    return {"choices": [{"delta": inner, **choice}]}


@given(
    st.sampled_from(sorted(SSE_SURFACES)),
    st.lists(st.builds(_typed, _kinds, _deltas, _deltas) | st.builds(_chunk, _deltas, _deltas), max_size=6),
)
def test_odd_shapes_are_no_error(surface: str, chunks: list[Any]) -> None:
    folder = Folder(surface)
    for chunk in chunks:
        folder.feed(event(chunk))
    assert folder.size >= 0
    assert folder.result() == b"" or isinstance(json.loads(folder.result()), dict)


@given(chat_answers())
def test_an_unfolded_chat_is_the_chat(answer: dict[str, Any]) -> None:
    events = unfold(json.dumps(answer).encode(), "chat", include_usage=True)
    assert events is not None
    assert folded("chat", events) == answer


@given(text_answers())
def test_an_unfolded_completion_is_the_completion(answer: dict[str, Any]) -> None:
    events = unfold(json.dumps(answer).encode(), "completions", include_usage=True)
    assert events is not None
    assert folded("completions", events) == answer


@given(st.data())
def test_how_an_answer_is_cut_does_not_matter(data: st.DataObject) -> None:
    surface, answers = data.draw(st.sampled_from([("chat", chat_answers()), ("completions", text_answers())]))
    answer = data.draw(answers)
    events = unfold(json.dumps(answer).encode(), surface, include_usage=True)
    assert events is not None
    assert folded(surface, *data.draw(rechunked(events))) == answer


def test_bytes_that_nobody_merges_stay() -> None:
    body = (
        b'{"id":"c","created":123456789012345678901,"timings":{"ms":1.50,"n":1e3},"object":"chat.completion",'
        b'"choices":[{"index":0,"message":{"role":"assistant","content":"\\u003cb\\u003e"},"finish_reason":"stop"}],'
        b'"usage":{"cost":0.10}}'
    )
    folder = Folder("chat")
    folder.feed(unfold(body, "chat", include_usage=True) or b"")
    assert folder.result() == body


def test_the_name_of_an_event_serves_where_its_data_do_not_say() -> None:
    done: dict[str, Any] = {"response": {"id": "r", "output": []}}
    assert folded("responses", event(done, b"response.completed")) == done["response"]
    assert folded("responses", typed("response.completed", **done)) == done["response"]
    assert folded("messages", event({"message": {"id": "m"}}, b"message_start")) == {"id": "m"}
