"""`/v1/messages`: Anthropic's API passes to backends that speak it, and is metered, with nothing translated."""

import asyncio
import json
from typing import Any

import pytest

from tests.contract.gateway.harness import (
    Reply,
    World,
    chat,
    get,
    on_both_loops,
    post,
    running,
    scripted,
    soon,
)
from trunkline.policy.keys import KeySettings

SAY = [{"role": "user", "content": "hello there"}]
BODY: dict[str, Any] = {"model": "sim-small", "max_tokens": 9, "messages": SAY}
KEYS = [KeySettings(name="team", key="sk-gw")]
CLAUDE = {"provider": "anthropic", "api_key": "sk-up"}
LLAMA = {"provider": "llama.cpp", "api_key": "sk-up"}
GROQ = {"provider": "groq", "api_key": "sk-up"}
CREDENTIALS = ("x-api-key", "authorization", "api-key", "cookie")
# As the anthropic SDK and Claude Code send it; a program may use either header for its key.
VERSION = "anthropic-version: 2023-06-01\r\nanthropic-beta: a-2025-01-01,b-2025-02-02\r\n"


def message(headers: str = VERSION, **fields: Any) -> bytes:
    return post("/v1/messages", BODY | fields, headers=headers)


def sent(world: World, sim: int = 0) -> dict[str, str]:
    return {
        name.lower(): value
        for name, value in world.sims[sim].log[-1].headers
        if name.lower().startswith("anthropic-") or name.lower() in CREDENTIALS
    }


def assert_error(reply: Reply, status: int, kind: str) -> str:
    assert (reply.status, reply.headers["content-type"]) == (status, "application/json")
    value = reply.json
    assert (value["type"], value["error"]["type"]) == ("error", kind)
    assert value["request_id"] == reply.headers["x-request-id"]
    return value["error"]["message"]


@pytest.mark.parametrize("mine", ["x-api-key: sk-gw\r\n", "authorization: Bearer sk-gw\r\n"])
@pytest.mark.parametrize("stream", [False, True])
@on_both_loops
async def test_headers_go_on_and_keys_do_not(mine: str, stream: bool) -> None:
    headers = {"anthropic-version": "2023-06-01", "anthropic-beta": "a-2025-01-01,b-2025-02-02"}
    for backend, credential in (
        (CLAUDE, {"x-api-key": "sk-up"}),
        (LLAMA, {"authorization": "Bearer sk-up"}),
        ({"provider": "anthropic"}, {}),
    ):
        async with running(keys=KEYS, backends=[backend]) as world:
            reply = await world.ask(message(mine + VERSION, stream=stream))
            assert reply.status == 200
            assert sent(world) == headers | credential
            assert world.seen.target == "/v1/messages"
            plain = await world.direct(message(stream=stream))
            assert reply.body == plain.body


@on_both_loops
async def test_a_version_is_filled_in_only_where_there_is_none() -> None:
    async with running(backends=[CLAUDE]) as world:
        await world.ask(message(""))
        assert sent(world)["anthropic-version"] == "2023-06-01"
        await world.ask(
            message("anthropic-version: 2099-09-09\r\nanthropic-beta: x\r\nanthropic-beta: y\r\n")
        )
        assert [value for name, value in world.seen.headers if name.startswith("anthropic-")] == [
            "2099-09-09",
            "x",
            "y",
        ]


@on_both_loops
async def test_the_body_is_the_client_s() -> None:
    """Fields that chat completions of the same provider refuse are this API's own."""
    raw = b'{"top_k":4e0,"max_tokens":7,"user":"u","stream_options":null,"model":"sim-small","logprobs":true,'
    raw += b'"messages":[{"role":"user","content":"\\u0068i"}],"metadata":{ "user_id" : "u" }}'
    for provider in ("anthropic", "llama.cpp", "openrouter", "vllm", "ollama", "openai_compat", "custom"):
        async with running(backends=[{"provider": provider, "strict_params": True}]) as world:
            assert (await world.ask(post("/v1/messages", body=raw))).status == 200
            assert world.seen.body.encode() == raw


@pytest.mark.parametrize("backend", [CLAUDE, LLAMA], ids=["anthropic", "llama.cpp"])
@pytest.mark.parametrize("stream", [False, True])
@on_both_loops
async def test_usage_is_in_the_record(backend: dict[str, Any], stream: bool) -> None:
    async with running(keys=KEYS, backends=[backend]) as world:
        await world.ask(message("x-api-key: sk-gw\r\n", stream=stream))
        await world.quiet()
        record = world.record
        assert (record.surface, record.key, record.model, record.streamed) == (
            "messages",
            "team",
            "sim-small",
            stream,
        )
        assert record.usage is not None
        assert (record.usage.prompt_tokens, record.usage.completion_tokens) == (2, 9)


def anthropic_stream(*events: str) -> bytes:
    """As Anthropic writes them: named events with the type in the data too."""
    named = [(json.loads(event)["type"], event) for event in events]
    return "".join(f"event: {name}\ndata: {event}\n\n" for name, event in named).encode()


START = (
    '{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","content":[],"model":"c",'
    '"usage":{"input_tokens":10,"cache_creation_input_tokens":5,"cache_read_input_tokens":90,"output_tokens":1}}}'
)
TEXT = '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}'
DELTA = '{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":7}}'
CUMULATIVE = (
    '{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"input_tokens":12,'
    '"cache_read_input_tokens":90,"cache_creation_input_tokens":5,"output_tokens":7}}'
)
STOP = '{"type":"message_stop"}'


@pytest.mark.parametrize(
    ("events", "prompt", "completion", "fault"),
    [
        ((START, TEXT, DELTA, STOP), 105, 7, ""),
        ((START, TEXT, CUMULATIVE, STOP), 107, 7, ""),
        ((START, TEXT, DELTA), 105, 7, "incomplete_stream"),
        ((START, TEXT), 105, 1, "incomplete_stream"),
    ],
)
@on_both_loops
async def test_usage_of_a_stream_is_that_of_its_beginning_and_its_end(
    events: tuple[str, ...], prompt: int, completion: int, fault: str
) -> None:
    body = anthropic_stream(*events)

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n" % len(body)
        writer.write(head + body)
        await reader.read()

    async with scripted(play) as url, running(backends=[{"url": url, **CLAUDE}]) as world:
        reply = await world.ask(message(stream=True))
        await world.quiet()
        assert world.record.fault == fault
        assert reply.body.startswith(body)
        assert (reply.body == body) == (not fault)
        assert world.record.usage is not None
        assert (world.record.usage.prompt_tokens, world.record.usage.completion_tokens) == (
            prompt,
            completion,
        )
        assert world.record.usage.cached_tokens == 90


@pytest.mark.parametrize(
    ("spec", "fault", "kind"),
    [
        ("close=body;after=8", "cut", "api_error"),
        ("reset=body;after=8", "cut", "api_error"),
        ("no_done", "incomplete_stream", "api_error"),
        ("stall;after=8", "idle_timeout", "timeout_error"),
    ],
)
@on_both_loops
async def test_a_cut_is_an_error_event_of_this_api(spec: str, fault: str, kind: str) -> None:
    async with running(spec, backends=[CLAUDE], timeouts=soon(spec)) as world:
        reply = await world.ask(message(stream=True))
        await world.quiet()
        assert (reply.status, reply.complete) == (200, True)
        assert reply.body.rstrip().rpartition(b"\n\n")[2].startswith(b"event: error\ndata: {")
        last = reply.events[-1]
        assert (last["type"], last["error"]["type"]) == ("error", kind)
        assert last["request_id"] == reply.headers["x-request-id"]
        assert b"message_stop" not in reply.body
        assert world.record.fault == fault
        assert world.record.usage is not None, "what was read before the cut counts"


@on_both_loops
async def test_refusals_of_the_gateway_have_anthropic_s_shape() -> None:
    keys = [KeySettings(name="team", key="sk-gw", models=["sim-*"])]
    key = "x-api-key: sk-gw\r\n"
    async with running(keys=keys, backends=[CLAUDE | {"models": ["sim-small"]}]) as world:
        for request, status, kind in (
            (message("x-api-key: sk-wrong\r\n"), 401, "authentication_error"),
            (message(key, model="other"), 403, "permission_error"),
            (message(key, model="sim-other"), 404, "not_found_error"),
            (post("/v1/messages", body=b'{"model":', headers=key), 400, "invalid_request_error"),
            (post("/v1/messages", {**BODY, "stream": "yes"}, headers=key), 400, "invalid_request_error"),
        ):
            reply = await world.ask(request)
            assert assert_error(reply, status, kind)
            assert reply.headers["x-should-retry"] == "false"
        assert world.counts == [0]


@pytest.mark.parametrize("stream", [False, True])
@on_both_loops
async def test_errors_of_the_backend(stream: bool) -> None:
    async with running(backends=[CLAUDE]) as world:
        for spec in (
            "error_form=10;message=prompt is too long: 202128 tokens > 200000 maximum",
            "error_form=10;status=529;message=Overloaded",
            "error_form=9;message=x",
            "status=429;retry_after=3",
        ):
            request = message(f"x-sim-fault: {spec}\r\n", stream=stream)
            plain = await world.direct(request)
            reply = await world.ask(request)
            assert (reply.status, reply.body) == (plain.status, plain.body), "JSON is passed on as it is"
            assert reply.headers.get("retry-after") == plain.headers.get("retry-after")
        await world.quiet()
        assert [record.fault for record in world.records] == [
            "context_overflow",
            "overloaded",
            "context_overflow",
            "rate_limit",
        ]
        for body, words in (("html", "404"), ("text", "the simulator was asked for status 404")):
            reply = await world.ask(message(f"x-sim-fault: status=404;body={body}\r\n", stream=stream))
            assert assert_error(reply, 404, "not_found_error") == words
        for spec, status in (("close=before_head", 502), ("redirect=http://x.test/", 502)):
            reply = await world.ask(message(f"x-sim-fault: {spec}\r\n", stream=stream))
            assert assert_error(reply, status, "api_error")
    async with running(backends=[CLAUDE | {"url": "http://127.0.0.1:1"}]) as world:
        assert "TCP connection to 127.0.0.1:1 failed" in assert_error(
            await world.ask(message(stream=stream)), 502, "api_error"
        )


@on_both_loops
async def test_counting_tokens_and_what_else_is_below_messages() -> None:
    raw = b'{"model":"sim-small","messages":[{"role":"user","content":"\\u0068i"}]}'
    async with running(keys=KEYS, backends=[CLAUDE]) as world:
        path = "/v1/messages/count_tokens?beta=true"
        reply = await world.ask(post(path, body=raw, headers=f"x-api-key: sk-gw\r\n{VERSION}{JSON}"))
        assert (reply.status, reply.json["path"], reply.json["body_text"]) == (200, path, raw.decode())
        assert sent(world)["x-api-key"] == "sk-up"
        assert sent(world)["anthropic-version"] == "2023-06-01"
        reply = await world.ask(get("/v1/messages/batches/b/results", headers="x-api-key: sk-gw\r\n"))
        assert (reply.status, reply.json["path"]) == (200, "/v1/messages/batches/b/results")


JSON = "content-type: application/json\r\n"


@pytest.mark.parametrize("provider", ["groq", "mistral", "openai", "gemini", "azure", "tgi", "trtllm"])
@on_both_loops
async def test_a_backend_that_does_not_speak_it(provider: str) -> None:
    async with running(backends=[{"provider": provider, "api_key": "sk-up"}]) as world:
        for stream in (False, True):
            reply = await world.ask(message(stream=stream))
            words = assert_error(reply, 400, "invalid_request_error")
            assert "`sim-small`" in words
            assert "/v1/messages" in words
            assert "/v1/chat/completions" in words
        assert world.counts == [0]
        assert (world.record.fault, world.record.surface, world.record.attempts) == (
            "invalid_request",
            "messages",
            (),
        )
        assert (await world.ask(chat())).status == 200


@on_both_loops
async def test_of_several_backends_only_those_that_speak_it_are_asked() -> None:
    async with running(None, None, None, backends=[GROQ, CLAUDE, LLAMA]) as world:
        for stream in (False, True):
            reply = await world.ask(message(stream=stream))
            assert (reply.status, reply.headers["x-trunkline-backend"]) == (200, "b")
            assert reply.headers["x-trunkline-attempts"] == "1"
        assert (await world.ask(chat())).headers["x-trunkline-backend"] == "a"
        assert world.counts == [1, 2, 0]
    # Failover stays among them, and each gets its own credential.
    async with running("status=529", None, "status=500", backends=[CLAUDE, GROQ, LLAMA]) as world:
        reply = await world.ask(message())
        assert (reply.status, reply.headers["x-trunkline-attempts"]) == (500, "2")
        assert world.counts == [1, 0, 1]
        assert sent(world, 0)["x-api-key"] == "sk-up"
        assert sent(world, 2)["authorization"] == "Bearer sk-up"
        assert "x-api-key" not in sent(world, 2)


@on_both_loops
async def test_what_is_below_messages_needs_a_backend_that_speaks_it() -> None:
    async with running(None, None, backends=[GROQ, CLAUDE]) as world:
        request = post("/v1/messages/count_tokens", BODY, headers=JSON)
        assert (await world.ask(request)).headers["x-trunkline-backend"] == "b"
    async with running(backends=[GROQ]) as world:
        assert assert_error(await world.ask(request), 400, "invalid_request_error")
    async with running(keys=KEYS, backends=[CLAUDE]) as world:
        assert assert_error(await world.ask(request), 401, "authentication_error")
