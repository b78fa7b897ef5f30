"""streams/unfold_typed.py: the events that tell an answer of /responses or of /messages."""

import json
from typing import Any, cast

import pytest
from anthropic.lib.streaming._messages import accumulate_event
from hypothesis import given
from hypothesis import strategies as st
from openai import omit
from openai._models import construct_type_unchecked
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import ResponseStreamEvent

from tests.unit.streams.wholes import data_of, folded
from trunkline.streams.inspect import INSPECTORS
from trunkline.streams.unfold import unfold


def _events(answer: Any, surface: str) -> list[Any]:
    events = unfold(json.dumps(answer).encode(), surface, include_usage=False)
    assert events is not None
    if answer.get("status") != "failed":  # to the inspector that is a fault
        inspector = INSPECTORS[surface]()
        assert inspector.feed(events) == events
        assert inspector.end(framed=True) is None
        assert inspector.terminal
    assert folded(surface, events) == answer
    data = data_of(events)
    names = [line[7:] for line in events.decode().split("\n") if line.startswith("event: ")]
    assert names == [value["type"] for value in data]
    return data


# --- /responses

_TEXT = {"type": "output_text", "text": "Hi there", "annotations": [{"n": 1}, {"n": 2}], "logprobs": None}
_OUTPUT: list[dict[str, Any]] = [
    {
        "id": "rs",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "so"}],
        "content": [{"type": "reasoning_text", "text": "hm"}],
    },
    {
        "id": "msg",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [_TEXT, {"type": "refusal", "refusal": "no"}, {"type": "odd", "x": 1}],
    },
    {
        "id": "fc",
        "type": "function_call",
        "call_id": "c",
        "name": "f",
        "arguments": '{"a":1}',
        "status": "completed",
    },
    {"id": "ct", "type": "custom_tool_call", "call_id": "c", "name": "g", "input": "x"},
    {"id": "ws", "type": "web_search_call", "status": "completed"},
    {"type": "message", "content": None},
]
_RESPONSE: dict[str, Any] = {
    "id": "resp",
    "object": "response",
    "created_at": 1795233581.4381871,
    "status": "completed",
    "error": None,
    "output": _OUTPUT,
    "usage": {"input_tokens": 33, "output_tokens": 16},
}


def test_the_events_of_a_response() -> None:
    data = _events(_RESPONSE, "responses")
    assert [value["sequence_number"] for value in data] == list(range(len(data)))
    assert [value["type"].removeprefix("response.") for value in data] == [
        *("created", "in_progress", "output_item.added"),
        *("reasoning_summary_part.added", "reasoning_summary_text.delta"),
        *("reasoning_summary_text.done", "reasoning_summary_part.done"),
        *("content_part.added", "reasoning_text.delta", "reasoning_text.done", "content_part.done"),
        *("output_item.done", "output_item.added"),
        *("content_part.added", "output_text.delta"),
        *(
            "output_text.annotation.added",
            "output_text.annotation.added",
            "output_text.done",
            "content_part.done",
        ),
        *("content_part.added", "refusal.delta", "refusal.done", "content_part.done"),
        *("content_part.added", "content_part.done", "output_item.done"),
        *(
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
        ),
        *(
            "output_item.added",
            "custom_tool_call_input.delta",
            "custom_tool_call_input.done",
            "output_item.done",
        ),
        *("output_item.added", "output_item.done", "output_item.added", "output_item.done"),
        "completed",
    ]
    begun: dict[str, Any] = _RESPONSE | {"status": "in_progress", "output": [], "usage": None}
    assert data[0]["response"] == data[1]["response"] == begun
    assert [value["item"] for value in data if value["type"].endswith("item.done")] == _OUTPUT
    assert [value["item"] for value in data if value["type"].endswith("item.added")] == [
        {"id": "rs", "type": "reasoning", "summary": [], "content": []},
        _OUTPUT[1] | {"status": "in_progress", "content": []},
        _OUTPUT[2] | {"status": "in_progress", "arguments": ""},
        _OUTPUT[3] | {"input": ""},
        _OUTPUT[4] | {"status": "in_progress"},
        _OUTPUT[5],
    ]


def test_the_events_of_a_text() -> None:
    data = [value for value in _events(_RESPONSE, "responses") if value.get("item_id") == "msg"]
    where = {"item_id": "msg", "output_index": 1, "content_index": 0}
    told = [{name: value for name, value in event.items() if name != "sequence_number"} for event in data[:6]]
    for event in told:
        event["type"] = event["type"].removeprefix("response.")
    assert told == [
        where
        | {"type": "content_part.added", "part": _TEXT | {"text": "", "annotations": [], "logprobs": []}},
        where | {"type": "output_text.delta", "delta": "Hi there", "logprobs": []},
        where | {"type": "output_text.annotation.added", "annotation_index": 0, "annotation": {"n": 1}},
        where | {"type": "output_text.annotation.added", "annotation_index": 1, "annotation": {"n": 2}},
        where | {"type": "output_text.done", "text": "Hi there", "logprobs": []},
        where | {"type": "content_part.done", "part": _TEXT},
    ]


@pytest.mark.parametrize("status", ["completed", "incomplete", "failed"])
def test_each_end(status: str) -> None:
    answer: dict[str, Any] = {
        "id": "r",
        "status": status,
        "output": [],
        "incomplete_details": {"reason": "x"},
        "error": {"code": "y"},
    }
    first, _, last = _events(answer, "responses")
    assert first["response"] == answer | {"status": "in_progress", "incomplete_details": None, "error": None}
    assert last == {"type": f"response.{status}", "sequence_number": 2, "response": answer}


def test_an_answer_without_a_status_is_complete() -> None:
    assert _events({"output": []}, "responses")[-1]["type"] == "response.completed"


@pytest.mark.parametrize(
    "answer",
    [
        {"status": "queued", "output": []},
        {"status": None, "output": []},
        {"status": "completed", "output": None},
        {},
    ],
)
def test_what_is_no_final_response(answer: Any) -> None:
    assert unfold(json.dumps(answer).encode(), "responses", include_usage=True) is None


def _message(texts: list[str]) -> dict[str, Any]:
    parts = [{"type": "output_text", "text": text, "annotations": list[Any]()} for text in texts]
    return {"type": "message", "role": "assistant", "status": "completed", "content": parts}


def _call(text: str) -> dict[str, Any]:
    return {"type": "function_call", "name": "f", "arguments": json.dumps({"a": text})}


_texts = st.text(max_size=8)
_items = st.lists(
    st.builds(_message, st.lists(_texts, min_size=1, max_size=3)) | st.builds(_call, _texts), max_size=3
)


@given(_items)
def test_the_sdk_takes_the_events_for_the_response(items: list[dict[str, Any]]) -> None:
    output = [item | {"id": f"i{place}", "call_id": f"c{place}"} for place, item in enumerate(items)]
    answer = _RESPONSE | {"output": output}
    state: Any = ResponseStreamState(input_tools=omit, text_format=omit)
    texts: dict[Any, str] = {}
    for value in _events(answer, "responses"):
        event: Any = construct_type_unchecked(type_=cast("Any", ResponseStreamEvent), value=value)
        for told in state.handle_event(event):
            if told.type == "response.output_text.delta":
                texts[told.output_index, told.content_index] = told.snapshot
    parts = {
        (place, at): part["text"]
        for place, item in enumerate(output)
        for at, part in enumerate(item.get("content", ()))
    }
    assert texts == parts
    assert [item.id for item in state._completed_response.output] == [item["id"] for item in output]


# --- /messages

_FOUND = {"type": "web_search_result", "url": "u", "title": "t", "encrypted_content": "e", "page_age": None}
_CONTENT: list[dict[str, Any]] = [
    {"type": "thinking", "thinking": "hm", "signature": "EqQ"},
    {"type": "redacted_thinking", "data": "xyz"},
    {"type": "text", "text": "Hello", "citations": [{"n": 1}, {"n": 2}]},
    {"type": "text", "text": "", "citations": None},
    {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1.5}},
    {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
    {"type": "web_search_tool_result", "tool_use_id": "s", "content": [_FOUND]},
    {"type": "thinking", "thinking": "hm", "signature": None},
]
_MESSAGE: dict[str, Any] = {
    "id": "msg",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": _CONTENT,
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 25,
        "cache_read_input_tokens": 3,
        "output_tokens": 15,
        "server_tool_use": {"n": 1},
    },
}


def test_the_events_of_a_message() -> None:
    data = _events(_MESSAGE, "messages")
    usage = {"input_tokens": 25, "cache_read_input_tokens": 3, "output_tokens": 0}
    assert data[0] == {
        "type": "message_start",
        "message": _MESSAGE | {"content": [], "stop_reason": None, "usage": usage},
    }
    ended = {"stop_reason": "end_turn", "stop_sequence": None}
    assert data[-2:] == [
        {
            "type": "message_delta",
            "delta": ended,
            "usage": {"output_tokens": 15, "server_tool_use": {"n": 1}},
        },
        {"type": "message_stop"},
    ]
    begun = [value["content_block"] for value in data if value["type"] == "content_block_start"]
    assert begun == [
        {"type": "thinking", "thinking": "", "signature": ""},
        _CONTENT[1],
        {"type": "text", "text": "", "citations": []},
        _CONTENT[3],
        _CONTENT[4] | {"input": {}},
        _CONTENT[5],
        _CONTENT[6],
        {"type": "thinking", "thinking": "", "signature": None},
    ]
    deltas = [(value["index"], value["delta"]) for value in data if value["type"] == "content_block_delta"]
    assert deltas == [
        (0, {"type": "thinking_delta", "thinking": "hm"}),
        (0, {"type": "signature_delta", "signature": "EqQ"}),
        (2, {"type": "citations_delta", "citation": {"n": 1}}),
        (2, {"type": "citations_delta", "citation": {"n": 2}}),
        (2, {"type": "text_delta", "text": "Hello"}),
        (3, {"type": "text_delta", "text": ""}),
        (4, {"type": "input_json_delta", "partial_json": '{"a":1.5}'}),
        (5, {"type": "input_json_delta", "partial_json": "{}"}),
        (7, {"type": "thinking_delta", "thinking": "hm"}),
    ]


def test_a_message_as_captured() -> None:
    captured = {
        "id": "c",
        "type": "message",
        "content": [{"type": "text", "text": "What"}],
        "stop_reason": "max_tokens",
    }
    data = _events(captured | {"usage": {"input_tokens": 33, "output_tokens": 6}}, "messages")
    assert [value["type"] for value in data] == [
        *("message_start", "content_block_start", "content_block_delta", "content_block_stop"),
        *("message_delta", "message_stop"),
    ]


def test_a_message_that_tells_no_usage() -> None:
    events = unfold(b'{"type":"message","content":[]}', "messages", include_usage=False)
    assert events is not None
    start, delta, _ = data_of(events)
    assert start["message"]["usage"] == delta["usage"] == {"output_tokens": 0}


@pytest.mark.parametrize(
    "answer", [{"type": "error"}, {"type": "message", "content": "x"}, {"content": []}, {}]
)
def test_what_is_no_message(answer: Any) -> None:
    assert unfold(json.dumps(answer).encode(), "messages", include_usage=True) is None


def test_the_sdk_takes_the_events_for_the_message() -> None:
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for value in _events(_MESSAGE, "messages"):
        snapshot = accumulate_event(event=value, current_snapshot=snapshot, json_bufs=buffers)
    got = json.loads(snapshot.to_json(exclude_unset=True))
    assert got.pop("stop_details") is None  # the SDK puts it there
    assert got == _MESSAGE
