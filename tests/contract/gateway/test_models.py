"""Models over real sockets: what clients see of them, and how lists decide where a call goes."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.contract.gateway.harness import World, chat, get, multipart, on_both_loops, post, running, scripted
from trunkline.engine import discovery
from trunkline.policy.keys import KeySettings

ANTHROPIC = "anthropic-version: 2023-06-01\r\n"
SIMULATED = ["sim-small", "sim-large", "sim-embed"]
KEY = "authorization: Bearer k\r\n"
DISCOVER = 300.0


@pytest.fixture
def lists_are_old_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "NUDGE_AGE", 0.0)


async def listed(world: World, headers: str = "") -> list[str]:
    reply = await world.ask(get("/v1/models", headers=headers))
    assert (reply.status, reply.json["object"]) == (200, "list")
    assert reply.headers["x-request-id"]
    for entry in reply.json["data"]:
        assert entry["object"] == "model"
        assert isinstance(entry["created"], int)
        assert entry["owned_by"]
    return [entry["id"] for entry in reply.json["data"]]


async def served_by(world: World, model: str) -> str:
    reply = await world.ask(chat(model))
    return reply.headers["x-trunkline-backend"] if reply.status == 200 else reply.json["error"]["code"]


@on_both_loops
async def test_models_are_those_configured_and_those_listed_upstream() -> None:
    async with running(
        None, None, discovery=DISCOVER, backends=[{"models": ["org/b:1", "a", "x*"]}]
    ) as world:
        assert await listed(world) == ["org/b:1", "a", *SIMULATED]
        for path, status in (
            ("/v1/models/org/b:1", 200),
            ("/v1/models/org%2Fb%3A1", 200),
            ("/models/a", 200),
            ("/api/v1/models/sim-small/", 200),
            ("/v1/models/x*", 404),
            ("/v1/models/Sim-Smal", 404),
        ):
            reply = await world.ask(get(path))
            assert reply.status == status, path
        assert reply.json["error"]["code"] == "model_not_found"
        assert "did you mean `sim-small`" in reply.json["error"]["message"]
        assert world.counts == [1, 1], "clients are answered from memory"


@on_both_loops
async def test_a_backend_that_is_down_lists_its_default_models() -> None:
    backends: list[dict[str, Any]] = [{}, {"default_model": "fallback"}]
    async with running(None, urls=["http://127.0.0.1:1"], discovery=DISCOVER, backends=backends) as world:
        assert await listed(world) == [*SIMULATED, "fallback"]


@pytest.mark.parametrize(
    "shape",
    [
        *("openai", "ollama", "list", "name", "no_created", "vllm", "groq", "openrouter", "llama.cpp"),
    ],
)
@on_both_loops
async def test_every_shape_of_list_is_understood(shape: str) -> None:
    async with running(f"models={shape}", discovery=DISCOVER) as world:
        reply = await world.ask(get("/v1/models"))
        assert [entry["id"] for entry in reply.json["data"]] == SIMULATED
        windows = {entry.get("context_length") for entry in reply.json["data"]}
        assert windows == ({8192} if shape in ("vllm", "groq", "openrouter", "llama.cpp") else {None})


@on_both_loops
async def test_a_list_without_data_excludes_nothing() -> None:
    async with running("models=no_data", discovery=DISCOVER) as world:
        assert await listed(world) == []
        assert await served_by(world, "anything") == "a"


@on_both_loops
async def test_calls_go_to_backends_that_list_the_model_then_to_those_that_may_have_it() -> None:
    faults = ("status=500", None, None)
    backends: list[dict[str, Any]] = [{"headers": {}}, {}, {"models": ["glob-*", "exact"]}]
    async with (
        scripted(_no_list) as url,
        running(*faults, discovery=DISCOVER, backends=[{"url": url}, *backends[1:]]) as world,
    ):
        await world.gateway.runtime.discovery.settled(5)
        assert await served_by(world, "sim-small") == "b", "the first one has no list"
        assert await served_by(world, "exact") == "c"
        assert await served_by(world, "glob-x") == "c"
        found = world.gateway.runtime.plan.candidates("unlisted")
        assert found == (0,), "a known list without the model excludes; an unknown one does not"


async def _no_list(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
    await reader.read()


@on_both_loops
async def test_an_unknown_model_is_a_404_with_the_close_names_that_were_discovered() -> None:
    async with running(discovery=DISCOVER) as world:
        await world.gateway.runtime.discovery.settled(5)
        for model in ("SIM-SMALL", "sim-smal"):
            reply = await world.ask(chat(model))
            assert (reply.status, reply.json["error"]["code"]) == (404, "model_not_found")
            assert "`sim-small`" in reply.json["error"]["message"]
        assert await served_by(world, "sim-small") == "a"
        assert await served_by(world, "sim-small") == "a"


@pytest.mark.usefixtures("lists_are_old_at_once")
@on_both_loops
async def test_a_model_that_appears_is_served_after_the_first_who_asked_for_it() -> None:
    body = b'{"data":[{"id":"old"}]}'
    asked = asyncio.Event()

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"GET /v1/models ")
        answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
        writer.write(answer % (len(body), body))
        asked.set()
        await reader.read()

    async with scripted(play) as url, running(backends=[{"url": url}], discovery=DISCOVER) as world:
        assert await listed(world) == ["old"]
        body = b'{"data":[{"id":"old"},{"id":"new"}]}'
        asked.clear()
        assert await served_by(world, "new") == "model_not_found"
        await asked.wait()
        while world.gateway.runtime.plan.candidates("new") != (0,):
            await asyncio.sleep(0.005)
        assert await listed(world) == ["old", "new"]


@on_both_loops
async def test_a_key_sees_the_models_it_may_use() -> None:
    keys = [KeySettings(name="team", key="k", models=["sim-s*", "mine"])]
    backends: list[dict[str, Any]] = [{"models": ["mine", "yours"]}]
    async with running(None, None, keys=keys, discovery=DISCOVER, backends=backends) as world:
        assert await listed(world, KEY) == ["mine", "sim-small"]
        reply = await world.ask(get("/v1/models/yours", headers=KEY))
        assert reply.status == 404
        reply = await world.ask(get("/v1/models/sim-larg", headers=KEY))
        assert "sim-large" not in reply.json["error"]["message"]
        assert (await world.ask(get("/v1/models"))).status == 401
        reply = await world.ask(get("/v1/models", headers=f"x-api-key: k\r\n{ANTHROPIC}"))
        assert [entry["id"] for entry in reply.json["data"]] == ["mine", "sim-small"]


@on_both_loops
async def test_anthropics_clients_get_anthropics_list() -> None:
    async with running(discovery=DISCOVER) as world:
        reply = await world.ask(get("/v1/models?limit=1000", headers=ANTHROPIC))
        assert reply.json == {
            "data": [
                {"type": "model", "id": name, "display_name": name, "created_at": "2023-11-14T22:13:20Z"}
                for name in SIMULATED
            ],
            "has_more": False,
            "first_id": "sim-small",
            "last_id": "sim-embed",
        }
        reply = await world.ask(get("/v1/models/sim-large", headers=ANTHROPIC))
        assert (reply.json["type"], reply.json["id"]) == ("model", "sim-large")
        reply = await world.ask(get("/v1/models/nope", headers=ANTHROPIC))
        assert (reply.status, reply.json["type"], reply.json["error"]["type"]) == (
            404,
            "error",
            "not_found_error",
        )


@pytest.mark.parametrize(
    ("query", "names", "more"),
    [
        ("", ["a", "b", "c", "d"], False),
        ("?limit=2", ["a", "b"], True),
        ("?limit=2&after_id=b", ["c", "d"], False),
        ("?limit=1&after_id=b", ["c"], True),
        ("?after_id=d", [], False),
        ("?limit=2&before_id=d", ["b", "c"], True),
        ("?before_id=b", ["a"], False),
        ("?limit=1&after_id=a&before_id=d", ["b"], True),
    ],
)
@on_both_loops
async def test_anthropics_list_comes_in_pages(query: str, names: list[str], more: bool) -> None:
    async with running(backends=[{"models": ["a", "b", "c", "d"]}]) as world:
        reply = await world.ask(get(f"/v1/models{query}", headers=ANTHROPIC))
        assert [entry["id"] for entry in reply.json["data"]] == names
        assert reply.json["has_more"] is more
        ends = (names[0], names[-1]) if names else (None, None)
        assert (reply.json["first_id"], reply.json["last_id"]) == ends


@on_both_loops
async def test_anthropics_list_refuses_pages_that_do_not_exist() -> None:
    async with running(backends=[{"models": ["a"]}]) as world:
        for query in (
            "limit=0",
            "limit=1001",
            "limit=x",
            "limit=-1",
            "limit=99999999999",
            "after_id=z",
            "before_id=z",
        ):
            reply = await world.ask(get(f"/v1/models?{query}", headers=ANTHROPIC))
            assert (reply.status, reply.json["error"]["type"]) == (400, "invalid_request_error"), query
            assert (await world.ask(get(f"/v1/models?{query}"))).status == 200, "OpenAI's has no pages"


@pytest.mark.parametrize(
    ("entry", "shown"),
    [
        (
            b'{"id":"m","display_name":"M","created_at":"2025-01-01T00:00:00Z"}',
            {"display_name": "M", "created_at": "2025-01-01T00:00:00Z"},
        ),
        (b'{"id":"m","name":"Em","context_length":9}', {"display_name": "Em", "max_input_tokens": 9}),
        (b'{"id":"m","name":7,"created":-5}', {"display_name": "m", "created_at": "1969-12-31T23:59:55Z"}),
        (b'{"id":"m","created":99999999999999999}', {"created_at": "1970-01-01T00:00:00Z"}),
        (b'{"id":"m"}', {"created_at": "1970-01-01T00:00:00Z"}),
    ],
)
@on_both_loops
async def test_what_an_entry_becomes_for_anthropics_clients(entry: bytes, shown: dict[str, Any]) -> None:
    body = b'{"data":[%b]}' % entry

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        await reader.read()

    async with scripted(play) as url, running(backends=[{"url": url}], discovery=DISCOVER) as world:
        reply = await world.ask(get("/v1/models/m", headers=ANTHROPIC))
        assert reply.status == 200
        assert reply.json.items() >= (shown | {"type": "model", "id": "m"}).items()


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b'{"data":[{"id":"lm"},{"id":7},"x",{"id":"lm","created":5}]}', ["lm", "x"]),
        (b'[{"id":"bare"}]', ["bare"]),
        (b"<html>", []),
        (b'{"data":{}}', []),
        (b"null", []),
        (b'{"data":[' + b" " * 5_000_000 + b'{"id":"too-long"}]}', []),
    ],
    ids=["odd", "bare", "page", "object", "null", "long"],
)
@on_both_loops
async def test_odd_lists_of_models(body: bytes, names: list[str]) -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        await reader.read()

    async with scripted(play) as url, running(backends=[{"url": url}], discovery=DISCOVER) as world:
        assert await listed(world) == names


@on_both_loops
async def test_what_servers_are_asked_beside_their_list_and_the_key_goes_along() -> None:
    backends: list[dict[str, Any]] = [
        {"provider": "ollama"},
        {"provider": "anthropic"},
        {"provider": "perplexity"},
    ]
    async with running(None, None, None, backends=backends, discovery=DISCOVER, api_key="secret") as world:
        assert await listed(world) == SIMULATED
        await world.sims[0].until(lambda: len(world.sims[0].log) == 4 and not world.sims[0].in_flight)
        while len(world.gateway.runtime.discovery.catalog.known[0].told) < 3:
            await asyncio.sleep(0.005)
        ollama, anthropic, perplexity = (
            [(entry.method, entry.target) for entry in sim.log] for sim in world.sims
        )
        assert ollama == [("GET", "/v1/models"), *[("POST", "/api/show")] * 3]
        assert anthropic == [("GET", "/v1/models?limit=1000")]
        assert perplexity == []
        assert all(b"secret" in repr(entry.headers).encode() for entry in world.sims[0].log)
        traits = world.gateway.runtime.discovery.catalog.traits(0, "sim-small")
        assert (traits.context_window, traits.tools) == (8192, True)


@on_both_loops
async def test_the_last_good_list_survives_a_restart_and_an_outage(tmp_path: Path) -> None:
    directory = str(tmp_path / "data")
    async with running(discovery=DISCOVER, data_dir=directory) as world:
        assert await listed(world) == SIMULATED
        url = world.sims[0].url
    backends: list[dict[str, Any]] = [{"url": url}]
    async with running(backends=backends, discovery=DISCOVER, data_dir=directory) as world:
        assert await listed(world) == SIMULATED, "it is down now"
        assert await served_by(world, "unlisted") == "model_not_found"
        while not world.gateway.runtime.discovery.catalog.known[0].error:
            await asyncio.sleep(0.005)
        (told,) = (await world.ask_admin("/discovery")).json["backends"]
        assert (told["name"], told["models"]) == ("a", len(SIMULATED))
        assert told["age_seconds"] >= told["asked_seconds_ago"] >= 0
        assert told["error"]


@on_both_loops
async def test_a_place_that_cannot_be_written_does_not_stop_traffic(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with running(discovery=DISCOVER, data_dir=str(tmp_path / "file" / "x")) as world:
        assert await listed(world) == SIMULATED
        assert await served_by(world, "sim-small") == "a"


@on_both_loops
async def test_forms_and_calls_without_a_model_are_routed_as_ever() -> None:
    async with running(discovery=DISCOVER) as world:
        await world.gateway.runtime.discovery.settled(5)
        kind, body = multipart(("model", b"whisper"), ("file", b"x"))
        reply = await world.ask(post("/v1/audio/transcriptions", headers=kind, body=body))
        assert reply.status == 404
        kind, body = multipart(("file", b"x"))
        assert (await world.ask(post("/v1/audio/transcriptions", headers=kind, body=body))).status == 200


@on_both_loops
async def test_a_pure_pass_through_asks_nothing_of_its_own() -> None:
    async with running(passthrough=True, discovery=DISCOVER) as world:
        reply = await world.ask(get("/v1/models"))
        assert [entry["id"] for entry in reply.json["data"]] == SIMULATED
        assert world.counts == [1]
        assert await served_by(world, "anything") == "a"
