"""Every endpoint over a socket: shapes, streams, usage, determinism."""

import base64
import hashlib
import struct
from typing import Any

import pytest

from tests.contract.simulator.raw import Wire, ask, ask_to_end, chat, get, on_both_loops, post, text_of
from trunkline.simulator.app import Simulator, start

TOOLS: list[Any] = [
    {"type": "function", "function": {"name": "first", "parameters": {}}},
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string"},
                    "days": {"type": "integer"},
                    "c": {"type": "boolean"},
                },
            },
        },
    },
]


@on_both_loops
async def test_chat(sim: Simulator) -> None:
    reply = await ask(sim, chat("any/name:x", question="Say hi."))
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    body = reply.json
    assert (body["object"], body["model"]) == ("chat.completion", "any/name:x")
    choice = body["choices"][0]
    text = choice["message"]["content"]
    assert choice["finish_reason"] == "stop"
    assert body["usage"] == {
        "prompt_tokens": 2,
        "completion_tokens": len(text.split()),
        "total_tokens": 2 + len(text.split()),
    }


@on_both_loops
async def test_the_exact_bytes_of_a_stream(sim: Simulator) -> None:
    reply = await ask(sim, chat("m", stream=True, max_tokens=1))
    *chunks, last = reply.chunks
    head = (
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
        "transfer-encoding: chunked\r\nx-request-id: sim-1"
    )
    assert reply.head.decode() == head
    assert last == b""
    whole = (await ask(sim, chat("m", max_tokens=1))).json
    word = whole["choices"][0]["message"]["content"]
    start_ = f'data: {{"id":"{reply.events[0]["id"]}","object":"chat.completion.chunk","created":1700000000,'
    start_ += '"model":"m","system_fingerprint":"fp_sim","choices":[{"index":0,"delta":'
    assert [chunk.decode() for chunk in chunks] == [
        start_ + '{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}\n\n',
        start_ + f'{{"content":"{word}"}},"logprobs":null,"finish_reason":null}}]}}\n\n',
        start_ + '{},"logprobs":null,"finish_reason":"length"}]}\n\n',
        "data: [DONE]\n\n",
    ]


@on_both_loops
async def test_a_stream_has_the_text_of_the_whole_answer(sim: Simulator) -> None:
    whole = (await ask(sim, chat())).json
    events = (await ask(sim, chat(stream=True, stream_options={"include_usage": True}))).events
    assert text_of(events) == whole["choices"][0]["message"]["content"]
    assert events[-1] == "[DONE]"
    assert events[-2]["choices"] == []
    assert events[-2]["usage"] == whole["usage"]
    assert all(event["usage"] is None for event in events[:-2])


@on_both_loops
async def test_texts_depend_on_seed_model_and_question_only(sim: Simulator) -> None:
    async def text(where: Simulator, *args: Any, **fields: Any) -> str:
        return (await ask(where, chat(*args, **fields))).json["choices"][0]["message"]["content"]

    first = await text(sim)
    assert await text(sim, temperature=0.3) == first
    assert await text(sim, "sim-small!drip") == first
    assert await text(sim, "sim-large") != first
    assert await text(sim, question="other") != first
    async with await start(seed=8) as other:
        assert await text(other) != first


@on_both_loops
async def test_several_choices(sim: Simulator) -> None:
    body = (await ask(sim, chat(n=3))).json
    texts = [choice["message"]["content"] for choice in body["choices"]]
    assert len(set(texts)) == 3
    assert body["usage"]["completion_tokens"] == sum(len(text.split()) for text in texts)
    events = (await ask(sim, chat(n=3, stream=True))).events
    streamed = ["", "", ""]
    finished: list[int] = []
    for event in events[:-1]:
        (choice,) = event["choices"]
        streamed[choice["index"]] += choice["delta"].get("content") or ""
        finished += [choice["index"]] if choice["finish_reason"] else []
    assert streamed == texts
    assert sorted(finished) == [0, 1, 2]


@pytest.mark.parametrize(
    ("choice", "name"),
    [("required", "first"), ({"type": "function", "function": {"name": "get_weather"}}, "get_weather")],
)
@on_both_loops
async def test_a_forced_tool_call(sim: Simulator, choice: Any, name: str) -> None:
    body = (await ask(sim, chat(tools=TOOLS, tool_choice=choice))).json
    (call,) = body["choices"][0]["message"]["tool_calls"]
    assert call["function"]["name"] == name
    assert body["choices"][0]["finish_reason"] == "tool_calls"
    events = (await ask(sim, chat(tools=TOOLS, tool_choice=choice, stream=True))).events
    deltas = [event["choices"][0]["delta"].get("tool_calls", [{}])[0] for event in events[:-1]]
    assert (
        "".join(delta.get("function", {}).get("arguments", "") for delta in deltas)
        == call["function"]["arguments"]
    )
    assert [delta["id"] for delta in deltas if "id" in delta] == [call["id"]]
    assert events[-2]["choices"][0]["finish_reason"] == "tool_calls"


@on_both_loops
async def test_tools_that_are_not_forced_are_not_called(sim: Simulator) -> None:
    body = (await ask(sim, chat(tools=TOOLS, tool_choice="auto"))).json
    assert "tool_calls" not in body["choices"][0]["message"]


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        (chat(messages=[]), "messages"),
        (chat(max_tokens=0), "max_tokens"),
        (chat(n=0), "n"),
        (chat(tool_choice="required"), "tool_choice"),
        (chat(tools=TOOLS, tool_choice={"function": {"name": "no"}}), "tool_choice"),
        (post("/v1/chat/completions", body=b"{nope"), None),
        (post("/v1/chat/completions", {"model": 3, "messages": "x"}), None),
        (post("/v1/completions", {"prompt": []}), "prompt"),
        (post("/v1/messages", {"messages": [], "max_tokens": 1}), None),
        (post("/v1/embeddings", {"input": []}), "input"),
        (post("/v1/embeddings", {"input": "a", "dimensions": 0}), "dimensions"),
        (post("/v1/embeddings", {"input": "a", "encoding_format": "hex"}), "encoding_format"),
    ],
)
@on_both_loops
async def test_wrong_requests_get_400(sim: Simulator, request_: bytes, param: str | None) -> None:
    reply = await ask(sim, request_)
    assert reply.status == 400
    assert reply.json["error"].get("param") == param
    assert reply.json["error"]["type"] == "invalid_request_error"


@on_both_loops
async def test_completions(sim: Simulator) -> None:
    body = (await ask(sim, post("/v1/completions", {"model": "m", "prompt": ["a b", "c"]}))).json
    assert (body["object"], len(body["choices"])) == ("text_completion", 2)
    assert body["usage"]["prompt_tokens"] == 3
    request = post("/v1/completions", {"model": "m", "prompt": "a b", "stream": True, "max_tokens": 3})
    events = (await ask(sim, request)).events
    assert body["choices"][0]["text"].startswith(
        "".join(event["choices"][0]["text"] for event in events[:-1])
    )
    assert [event["choices"][0]["finish_reason"] for event in events[:-1]] == [None, None, None, "length"]


@on_both_loops
async def test_responses(sim: Simulator) -> None:
    whole = (await ask(sim, post("/v1/responses", {"model": "m", "input": "hi you"}))).json
    text = whole["output"][0]["content"][0]["text"]
    assert (whole["status"], whole["usage"]["input_tokens"]) == ("completed", 2)
    reply = await ask(sim, post("/v1/responses", {"model": "m", "input": "hi you", "stream": True}))
    events = reply.events
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [line[7:] for line in reply.body.decode().split("\n") if line.startswith("event: ")] == [
        event["type"] for event in events
    ]
    names = [event["type"].removeprefix("response.") for event in events]
    deltas = len(text.split())
    assert names == [
        *("created", "in_progress", "output_item.added", "content_part.added"),
        *["output_text.delta"] * deltas,
        *("output_text.done", "content_part.done", "output_item.done", "completed"),
    ]
    assert "".join(event.get("delta", "") for event in events) == text
    assert events[-1]["response"]["usage"] == whole["usage"]


@on_both_loops
async def test_responses_cut_by_the_limit_are_incomplete(sim: Simulator) -> None:
    value = {"model": "m", "input": [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}]}
    events = (await ask(sim, post("/v1/responses", value | {"stream": True, "max_output_tokens": 2}))).events
    assert events[-1]["type"] == "response.incomplete"
    assert events[-1]["response"]["incomplete_details"] == {"reason": "max_output_tokens"}


@on_both_loops
async def test_messages(sim: Simulator) -> None:
    value = {
        "model": "m",
        "max_tokens": 4,
        "system": "be kind",
        "messages": [{"role": "user", "content": "hi"}],
    }
    whole = (await ask(sim, post("/v1/messages", value))).json
    assert (whole["type"], whole["stop_reason"]) == ("message", "max_tokens")
    assert whole["usage"] == {"input_tokens": 3, "output_tokens": 4}
    events = (await ask(sim, post("/v1/messages", value | {"stream": True}))).events
    assert [event["type"] for event in events] == [
        *("message_start", "content_block_start", "ping"),
        *["content_block_delta"] * 4,
        *("content_block_stop", "message_delta", "message_stop"),
    ]
    text = "".join(event["delta"]["text"] for event in events[3:7])
    assert text == whole["content"][0]["text"]


@on_both_loops
async def test_embeddings(sim: Simulator) -> None:
    body = (await ask(sim, post("/v1/embeddings", {"model": "e", "input": ["a b", "c"]}))).json
    first, second = (item["embedding"] for item in body["data"])
    assert len(first) == 16
    assert first != second
    assert abs(sum(value * value for value in first) - 1) < 1e-5
    assert body["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    packed = (
        await ask(sim, post("/v1/embeddings", {"model": "e", "input": "a b", "encoding_format": "base64"}))
    ).json
    assert list(struct.unpack("<16f", base64.b64decode(packed["data"][0]["embedding"]))) == first
    tokens = (
        await ask(sim, post("/v1/embeddings", {"model": "e", "input": [1, 2, 3], "dimensions": 4}))
    ).json
    assert [len(item["embedding"]) for item in tokens["data"]] == [4]


@on_both_loops
async def test_models(sim: Simulator) -> None:
    listed = (await ask(sim, get("/v1/models"))).json
    assert [item["id"] for item in listed["data"]] == ["sim-small", "sim-large", "sim-embed"]
    assert (await ask(sim, get("/v1/models/sim-embed"))).json == listed["data"][2]
    unknown = await ask(sim, get("/v1/models/no%2Fname"))
    assert (unknown.status, unknown.json["error"]["code"]) == (404, "model_not_found")
    async with await start(models=("x/y",)) as other:
        assert (await ask(other, get("/models/x%2Fy"))).json["id"] == "x/y"


@on_both_loops
async def test_moderations_rerank_images_and_health(sim: Simulator) -> None:
    flags = (await ask(sim, post("/v1/moderations", {"input": ["fine", "this is unsafe"]}))).json["results"]
    assert [result["flagged"] for result in flags] == [False, True]
    value = {
        "model": "r",
        "query": "red fox",
        "documents": ["a dog", {"text": "the red fox"}, "a fox"],
        "top_n": 2,
    }
    ranked = (await ask(sim, post("/v1/rerank", value))).json["results"]
    assert [(result["index"], result["relevance_score"]) for result in ranked] == [(1, 1.0), (2, 0.5)]
    images = (await ask(sim, post("/v1/images/generations", {"prompt": "p", "n": 2}))).json["data"]
    assert [base64.b64decode(image["b64_json"])[:4] for image in images] == [b"\x89PNG"] * 2
    assert (await ask(sim, get("/health"))).json == {"status": "ok"}


@on_both_loops
async def test_speech_is_binary(sim: Simulator) -> None:
    reply = await ask(sim, post("/v1/audio/speech", {"model": "tts", "input": "hi", "voice": "x"}))
    assert reply.headers["content-type"] == "audio/mpeg"
    assert reply.body.startswith(b"ID3")
    assert len(reply.body) == 8202


@on_both_loops
async def test_transcriptions_tell_what_arrived_and_find_the_model(sim: Simulator) -> None:
    form = (
        b'--B\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper\r\n'
        b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
        + bytes(range(256))
        + b"\r\n--B--\r\n"
    )
    headers = "content-type: multipart/form-data; boundary=B\r\n"
    body = (await ask(sim, post("/v1/audio/transcriptions", body=form, headers=headers))).json
    assert (body["bytes"], body["sha256"]) == (len(form), hashlib.sha256(form).hexdigest())
    assert sim.log[-1].model == "whisper"
    struck = form.replace(b"whisper", b"w!status=503")
    assert (await ask(sim, post("/v1/audio/transcriptions", body=struck, headers=headers))).status == 503


@on_both_loops
async def test_the_echo(sim: Simulator) -> None:
    body = (await ask(sim, post("/v1/files?x=1", body="ä".encode(), headers="X-A: 1\r\nx-a: 2\r\n"))).json
    assert (body["method"], body["path"], body["body_text"], body["body_length"]) == (
        "POST",
        "/v1/files?x=1",
        "ä",
        2,
    )
    assert [value for name, value in body["headers"] if name.lower() == "x-a"] == ["1", "2"]
    binary = b"\xff" * 10
    body = (await ask(sim, post("/v1/files", body=binary))).json
    assert (body["body_text"], body["body_sha256"]) == (None, hashlib.sha256(binary).hexdigest())
    assert (await ask(sim, get("/v1/files/1", method="DELETE"))).json["method"] == "DELETE"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (get("/nowhere"), 404),
        (get("/v1/chat/completions"), 405),
        (post("/v1/models", {}), 405),
        (post("/chat/completions", {"messages": [{"role": "user", "content": "x"}]}), 200),
        (post("/v1/chat/completions/", {"messages": [{"role": "user", "content": "x"}]}), 200),
        (post("/embeddings?api-version=1", {"input": "x"}), 200),
    ],
)
@on_both_loops
async def test_paths_and_methods(sim: Simulator, request_: bytes, status: int) -> None:
    assert (await ask(sim, request_)).status == status


@on_both_loops
async def test_head_has_the_head_of_get_and_no_body(sim: Simulator) -> None:
    wire = await Wire.open(sim)
    wire.send(get("/v1/models", method="HEAD") + get("/v1/models", headers="connection: close\r\n"))
    raw = (await wire.rest()).raw
    first, second, body = raw.split(b"\r\n\r\n")
    assert first.split(b"\r\n")[:3] == second.split(b"\r\n")[:3]
    assert f"content-length: {len(body)}".encode() in first


@on_both_loops
async def test_a_wrong_key_is_refused() -> None:
    async with await start(api_key="sk-1") as sim:
        for headers in (
            "",
            "authorization: Bearer no\r\n",
            "authorization: Basic sk-1\r\n",
            "x-api-key: no\r\n",
        ):
            reply = await ask(sim, chat(headers=headers))
            assert (reply.status, reply.json["error"]["code"]) == (401, "invalid_api_key")
        for headers in ("authorization: Bearer sk-1\r\n", "x-api-key: sk-1\r\n", "api-key: sk-1\r\n"):
            assert (await ask(sim, chat(headers=headers))).status == 200
        refused = (await ask(sim, post("/v1/messages", {}))).json
        assert (refused["type"], refused["error"]["type"]) == ("error", "authentication_error")
        assert (await ask(sim, get("/health"))).status == 200


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("habit", ["finish", "empty_choice", "whole_object", "always", "never", "cumulative"])
@on_both_loops
async def test_habits_of_usage(sim: Simulator, habit: str, asked: bool) -> None:
    options: dict[str, Any] = {"stream_options": {"include_usage": True}} if asked else {}
    events = (await ask(sim, chat(f"m!usage={habit}", stream=True, max_tokens=2, **options))).events[:-1]
    usages: list[Any] = [event.get("usage") or {} for event in events]
    chunks = [
        (event["object"], len(event["choices"]), usage.get("completion_tokens"))
        for event, usage in zip(events, usages, strict=True)
    ]
    own = "chat.completion.chunk"
    plain = [(own, 1, None)] * 4
    expected = {
        "finish": [*plain[:3], (own, 1, 2)],
        "empty_choice": [*plain, (own, 1, 2)] if asked else plain,
        "whole_object": [*plain, ("chat.completion", 0, 2)] if asked else plain,
        "always": [*plain, (own, 0, 2)],
        "never": plain,
        "cumulative": [(own, 1, tokens) for tokens in (0, 1, 2, 2)],
    }
    assert chunks == expected[habit]


@on_both_loops
async def test_usage_can_be_missing_from_whole_answers(sim: Simulator) -> None:
    assert "usage" not in (await ask(sim, chat("m!usage=never"))).json


@on_both_loops
async def test_http10_clients_get_no_chunks(sim: Simulator) -> None:
    request = chat(stream=True).replace(b" HTTP/1.1", b" HTTP/1.0")
    reply = await ask_to_end(sim, request)
    assert "transfer-encoding" not in reply.headers
    assert reply.events[-1] == "[DONE]"
