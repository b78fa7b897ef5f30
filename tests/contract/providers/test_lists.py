"""Every row's own list of models: where it is asked for, with which credential, and what clients see of it."""

from pathlib import Path
from typing import Any

import pytest

from tests.contract.gateway.harness import World, chat, get, on_both_loops
from tests.contract.providers.dialects import DIALECTS, ROWS, behind, name_of
from tests.contract.providers.test_calls import PLACES, credentials
from trunkline.providers.base import Profile
from trunkline.simulator.surfaces.listing import CONTEXT

NAMES = ["sim-small", "sim-large", "sim-embed"]
ALWAYS = 3600.0
"""Seconds between two questions: there is one in each test."""
WINDOWS = ("vllm", "groq", "openrouter", "llama.cpp")
"""Shapes of lists that name the context window."""


async def listed(world: World, headers: str = "") -> list[dict[str, object]]:
    reply = await world.ask(get("/v1/models", headers=headers))
    assert reply.status == 200
    return reply.json["data"]


@pytest.mark.parametrize("row", [row for row in ROWS if DIALECTS[row.name].models], ids=name_of)
@on_both_loops
async def test_what_the_provider_lists(row: Profile, tmp_path: Path) -> None:
    place = PLACES.get(row.name, "")
    own = {"azure": {"api-key": "sk-up"}, "anthropic": {"x-api-key": "sk-up"}}
    async with behind(row, tmp_path, place=place, api_key="sk-up", discovery=ALWAYS) as world:
        entries = await listed(world)
        assert [entry["id"] for entry in entries] == NAMES
        for entry in entries:
            assert (entry["object"], type(entry["created"])) == ("model", int)
            assert entry["owned_by"] in ("simulator", "a")
            if DIALECTS[row.name].models in WINDOWS:
                assert entry["context_length"] == CONTEXT
        asked = [entry for entry in world.sims[0].log if entry.method == "GET"]
        query = "?limit=1000" if row.name == "anthropic" else ""
        assert asked[0].target == f"{place or '/v1'}/models{query}"
        assert credentials(asked[0]) == own.get(row.name, {"authorization": "Bearer sk-up"})
        assert asked[0].header("anthropic-version") == ("2023-06-01" if row.name == "anthropic" else None)
        # What is listed is answered, what is not is not asked for.
        reply = await world.ask(get("/v1/models/sim-large"))
        assert (reply.status, reply.json["id"]) == (200, "sim-large")
        assert (await world.ask(get("/v1/models/nope"))).status == 404
        lists = [entry for entry in world.sims[0].log if "/models" in entry.target]
        assert len(lists) == len([entry for entry in asked if "/models" in entry.target]), (
            "answered from memory"
        )
        assert (await world.ask(chat("sim-large"))).status == 200
        reply = await world.ask(chat("sim-smal"))
        if row.name in ("azure", "vast"):  # there models are served that no list names
            assert reply.status == 200
        else:
            assert (reply.status, reply.json["error"]["code"]) == (404, "model_not_found")
            assert "`sim-small`" in reply.json["error"]["message"]


@pytest.mark.parametrize("row", [row for row in ROWS if DIALECTS[row.name].models], ids=name_of)
@on_both_loops
async def test_the_same_in_anthropic_s_form(row: Profile, tmp_path: Path) -> None:
    async with behind(row, tmp_path, discovery=ALWAYS) as world:
        entries = await listed(world, "anthropic-version: 2023-06-01\r\n")
        assert [(entry["type"], entry["id"]) for entry in entries] == [("model", name) for name in NAMES]
        for entry in entries:
            assert entry["display_name"]
            assert str(entry["created_at"]).endswith("Z")
        assert credentials(world.sims[0].log[0]) == {}, "there is no key, so none is sent"


@pytest.mark.parametrize("row", [row for row in ROWS if not DIALECTS[row.name].models], ids=name_of)
@on_both_loops
async def test_a_provider_that_lists_nothing_is_not_asked(row: Profile, tmp_path: Path) -> None:
    async with behind(row, tmp_path, discovery=ALWAYS, default_model="mine") as world:
        assert [entry["id"] for entry in await listed(world)] == ["mine"]
        assert world.sims[0].log == []
        for model in ("mine", "any-other"):
            assert (await world.ask(chat(model))).status == 200


@pytest.mark.parametrize("row", [row for row in ROWS if DIALECTS[row.name].models], ids=name_of)
@on_both_loops
async def test_no_list_stops_no_call(row: Profile, tmp_path: Path) -> None:
    headers = {"x-sim-fault": "times=9;status=500"}
    async with behind(row, tmp_path, discovery=ALWAYS, headers=headers, default_model="mine") as world:
        assert [entry["id"] for entry in await listed(world)] == ["mine"]
        while world.sims[0].log[-1].status != 200:
            await world.ask(chat("anything"))
        assert world.seen.target == "/v1/chat/completions"


@on_both_loops
async def test_azure_s_resource_lists_beside_its_deployments(tmp_path: Path) -> None:
    row = next(row for row in ROWS if row.name == "azure")
    async with behind(row, tmp_path, discovery=ALWAYS, api_key="k", api_version="2024-06-01") as world:
        assert [entry["id"] for entry in await listed(world)] == NAMES
        assert world.sims[0].log[0].target == "/openai/models?api-version=2024-06-01"
        assert credentials(world.sims[0].log[0]) == {"api-key": "k"}
    by_name: dict[str, Any] = {"deployment_name": "gpt-4", "api_version": "2024-06-01"}
    async with behind(row, tmp_path, discovery=ALWAYS, **by_name) as world:
        assert [entry["id"] for entry in await listed(world)] == ["gpt-4"]
        assert (await world.ask(chat("gpt-4"))).status == 200
        assert [entry.target for entry in world.sims[0].log] == [
            "/openai/deployments/gpt-4/chat/completions?api-version=2024-06-01"
        ]


@on_both_loops
async def test_what_servers_tell_beside_their_list(tmp_path: Path) -> None:
    ollama = next(row for row in ROWS if row.name == "ollama")
    async with behind(ollama, tmp_path, discovery=ALWAYS) as world:
        await listed(world)
        await world.sims[0].until(lambda: len(world.sims[0].log) == 4)
        await world.sims[0].until(lambda: world.sims[0].in_flight == 0)
        assert [(entry.method, entry.target) for entry in world.sims[0].log[1:]] == [
            ("POST", "/api/show")
        ] * 3
        while [entry.get("context_length") for entry in await listed(world)] != [CONTEXT] * 3:
            assert len(world.sims[0].log) == 4
