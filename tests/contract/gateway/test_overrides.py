"""What the operator changes in requests, over real sockets: what upstreams see of them, byte for byte."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs

from tests.contract.gateway.harness import World, get, multipart, on_both_loops, post, running
from trunkline.config.load import load
from trunkline.config.model import DiscoverySettings, Settings

CHAT = "/v1/chat/completions"
SAY = [{"role": "user", "content": "hi"}]
ONE = "backends: [{name: a, url: '${A}', models: [sim-small]}]\n"
USAGE = '"stream_options":{"include_usage":true}'


def written(
    folder: Path, text: str, environ: dict[str, str] | None = None, *, discovery: float = 0.0
) -> Callable[[list[str]], Settings]:
    """The settings of a file, whose backends are at `${A}`, `${B}` ..., and of the environment."""

    def made(addresses: list[str]) -> Settings:
        file = folder / "f.yaml"
        file.write_text(text)
        known = {"ABCDEF"[at]: url for at, url in enumerate(addresses)} | (environ or {})
        settings = load(file, known, {"server.port": 0, "admin.port": 0}).settings
        return structs.replace(settings, data_dir=None, discovery=DiscoverySettings(interval=discovery))

    return made


def started(environ: dict[str, str]) -> Callable[[list[str]], Settings]:
    """The settings of a start from TARGET_BASE_URL."""

    def made(addresses: list[str]) -> Settings:
        known = environ | {"TARGET_BASE_URL": addresses[0]}
        settings = load(None, known, {"server.port": 0, "admin.port": 0}).settings
        return structs.replace(settings, discovery=DiscoverySettings(interval=0.0))

    return made


async def sent(world: World, body: str | dict[str, Any], path: str = CHAT, headers: str = "") -> str:
    """What the upstream is sent for a body."""
    text = body if isinstance(body, str) else msgspec.json.encode(body).decode()
    reply = await world.ask(post(path, body=text.encode(), headers=headers))
    assert reply.status == 200, reply.body
    return world.seen.body


@on_both_loops
async def test_what_is_not_edited_goes_up_byte_for_byte(tmp_path: Path) -> None:
    text = ONE.replace("]}", "], params: {temperature: 0.2, top_k: null}, defaults: {top_p: 1.0, n: 1}}")
    body = (
        '{"big":12345678901234567890123,"huge":1e400,"f":1.0,"temperature":1,"x":{"b": 1,"a":[ ]},"n":1,'
        '"top_k":4,"model":"sim-small","messages":[{"role":"user","content":"\\u0041 \\/"}]}'
    )
    async with running(made=written(tmp_path, text)) as world:
        assert await sent(world, body) == body.replace('"temperature":1', '"temperature":0.2').replace(
            '"top_k":4,', ""
        ).replace("]}", '],"top_p":1.0}').replace('[ ],"top_p":1.0}', "[ ]}")
        await world.quiet()
        assert world.record.attempts[-1].notes == (
            "`temperature` set to 0.2",
            "`top_p` set to 1.0, because it was left out",
            "removed `top_k`",
        )


LEVELS = """
backends:
  - {name: a, url: '${A}', models: [m1], params: {at: a, b: 1, gone: null}, defaults: {d: backend, e: backend}}
  - {name: b, url: '${B}', models: [m2], params: {at: b}}
models:
  chat:
    targets: [{backend: a, model: m1}]
    fallbacks: [other]
    params: {at: chat, c: 1}
    defaults: {d: chat}
    append_to_last_user_message: " /no_think"
  other: {targets: [{backend: b, model: m2}], params: {o: 1}}
variants:
  low: {params: {at: low, reasoning_effort: low}, defaults: {e: null}}
keys:
  - {name: plain, key: kkk1}
  - {name: own, key: kkk2, params: {at: key}, defaults: {d: key}, models: [chat]}
"""
PLAIN, OWN = "authorization: Bearer kkk1\r\n", "authorization: Bearer kkk2\r\n"


@on_both_loops
async def test_levels_hold_for_what_they_are_for(tmp_path: Path) -> None:
    async with running(None, None, made=written(tmp_path, LEVELS)) as world:

        async def fields(model: str, key: str = PLAIN, path: str = CHAT, **more: Any) -> dict[str, Any]:
            return json.loads(await sent(world, {"model": model} | more, path, key))

        said = [{"role": "user", "content": "hi /no_think"}]
        assert await fields("chat", messages=SAY, gone=1) == {
            "model": "m1", "messages": said, "at": "chat", "b": 1, "c": 1, "d": "chat", "e": "backend",
        }  # fmt: skip
        assert await fields("chat@low", messages=SAY, gone=1) == {
            "model": "m1", "messages": said, "at": "low", "b": 1, "c": 1, "reasoning_effort": "low", "d": "chat",
        }  # fmt: skip
        assert await fields("chat@low", OWN, messages=SAY) == {
            "model": "m1", "messages": said, "at": "key", "b": 1, "c": 1, "reasoning_effort": "low", "d": "key",
        }  # fmt: skip
        # Requests that generate no text are changed by the model and the variant alone, but for what is of text.
        assert await fields("chat@low", OWN, "/v1/embeddings", input="x") == {
            "model": "m1", "input": "x", "at": "low", "c": 1, "d": "chat",
        }  # fmt: skip
        reply = await world.ask(post(CHAT, {"model": "other", "messages": SAY}, headers=OWN))
        assert reply.status == 403
        reply = await world.ask(post(CHAT, {"model": "chat@high", "messages": SAY}, headers=PLAIN))
        assert (reply.status, reply.json["error"]["code"]) == (404, "model_not_found")


@on_both_loops
async def test_a_fallback_s_request_is_made_for_it(tmp_path: Path) -> None:
    text = LEVELS.replace(
        "name: a, url: '${A}'", "name: a, url: '${A}', headers: {x-sim-fault: status=500}, max_retries: 0"
    )
    async with running(None, None, made=written(tmp_path, text)) as world:
        body = {"model": "chat@low", "messages": SAY}
        reply = await world.ask(post(CHAT, body, headers=PLAIN))
        assert (reply.headers["x-trunkline-backend"], reply.headers["x-trunkline-model"]) == ("b", "other")
        first, second = (json.loads(sim.log[-1].body) for sim in world.sims)
        assert first["messages"] == [{"role": "user", "content": "hi /no_think"}]
        assert second == body | {"model": "m2", "at": "low", "o": 1, "reasoning_effort": "low"}
        await world.quiet()
        assert world.record.model == "chat@low"
        assert "`o` set to 1" not in world.record.attempts[0].notes
        assert "`o` set to 1" in world.record.attempts[1].notes
        assert "`c` set to 1" not in world.record.attempts[1].notes


@on_both_loops
async def test_the_name_that_was_asked_for_is_the_one_that_answers(tmp_path: Path) -> None:
    async with running(None, None, made=written(tmp_path, LEVELS)) as world:
        for model in ("chat", "chat@low"):
            reply = await world.ask(post(CHAT, {"model": model, "messages": SAY}, headers=PLAIN))
            assert reply.headers["x-trunkline-model"] == model
            await world.quiet()
            assert world.record.model == model


@on_both_loops
async def test_streams_are_asked_for_usage_and_clients_see_none_they_did_not_ask_for(tmp_path: Path) -> None:
    async with running(made=written(tmp_path, ONE)) as world:
        body = '{"model":"sim-small","stream":true,"messages":[{"role":"user","content":"a"}]'
        for path in (CHAT, "/v1/completions"):
            begun = body if path == CHAT else '{"model":"sim-small","stream":true,"prompt":"x"'
            assert await sent(world, begun + "}", path) == f"{begun},{USAGE}}}"
            reply = await world.ask(post(path, body=f"{begun}}}".encode()))
            assert b'"usage":{' not in reply.body
            await world.quiet()
            assert world.record.usage is not None
            assert world.record.usage.source != "estimated"
            assert world.record.attempts[-1].notes == ()
            reply = await world.ask(post(path, body=f"{begun},{USAGE}}}".encode()))
            assert reply.body.count(b'"usage":{') == 1
        own = '"stream_options":{"include_usage":false,"x":1.0}'
        assert await sent(world, f"{body},{own}}}") == f"{body},{own}}}".replace("false", "true")
        assert await sent(world, body.replace("true", "false") + "}") == body.replace("true", "false") + "}"


@on_both_loops
async def test_a_stream_is_folded_and_a_body_unfolded_where_the_operator_wants_the_other(
    tmp_path: Path,
) -> None:
    for forced in ("true", "false"):
        text = ONE.replace("]}", f"], params: {{stream: {forced}}}}}")
        async with running(made=written(tmp_path, text)) as world:
            whole = await world.ask(post(CHAT, {"model": "sim-small", "messages": SAY}))
            assert (whole.status, whole.json["object"]) == (200, "chat.completion")
            assert whole.json["choices"][0]["message"]["content"]
            streamed = await world.ask(post(CHAT, {"model": "sim-small", "messages": SAY, "stream": True}))
            assert streamed.headers["content-type"].startswith("text/event-stream")
            assert streamed.body.endswith(b"data: [DONE]\n\n")
            for entry in world.seen, world.sims[0].log[-2]:
                assert json.loads(entry.body)["stream"] is (forced == "true")
                assert ("stream_options" in entry.body) == (forced == "true")


PARAMS = (
    r"model=fast,upstream_model_name=sim-small,temperature=0.7,top_k=x,min_p=0.05,seed=,append_to_last_user_message=\n/go"
    ";model=sim-large,stream=false,echo=1;model=default,upstream_model_name=sim-large,n=2"
)


@on_both_loops
async def test_llm_params_are_laid_over_requests_of_their_model(tmp_path: Path) -> None:
    for made in (
        started({"LLM_PARAMS": PARAMS}),
        written(tmp_path, ONE.replace("[sim-small]", '["*"]'), {"LLM_PARAMS": PARAMS}),
    ):
        async with running(made=made) as world:
            body = '{"model":"fast","temperature":2,"messages":[{"role":"user","content":"a"}],"x":1e400}'
            assert await sent(world, body) == (
                '{"model":"sim-small","temperature":0.7,"messages":[{"role":"user","content":"a\\n/go"}],"x":1e400,'
                '"top_k":"x","min_p":0.05,"seed":null}'
            )
            assert await sent(world, '{"model":"sim-large","messages":[{"role":"user","content":"a"}]}') == (
                '{"model":"sim-large","messages":[{"role":"user","content":"a"}],"stream":false,"echo":false}'
            )
            assert (
                await sent(world, '{"messages":[{"role":"user","content":"a"}]}')
                == '{"messages":[{"role":"user","content":"a"}],"n":2,"model":"sim-large"}'
            )
            assert (
                await sent(world, '{"model":"other","messages":[{"role":"user","content":"a"}]}')
                == '{"model":"other","messages":[{"role":"user","content":"a"}]}'
            )
            assert (
                await sent(world, '{"model":"default","messages":[{"role":"user","content":"a"}]}')
                == '{"model":"default","messages":[{"role":"user","content":"a"}]}'
            )
            kind, form = multipart(("model", b"fast"), ("file", b"RIFF"))
            await world.ask(post("/v1/audio/transcriptions", body=form, headers=kind))
            assert "sim-small" in world.seen.body


@on_both_loops
async def test_names_that_stand_for_models_are_listed(tmp_path: Path) -> None:
    environ = {"LLM_PARAMS": "model=fast,upstream_model_name=sim-small;model=sim-large,top_k=1"}
    text = ONE.replace(", models: [sim-small]", "") + "variants: {low: {match: 'sim-(small|large)'}}\n"
    names = ["sim-small", "sim-large", "sim-embed", "fast", "sim-small@low", "sim-large@low"]
    async with running(made=written(tmp_path, text, environ, discovery=300.0)) as world:
        reply = await world.ask(get("/v1/models"))
        assert [entry["id"] for entry in reply.json["data"]] == names
        one = await world.ask(get("/v1/models/fast"))
        assert one.json == {"id": "fast", "object": "model", "created": 0, "owned_by": "trunkline"}


@pytest.mark.parametrize("shape", ["openai", "no_created", "no_data", "list"])
@on_both_loops
async def test_a_target_s_own_list_gets_them_too(shape: str) -> None:
    async with running(made=started({"LLM_PARAMS": "model=fast,upstream_model_name=sim-small"})) as world:
        headers = f"authorization: Bearer mine\r\nx-sim-fault: models={shape}\r\n"
        for path in ("/v1/models", "/models"):
            plain = await world.direct(get(path, headers=headers))
            reply = await world.ask(get(path, headers=headers))
            assert world.seen.header("authorization") == "Bearer mine"
            assert reply.headers["content-length"] == str(len(reply.body))
            if shape == "list":  # no list as OpenAI's clients know it: not touched
                assert reply.body == plain.body
                continue
            *listed, added = reply.json["data"]
            assert listed == plain.json.get("data", [])
            assert added == {"id": "fast", "object": "model", "created": 0, "owned_by": "trunkline"}
            others = {name: value for name, value in reply.json.items() if name != "data"}
            assert others == {name: value for name, value in plain.json.items() if name != "data"}


@on_both_loops
async def test_one_of_these_names_is_answered_as_it_is_listed() -> None:
    environ = {
        "LLM_PARAMS": "model=fast,upstream_model_name=sim-small;model=a/b c,upstream_model_name=x;model=q,n=1"
    }
    async with running(made=started(environ)) as world:
        listed = {entry["id"]: entry for entry in (await world.ask(get("/v1/models"))).json["data"]}
        asked = len(world.sims[0].log)
        for path, name in (
            ("/v1/models/fast", "fast"), ("/models/fast/", "fast"), ("/v1/models/a/b%20c?x=1", "a/b c"),
        ):  # fmt: skip
            reply = await world.ask(get(path))
            assert (reply.status, reply.json) == (200, listed[name])
            assert reply.headers["x-request-id"].startswith("req_")
        theirs = await world.ask(get("/v1/models/fast", headers="anthropic-version: 2023-06-01\r\n"))
        assert (theirs.json["type"], theirs.json["id"]) == ("model", "fast")
        assert len(world.sims[0].log) == asked
        for path in (
            "/v1/models/sim-small",
            "/v1/models/q",
            "/v1/files/fast",
            "/v1/models/default",
        ):
            await world.ask(get(path))
            assert world.seen.target == path


@on_both_loops
async def test_a_target_s_own_list_without_such_names_is_as_it_was() -> None:
    groups = "model=sim-small,top_k=1;model=sim-large,upstream_model_name=x"
    async with running(made=started({"LLM_PARAMS": groups})) as world:
        plain = await world.direct(get("/v1/models"))
        assert (await world.ask(get("/v1/models"))).body == plain.body
        reply = await world.ask(get("/v1/models", headers="x-sim-fault: status=401\r\n"))
        assert reply.status == 401
        reply = await world.ask(get("/v1/models", method="HEAD"))
        assert (reply.status, reply.headers["content-length"]) == (200, str(len(plain.body)))


@on_both_loops
async def test_thoughts_are_cut_out_as_groups_and_levels_say(tmp_path: Path) -> None:
    environ = {"LLM_PARAMS": "model=raw,upstream_model_name=sim-small,enable_think_tag_filtering=false"}
    fault = "x-sim-fault: text=%3Cthink%3EHm.%3C/think%3EHi.\r\n"

    async def content(world: World, model: str, **more: Any) -> str:
        message: dict[str, Any] = {"model": model, "messages": SAY} | more
        reply = await world.ask(post(CHAT, message, headers=fault))
        if more:
            events = [line[6:] for line in reply.body.decode().splitlines() if line.startswith("data: {")]
            deltas = [choice["delta"] for event in events for choice in json.loads(event)["choices"]]
            return "".join(delta.get("content") or "" for delta in deltas)
        return reply.json["choices"][0]["message"]["content"]

    async with running(made=started(environ)) as world:
        for more in ({}, {"stream": True}):
            assert await content(world, "sim-small", **more) == "Hi."
            assert await content(world, "raw", **more) == "<think>Hm.</think>Hi."
    text = (
        ONE
        + "models: {chat: {targets: [{backend: a, model: sim-small}], rename: true}}\nvariants: {v: {think: strip}}\n"
    )
    async with running(made=written(tmp_path, text)) as world:
        assert await content(world, "chat") == "<think>Hm.</think>Hi."
        assert await content(world, "chat@v") == "Hi."
        for name in ("chat", "chat@v"):
            reply = await world.ask(post(CHAT, {"model": name, "messages": SAY}))
            assert reply.json["model"] == name


@on_both_loops
async def test_rules_see_the_model_and_variants_go_with_the_request(tmp_path: Path) -> None:
    text = (
        ONE
        + "variants: {low: {params: {reasoning_effort: low}}, x: {match: none, params: {x: 1}}}\n"
        + "rules: [{for: [auto], when: {tools: false}, use: sim-small}, {for: [odd], use: sim-small@low}]\n"
    )
    async with running(made=written(tmp_path, text)) as world:
        for asked, wanted in (
            ("auto", {}),
            ("auto@low", {"reasoning_effort": "low"}),
            ("odd", {"reasoning_effort": "low"}),
            ("sim-small@low", {"reasoning_effort": "low"}),
        ):
            found = json.loads(await sent(world, {"model": asked, "messages": SAY}))
            assert found == {"model": "sim-small", "messages": SAY} | wanted, asked


@on_both_loops
async def test_explain_tells_what_would_be_changed(tmp_path: Path) -> None:
    async with running(None, None, made=written(tmp_path, LEVELS)) as world:
        body = msgspec.json.encode({"model": "chat@low", "messages": [{"role": "user", "content": "a"}]})
        client = await world._open(world.gateway.admin.port)
        client.send(post("/explain", body=body, headers="x-trunkline-key: own\r\n"))
        told = (await client.answer()).json
        assert told["first"]["changes"] == [
            "`model` is `m1` there",
            '`at` set to "key"',
            "`b` set to 1",
            "`c` set to 1",
            '`reasoning_effort` set to "low"',
            '`d` set to "key", because it was left out',
            "text added to the last user message",
        ]


@on_both_loops
async def test_a_limit_that_was_lowered_is_not_raised_again(tmp_path: Path) -> None:
    text = ONE.replace("]}", "], params: {max_tokens: 20000}}")
    async with running(made=written(tmp_path, text)) as world:
        body = {"model": "sim-small", "messages": SAY, "max_tokens": 5}
        reply = await world.ask(post(CHAT, body, headers="x-sim-fault: window=1000\r\n"))
        assert reply.status == 200
        limits = [json.loads(entry.body)["max_tokens"] for entry in world.sims[0].log]
        assert limits[0] == 20000
        assert 5 < limits[-1] < 1000


@on_both_loops
async def test_an_answer_that_is_gone_on_with_has_the_text_once(tmp_path: Path) -> None:
    text = ONE.replace(
        "]}", "], append_to_last_user_message: X, on_cut: continue, prefill: plain, params: {max_tokens: 99}}"
    )
    async with running(made=written(tmp_path, text)) as world:
        for own in ([], [{"role": "assistant", "content": "Well"}]):
            world.sims[0].reset()
            body = {"model": "sim-small", "messages": SAY + own, "stream": True, "max_tokens": 500}
            reply = await world.ask(post(CHAT, body, headers="x-sim-fault: close=body;after=13;times=1\r\n"))
            assert reply.body.endswith(b"data: [DONE]\n\n")
            first, second = (json.loads(entry.body) for entry in world.sims[0].log)
            *before, begun = second["messages"]
            assert before == first["messages"]
            assert (begun["role"], len(begun["content"]) > 20) == ("assistant", True)
            assert before[-1]["content"].count("X") == 1
            assert (first["max_tokens"], second["max_tokens"] < 99) == (99, True)
            assert first["stream_options"] == second["stream_options"] == {"include_usage": True}
