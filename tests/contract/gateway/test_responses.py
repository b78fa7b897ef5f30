"""`/v1/responses`: OpenAI's newer API passes to backends that speak it, and is metered, with nothing translated."""

import asyncio
import json
from typing import Any

import pytest

from tests.contract.gateway.harness import World, chat, get, on_both_loops, post, running, scripted, soon
from trunkline.policy.keys import KeySettings

BODY: dict[str, Any] = {"model": "sim-small", "input": "hello there", "max_output_tokens": 9}
KEYS = [KeySettings(name="team", key="sk-gw")]
OPENAI = {"provider": "openai", "api_key": "sk-up"}
MISTRAL = {"provider": "mistral", "api_key": "sk-up"}
AZURE = {"provider": "azure", "api_key": "sk-up"}


def ask(headers: str = "", **fields: Any) -> bytes:
    return post("/v1/responses", BODY | fields, headers=headers)


def credentials(world: World, sim: int = 0) -> dict[str, str]:
    names = ("authorization", "api-key", "x-api-key")
    return {name.lower(): value for name, value in world.sims[sim].log[-1].headers if name.lower() in names}


@pytest.mark.parametrize("stream", [False, True])
@on_both_loops
async def test_the_client_s_key_stays_and_the_backend_s_goes(stream: bool) -> None:
    mine = "authorization: Bearer sk-gw\r\nopenai-beta: responses=v1\r\n"
    for backend, credential in (
        (OPENAI, {"authorization": "Bearer sk-up"}),
        (AZURE, {"api-key": "sk-up"}),
        ({"provider": "vllm"}, {}),
    ):
        async with running(keys=KEYS, backends=[backend]) as world:
            reply = await world.ask(ask(mine, stream=stream))
            assert (reply.status, world.seen.target) == (200, "/v1/responses")
            assert credentials(world) == credential
            assert world.seen.header("openai-beta") == "responses=v1"
            assert reply.body == (await world.direct(ask(stream=stream))).body


@on_both_loops
async def test_the_body_is_the_client_s() -> None:
    """Fields that chat completions of the same provider refuse are this API's own."""
    raw = (
        b'{"input":[ {"role":"user","content":"\\u0068i"} ],"top_logprobs":2,"user":"u","model":"sim-small",'
    )
    raw += b'"stream_options":null,"max_output_tokens":7e0,"logit_bias":{ },"top_k":1}'
    for provider in ("openai", "groq", "xai", "openrouter", "vllm", "trtllm", "openai_compat", "custom"):
        async with running(backends=[{"provider": provider, "strict_params": True}]) as world:
            await world.ask(post("/v1/responses", body=raw))
            assert world.seen.body.encode() == raw


@pytest.mark.parametrize("limit", [9, 500])
@pytest.mark.parametrize("stream", [False, True])
@on_both_loops
async def test_usage_is_in_the_record(limit: int, stream: bool) -> None:
    """An answer cut by its limit is complete: its last event is `response.incomplete`."""
    async with running(keys=KEYS, backends=[OPENAI]) as world:
        request = ask("authorization: Bearer sk-gw\r\n", stream=stream, max_output_tokens=limit)
        reply = await world.ask(request)
        await world.quiet()
        last = reply.events[-1] if stream else {"response": reply.json}
        record = world.record
        assert (record.surface, record.key, record.fault) == ("responses", "team", "")
        assert record.usage is not None
        usage = last["response"]["usage"]
        assert record.usage.prompt_tokens == usage["input_tokens"] == 2
        assert record.usage.completion_tokens == usage["output_tokens"]
        assert record.usage.total_tokens == usage["total_tokens"]
        if stream:
            assert last["type"] == ("response.incomplete" if limit == 9 else "response.completed")


CREATED = {"type": "response.created", "response": {"id": "r", "usage": None}}
DELTA = {"type": "response.output_text.delta", "delta": "hi"}
USAGE = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 90},
    "output_tokens": 30,
    "output_tokens_details": {"reasoning_tokens": 20},
    "total_tokens": 130,
}
COMPLETED = {"type": "response.completed", "response": {"id": "r", "usage": USAGE}}
FAILED = {
    "type": "response.failed",
    "response": {"id": "r", "error": {"code": "server_error", "message": "it broke"}, "usage": USAGE},
}


async def stream_of(events: list[dict[str, Any]]) -> tuple[World, bytes, bytes]:
    """A world that is over, what its backend said and what its client read."""
    body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events).encode()

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n" % len(body)
        writer.write(head + body)
        await reader.read()

    async with scripted(play) as url, running(backends=[{"url": url, **OPENAI}]) as world:
        reply = await world.ask(ask(stream=True))
        await world.quiet()
        return world, body, reply.body


@on_both_loops
async def test_the_last_event_tells_what_was_used() -> None:
    world, said, read = await stream_of([CREATED, DELTA, COMPLETED])
    assert read == said
    usage = world.record.usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.cached_tokens) == (100, 90)
    assert (usage.completion_tokens, usage.reasoning_tokens) == (30, 20)


@on_both_loops
async def test_a_failed_answer_is_the_backend_s_own_end() -> None:
    world, said, read = await stream_of([CREATED, DELTA, FAILED])
    assert read == said
    assert world.record.usage is not None
    world, _, read = await stream_of([CREATED, FAILED])
    assert json.loads(read)["error"]["message"].endswith("it broke")
    assert (world.record.fault, world.record.status) == ("error_in_stream", 502)


@pytest.mark.parametrize(
    ("spec", "fault", "code"),
    [
        ("close=body;after=8", "cut", "upstream_error"),
        ("no_done", "incomplete_stream", "upstream_error"),
        ("stall;after=8", "idle_timeout", "upstream_timeout"),
    ],
)
@on_both_loops
async def test_a_cut_is_an_error_event_of_this_api(spec: str, fault: str, code: str) -> None:
    async with running(spec, backends=[OPENAI], timeouts=soon(spec)) as world:
        reply = await world.ask(ask(stream=True))
        await world.quiet()
        assert (reply.status, reply.complete) == (200, True)
        assert reply.body.rstrip().rpartition(b"\n\n")[2].startswith(b"event: error\ndata: {")
        last = reply.events[-1]
        assert (last["type"], last["code"], last["error"]["code"]) == ("error", code, code)
        assert last["message"] == last["error"]["message"] != ""
        assert b"response.completed" not in reply.body
        assert world.record.fault == fault


@on_both_loops
async def test_errors_have_openai_s_shape() -> None:
    async with running(keys=KEYS, backends=[OPENAI | {"models": ["sim-*"]}]) as world:
        key = "authorization: Bearer sk-gw\r\n"
        for request, status, code in (
            (ask("x-api-key: wrong\r\n"), 401, "invalid_api_key"),
            (ask(key, model="other"), 404, "model_not_found"),
            (ask(key + "x-sim-fault: close=head\r\n"), 502, "upstream_error"),
        ):
            reply = await world.ask(request)
            assert (reply.status, reply.json["error"]["code"]) == (status, code)
            assert reply.json["error"].keys() == {"message", "type", "param", "code"}
        said = "x-sim-fault: error_form=1;status=422;message=no\r\n"
        reply = await world.ask(ask(key + said))
        assert (reply.status, reply.body) == (422, (await world.direct(ask(said))).body)


@pytest.mark.parametrize("provider", ["mistral", "anthropic", "gemini", "tgi", "cohere", "together"])
@on_both_loops
async def test_a_backend_that_does_not_speak_it(provider: str) -> None:
    async with running(backends=[{"provider": provider, "api_key": "sk-up"}]) as world:
        for stream in (False, True):
            reply = await world.ask(ask(stream=stream))
            error = reply.json["error"]
            assert (reply.status, error["code"]) == (400, "unsupported_endpoint")
            assert error["type"] == "invalid_request_error"
            assert "`sim-small`" in error["message"]
            assert "/v1/responses" in error["message"]
            assert reply.headers["x-should-retry"] == "false"
        reply = await world.ask(post("/v1/responses", {"input": "x"}))
        assert (reply.status, reply.json["error"]["code"]) == (400, "unsupported_endpoint")
        assert world.counts == [0]
        assert (world.record.fault, world.record.surface) == ("invalid_request", "responses")
        assert (await world.ask(chat())).status == 200


@on_both_loops
async def test_of_several_backends_only_those_that_speak_it_are_asked() -> None:
    async with running(None, "status=503", None, backends=[MISTRAL, OPENAI, AZURE]) as world:
        reply = await world.ask(ask())
        assert (reply.status, reply.headers["x-trunkline-backend"]) == (200, "c")
        assert reply.headers["x-trunkline-attempts"] == "2"
        assert world.counts == [0, 1, 1]
        assert credentials(world, 1) == {"authorization": "Bearer sk-up"}
        assert credentials(world, 2) == {"api-key": "sk-up"}
        assert (await world.ask(chat())).headers["x-trunkline-backend"] == "a"


@on_both_loops
async def test_a_stored_answer_is_asked_for_where_answers_are() -> None:
    async with running(None, None, backends=[MISTRAL, OPENAI]) as world:
        for request in (get("/v1/responses/resp_1"), post("/v1/responses/resp_1/cancel", body=b"")):
            assert (await world.ask(request)).headers["x-trunkline-backend"] == "b"
