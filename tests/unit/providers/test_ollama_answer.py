"""Lines as Ollama's documentation has them, and what clients of OpenAI's API get of them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.providers import ollama_answer
from trunkline.providers.ollama_answer import LIMIT, NativeAnswer, whole
from trunkline.wire.error_body import extract_message
from trunkline.wire.openai import decode_chunk
from trunkline.wire.usage import parse_usage

_STAMP = {"model": "llama3.2", "created_at": "2023-08-04T08:52:19.385406455-07:00"}
_COUNTS = {
    "total_duration": 4883583458,
    "load_duration": 1334875,
    "prompt_eval_count": 26,
    "prompt_eval_duration": 342546000,
    "eval_count": 282,
    "eval_duration": 4535599000,
}
USAGE = {"prompt_tokens": 26, "completion_tokens": 282, "total_tokens": 308}
WEATHER = {"function": {"name": "get_weather", "arguments": {"city": "Tokyo"}}}


def said(content: str = "", **message: Any) -> dict[str, Any]:
    return {**_STAMP, "message": {"role": "assistant", "content": content, **message}, "done": False}


def done(reason: str | None = "stop", **rest: Any) -> dict[str, Any]:
    end = {} if reason is None else {"done_reason": reason}
    return {**_STAMP, "message": {"role": "assistant", "content": ""}, **end, "done": True, **_COUNTS, **rest}


def ndjson(*lines: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)


def answer() -> NativeAnswer:
    return NativeAnswer("llama3.2", request_id="chatcmpl-1", created=1700000000)


def events(out: bytes) -> list[Any]:
    assert out.endswith(b"\n\n") or not out
    datas = [event.removeprefix(b"data: ") for event in out.split(b"\n\n")[:-1]]
    return [data.decode() if data == b"[DONE]" else json.loads(data) for data in datas]


def stream(*lines: dict[str, Any]) -> list[Any]:
    reader = answer()
    return events(reader.feed(ndjson(*lines)) + reader.end())


def choices(*lines: dict[str, Any]) -> list[tuple[Any, Any]]:
    """Delta and finish_reason of each chunk that has a choice."""
    found = [event["choices"] for event in stream(*lines) if event != "[DONE]"]
    return [(choice["delta"], choice["finish_reason"]) for choice, *_ in filter(None, found)]


def test_a_stream() -> None:
    head = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "llama3.2",
    }
    assert stream(said("The"), said(" sky ü"), done()) == [
        {
            **head,
            "choices": [
                {"index": 0, "delta": {"role": "assistant", "content": "The"}, "finish_reason": None}
            ],
        },
        {**head, "choices": [{"index": 0, "delta": {"content": " sky ü"}, "finish_reason": None}]},
        {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {**head, "choices": [], "usage": USAGE},
        "[DONE]",
    ]


def test_thoughts_are_told_apart_from_text() -> None:
    assert choices(said(thinking="2"), said("4", thinking="+2"), said(""), done()) == [
        ({"role": "assistant", "reasoning": "2"}, None),
        ({"reasoning": "+2"}, None),
        ({"content": "4"}, None),
        ({}, "stop"),
    ]


def test_tool_calls_are_numbered_over_the_lines() -> None:
    called: dict[str, Any] = {"id": "call_ab", "function": {"index": 0, "name": "now", "arguments": {}}}
    bare = {"function": {"name": "later"}}
    null = {"function": {"name": "never", "arguments": None}}
    text = {"function": {"name": "text", "arguments": '{"a": 1}'}}
    found = choices(said(tool_calls=[WEATHER]), said(tool_calls=[called, bare, null, text]), done())
    assert found[0][0]["tool_calls"] == [
        {
            "index": 0,
            "id": "call_chatcmpl-1_0",
            "type": "function",
            "function": {"name": "get_weather", "arguments": '{"city": "Tokyo"}'},
        }
    ]
    made = found[1][0]["tool_calls"]
    assert [call["index"] for call in made] == [1, 2, 3, 4]
    assert [call["id"] for call in made] == ["call_ab", *(f"call_chatcmpl-1_{index}" for index in (2, 3, 4))]
    assert [call["function"]["arguments"] for call in made] == ["{}", "{}", "{}", '{"a": 1}']
    assert found[-1] == ({}, "tool_calls")


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("load", "stop"),
        ("unload", "stop"),
        (None, "stop"),  # versions of 2023
        ("", "stop"),
        ("content_filter", "content_filter"),
        ("new", "stop"),
    ],
)
def test_why_it_ended(reason: str | None, shown: str) -> None:
    assert choices(said("a"), done(reason))[-1] == ({}, shown)
    body = whole(ndjson(done(reason)), "m", request_id="i", created=1)
    assert body is not None
    assert json.loads(body)["choices"][0]["finish_reason"] == shown


def test_an_answer_cut_in_its_calls_is_not_a_call() -> None:
    assert choices(said(tool_calls=[WEATHER]), done("length"))[-1] == ({}, "length")


def test_what_was_not_counted_is_not_told() -> None:
    line = {**_STAMP, "message": {"role": "assistant", "content": ""}, "done_reason": "load", "done": True}
    assert stream(line)[1:] == [stream(line)[1], "[DONE]"]
    assert choices(line) == [({"role": "assistant", "content": ""}, None), ({}, "stop")]
    (usage,) = [event["usage"] for event in stream({**line, "eval_count": 3})[:-1] if "usage" in event]
    assert usage == {"prompt_tokens": 0, "completion_tokens": 3, "total_tokens": 3}


def test_the_last_line_may_have_text_and_no_line_end() -> None:
    reader = answer()
    assert reader.feed(ndjson(done(message={"role": "assistant", "content": "all"})).rstrip()) == b""
    assert "pending" in repr(reader)
    found = events(reader.end())
    assert found[0]["choices"][0]["delta"] == {"role": "assistant", "content": "all"}
    assert found[-1] == "[DONE]"
    assert reader.end() == b""


def test_log_probabilities() -> None:
    probs = [{"token": "a", "logprob": -0.10, "bytes": [97], "top_logprobs": []}]
    line = {**said("b", thinking="a"), "logprobs": probs}
    made = [event["choices"][0] for event in stream(line, {**said(""), "logprobs": probs})]
    assert [choice.get("logprobs") for choice in made] == [{"content": probs}, None, {"content": probs}]
    body = whole(ndjson({**done(), "logprobs": probs}), "m", request_id="i", created=1)
    assert body is not None
    assert json.loads(body)["choices"][0]["logprobs"] == {"content": probs}


def test_a_stream_that_is_cut_is_not_finished() -> None:
    assert stream() == []
    assert choices(said("a")) == [({"role": "assistant", "content": "a"}, None)]
    assert "[DONE]" not in stream(said("a"))


def test_the_gateway_reads_what_it_makes() -> None:
    first, last, usage, _ = answer().feed(ndjson(said("a"), done())).split(b"\n\n")[:-1]
    chunk = decode_chunk(first.removeprefix(b"data: "))
    assert chunk.choices is not None
    assert chunk.choices[0].delta is not None
    assert chunk.choices[0].delta.has_content()
    chunk = decode_chunk(last.removeprefix(b"data: "))
    assert chunk.choices is not None
    assert chunk.choices[0].finish_reason == "stop"
    chunk = decode_chunk(usage.removeprefix(b"data: "))
    assert chunk.choices == []
    counted = parse_usage(chunk.usage, "chat")
    assert counted is not None
    assert (counted.prompt_tokens, counted.completion_tokens, counted.total_tokens) == (26, 282, 308)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"error":"model requires more system memory"}', "model requires more system memory"),
        (b'{"error":{"message":"upstream","type":"t","code":7}}', "upstream"),
        (b'{"error":true}', "Ollama reported an error"),
    ],
)
def test_an_error_in_the_middle_ends_the_stream(line: bytes, message: str) -> None:
    reader = answer()
    assert events(reader.feed(ndjson(said("a"))))
    out = reader.feed(line + b"\n" + ndjson(said("b"), done()))
    (event,) = events(out)
    assert event["error"]["message"] == message
    assert set(event["error"]) == {"message", "type", "param", "code"}
    assert reader.feed(ndjson(done())) + reader.end() == b""
    payload = out.removeprefix(b"data: ")
    assert decode_chunk(payload).error, "which makes it a fault of the stream"
    assert extract_message(payload).message == message


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":"model \'qwen3\' not found"}',
        b'{"error":"\\"llama3\\" does not support thinking"}',
        b'{"error":"invalid think value: \\"max\\" (must be \\"high\\", \\"medium\\", \\"low\\", true, or false)"}',
        b'{"error":"unauthorized","signin_url":"https://ollama.com/connect"}',
    ],
)
def test_errors_of_its_own_are_read(body: bytes) -> None:
    assert extract_message(body).message == json.loads(body)["error"]


def test_lines_that_are_no_json_objects_are_left_out_and_counted() -> None:
    reader = answer()
    broken = b"<html>\n\n\r\n7\n[1]\nnull\n\xff\n" + b'{"x":"\xff","done":false}\n'
    found = events(reader.feed(broken + ndjson(said("a"), done())))
    assert reader.malformed == 6
    assert [event["choices"] for event in found[:1]] == [
        [{"index": 0, "delta": {"role": "assistant", "content": "a"}, "finish_reason": None}]
    ]
    assert found[-1] == "[DONE]"


@pytest.mark.parametrize(
    "odd",
    [
        {"eval_count": 1.5},
        {"eval_count": -7, "prompt_eval_count": 10**30},
        {"done": "no"},
        {"done": 1},
        {"done": None},
        {"done_reason": 7},
        {"model": None},
        {"logprobs": {}},
        {"logprobs": "none"},
        {"message": {"content": "text", "thinking": False}},
        {"message": {"content": "text", "tool_calls": {}}},
        {"message": {"content": "text", "tool_calls": [None, {}, {"function": "f"}]}},
    ],
)
def test_a_field_of_an_unexpected_type_is_left_out_and_the_text_stays(odd: dict[str, Any]) -> None:
    line = {"message": {"content": "text"}, **odd}
    assert choices(said("a"), line, done())[1:] == [({"content": "text"}, None), ({}, "stop")]
    body = whole(
        ndjson({"done": True, **line, **({"done": True} if "done" in odd else {})}),
        "m",
        request_id="i",
        created=1,
    )
    assert body is not None
    made = json.loads(body)
    assert made["choices"][0]["message"]["content"] == "text"
    assert "usage" not in made


def test_text_of_an_unexpected_type_is_no_text() -> None:
    found = choices(said("a"), said(content=7, thinking="t"), {"message": "b"}, done())  # type: ignore[arg-type]  # the point
    assert found[1:] == [({"reasoning": "t"}, None), ({}, "stop")]


def test_a_call_whose_name_cannot_be_read_is_a_call() -> None:
    odd: list[dict[str, Any]] = [
        {"id": 7, "function": {"name": None, "arguments": {"a": 1}}},
        {"function": {}},
        WEATHER,
    ]
    (first, _), (last, reason) = choices(said("text", tool_calls=odd[:1]), done())[-2:]
    assert (last, reason) == ({}, "tool_calls")
    assert first["tool_calls"] == [
        {
            "index": 0,
            "id": "call_chatcmpl-1_0",
            "type": "function",
            "function": {"name": "", "arguments": '{"a": 1}'},
        }
    ]
    made = choices(said("text", tool_calls=odd), done())[1][0]["tool_calls"]
    assert [call["function"]["name"] for call in made] == ["", "", "get_weather"]


def test_half_of_the_counts_is_not_told_for_all() -> None:
    assert all("usage" not in event for event in stream(done(eval_count="many"))[:-1])


def test_a_line_has_a_length(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LIMIT == 1024 * 1024
    monkeypatch.setattr(ollama_answer, "LIMIT", 200)
    fits = ndjson({"message": {"content": "x" * (201 - len(ndjson({"message": {"content": ""}})))}})
    assert len(fits) == 201
    assert "choices" in events(answer().feed(fits))[0]
    assert answer().feed(b" \r\n" * 200 + b" " * 201 + fits) == answer().feed(fits)
    for longer in (fits[:-1] + b" \n", b"x" * 201, b"x" * 1000 + b"\n"):
        reader = answer()
        (event,) = events(reader.feed(longer))
        assert "longer than" in event["error"]["message"]
        assert reader.feed(fits) + reader.end() == b""


def test_a_whole_answer() -> None:
    line = {**done(), "message": {"role": "assistant", "content": "Hello! How are you today?"}}
    body = whole(ndjson(line), "mine", request_id="chatcmpl-1", created=1700000000)
    assert body is not None
    assert json.loads(body) == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "llama3.2",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello! How are you today?"},
                "finish_reason": "stop",
                "logprobs": None,
            }
        ],
        "usage": USAGE,
    }


def test_a_whole_answer_with_thoughts_and_calls() -> None:
    message = {"role": "assistant", "content": "", "thinking": "hm", "tool_calls": [WEATHER, WEATHER]}
    body = whole(json.dumps({"message": message, "done": True}).encode(), "mine", request_id="i", created=1)
    assert body is not None
    made = json.loads(body)
    assert made["model"] == "mine"
    assert "usage" not in made
    (choice,) = made["choices"]
    function = {"name": "get_weather", "arguments": '{"city": "Tokyo"}'}
    assert choice["message"] == {
        "role": "assistant",
        "content": None,
        "reasoning": "hm",
        "tool_calls": [
            {"id": "call_i_0", "type": "function", "function": function},
            {"id": "call_i_1", "type": "function", "function": function},
        ],
    }
    assert choice["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"error":"no"}',
        b'{"done":false}',
        b"\xff",
        b'{"done":true,"message":{"content":7}}',
    ],
)
def test_what_is_no_whole_answer(body: bytes) -> None:
    assert whole(body, "m", request_id="i", created=1) is None


_LINES = st.lists(
    st.sampled_from(
        [
            ndjson(said("a")),
            ndjson(said('ü\u2028"\\n')),
            ndjson(said("", thinking="t")),
            ndjson(said("c", thinking="t", tool_calls=[WEATHER])),
            ndjson(done()),
            b'{"error":"no"}\n',
            b"nonsense\n",
            b"\r\n",
            b"\n",
            b" " * 700,
            b"x" * 700,
            ndjson(said("b")).replace(b"\n", b"\r\n"),
        ]
    ),
    max_size=8,
)


@given(_LINES, st.lists(st.integers(0, 2000)))
def test_any_chunking_gives_the_same(lines: list[bytes], cuts: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ollama_answer, "LIMIT", 600)
        data = b"".join(lines)
        at_once = answer()
        expected = at_once.feed(data) + at_once.end()
        reader, out, start = answer(), b"", 0
        for cut in [*sorted(cuts), len(data)]:
            out += reader.feed(data[start:cut])
            start = max(start, cut)
        assert out + reader.end() == expected
        assert reader.malformed == at_once.malformed
