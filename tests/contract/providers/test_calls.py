"""Every row over a real socket: where a call goes, with which headers and credential, and what becomes of its body."""

from pathlib import Path
from typing import Any

import pytest

from tests.contract.gateway.harness import chat, get, on_both_loops, post
from tests.contract.providers.dialects import DIALECTS, ROWS, behind, name_of
from trunkline.providers.base import Profile
from trunkline.simulator.state import Entry

# Below which path a compatible server of that provider has its API, where it is not /v1.
PLACES = {
    "groq": "/openai/v1",
    "openrouter": "/api/v1",
    "fireworks": "/inference/v1",
    "cohere": "/compatibility/v1",
    "gemini": "/v1beta/openai",
    "deepinfra": "/v1/openai",
    "azure": "/openai/v1",
}
CREDENTIALS = ("authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie")
SAY = b'[ {"role":"user",\n "content":"h\\u0069 \xc3\xbc"} ]'
# Everything that some row refuses, in an order and a spelling of their own.
FIELDS: dict[str, bytes] = {
    "user": b'"u\\u00fc"',
    "top_k": b"4e1",
    "temperature": b"0.70",
    "repetition_penalty": b"1.10",
    "logit_bias": b'{ "1" : -1 }',
    "logprobs": b"true",
    "top_logprobs": b"2",
    "seed": b"-0",
    "frequency_penalty": b"0.0",
    "presence_penalty": b"0.0",
    "prompt_cache_key": b'"k"',
    "verbosity": b'"low"',
    "service_tier": b'"auto"',
    "chat_template_kwargs": b'{"a": {}}',
    "stream_options": b"null",
    "messages": SAY,
    "x_unknown": b"[1 , 2]",
}


def body(fields: dict[str, bytes]) -> bytes:
    return b"{%b}" % b",".join(b'"%b":%b' % (name.encode(), value) for name, value in fields.items())


def credentials(entry: Entry) -> dict[str, str]:
    return {name.lower(): value for name, value in entry.headers if name.lower() in CREDENTIALS}


def sent(entry: Entry) -> dict[str, str]:
    return {name.lower(): value for name, value in entry.headers}


def test_the_suite_knows_every_row() -> None:
    assert list(DIALECTS) == [row.name for row in ROWS]


@pytest.mark.parametrize("row", ROWS, ids=name_of)
@on_both_loops
async def test_place_and_credential(row: Profile, tmp_path: Path) -> None:
    """The client's own credential stays here, whatever header it comes in; the backend's goes as the provider wants."""
    place = PLACES.get(row.name, "")
    mine = "authorization: Bearer mine\r\nx-api-key: mine\r\napi-key: mine\r\ncookie: mine\r\nx-other: 1\r\n"
    bearer, bare = {"authorization": "Bearer sk-up"}, {"x-api-key": "sk-up"}
    at_chat = {"api-key": "sk-up"} if row.name == "azure" else bearer
    elsewhere = {"azure": at_chat, "anthropic": bare}.get(row.name, bearer)
    async with behind(row, tmp_path, place=place, api_key="sk-up") as world:
        for stream in (False, True):
            assert (await world.ask(chat(headers=mine, stream=stream))).status == 200
            assert world.seen.target == f"{place or '/v1'}/chat/completions"
            assert credentials(world.seen) == at_chat
            assert (world.seen.header("x-other"), world.seen.header("host")) == (
                "1",
                world.sims[0].url.removeprefix("http://"),
            )
        assert (await world.ask(post("/v1/embeddings", {"model": "m", "input": "x"}))).status == 200
        assert (world.seen.target, credentials(world.seen)) == (f"{place or '/v1'}/embeddings", elsewhere)
        assert (await world.ask(get("/v1/files?a=b%20c", headers=mine))).status in (200, 404)
        assert (world.seen.target, credentials(world.seen)) == (
            f"{place or '/v1'}/files?a=b%20c",
            elsewhere,
        )


@pytest.mark.parametrize("row", [row for row in ROWS if row.key_variables], ids=name_of)
@on_both_loops
async def test_a_key_of_the_environment_goes_nowhere_else(row: Profile, tmp_path: Path) -> None:
    environ = dict.fromkeys(row.key_variables, "env-key")
    async with behind(row, tmp_path, environ=environ) as world:
        for request in (chat(headers="authorization: Bearer mine\r\n"), get("/v1/models"), get("/health")):
            await world.ask(request)
        assert {name for entry in world.sims[0].log for name in credentials(entry)} == set()
    async with behind(row, tmp_path, environ=environ, api_key="EMPTY") as world:
        await world.ask(chat())
        assert next(iter(credentials(world.seen).values())).endswith("EMPTY")


@pytest.mark.parametrize("row", ROWS, ids=name_of)
@on_both_loops
async def test_a_style_or_a_header_of_one_s_own(row: Profile, tmp_path: Path) -> None:
    async with behind(row, tmp_path, api_key="k", auth="X-Corp-Key", organization="org-1") as world:
        await world.ask(chat())
        assert credentials(world.seen) == {}
        assert sent(world.seen)["x-corp-key"] == "k"
        assert sent(world.seen)["openai-organization"] == "org-1"
    async with behind(row, tmp_path, api_key="k", auth="none", headers={"Api-Key": "h"}) as world:
        await world.ask(chat())
        assert credentials(world.seen) == {"api-key": "h"}
    # What is written in `headers` wins over the key, whichever way that would go.
    own = {"Authorization": "Custom c", "x-api-key": "c", "api-key": "c"}
    async with behind(row, tmp_path, api_key="k", headers=own) as world:
        await world.ask(chat())
        assert credentials(world.seen) == {"authorization": "Custom c", "x-api-key": "c", "api-key": "c"}


@pytest.mark.parametrize("row", ROWS, ids=name_of)
@on_both_loops
async def test_headers_of_the_row(row: Profile, tmp_path: Path) -> None:
    version = "2023-06-01" if row.name == "anthropic" else None
    async with behind(row, tmp_path) as world:
        await world.ask(chat())
        assert world.seen.header("anthropic-version") == version
        await world.ask(chat(headers="anthropic-version: 2099-01-01\r\nanthropic-beta: a,b\r\n"))
        assert world.seen.header("anthropic-version") == "2099-01-01"
        assert world.seen.header("anthropic-beta") == "a,b"
    async with behind(row, tmp_path, headers={"Anthropic-Version": "2000-01-01"}) as world:
        await world.ask(chat(headers="anthropic-version: 2099-01-01\r\n"))
        assert [value for name, value in world.seen.headers if name.lower() == "anthropic-version"] == [
            "2000-01-01"
        ]


@pytest.mark.parametrize("row", ROWS, ids=name_of)
@on_both_loops
async def test_what_the_provider_refuses_is_left_out_and_the_rest_is_as_written(
    row: Profile, tmp_path: Path
) -> None:
    drops = DIALECTS[row.name].drops
    assert set(drops) <= set(FIELDS)
    # What only a dialect takes is asked for in it; that has suites of its own (tests/contract/gateway/test_ollama.py).
    native: dict[str, Any] = {"native": "never"} if row.dialect else {}
    async with behind(row, tmp_path, **native) as world:
        for fields in ({"model": b'"sim-small"', **FIELDS}, {**FIELDS, "model": b'"sim\\u002dsmall"'}):
            renames = DIALECTS[row.name].renames
            kept = {renames.get(name, name): value for name, value in fields.items() if name not in drops}
            assert (await world.ask(post("/v1/chat/completions", body=body(fields)))).status == 200
            assert world.seen.body.encode() == body(kept)
            assert world.seen.header("content-length") == str(len(body(kept)))
        # Other APIs have other fields.
        fields = {"model": b'"m"', "input": b'"x"', **FIELDS}
        await world.ask(post("/v1/embeddings", body=body(fields)))
        assert world.seen.body.encode() == body(fields)


@pytest.mark.parametrize("row", ROWS, ids=name_of)
@on_both_loops
async def test_the_token_limit_has_the_provider_s_name(row: Profile, tmp_path: Path) -> None:
    async with behind(row, tmp_path) as world:
        for model in ("sim-small", "gpt-5-mini", "o3", "gpt-4o"):
            for written in ("max_tokens", "max_completion_tokens"):
                fields = {"model": b'"%b"' % model.encode(), written: b"7", "messages": SAY, "n": b"1"}
                assert (await world.ask(post("/v1/chat/completions", body=body(fields)))).status == 200
                name = DIALECTS[row.name].limits.get(model, written)
                wanted = {(name if field == written else field): value for field, value in fields.items()}
                assert world.seen.body.encode() == body(wanted), model


@pytest.mark.parametrize("row", ROWS, ids=name_of)
@on_both_loops
async def test_strict_params(row: Profile, tmp_path: Path) -> None:
    drops = DIALECTS[row.name].drops
    async with behind(row, tmp_path, strict_params=True) as world:
        for name, value in FIELDS.items():
            fields = {"model": b'"m"', "messages": SAY, name: value}
            reply = await world.ask(post("/v1/chat/completions", body=body(fields)))
            if name in drops and value != b"null":
                assert (reply.status, reply.json["error"]["param"]) == (400, name)
                assert row.name in reply.json["error"]["message"]
                assert reply.headers["x-should-retry"] == "false"
            else:
                assert reply.status == 200
        asked = [name for name in drops if FIELDS[name] != b"null"]
        await world.quiet()
        assert len(world.sims[0].log) == len(FIELDS) - len(asked)
        assert [record.fault for record in world.records].count("invalid_request") == len(asked)
