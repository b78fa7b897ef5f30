"""streams/fold_typed.py: the events of /responses and of /messages as one answer."""

import json
from typing import Any

import pytest
from anthropic.lib.streaming._messages import accumulate_event
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.streams.events import typed
from tests.unit.streams.wholes import cut, folded
from trunkline.streams.fold_typed import MessagesFold, ResponsesFold, _Block
from trunkline.streams.pieces import Tally

# --- /responses

_TRANSFORMERS = [  # as captured, without the deltas
    (
        b'{"response":{"id":"r","created_at":1795233581.4381871,"output":[],"status":"queued"},"sequence_number":0,'
        b'"type":"response.created"}'
    ),
    (
        b'{"item":{"id":"m","content":[],"role":"assistant","status":"in_progress","type":"message"},"output_index":0,'
        b'"sequence_number":2,"type":"response.output_item.added"}'
    ),
    (
        b'{"item":{"id":"m","content":[{"annotations":[],"text":"I","type":"output_text"}],"role":"assistant"},'
        b'"output_index":0,"sequence_number":22,"type":"response.output_item.done"}'
    ),
    (
        b'{"response":{"id":"r","created_at":1795233581.4381871,"output":[{"id":"m","content":[{"annotations":[],'
        b'"text":"I","type":"output_text"}],"role":"assistant"}],"status":"completed","usage":{"input_tokens":33}},'
        b'"sequence_number":23,"type":"response.completed"}'
    ),
]


def test_the_last_event_has_the_answer() -> None:
    fold = ResponsesFold(tally := Tally())
    assert repr(fold) == "<ResponsesFold of 0 items>"
    assert fold.answer() is None
    answer = folded("responses", *(b"data: %b\n\n" % data for data in _TRANSFORMERS))
    assert answer == json.loads(_TRANSFORMERS[-1])["response"]
    assert tally.size == 0


@pytest.mark.parametrize("status", ["completed", "incomplete", "failed"])
def test_each_end(status: str) -> None:
    response: dict[str, Any] = {"id": "r", "status": status, "output": [], "error": None}
    assert folded("responses", typed(f"response.{status}", response=response)) == response


@pytest.mark.parametrize("output", [{}, {"output": []}, {"output": None}])
def test_output_that_the_last_event_leaves_out(output: dict[str, Any]) -> None:
    def done(index: Any, **item: Any) -> bytes:
        return typed("response.output_item.done", output_index=index, item=item)

    events = [done(1, id="b"), done(0, id="x"), done(0, id="a"), done(None, id="c")]
    events.append(typed("response.output_item.done", output_index=2))
    answer = folded("responses", *events, typed("response.completed", response={"id": "r"} | output))
    assert answer == {"id": "r", "output": [{"id": "a"}, {"id": "b"}]}


# --- /messages

_START: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "content": [],
    "model": "claude",
    "stop_reason": None,
    "stop_sequence": None,
    "usage": {"input_tokens": 25, "cache_read_input_tokens": 3, "output_tokens": 1},
}


def _start() -> bytes:
    return typed("message_start", message=_START)


def _begin(index: Any, **block: Any) -> bytes:
    return typed("content_block_start", index=index, content_block=block)


def _delta(index: Any, kind: str, **fields: Any) -> bytes:
    return typed("content_block_delta", index=index, delta={"type": kind} | fields)


def _end(reason: str = "end_turn", **usage: Any) -> bytes:
    delta = {"stop_reason": reason, "stop_sequence": None}
    return typed("message_delta", delta=delta, usage=usage) + typed("message_stop")


def _content(*events: bytes) -> Any:
    return folded("messages", _start(), *events)["content"]


def test_a_message() -> None:
    assert folded(
        "messages",
        _start(),
        _begin(0, type="text", text=""),
        typed("ping"),
        _delta(0, "text_delta", text="Hello"),
        _delta(0, "text_delta", text="!"),
        typed("content_block_stop", index=0),
        _end(output_tokens=15, input_tokens=None),
    ) == _START | {
        "content": [{"type": "text", "text": "Hello!"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 25, "cache_read_input_tokens": 3, "output_tokens": 15},
    }


def test_what_else_the_end_says() -> None:
    end = typed(
        "message_delta", delta={"container": {"id": "c"}}, context_management={"edits": 1}, usage=None
    )
    assert folded("messages", _start(), end) == _START | {
        "container": {"id": "c"},
        "context_management": {"edits": 1},
    }


def test_thoughts() -> None:
    assert _content(
        _begin(0, type="thinking", thinking="", signature=""),
        _delta(0, "thinking_delta", thinking="Let"),
        _delta(0, "thinking_delta", thinking=" me"),
        _delta(0, "signature_delta", signature="EqQ"),
        _begin(1, type="redacted_thinking", data="xyz"),
    ) == [
        {"type": "thinking", "thinking": "Let me", "signature": "EqQ"},
        {"type": "redacted_thinking", "data": "xyz"},
    ]


@pytest.mark.parametrize(
    ("pieces", "value"),
    [
        (['{"city": "Par', 'is", "n": 1e3}'], {"city": "Paris", "n": 1000.0}),
        (["", '{"a":1}'], {"a": 1}),
        (["{}"], {}),
        ([""], {}),
        ([], {}),
        (['{"cut'], {}),
        (["5"], {}),
    ],
)
def test_the_input_of_a_tool(pieces: list[str], value: Any) -> None:
    events = [_delta(0, "input_json_delta", partial_json=piece) for piece in pieces]
    begun: dict[str, Any] = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    assert _content(_begin(0, **begun), *events) == [begun | {"input": value}]


def test_input_stays_as_it_is_written() -> None:
    fold = MessagesFold(Tally())
    assert repr(fold) == "<MessagesFold of 0 blocks>"
    assert fold.answer() is None
    assert repr(_Block(Tally())) == "<_Block <Fields >>"
    events = _start() + _begin(0, type="tool_use", input={}) + _delta(0, "x", partial_json='{"n": 1.50}')
    assert folded("messages", events)["content"] == [{"type": "tool_use", "input": {"n": 1.5}}]


def test_citations() -> None:
    events = [_delta(0, "citations_delta", citation={"n": number}) for number in (1, 2)]
    answer = [{"type": "text", "text": "a", "citations": [{"n": 1}, {"n": 2}]}]
    choices: list[dict[str, Any]] = [{}, {"citations": None}, {"citations": []}]
    for begun in choices:
        assert _content(_begin(0, type="text", text="a", **begun), *events) == answer


def test_deltas_that_are_not_known() -> None:
    assert _content(
        _begin(0, type="compaction", content=None),
        _delta(0, "compaction_delta", content="a"),
        _delta(0, "compaction_delta", content="b"),
    ) == [{"type": "compaction", "content": "ab"}]


def test_blocks_are_in_the_order_of_their_index() -> None:
    events = [
        _begin(1, type="text", text="b"),
        _begin(0, type="text", text="a"),
        _begin(None, type="text", text="c"),
    ]
    assert [block["text"] for block in _content(*events)] == ["a", "b"]


@given(st.data())
def test_it_is_what_the_sdk_takes_it_for(data: st.DataObject) -> None:
    texts = data.draw(st.lists(st.text(), max_size=3))
    events: list[bytes] = [_start()]
    for index, text in enumerate(texts):
        kind, field = data.draw(
            st.sampled_from([("text", "text"), ("thinking", "thinking"), ("tool_use", "")])
        )
        if kind == "tool_use":
            events.append(_begin(index, type=kind, id="t", name="f", input={}))
            pieces = data.draw(cut(json.dumps({"a": text, "b": len(text)})))
            events += [_delta(index, "input_json_delta", partial_json=piece) for piece in pieces]
        else:
            more = {"signature": ""} if kind == "thinking" else {}
            events.append(_begin(index, type=kind, **{field: ""}, **more))
            events += [_delta(index, f"{kind}_delta", **{field: piece}) for piece in data.draw(cut(text))]
        events.append(typed("content_block_stop", index=index))
    events.append(_end(output_tokens=data.draw(st.integers(0, 99))))
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for raw in b"".join(events).split(b"\n\n")[:-1]:
        value: Any = json.loads(raw.partition(b"data: ")[2])
        snapshot = accumulate_event(event=value, current_snapshot=snapshot, json_bufs=buffers)
    expected = json.loads(snapshot.to_json(exclude_unset=True))
    assert expected.pop("stop_details") is None  # the SDK puts it there
    assert folded("messages", *events) == expected
