"""streams/unfold.py: the events that tell an answer of chat/completions or completions."""

import json
from typing import Any

import pytest
from hypothesis import given
from openai._models import construct_type_unchecked
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.unit.streams.wholes import chat_answers, data_of, folded, text_answers
from trunkline.streams.inspect import INSPECTORS
from trunkline.streams.unfold import unfold

_CALL = {"id": "t", "type": "function", "function": {"name": "get_weather", "arguments": '"Paris"'}}
_VLLM: dict[str, Any] = {  # as captured, some nulls left out
    "id": "c",
    "object": "chat.completion",
    "created": 1795233886,
    "model": "smollm2",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "",
                "refusal": None,
                "annotations": None,
                "tool_calls": [_CALL],
                "reasoning": None,
            },
            "logprobs": None,
            "finish_reason": "tool_calls",
            "stop_reason": None,
        }
    ],
    "service_tier": None,
    "usage": {"prompt_tokens": 41, "total_tokens": 86, "completion_tokens": 45},
    "prompt_logprobs": None,
}
_LOGPROBS = {"content": [{"id": 19556, "token": "Hello", "bytes": [72], "logprob": -2.065342903137207}]}
_LLAMA: dict[str, Any] = {  # as captured, cut
    "choices": [
        {
            "finish_reason": "length",
            "index": 1,
            "message": {"role": "assistant", "content": "Ah"},
            "logprobs": _LOGPROBS,
        },
        {"finish_reason": "stop", "index": 0, "message": {"content": "Hello"}},
    ],
    "created": 1795233129,
    "model": "smollm2",
    "system_fingerprint": "b1-7e4c0a9",
    "object": "chat.completion",
    "usage": {"completion_tokens": 64, "prompt_tokens": 41},
    "id": "c",
    "timings": {"predicted_per_second": 50.9715336120856},
}


def _chunks(answer: Any, surface: str = "chat", *, include_usage: bool = True) -> list[Any]:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    events = unfold(body, surface, include_usage=include_usage)
    assert events is not None
    inspector = INSPECTORS[surface]()
    assert inspector.feed(events) == events
    assert inspector.end(framed=True) is None
    assert inspector.terminal
    return data_of(events)


def test_tool_calls() -> None:
    same: dict[str, Any] = {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1795233886,
        "model": "smollm2",
    }
    same["service_tier"] = None
    running: dict[str, Any] = {"index": 0, "logprobs": None, "finish_reason": None}
    begun = running | {"delta": {"role": "assistant", "content": "", "refusal": None}}
    call = running | {"delta": {"tool_calls": [{"index": 0} | _CALL]}}
    end: dict[str, Any] = running | {"delta": {}, "finish_reason": "tool_calls", "stop_reason": None}
    assert _chunks(_VLLM) == [
        same | {"choices": [begun], "usage": None, "prompt_logprobs": None},
        same | {"choices": [call], "usage": None},
        same | {"choices": [end], "usage": None},
        same | {"choices": [], "usage": _VLLM["usage"]},
        "[DONE]",
    ]


def test_choices_are_told_in_the_order_of_their_index() -> None:
    same = {"created": 1795233129, "model": "smollm2", "system_fingerprint": "b1-7e4c0a9", "id": "c"}
    same["object"] = "chat.completion.chunk"
    first = {"index": 0, "delta": {"role": "assistant", "content": "Hello"}, "finish_reason": None}
    second: dict[str, Any] = {
        "index": 1,
        "delta": {"role": "assistant"},
        "logprobs": None,
        "finish_reason": None,
    }
    assert _chunks(_LLAMA, include_usage=False) == [
        same | {"choices": [first], "timings": _LLAMA["timings"]},
        same | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        same | {"choices": [second]},
        same | {"choices": [second | {"delta": {"content": "Ah"}, "logprobs": _LOGPROBS}]},
        same | {"choices": [{"index": 1, "delta": {}, "finish_reason": "length", "logprobs": None}]},
        "[DONE]",
    ]


def test_completions() -> None:
    captured = {
        "choices": [{"text": " the scene, a", "index": 0, "logprobs": None, "finish_reason": "length"}],
        "created": 1795233131,
        "model": "smollm2",
        "object": "text_completion",
        "usage": {"completion_tokens": 4},
    }
    same = {"created": 1795233131, "model": "smollm2", "object": "text_completion"}
    running = {"text": " the scene, a", "index": 0, "logprobs": None, "finish_reason": None}
    assert _chunks(captured, "completions") == [
        same | {"choices": [running], "usage": None},
        same | {"choices": [running | {"text": "", "finish_reason": "length"}], "usage": None},
        same | {"choices": [], "usage": {"completion_tokens": 4}},
        "[DONE]",
    ]


def test_no_usage_chunk_without_usage() -> None:
    answer = {"choices": [{"message": {"content": "a"}}], "usage": None}
    running = {"index": 0, "delta": {"role": "assistant", "content": "a"}, "finish_reason": None}
    assert _chunks(answer) == [
        {"object": "chat.completion.chunk", "choices": [running], "usage": None},
        {"object": "chat.completion.chunk", "choices": [running | {"delta": {}}], "usage": None},
        "[DONE]",
    ]


def test_calls_that_are_not_quite_right() -> None:
    calls: list[Any] = [
        {"index": 0, "id": "a", "function": {"name": "f", "arguments": {"n": 1}}},
        "no call",
        {"index": 0, "id": "b", "function": {"name": "g", "arguments": None}},
        {"id": "c", "type": "custom", "custom": {"name": "h", "input": "x"}},
    ]
    answer = {"choices": [{"message": {"role": "assistant", "content": None, "tool_calls": calls}}]}
    deltas = [chunk["choices"][0]["delta"] for chunk in _chunks(answer)[:-1]]
    assert deltas == [
        {"role": "assistant", "content": None},
        *(
            {"tool_calls": [call]}
            for call in (
                {
                    "index": 0,
                    "id": "a",
                    "type": "function",
                    "function": {"name": "f", "arguments": '{"n":1}'},
                },
                {"index": 2, "id": "b", "type": "function", "function": {"name": "g", "arguments": ""}},
                {"index": 3, "id": "c", "type": "custom", "custom": {"name": "h", "input": "x"}},
            )
        ),
        {},
    ]


def test_a_body_of_several_lines_is_told_in_events_of_one() -> None:
    events = unfold(json.dumps(_VLLM, indent=2).encode(), "chat", include_usage=False)
    assert events == unfold(json.dumps(_VLLM).encode(), "chat", include_usage=False)
    assert events is not None
    assert all(line.startswith(b"data: ") for line in events.split(b"\n\n")[:-1])
    assert b"\n" not in b"".join(events.split(b"\n\n"))


_CHOICE = {"index": 0, "message": {"content": "a"}, "text": "a"}


@pytest.mark.parametrize("surface", ["chat", "completions", "responses", "messages"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"choices":[]}',
        b'{"choices":null}',
        b'{"choices":[null]}',
        b'{"choices":[{"message":null,"text":null}]}',
        b'{"choices":[{"delta":{"content":"a"}}]}',
        b'{"error":{"message":"no"}}',
        b'{"output":{},"content":5,"type":"message"}',
        json.dumps({"choices": [_CHOICE, {"index": 1}]}).encode(),
        json.dumps({"choices": [_CHOICE]}).encode().replace(b'"a"', b'"\xff"'),
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_is_no_answer(surface: str, body: bytes) -> None:
    assert unfold(body, surface, include_usage=True) is None


@given(chat_answers())
def test_the_sdk_takes_the_chunks_for_the_answer(answer: dict[str, Any]) -> None:
    answer.pop("timings", None)
    for choice in answer["choices"]:
        choice["finish_reason"] = "stop"  # its parser refuses an answer that is too long
        choice.pop("stop_reason", None)  # it does not look at what else the end of a choice says
        for detail in choice["message"].get("reasoning_details", ()):
            detail["index"] = 0  # the SDK takes it for a place in the list
            choice["message"]["reasoning_details"] = [detail]
        choice["message"].pop("annotations", None)  # it asks for an index in each
        if choice["message"].get("function_call"):  # its parser knows tool calls only
            del choice["message"]["function_call"]
    state = ChatCompletionStreamState()
    for chunk in _chunks(answer)[:-1]:
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    got = state.get_final_completion().model_dump(exclude_none=True)
    want = ChatCompletion.model_validate(answer).model_dump(exclude_none=True)
    assert _plain(got) == _plain(want)


def _plain(completion: dict[str, Any]) -> dict[str, Any]:
    """Without what one of the SDK's two ways adds or leaves out."""
    for choice in completion["choices"]:
        for call in choice["message"].get("tool_calls", ()):
            call.pop("index", None)
            call["function"].pop("parsed_arguments", None)
    return {name: completion.get(name) for name in ("id", "object", "created", "model", "choices", "usage")}


@given(text_answers())
def test_the_sdk_reads_the_chunks_of_a_completion(answer: dict[str, Any]) -> None:
    told = _chunks(answer, "completions")[:-1]
    chunks = [construct_type_unchecked(type_=Completion, value=chunk) for chunk in told]
    for choice in answer["choices"]:
        texts = [part.text for chunk in chunks for part in chunk.choices if part.index == choice["index"]]
        assert "".join(texts) == choice["text"]
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.prompt_tokens == answer["usage"]["prompt_tokens"]


def test_what_is_null_in_a_message_is_left_out() -> None:
    events = unfold(json.dumps(_VLLM).encode(), "chat", include_usage=True)
    assert events is not None
    (choice,) = _VLLM["choices"]
    message = {"role": "assistant", "content": None, "refusal": None, "tool_calls": [_CALL]}
    assert folded("chat", events) == _VLLM | {"choices": [choice | {"message": message}]}


def test_the_typed_surfaces() -> None:
    assert unfold(b'{"output":[]}', "responses", include_usage=True) is not None
    assert unfold(b'{"type":"message","content":[]}', "messages", include_usage=True) is not None
