"""What single providers have beyond the others, over real sockets: it gets there, and it comes back.

The upstream is scripted with what the vendors' pages show; what is not OpenAI's must survive the gateway.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.contract.gateway.harness import Reply, World, chat, get, on_both_loops, post, scripted
from tests.contract.providers.dialects import configured

Script = Callable[[str, bytes], tuple[int, str, bytes]]
"""Target and body of a request to status, content type and body of its answer."""

DONE = b"data: [DONE]\n\n"
HEAD = {"id": "gen-1", "object": "chat.completion.chunk", "created": 1700000000, "model": "m"}


class Asked(msgspec.Struct):
    """One request as it came to the upstream; header names in lower case."""

    target: str
    headers: dict[str, str]
    body: bytes


@asynccontextmanager
async def before(
    folder: Path, script: Script, discovery: float = 0.0, **settings: Any
) -> AsyncGenerator[tuple[World, list[Asked]]]:
    """A gateway with one backend before an upstream that follows a script, and what that is asked."""
    asked: list[Asked] = []

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            asked.append(Asked(first.split(" ")[1], headers, body))
            status, kind, answer = script(asked[-1].target, body)
            line = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(answer)}\r\n\r\n"
            writer.write(line.encode() + answer)

    async with scripted(play) as url:
        own = {"name": "a", "url": url, "max_retries": 0} | settings
        async with configured(folder, own, discovery=discovery) as world:
            yield world, asked


def chunk(text: str | None = None, *, finish: str | None = None, **extra: Any) -> bytes:
    delta = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: %b\n\n" % json.dumps({**HEAD, "choices": [choice], **extra}).encode()


def streaming(*events: bytes) -> Script:
    return lambda target, body: (200, "text/event-stream", b"".join(events))


def whole(**extra: Any) -> Script:
    message = {"role": "assistant", "content": "hi"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    answer = {**HEAD, "object": "chat.completion", "choices": [choice], **extra}
    return lambda target, body: (200, "application/json", json.dumps(answer).encode())


def events(reply: Reply) -> list[dict[str, Any]]:
    datas = [line.removeprefix(b"data: ") for line in reply.body.split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(data) for data in datas if data != b"[DONE]"]


USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
SOURCES = {
    "citations": ["https://example.com/a", "https://example.com/b"],
    "search_results": [{"title": "A", "url": "https://example.com/a", "date": "2025-01-02", "snippet": None}],
}
EXTRAS: dict[str, dict[str, Any]] = {
    "perplexity": SOURCES,
    "xai": {"citations": ["https://x.com/i/status/1"]},
    "groq": {"x_groq": {"id": "req_1"}},
    "openrouter": {"provider": "DeepInfra", "native_finish_reason": "STOP"},
    "fireworks": {"perf_metrics": {"ttft": 0.1}},
}


@pytest.mark.parametrize("provider", EXTRAS)
@on_both_loops
async def test_fields_of_answers_that_only_one_has_survive(provider: str, tmp_path: Path) -> None:
    extra = EXTRAS[provider]
    stream = (chunk("h", **extra), chunk("i", **extra), chunk(finish="stop", **extra), DONE)
    async with before(tmp_path, streaming(*stream), provider=provider) as (world, _):
        reply = await world.ask(chat(stream=True))
        told = events(reply)
        assert [event["choices"][0]["delta"].get("content") for event in told if event["choices"]][:2] == [
            "h",
            "i",
        ]
        for event in told[:3]:
            assert {name: event[name] for name in extra} == extra
        assert reply.body.endswith(DONE)
    async with before(tmp_path, whole(usage=USAGE, **extra), provider=provider) as (world, _):
        answer = (await world.ask(chat())).json
        assert {name: answer[name] for name in extra} == extra
        assert answer["usage"] == USAGE


@on_both_loops
async def test_openrouter_is_told_the_preferences_and_who_asks(tmp_path: Path) -> None:
    fields = (
        b'{"model":"m","provider":{ "order":["a"],"allow_fallbacks": false},"models":["x","y"],"route":"fallback",'
        b'"transforms":[],"plugins":[{"id":"web"}],"usage":{"include": true},"messages":[]}'
    )
    mine = "http-referer: https://app.example\r\nx-title: App\r\nx-openrouter-title: App 2\r\n"
    async with before(tmp_path, whole(), provider="openrouter", api_key="k") as (world, asked):
        assert (await world.ask(post("/v1/chat/completions", body=fields, headers=mine))).status == 200
        assert asked[0].body == fields
        assert asked[0].headers["authorization"] == "Bearer k"
        assert asked[0].headers["http-referer"] == "https://app.example"
        assert (asked[0].headers["x-title"], asked[0].headers["x-openrouter-title"]) == ("App", "App 2")
    own = {"HTTP-Referer": "https://ours.example", "X-Title": "Ours"}
    async with before(tmp_path, whole(), provider="openrouter", headers=own) as (world, asked):
        for headers in ("", mine):
            await world.ask(chat(headers=headers))
            assert asked[-1].headers["http-referer"] == "https://ours.example"
            assert asked[-1].headers["x-title"] == "Ours"


@on_both_loops
async def test_openrouter_s_cost_comes_through(tmp_path: Path) -> None:
    usage = {**USAGE, "cost": 0.00014, "cost_details": {"upstream_inference_cost": 0.0001}}
    async with before(tmp_path, whole(usage=usage), provider="openrouter") as (world, _):
        assert (await world.ask(chat())).json["usage"] == usage
    stream = (chunk("hi"), chunk(finish="stop"), chunk("", usage=usage), DONE)
    async with before(tmp_path, streaming(*stream), provider="openrouter") as (world, _):
        told = events(await world.ask(chat(stream=True, stream_options={"include_usage": True})))
        assert [event["usage"]["cost"] for event in told if event.get("usage")] == [usage["cost"]]


@on_both_loops
async def test_openrouter_s_error_in_a_stream_is_one(tmp_path: Path) -> None:
    broken = chunk("", finish="error", error={"code": "server_error", "message": "Provider disconnected"})
    async with before(tmp_path, streaming(broken), provider="openrouter") as (world, _):
        reply = await world.ask(chat(stream=True))
        assert reply.status == 502
        assert "Provider disconnected" in reply.json["error"]["message"]
    async with before(tmp_path, streaming(chunk("h"), broken), provider="openrouter") as (world, _):
        reply = await world.ask(chat(stream=True))
        assert (reply.status, DONE in reply.body) == (200, False)
        *content, last = events(reply)
        assert [event["choices"][0]["delta"]["content"] for event in content][:1] == ["h"]
        assert "Provider disconnected" in last["error"]["message"]
        await world.quiet()
        assert world.record.fault == "error_in_stream"


@pytest.mark.parametrize("provider", ["groq", "mistral", "cerebras", "deepseek", "vllm"])
@on_both_loops
async def test_thoughts_in_a_history_go_where_they_are_taken(provider: str, tmp_path: Path) -> None:
    plain = b'{"role":"assistant","content":"4"}'
    thinks = b'{"role":"assistant","content":"4","reasoning_content":"2+2"}'
    body = b'{"model":"m","messages":[%b]}'
    async with before(tmp_path, whole(), provider=provider) as (world, asked):
        assert (await world.ask(post("/v1/chat/completions", body=body % thinks))).status == 200
        assert asked[0].body == body % (thinks if provider in ("deepseek", "vllm") else plain)


@on_both_loops
async def test_xai_s_thinking_models_are_not_given_what_they_refuse(tmp_path: Path) -> None:
    body = b'{"model":"%b","messages":[],"stop":["x"],"frequency_penalty":0.5}'
    async with before(tmp_path, whole(), provider="xai") as (world, asked):
        for model in (b"grok-4.6", b"grok-4-fast-non-reasoning"):
            assert (await world.ask(post("/v1/chat/completions", body=body % model))).status == 200
        assert asked[0].body == b'{"model":"grok-4.6","messages":[]}'
        assert asked[1].body == body % b"grok-4-fast-non-reasoning"


TAGS = {
    "models": [
        {"name": "qwen3:8b", "model": "qwen3:8b", "size": 5225388164, "details": {"family": "qwen3"}},
        {"model": "llava:latest", "modified_at": "2023-12-07T09:32:18.757212583-08:00"},
    ]
}


@on_both_loops
async def test_an_old_ollama_lists_by_its_own_path(tmp_path: Path) -> None:
    def script(target: str, body: bytes) -> tuple[int, str, bytes]:
        if target == "/api/tags":
            return 200, "application/json", json.dumps(TAGS).encode()
        return (404, "text/plain", b"404 page not found") if "chat" not in target else whole()(target, body)

    async with before(tmp_path, script, 3600.0, provider="ollama") as (world, asked):
        listed = (await world.ask(get("/v1/models"))).json["data"]
        assert [entry["id"] for entry in listed] == ["qwen3:8b", "llava:latest"]
        assert [entry.target for entry in asked][:2] == ["/v1/models", "/api/tags"]
        assert (await world.ask(chat("llava"))).status == 200
        assert (await world.ask(chat("llama3"))).status == 404
