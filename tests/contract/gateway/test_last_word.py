"""The operator's word against the client's where a thing has several names, over real sockets."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.contract.gateway.explaining import send
from tests.contract.gateway.harness import World, get, on_both_loops, post, running
from tests.contract.gateway.test_overrides import CHAT, SAY, written

BACKEND = "backends: [{name: a, url: '${A}', models: ['*'], api_key: x, "


async def fields(world: World, path: str = CHAT, **said: Any) -> dict[str, Any]:
    """What goes up for a request, but for what all requests have."""
    reply = await world.ask(post(path, {"model": "sim-small", "messages": SAY} | said))
    assert reply.status == 200, reply.body
    sent = json.loads(world.seen.body)
    return {name: value for name, value in sent.items() if name not in ("model", "messages")}


LIMITS: list[tuple[str, str, dict[str, Any]]] = [
    ("provider: openai, params: {max_tokens: 100}", "gpt-5", {"max_completion_tokens": 100}),
    ("provider: openai, params: {max_tokens: 100}", "o3-x", {"max_completion_tokens": 100}),
    ("params: {max_tokens: 100}", "sim-small", {"max_tokens": 100}),
    ("params: {max_tokens: null}", "sim-small", {}),
    ("provider: openai, defaults: {max_tokens: 100}", "gpt-4o-d", {"max_tokens": 9999}),
    ("max_tokens: 100", "sim-small", {"max_completion_tokens": 9999}),
]


@pytest.mark.parametrize(("settings", "model", "wanted"), LIMITS)
@on_both_loops
async def test_a_token_limit_is_one_parameter(
    tmp_path: Path, settings: str, model: str, wanted: dict[str, Any]
) -> None:
    async with running(made=written(tmp_path, BACKEND + settings + "}]\n")) as world:
        found = await fields(world, model=model, max_completion_tokens=9999)
        limits = {name: value for name, value in found.items() if name.startswith("max_")}
        assert limits == wanted


OLLAMA: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("num_predict: 100", {"max_tokens": 9999}, {"options": {"num_predict": 100}}),
    ("max_tokens: 100", {"options": {"num_predict": 9999, "top_k": 1}}, {"options": {"top_k": 1, "num_predict": 100}}),
    ("reasoning_effort: low, num_ctx: 8", {"think": "high"}, {"think": "low", "options": {"num_ctx": 8}}),
    ("options: {num_ctx: 4096}", {"num_ctx": 999999}, {"options": {"num_ctx": 4096}}),
    ("response_format: {type: json_object}, top_k: 1", {"format": "x"}, {"format": "json", "options": {"top_k": 1}}),
]  # fmt: skip


@pytest.mark.parametrize(("params", "said", "wanted"), OLLAMA)
@on_both_loops
async def test_ollama_s_own_names_are_no_way_around_it(
    tmp_path: Path, params: str, said: dict[str, Any], wanted: dict[str, Any]
) -> None:
    text = f"backends: [{{name: a, provider: ollama, url: '${{A}}', models: ['*'], params: {{{params}}}}}]\n"
    async with running(made=written(tmp_path, text)) as world:
        found = await fields(world, **said)
        assert world.seen.target == "/api/chat"
        assert found == wanted | {"stream": False}


@on_both_loops
async def test_what_a_client_says_under_another_name_is_not_filled_in(tmp_path: Path) -> None:
    text = "backends: [{name: a, provider: ollama, url: '${A}', models: ['*'], defaults: {num_ctx: 8, think: true}}]\n"
    async with running(made=written(tmp_path, text)) as world:
        found = await fields(world, options={"num_ctx": 1}, reasoning_effort="none")
        assert found == {"options": {"num_ctx": 1}, "think": False, "stream": False}


@on_both_loops
async def test_explain_tells_no_secrets(tmp_path: Path) -> None:
    text = BACKEND + "params: {api_key: sk-1, headers: {authorization: sk-2}, user: '${WHO}', n: 1}}]\n"
    async with running(made=written(tmp_path, text, {"WHO": "sk-3"})) as world:
        body = {"model": "sim-small", "messages": SAY}
        would = await send(world.gateway.admin.port, post("/explain", body))
        assert (await world.ask(post(CHAT, body))).status == 200
        await world.quiet()
        for notes in would.json["first"]["changes"], list(world.record.attempts[-1].notes):
            assert [note for note in notes if "sk-" in note] == []
            hidden = [f"`{name}` set to a value that is not shown" for name in ("api_key", "headers", "user")]
            assert notes == [*hidden, "`n` set to 1"]


@on_both_loops
async def test_globs_of_keys_do_not_match_names_of_variants(tmp_path: Path) -> None:
    text = (
        "backends: [{name: a, url: '${A}', models: [secret, o4-mini]}]\nvariants: {as-mini: {}}\n"
        "keys: [{name: k, key: kkk, models: ['*-mini']}]\n"
    )
    headers = "authorization: Bearer kkk\r\n"
    async with running(made=written(tmp_path, text)) as world:
        for model, status in (("o4-mini", 200), ("o4-mini@as-mini", 200), ("secret@as-mini", 403)):
            reply = await world.ask(post(CHAT, {"model": model, "messages": SAY}, headers=headers))
            assert (model, reply.status) == (model, status)
        listed = (await world.ask(get("/v1/models", headers=headers))).json["data"]
        assert [entry["id"] for entry in listed] == ["o4-mini", "o4-mini@as-mini"]


@pytest.mark.parametrize("block", ["params", "defaults"])
@on_both_loops
async def test_options_of_streams_go_up_with_streams_alone(tmp_path: Path, block: str) -> None:
    text = BACKEND + block + ": {stream_options: {include_usage: true}}}]\n"
    async with running(made=written(tmp_path, text)) as world:
        assert await fields(world) == {}
        assert await fields(world, stream=False) == {"stream": False}
        assert await fields(world, stream=True) == {"stream": True, "stream_options": {"include_usage": True}}


@on_both_loops
async def test_parameters_go_where_they_are_known(tmp_path: Path) -> None:
    text = (
        BACKEND
        + "max_tokens: 100, params: {seed: 1, user: u}}]\n"
        + "variants: {v: {params: {temperature: 0, dimensions: 8}}}\n"
    )
    async with running(made=written(tmp_path, text)) as world:
        model = "sim-small@v"
        assert await fields(world, "/v1/responses", model=model, input="x") == {
            "input": "x", "user": "u", "temperature": 0, "dimensions": 8, "max_output_tokens": 100,
        }  # fmt: skip
        found = await fields(world, "/v1/responses", model=model, input="x", max_output_tokens=5)
        assert found["max_output_tokens"] == 5
        found = await fields(world, "/v1/embeddings", model=model, input="x")
        assert found == {"input": "x", "dimensions": 8}


@on_both_loops
async def test_a_group_of_a_variant_s_name_is_laid_over_the_variant(tmp_path: Path) -> None:
    text = (
        "backends: [{name: a, url: '${A}', models: [sim-small]}]\nvariants: {low: {params: {x: 1, y: 1}}}\n"
        "keys: [{name: k, key: kkk, models: [sim-small]}]\n"
    )
    environ = {"LLM_PARAMS": "model=sim-small@low,q=1"}
    headers = "authorization: Bearer kkk\r\n"
    async with running(made=written(tmp_path, text, environ)) as world:
        body = {"model": "sim-small@low", "messages": SAY}
        assert (await world.ask(post(CHAT, body, headers=headers))).status == 200
        assert json.loads(world.seen.body) == body | {"model": "sim-small", "x": 1, "y": 1, "q": 1}


@on_both_loops
async def test_variants_are_for_the_model_that_rules_choose(tmp_path: Path) -> None:
    text = (
        "backends: [{name: a, url: '${A}', models: ['*']}]\n"
        "variants: {low: {match: 'gpt-oss-.*', params: {low: 1}}, v: {match: 'auto|gpt-oss-.*', params: {v: 1}}, "
        "brief: {params: {brief: 1}}}\n"
        "rules: [{for: [auto], when: {tools: true}, use: qwen3}, "
        "{for: [auto], when: {stream: false}, use: gpt-oss-20b}]\n"
    )
    async with running(made=written(tmp_path, text)) as world:

        async def sent(name: str, **more: Any) -> tuple[str, dict[str, Any]]:
            added = await fields(world, model=name, **more)
            return json.loads(world.seen.body)["model"], added

        assert await sent("auto@low") == ("gpt-oss-20b", {"low": 1})
        assert await sent("auto@v@brief") == ("gpt-oss-20b", {"v": 1, "brief": 1})
        tools = [{"type": "function", "function": {"name": "f"}}]
        assert await sent("auto@v@brief", tools=tools) == ("qwen3", {"tools": tools, "brief": 1})


@on_both_loops
async def test_no_name_of_a_client_is_taken_for_none(tmp_path: Path) -> None:
    text = "backends: [{name: a, url: '${A}', models: [sim-small]}]\n"
    environ = {"LLM_PARAMS": "model=default,upstream_model_name=gone"}
    async with running(made=written(tmp_path, text, environ)) as world:
        for body, says in (({"model": "\0"}, "\0"), ({"model": ""}, "gone"), ({}, "gone")):
            reply = await world.ask(post(CHAT, body | {"messages": SAY}))
            assert (reply.status, f"`{says}`" in reply.json["error"]["message"]) == (404, True)
            await world.quiet()
            assert world.record.model == body.get("model", "")
