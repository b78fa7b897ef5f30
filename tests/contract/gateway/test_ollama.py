"""Ollama's own /api/chat: which chats are asked for there, in which form, and that clients see no other answers."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.contract.gateway.harness import World, chat, get, on_both_loops, post, running, scripted, soon
from tests.contract.gateway.test_overrides import written
from tests.contract.simulator.raw import Reply, text_of

CHAT, NATIVE = "/v1/chat/completions", "/api/chat"
OLLAMA: dict[str, Any] = {"provider": "ollama", "models": ["*"]}
SAY = [{"role": "user", "content": "hello there"}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "look",
            "parameters": {"properties": {"at": {"type": "string"}, "times": {"type": "integer"}}},
        },
    }
]
USUAL: list[dict[str, Any]] = [
    {},
    {"temperature": 0.1, "seed": 1},
    {"num_ctx": None, "think": None},
]
"""What nothing but OpenAI's API is needed for."""
FORMS: list[dict[str, Any]] = [
    {},
    {"max_tokens": 3},
    {"stream": True, "stream_options": {"include_usage": True}},
    {"stream": True},
]
ONE = "backends: [{name: a, provider: ollama, url: '${A}', models: ['*']%s}]\n"


def backend(**settings: Any) -> list[dict[str, Any]]:
    return [OLLAMA | settings]


def faulty(spec: str) -> str:
    return f"x-sim-fault: {spec}\r\n"


def read(reply: Reply) -> tuple[str, str, list[Any], str | None, Any, str]:
    """What an answer of either kind says: text, thoughts, calls of tools, finish_reason, usage, model."""
    if reply.headers["content-type"] == "application/json":
        choice = reply.json["choices"][0]
        message = choice["message"]
        return (
            message["content"] or "",
            message.get("reasoning") or "",
            message.get("tool_calls") or [],
            choice["finish_reason"],
            reply.json.get("usage"),
            reply.json["model"],
        )
    events = [event for event in reply.events if event != "[DONE]"]
    assert reply.events[-1] == "[DONE]"
    assert {event["object"] for event in events} == {"chat.completion.chunk"}
    assert len({event["id"] for event in events}) == 1
    deltas: list[Any] = [event["choices"][0]["delta"] for event in events if event["choices"]]
    assert [delta.get("role") for delta in deltas if "role" in delta] == ["assistant"]
    calls: dict[int, Any] = {}
    for delta in deltas:
        parts: list[dict[str, Any]] = delta.get("tool_calls") or []
        for call in parts:
            held = calls.setdefault(call["index"], {"function": {"name": "", "arguments": ""}})
            held |= {key: value for key, value in call.items() if key not in ("index", "function")}
            for key, value in call["function"].items():
                held["function"][key] += value
    usage = [event["usage"] for event in events if event.get("usage")]
    finish = [event["choices"][0]["finish_reason"] for event in events if event["choices"]]
    return (
        "".join(delta.get("content") or "" for delta in deltas),
        "".join(delta.get("reasoning") or "" for delta in deltas),
        list(calls.values()),
        finish[-1],
        usage[-1] if usage else None,
        events[0]["model"],
    )


def called(answer: tuple[Any, ...]) -> list[Any]:
    """The calls of tools in an answer, with what their arguments mean."""
    return [
        call | {"function": call["function"] | {"arguments": json.loads(call["function"]["arguments"])}}
        for call in answer[2]
    ]


@on_both_loops
async def test_what_only_ollama_knows_reaches_it() -> None:
    body = (
        '{"model":"sim-small","messages":[{"role":"user","content":"\\u0068ello"}],"num_ctx":8192,"keep_alive":"10m",'
        '"think":false,"options":{"num_gpu":1e1,"top_k":40},"temperature":0.70,"max_tokens":5,"stop":"x","user":"u"}'
    )
    mine = "authorization: Bearer mine\r\ncontent-type: application/json\r\nx-other: 1\r\n"
    async with running(backends=backend(api_key="k")) as world:
        reply = await world.ask(post(CHAT + "?beta=true", body=body.encode(), headers=mine))
        assert reply.status == 200
        seen = world.seen
        assert (seen.method, seen.target) == ("POST", NATIVE)
        assert json.loads(seen.body) == {
            "model": "sim-small",
            "messages": [{"role": "user", "content": "hello"}],
            "stream": False,
            "keep_alive": "10m",
            "think": False,
            "options": {
                "num_gpu": 10.0, "top_k": 40, "num_ctx": 8192, "temperature": 0.7, "num_predict": 5, "stop": ["x"],
            },
        }  # fmt: skip
        assert '"temperature":0.70' in seen.body
        assert '"num_gpu":1e1' in seen.body
        assert (seen.header("authorization"), seen.header("x-other")) == ("Bearer k", "1")
        assert (seen.header("content-type"), seen.header("content-length")) == (
            "application/json",
            str(len(seen.body)),
        )
        assert len(text_words(reply)) == 5
        await world.quiet()
        assert world.record.attempts[-1].notes == (
            "sent to /api/chat because of `num_ctx`, `keep_alive`, `think`, `options`",
        )


def text_words(reply: Reply) -> list[str]:
    return read(reply)[0].split()


@on_both_loops
async def test_what_its_openai_api_takes_is_asked_for_there() -> None:
    async with running(backends=backend()) as world:
        for fields in USUAL:
            for stream in (False, True):
                assert (await world.ask(chat(stream=stream, **fields))).status == 200
                assert world.seen.target == CHAT
        # Of one connection, one head: the two kinds of request are not taken for each other.
        client = await world.open()
        for target in (CHAT, NATIVE, CHAT, NATIVE):
            client.send(chat(think=True) if target == NATIVE else chat())
            assert (await client.answer()).status == 200
            assert world.seen.target == target


@pytest.mark.parametrize(
    "spec", ["", "tools=2", "reasoning=reasoning", "text=%3Cthink%3EHm.%3C/think%3E%22Hi.%22 ü"]
)
@pytest.mark.parametrize("form", ["", "drip", "delay_chunk=0", "crlf", "gzip", "gzip;drip"])
@on_both_loops
async def test_clients_get_the_same_from_both(spec: str, form: str) -> None:
    spec = spec.replace("ü", "%C3%BC")
    headers = faulty(";".join(filter(None, (spec, form))))
    async with running(backends=backend()) as world:
        for fields in FORMS:
            more: dict[str, Any] = fields | ({"tools": TOOLS} if "tools" in spec else {})
            plain = await world.ask(chat(headers=headers, **more))
            native = await world.ask(chat(headers=headers, num_ctx=4096, **more))
            assert [entry.target for entry in world.sims[0].log[-2:]] == [CHAT, NATIVE]
            assert native.headers["content-type"] == plain.headers["content-type"]
            assert native.headers["x-trunkline-backend"] == "a"
            theirs, ours = read(plain), read(native)
            assert called(ours) == called(theirs)
            assert ours[:2] + ours[3:] == theirs[:2] + theirs[3:]
            await world.quiet()
            one, other = world.records[-2:]
            assert one.usage is not None
            assert other.usage is not None
            assert (other.usage.prompt_tokens, other.usage.completion_tokens, other.usage.source) == (
                one.usage.prompt_tokens,
                one.usage.completion_tokens,
                one.usage.source,
            )
            assert (other.fault, other.status, other.streamed) == ("", 200, one.streamed)
        assert world.gateway.runtime.upstreams[0].pool.idle == 1, "the connection is kept"


@on_both_loops
async def test_the_setting_decides_where_it_does_not_depend_on_the_request() -> None:
    async with running(backends=backend(native="never")) as world:
        assert (await world.ask(chat(num_ctx=1024, think=True))).status == 200
        assert (world.seen.target, json.loads(world.seen.body)["num_ctx"]) == (CHAT, 1024)
    async with running(backends=backend(native="always")) as world:
        for stream in (False, True):
            assert (await world.ask(chat(stream=stream))).status == 200
            assert (world.seen.target, json.loads(world.seen.body)["stream"]) == (NATIVE, stream)
        await world.quiet()
        assert world.record.attempts[-1].notes == ("sent to /api/chat as `native` says",)
        # Only chats are.
        assert (
            await world.ask(post("/v1/completions", {"model": "sim-small", "prompt": "hi"}))
        ).status == 200
        assert world.seen.target == "/v1/completions"
        assert (await world.ask(post("/v1/embeddings", {"model": "sim-small", "input": "hi"}))).status == 200
        assert world.seen.target == "/v1/embeddings"


@pytest.mark.parametrize("place", ["", "/v1", "/below/v1"])
@on_both_loops
async def test_it_is_below_the_servers_root(place: str) -> None:
    heads: list[bytes] = []

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        body = b'{"model":"m","message":{"role":"assistant","content":"hi"},"done":true,"done_reason":"stop"}'
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
        )
        writer.write(body)
        await reader.read()

    async with scripted(play) as url, running(urls=[url + place], backends=[{}, OLLAMA]) as world:
        reply = await world.ask(chat(headers="x-trunkline-backend: b\r\n", think=False))
        assert (reply.status, read(reply)[0]) == (200, "hi")
        assert heads[0].startswith(b"POST %b/api/chat HTTP/1.1\r\n" % place.removesuffix("/v1").encode())


@on_both_loops
async def test_what_the_operator_sets_leads_there(tmp_path: Path) -> None:
    text = ONE % ", params: {num_ctx: 8192, stream_options: null}, defaults: {keep_alive: -1}"
    async with running(made=written(tmp_path, text)) as world:
        for stream in (False, True):
            reply = await world.ask(chat(stream=stream))
            assert reply.status == 200
            sent = json.loads(world.seen.body)
            assert world.seen.target == NATIVE
            assert (sent["options"], sent["keep_alive"], sent["stream"]) == ({"num_ctx": 8192}, -1, stream)
        explained = await told_before(world, {"model": "sim-small", "messages": SAY})
        assert "sent to /api/chat because of `num_ctx`, `keep_alive`" in explained["first"]["changes"]
    async with running(made=written(tmp_path, ONE % ", params: {think: null}")) as world:
        assert (await world.ask(chat(think=True))).status == 200
        assert world.seen.target == CHAT


async def told_before(world: World, value: Any) -> Any:
    client = await world._open(world.gateway.admin.port)
    client.send(post("/explain", value))
    return (await client.answer()).json


@pytest.mark.parametrize("think", ["split", "strip"])
@on_both_loops
async def test_streams_that_are_folded_unfolded_and_filtered(tmp_path: Path, think: str) -> None:
    """The client asks for one form, the operator for the other; thoughts are taken out of the text."""
    thought = faulty("text=%3Cthink%3EHm.%3C/think%3EHello.")
    for stream in (False, True):
        more = f", params: {{stream: {str(not stream).lower()}, num_ctx: 512}}, think: {think}, rename: true"
        model = "models: {chat: {targets: [{backend: a, model: sim-small}]}}\n"
        async with running(made=written(tmp_path, ONE % more + model)) as world:
            reply = await world.ask(chat("chat", headers=thought, stream=stream))
            assert json.loads(world.seen.body)["stream"] is not stream
            assert ("event-stream" in reply.headers["content-type"]) is stream
            answer = read(reply)
            assert (answer[0], answer[3], answer[5]) == ("Hello.", "stop", "chat")
            assert (b"Hm." in reply.body) is (think == "split")


@on_both_loops
async def test_usage_is_told_once_to_those_who_ask() -> None:
    async with running(backends=backend()) as world:
        for asked in (False, True):
            options = {"include_usage": True} if asked else None
            reply = await world.ask(chat(stream=True, num_ctx=1, stream_options=options))
            assert sum(bool(event.get("usage")) for event in reply.events if event != "[DONE]") is int(asked)
        uncounted = await world.ask(
            chat(
                stream=True, num_ctx=1, headers=faulty("usage=never"), stream_options={"include_usage": True}
            )
        )
        await world.quiet()
        assert read(uncounted)[4]["completion_tokens"] > 0
        assert world.record.usage is not None
        assert world.record.usage.source == "estimated"


@pytest.mark.parametrize(
    ("spec", "stream", "fault"),
    [
        ("error_event=0", True, "error_in_stream"),
        ("empty_stream", True, "empty_stream"),
        ("no_done;words=1;close=body;after=0", True, "cut"),
        ("close=body;after=0", True, "cut"),
        ("close=body", False, "cut"),
        ("no_length;close=body;after=0", True, "empty_stream"),
        ("no_length;close=body;after=9", False, "cut"),
        ("status=200;body=string", True, "error_in_stream"),
        ("status=200;body=string", False, "error_in_200"),
        ("status=200;body=list", True, "empty_stream"),
        ("status=200;body=list", False, "malformed"),
        *[("status=200;body=html", stream, "malformed") for stream in (False, True)],
        *[("status=503", stream, "server_error") for stream in (False, True)],
        *[("reset=head", stream, "cut") for stream in (False, True)],
    ],
)
@on_both_loops
async def test_what_goes_wrong_before_content_goes_to_the_next_backend(
    spec: str, stream: bool, fault: str
) -> None:
    async with running(spec, None, backends=[OLLAMA, {}]) as world:
        reply = await world.ask(chat(stream=stream, num_ctx=1))
        assert (reply.status, reply.headers["x-trunkline-backend"]) == (200, "b")
        assert read(reply)[3] == "stop"
        assert world.sims[0].log[-1].target == NATIVE
        assert (world.seen.target, world.sims[1].log[-1].target) == (NATIVE, CHAT)
        assert json.loads(world.sims[1].log[-1].body)["num_ctx"] == 1
        await world.quiet()
        assert [backend for backend, _ in world.faults] == ["a", "b"]
        assert world.faults[0][1] == fault


@on_both_loops
async def test_the_next_backend_may_be_ollama() -> None:
    async with running("status=500", None, backends=[{"models": ["*"]}, OLLAMA]) as world:
        for stream in (False, True):
            reply = await world.ask(chat(stream=stream, num_ctx=1))
            assert (reply.status, reply.headers["x-trunkline-backend"]) == (200, "b")
            assert (world.seen.target, world.sims[1].log[-1].target) == (CHAT, NATIVE)
            await world.quiet()
            assert [attempt.notes for attempt in world.record.attempts] == [
                (),
                ("sent to /api/chat because of `num_ctx`",),
            ]


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ("error_event=3", "error_in_stream"),
        ("close=body;after=3", "cut"),
        ("reset=body;after=3", "cut"),
        ("no_done", "incomplete_stream"),
        ("no_length;close=body;after=3", "incomplete_stream"),
        ("stall_after=3", "idle_timeout"),
    ],
)
@on_both_loops
async def test_what_breaks_off_is_not_shown_as_finished(spec: str, fault: str) -> None:
    async with running(spec, None, backends=[OLLAMA, {}], timeouts=soon(spec)) as world:
        reply = await world.ask(chat(stream=True, num_ctx=1))
        assert reply.events[-1] != "[DONE]"
        assert reply.events[-1]["error"]["message"]
        assert world.counts[1] == 0
        await world.quiet()
        assert world.record.fault == fault
        assert world.record.usage is not None


@on_both_loops
async def test_a_malformed_line_is_left_out_and_empty_ones_mean_nothing() -> None:
    async with running(backends=backend()) as world:
        whole = await world.ask(chat(stream=True, num_ctx=1))
        for spec in ("malformed_event=4", "malformed_event=0;drip", "comments", "http10", "no_length"):
            reply = await world.ask(chat(stream=True, num_ctx=1, headers=faulty(spec)))
            assert read(reply) == read(whole), spec


@on_both_loops
async def test_a_cut_stream_is_gone_on_with(tmp_path: Path) -> None:
    text = (
        "backends:\n"
        "  - {name: a, provider: ollama, url: '${A}', models: [m1], headers: {x-sim-fault: 'close=body;after=4'}}\n"
        "  - {name: b, provider: %s, url: '${B}', models: [m1]%s}\n"
    )
    for provider, more in (("ollama", ""), ("openai_compat", ""), ("ollama", ", prefill: plain")):
        made = written(tmp_path, text % (provider, more))
        async with running(None, None, made=made) as world:
            reply = await world.ask(chat("m1", stream=True, num_ctx=1))
            wanted = await world.direct(chat("m1", stream=True), 1)
            assert text_of(reply.events) == text_of(wanted.events)
            assert reply.events[-1] == "[DONE]"
            await world.quiet()
            assert world.faults == [("a", "cut"), ("b", "")]


@on_both_loops
async def test_its_refusals_are_refusals() -> None:
    async with running(backends=backend()) as world:
        for stream in (False, True):
            spec = "status=400;message=invalid think value"
            reply = await world.ask(chat(stream=stream, think="x", headers=faulty(spec)))
            assert reply.status == 400
            assert "invalid think value" in str(reply.json["error"])
        refused = await world.ask(chat(n=2, num_ctx=1))
        assert (refused.status, refused.json["error"]["param"]) == (400, "n")
        wrong = await world.ask(chat(num_ctx=1, options=3))
        assert (wrong.status, wrong.json["error"]["param"]) == (400, "options")
        assert world.counts == [2]
    async with running(backends=[OLLAMA | {"strict_params": True}]) as world:
        reply = await world.ask(chat(num_ctx=1, logit_bias={"1": 1}))
        assert (reply.status, reply.json["error"]["param"]) == (400, "logit_bias")


@on_both_loops
async def test_health_and_models_are_asked_where_they_are(tmp_path: Path) -> None:
    text = "backends: [{provider: ollama, name: a, url: '${A}', health: {interval: 0.05}}]\n"
    async with running(made=written(tmp_path, text, discovery=60.0)) as world:
        assert (await world.ask(chat("sim-large", num_ctx=1))).status == 200
        assert (await world.ask(chat("other", num_ctx=1))).status == 404
        await world.sims[0].until(lambda: any(entry.target == "/api/tags" for entry in world.sims[0].log))
        targets = {(entry.method, entry.target) for entry in world.sims[0].log}
        assert targets >= {
            ("GET", "/v1/models"),
            ("POST", "/api/show"),
            ("GET", "/api/tags"),
            ("POST", NATIVE),
        }
        listed = await world.ask(get("/v1/models"))
        assert [model["id"] for model in listed.json["data"]] == ["sim-small", "sim-large", "sim-embed"]
