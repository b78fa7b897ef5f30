"""streams/fold_chat.py: chunks as servers send them, the captured ones included, as one answer."""

from typing import Any

import pytest

from tests.unit.streams.events import DONE, ROLE, STOP, delta, event
from tests.unit.streams.wholes import folded
from trunkline.streams.fold_chat import ChatFold, _Calls, _Choice
from trunkline.streams.pieces import Tally


def _message(*events: bytes) -> dict[str, Any]:
    return folded("chat", *events)["choices"][0]["message"]


def _chunk(**fields: Any) -> bytes:
    return event({"choices": [{"index": 0, **fields}]})


_VLLM = [
    (
        b'{"id":"c","object":"chat.completion.chunk","created":1795233888,"model":"smollm2","choices":[{"index":0,"delta":'
        b'{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"prompt_token_ids":null}'
    ),
    (
        b'{"id":"c","object":"chat.completion.chunk","created":1795233888,"model":"smollm2","choices":[{"index":0,"delta":'
        b'{"content":null,"tool_calls":[{"id":"t","type":"function","index":0,"function":{"name":"get_weather"}}]},'
        b'"logprobs":null,"finish_reason":null,"token_ids":null}]}'
    ),
    (
        b'{"id":"c","object":"chat.completion.chunk","created":1795233888,"model":"smollm2","choices":[{"index":0,"delta":'
        b'{"content":null,"tool_calls":[{"index":0,"function":{"arguments":"\\""}}]},"finish_reason":null}]}'
    ),
    (
        b'{"id":"c","object":"chat.completion.chunk","created":1795233888,"model":"smollm2","choices":[{"index":0,"delta":'
        b'{"content":null,"tool_calls":[{"index":0,"function":{"arguments":"Paris\\""}}]},"finish_reason":null}]}'
    ),
    (
        b'{"id":"c","object":"chat.completion.chunk","created":1795233888,"model":"smollm2","choices":[{"index":0,"delta":'
        b'{},"logprobs":null,"finish_reason":"tool_calls","stop_reason":null,"token_ids":null}]}'
    ),
    (
        b'{"id":"c","object":"chat.completion.chunk","created":1795233888,"model":"smollm2","choices":[],"usage":'
        b'{"prompt_tokens":41,"total_tokens":86,"completion_tokens":45},"system_fingerprint":"vllm-0.32.0"}'
    ),
    b"[DONE]",
]
_LLAMA = [
    (
        b'{"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}],"created":1795233126,'
        b'"id":"c","model":"smollm2","system_fingerprint":"b1","object":"chat.completion.chunk"}'
    ),
    (
        b'{"choices":[{"finish_reason":null,"index":0,"delta":{"content":"Hello"}}],"created":1795233126,"id":"c",'
        b'"model":"smollm2","system_fingerprint":"b1","object":"chat.completion.chunk"}'
    ),
    (
        b'{"choices":[{"finish_reason":"length","index":0,"delta":{}}],"created":1795233126,"id":"c","model":"smollm2",'
        b'"system_fingerprint":"b1","object":"chat.completion.chunk","timings":{"predicted_per_second":48.13477737665464}}'
    ),
    b"[DONE]",
]
_LITELLM = [
    (
        b'{"id":"c","object":"chat.completion.chunk","created":1795233406,"model":"mock","choices":[{"index":0,"delta":'
        b'{"role":"assistant","content":"Hel"}}]}'
    ),
    (
        b'{"id":"c","object":"chat.completion.chunk","created":1795233406,"model":"mock","choices":[{"index":0,"delta":'
        b'{"content":"lo"}}]}'
    ),
    (
        b'{"id":"c","object":"chat.completion.chunk","created":1795233406,"model":"mock","choices":[{"finish_reason":"stop",'
        b'"index":0,"delta":{}}]}'
    ),
    (
        b'{"id":"c","object":"chat.completion.chunk","created":1795233406,"model":"mock","choices":[{"index":0,"delta":{}}],'
        b'"usage":{"completion_tokens":6,"prompt_tokens":10,"total_tokens":16}}'
    ),
    b"[DONE]",
]
_TRANSFORMERS = [
    (
        b'{"id":"b","choices":[{"delta":{"role":"assistant"},"index":0}],"created":1795233580,"model":"/srv/x@main",'
        b'"object":"chat.completion.chunk","system_fingerprint":""}'
    ),
    (
        b'{"id":"b","choices":[{"delta":{"content":" year"},"index":0}],"created":1795233580,"model":"/srv/x@main",'
        b'"object":"chat.completion.chunk","system_fingerprint":""}'
    ),
    (
        b'{"id":"b","choices":[{"delta":{},"index":0,"finish_reason":"length"}],"created":1795233580,"model":"/srv/x@main",'
        b'"object":"chat.completion.chunk","system_fingerprint":"","usage":{"completion_tokens":64,"prompt_tokens":41}}'
    ),
]
_CALL = {"id": "t", "type": "function", "function": {"name": "get_weather", "arguments": '"Paris"'}}


@pytest.mark.parametrize(
    ("chunks", "choice", "more"),
    [
        (
            _VLLM,
            {
                "message": {"role": "assistant", "content": None, "tool_calls": [_CALL]},
                "logprobs": None,
                "finish_reason": "tool_calls",
                "token_ids": None,
                "stop_reason": None,
            },
            {
                "created": 1795233888,
                "model": "smollm2",
                "system_fingerprint": "vllm-0.32.0",
                "prompt_token_ids": None,
                "usage": {"prompt_tokens": 41, "total_tokens": 86, "completion_tokens": 45},
            },
        ),
        (
            _LLAMA,
            {"message": {"role": "assistant", "content": "Hello"}, "finish_reason": "length"},
            {
                "created": 1795233126,
                "model": "smollm2",
                "system_fingerprint": "b1",
                "timings": {"predicted_per_second": 48.13477737665464},
            },
        ),
        (
            _LITELLM,
            {"message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"},
            {
                "created": 1795233406,
                "model": "mock",
                "usage": {"completion_tokens": 6, "prompt_tokens": 10, "total_tokens": 16},
            },
        ),
        (
            _TRANSFORMERS,
            {"message": {"role": "assistant", "content": " year"}, "finish_reason": "length"},
            {
                "id": "b",
                "created": 1795233580,
                "model": "/srv/x@main",
                "system_fingerprint": "",
                "usage": {"completion_tokens": 64, "prompt_tokens": 41},
            },
        ),
    ],
    ids=["vllm", "llama.cpp", "litellm", "transformers"],
)
def test_captured_streams(chunks: list[bytes], choice: dict[str, Any], more: dict[str, Any]) -> None:
    assert folded("chat", *map(event, chunks)) == {"id": "c", "object": "chat.completion"} | more | {
        "choices": [{"index": 0} | choice]
    }


def test_azure_says_nothing_first_and_the_filters_results_once() -> None:
    found = {"hate": {"filtered": False, "severity": "safe"}}
    answer = folded(
        "chat",
        event(
            {
                "id": "",
                "created": 0,
                "model": "",
                "object": "",
                "choices": [],
                "prompt_filter_results": [found],
            }
        ),
        event({"id": "a", "created": 7, "model": "gpt", "choices": []}),
        _chunk(delta={"role": "assistant", "content": "", "refusal": None}, content_filter_results={}),
        _chunk(delta={"content": "Hi"}, content_filter_results=found),
        _chunk(delta={}, content_filter_results={}, finish_reason="stop"),
    )
    message = {"role": "assistant", "content": "Hi", "refusal": None}
    choice = {"index": 0, "message": message, "content_filter_results": found, "finish_reason": "stop"}
    assert answer == {
        "id": "a",
        "created": 7,
        "model": "gpt",
        "object": "chat.completion",
        "prompt_filter_results": [found],
        "choices": [choice],
    }


def test_perplexity_has_the_message_so_far_beside_each_delta() -> None:
    def chunk(text: str, so_far: str, **more: Any) -> bytes:
        choice = {"index": 0, "message": {"content": so_far}, "delta": {"role": "assistant", "content": text}}
        return event({"choices": [choice | more], "citations": ["u"], "object": "chat.completion.done"})

    answer = folded(
        "chat", chunk("", ""), chunk("a", "a"), chunk("b", "ab"), chunk("", "ab", finish_reason="stop")
    )
    message = {"role": "assistant", "content": "ab"}
    assert answer == {
        "object": "chat.completion",
        "citations": ["u"],
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }


def test_a_message_counts_where_no_delta_says_anything() -> None:
    message = {"role": "assistant", "content": "whole", "odd": 1.5}
    assert _message(_chunk(delta={"role": "assistant"}, message=message)) == message
    assert _message(_chunk(message=message, finish_reason="stop")) == message
    assert _message(_chunk(message=None)) == {"role": "assistant", "content": ""}


def test_choices_are_in_the_order_of_their_index() -> None:
    answer = folded(
        "chat",
        delta(index=1, role="assistant", content="b"),
        delta(index=0, role="assistant", content="a"),
        event({"choices": [{"delta": {"content": "A"}}, {"index": None, "delta": {"content": "B"}}]}),
        delta("stop", 1),
        delta("length", 0),
    )
    assert [choice["message"]["content"] for choice in answer["choices"]] == ["aA", "bB"]
    assert [choice["finish_reason"] for choice in answer["choices"]] == ["length", "stop"]
    assert [choice["index"] for choice in answer["choices"]] == [0, 1]


_DELTAS: list[tuple[list[dict[str, Any]], dict[str, Any]]] = [
    ([{}], {"content": ""}),
    ([{"content": None}], {"content": ""}),
    ([{"content": ""}, {"content": None}], {"content": ""}),
    ([{"content": "a"}, {"content": "b"}], {"content": "ab"}),
    ([{"role": "", "content": "a"}, {"role": "tool"}], {"role": "tool", "content": "a"}),
    (
        [{"reasoning_content": "x"}, {"reasoning_content": "y"}],
        {"content": "", "reasoning_content": "xy"},
    ),
    ([{"reasoning": "x"}, {"content": "a", "reasoning": None}], {"content": "a", "reasoning": "x"}),
    ([{"refusal": None}, {"refusal": "n"}, {"refusal": "o"}], {"content": None, "refusal": "no"}),
    ([{"tool_calls": []}, {"tool_calls": None}], {"content": ""}),
    ([{"tool_calls": 5}, {"tool_calls": [5]}], {"content": ""}),
    ([{"function_call": None}], {"content": "", "function_call": None}),
    (
        [{"function_call": {"name": "f", "arguments": ""}}, {"function_call": {"arguments": "{}"}}],
        {"content": None, "function_call": {"name": "f", "arguments": "{}"}},
    ),
    (
        [
            {"audio": {"id": "a", "transcript": "Hel"}},
            {"audio": {"transcript": "lo", "data": "QUJD"}},
            {"audio": {"data": "RA=="}},
            {"audio": {"expires_at": 9}},
        ],
        {
            "content": None,
            "audio": {"id": "a", "transcript": "Hello", "data": "QUJDRA==", "expires_at": 9},
        },
    ),
    ([{"annotations": [1]}, {"annotations": [2]}], {"content": "", "annotations": [1, 2]}),
    ([{"content": "a", "images": [1]}, {"images": [2]}], {"content": "a", "images": [1, 2]}),
    ([{"odd": "a"}, {"odd": "b"}], {"content": "", "odd": "ab"}),
    ([{"odd": [1]}, {"odd": [2]}, {"odd": None}], {"content": "", "odd": [2]}),
    (
        [{"reasoning_details": [{"type": "reasoning.text", "text": text, "index": 0}]} for text in "ab"],
        {"content": "", "reasoning_details": [{"type": "reasoning.text", "text": "ab", "index": 0}]},
    ),
    ([{"reasoning_details": None}], {"content": "", "reasoning_details": None}),
]


@pytest.mark.parametrize(("deltas", "message"), _DELTAS)
def test_deltas(deltas: list[dict[str, Any]], message: dict[str, Any]) -> None:
    assert _message(*(_chunk(delta=fields) for fields in deltas)) == {"role": "assistant"} | message


def test_content_that_is_a_list_of_parts() -> None:
    def thought(text: str) -> dict[str, Any]:
        return {"type": "thinking", "thinking": [{"type": "text", "text": text}]}

    mistral = [{"content": [thought("Ok")]}, {"content": [thought("ay")]}, {"content": ""}]
    spoken = [{"content": "An"}, {"content": None}, {"content": "swer"}]
    answer = {"type": "text", "text": "Answer"}
    assert _message(*(_chunk(delta=fields) for fields in mistral + spoken))["content"] == [
        thought("Okay"),
        answer,
    ]
    assert _message(*(_chunk(delta=fields) for fields in spoken + mistral))["content"] == [
        answer,
        thought("Okay"),
    ]
    assert _message(_chunk(delta={"content": ""}), _chunk(delta={"content": [thought("a")]}))["content"] == [
        thought("a")
    ]


@pytest.mark.parametrize(
    ("deltas", "calls"),
    [
        (  # index, id and name in each
            [
                [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{"}}],
                [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "}"}}],
            ],
            [("a", "f", "{}")],
        ),
        (  # several in one delta, fragments mixed
            [
                [
                    {"index": 0, "id": "a", "function": {"name": "f"}},
                    {"index": 1, "id": "b", "function": {"name": "g", "arguments": "1"}},
                ],
                [{"index": 1, "function": {"arguments": "2"}}, {"index": 0, "function": {"arguments": "3"}}],
            ],
            [("a", "f", "3"), ("b", "g", "12")],
        ),
        (  # all at index 0, told apart by their ids
            [
                [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "1"}}],
                [{"index": 0, "id": "b", "function": {"name": "f", "arguments": "2"}}],
            ],
            [("a", "f", "1"), ("b", "f", "2")],
        ),
        (  # no index
            [
                [{"id": "a", "function": {"name": "f", "arguments": ""}}],
                [{"index": None, "function": {"arguments": "1"}}],
                [{"id": "b", "function": {"name": "g", "arguments": {"n": 1}}}],
            ],
            [("a", "f", "1"), ("b", "g", '{"n":1}')],
        ),
        ([[{"index": 0, "id": "a", "function": {"name": "f", "arguments": None}}]], [("a", "f", "")]),
        ([[{"index": 0, "id": "a", "function": {"name": "f"}}]], [("a", "f", "")]),
    ],
)
def test_tool_calls(deltas: list[list[Any]], calls: list[tuple[str, str, str]]) -> None:
    message = _message(*(_chunk(delta={"tool_calls": items}) for items in deltas))
    assert message == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": id, "function": {"name": name, "arguments": arguments}, "type": "function"}
            for id, name, arguments in calls
        ],
    }


def test_calls_of_other_kinds_and_what_is_said_of_them() -> None:
    deltas: list[dict[str, Any]] = [
        {"index": 0, "id": "a", "type": "custom", "custom": {"name": "f", "input": "x"}, "extra": {"n": 1}},
        {"index": 0, "custom": {"input": "y"}, "extra": {"n": 2}},
    ]
    assert _message(*(_chunk(delta={"tool_calls": [call]}) for call in deltas))["tool_calls"] == [
        {"id": "a", "type": "custom", "custom": {"name": "f", "input": "xy"}, "extra": {"n": 2}}
    ]


def test_logprobs_are_joined() -> None:
    answer = folded(
        "chat",
        _chunk(delta={"content": "a"}, logprobs={"content": [{"token": "a"}], "refusal": None}),
        _chunk(delta={"content": "b"}, logprobs=None),
        _chunk(delta={"content": "c"}, logprobs={"content": [{"token": "b"}, {"token": "c"}]}, token_ids=[1]),
        _chunk(delta={}, finish_reason="stop", token_ids=[2]),
    )
    assert answer["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "abc"},
            "logprobs": {"content": [{"token": "a"}, {"token": "b"}, {"token": "c"}], "refusal": None},
            "finish_reason": "stop",
            "token_ids": [1, 2],
        }
    ]


def test_completions() -> None:
    def chunk(text: str | None, *tokens: str, **more: Any) -> bytes:
        logprobs = {"tokens": list(tokens), "text_offset": [len(token) for token in tokens]}
        choice = {"index": 0, "text": text, "logprobs": logprobs} | more
        return event({"id": "cmpl", "object": "text_completion", "choices": [choice], "x": text})

    assert folded(
        "completions", chunk("a", "a"), chunk(None), chunk("bc", "b", "c", finish_reason="length")
    ) == {
        "id": "cmpl",
        "object": "text_completion",
        "x": "bc",
        "choices": [
            {
                "index": 0,
                "text": "abc",
                "logprobs": {"tokens": ["a", "b", "c"], "text_offset": [1, 1, 1]},
                "finish_reason": "length",
            }
        ],
    }
    empty = {"index": 0, "text": "", "finish_reason": None}
    assert folded("completions", event({"choices": [{}]}))["choices"] == [empty]


def test_usage_is_the_last_that_was_told() -> None:
    def chunk(usage: Any) -> bytes:
        return event({"choices": [], "usage": usage})

    assert folded("chat", ROLE, chunk({"n": 1}), chunk({"n": 2}), chunk(None), STOP, DONE)["usage"] == {
        "n": 2
    }
    assert folded("chat", ROLE, chunk(None))["usage"] is None
    assert "usage" not in folded("chat", ROLE, STOP)


def test_what_hides_the_length_of_tokens_is_left_out() -> None:
    assert "obfuscation" not in folded("chat", event({"choices": [{}], "obfuscation": "x8f"}))


def test_they_tell_what_they_are() -> None:
    assert repr(ChatFold(Tally())) == "<ChatFold of 0 choices>"
    assert ChatFold(Tally()).answer() is None
    assert repr(_Choice(Tally(), completions=False)) == "<_Choice <Fields > <Fields >>"
    assert repr(_Calls(Tally())) == "<_Calls {}>"


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_thoughts_of_a_choice_of_completions_grow(field: str) -> None:
    """As rewrite.py puts them there."""
    texts = [{"text": "", field: "a"}, {"text": "", field: "b"}, {"text": "x"}, {"text": "y"}]
    (choice,) = folded("completions", *[_chunk(**one) for one in texts])["choices"]
    assert (choice["text"], choice[field]) == ("xy", "ab")


def test_no_call_is_lost_for_its_number() -> None:
    calls = [_chunk(delta={"tool_calls": [{"index": at, "function": {"name": "f"}}]}) for at in range(1026)]
    calls += [_chunk(delta={"tool_calls": [{"function": {"name": "f", "arguments": "1"}}]})] * 2
    assert len(_message(*calls)["tool_calls"]) >= 1024
