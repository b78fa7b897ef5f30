"""Where rules and a router may lead a request: further than its client, or its key, may go by itself."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.contract.gateway.harness import on_both_loops
from tests.failover.caller import Told, call, request
from tests.failover.harness import World, running

MODELS = """models:
  chat: {targets: [{backend: one, model: sim-small}], fallbacks: [spare]}
  spare: {targets: [{backend: two, model: sim-large}]}
"""
RULES = """rules:
  - {for: [auto], when: {contains_any: [hidden]}, use: sim-embed}
  - {for: [auto], use: chat}
"""
ROUTER = """def choose(query):
    return {
        "hidden": "sim-embed",
        "there": {"backend": "two", "model": "sim-small"},
        "provider": {"provider": "vllm", "model": "sim-small"},
        "mistaken": {"provider": "nobody", "model": "sim-small"},
        "nowhere": "no-such-model",
    }.get(query)
"""
BACKENDS = {
    "one": "models: [sim-small, sim-embed], max_retries: 0",
    "two": "models: [sim-small, sim-large], max_retries: 0, provider: vllm",
}


def say(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


@asynccontextmanager
async def led(folder: Path, by: str, more: str = "") -> AsyncGenerator[World]:
    """A gateway with two public models, and rules or a router that know more of them."""
    settings = RULES
    if by == "router":
        (folder / "leading_routes.py").write_text(ROUTER)
        settings = "router: leading_routes:choose\nrouter_timeout: 20\n" + RULES
    async with running(folder, MODELS, backends=BACKENDS, more=settings + more) as world:
        yield world


def answered(told: Told) -> tuple[int, str, str]:
    """Status, public model and backend."""
    return told.status, told.headers["x-trunkline-model"], told.headers["x-trunkline-backend"]


@pytest.mark.parametrize("by", ["rules", "router"])
@on_both_loops
async def test_they_may_name_what_a_backend_lists_and_clients_may_not(tmp_path: Path, by: str) -> None:
    async with led(tmp_path, by) as world:
        for stream in (True, False):
            told = await world.call("auto", messages=say("hidden"), stream=stream)
            assert answered(told) == (200, "sim-embed", "one")
            told = await world.call("sim-embed", stream=stream)
            assert (told.status, told.error["code"]) == (404, "model_not_found")
        assert len(world.asked("sim-embed", "one")) == 2


@on_both_loops
async def test_a_router_may_choose_the_backend_or_the_provider(tmp_path: Path) -> None:
    async with led(tmp_path, "router") as world:
        for text in ("there", "provider"):
            told = await world.call("auto", messages=say(text))
            assert answered(told) == (200, "sim-small", "two")
        for text in ("mistaken", "nowhere"):
            told = await world.call("auto", messages=say(text))
            assert answered(told) == (200, "chat", "one"), "where nobody is that the rules decide"


@on_both_loops
async def test_a_header_names_backends_only(tmp_path: Path) -> None:
    async with led(tmp_path, "rules") as world:
        for pin, status in (("two", 200), ("vllm", 400), ("made-up", 400)):
            pinned = f"x-trunkline-backend: {pin}\r\n"
            told = await call(world.port, request("spare", stream=False, headers=pinned))
            assert told.status == status
            assert status == 200 or told.error["code"] == "backend_not_found"


LIMITED = """keys:
  - {name: team, key: secret, models: [auto]}
"""


@on_both_loops
async def test_a_limited_key_is_led_where_it_may_not_go_by_itself(tmp_path: Path) -> None:
    """A limit says what a key may name: rules and fallbacks are the operator's, as documented."""
    async with led(tmp_path, "rules", LIMITED) as world:
        head = "authorization: Bearer secret\r\n"
        world.sims["one"].set_fault("status=500")
        told = await call(world.port, request("auto", headers=head, stream=False))
        assert answered(told) == (200, "spare", "two")
        for name in ("chat", "spare", "sim-embed"):
            told = await call(world.port, request(name, headers=head, stream=False))
            assert (told.status, told.error["code"]) == (403, "model_not_allowed")
