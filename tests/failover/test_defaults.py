"""The times that hold without any setting: a real call waits, and only the clock is put forward."""

import asyncio
from pathlib import Path

import pytest

from tests.failover.caller import Told
from tests.failover.harness import OK, World, named, on_both_loops, pair, running

SILENT = named("delay_head=forever")


async def waiting(world: World, *, stream: bool) -> asyncio.Task[Told]:
    """A call whose primary has got the request, and says nothing."""
    task = asyncio.get_running_loop().create_task(world.call(stream=stream))
    await world.arrived(SILENT)
    return task


def put_forward(world: World, seconds: float) -> None:
    """Let the sweep see the one live call so much later."""
    (exchange,) = world.gateway.runtime.live
    exchange.sweep(asyncio.get_running_loop().time() + seconds)


async def still_waiting(world: World, task: asyncio.Task[Told], seconds: float) -> None:
    """After this time nobody else was asked."""
    put_forward(world, seconds)
    await asyncio.sleep(0.05)
    assert not task.done()
    assert world.asked(OK, "other") == []


@pytest.mark.parametrize("provider", ["openai_compat", "openai", "vllm", "ollama"])
@on_both_loops
async def test_an_answer_in_one_piece_has_ten_minutes(tmp_path: Path, provider: str) -> None:
    backends = {"sim": f"provider: {provider}, api_key: k", "other": ""}
    async with running(
        tmp_path, pair("delay_head=forever", backends=("sim", "other")), backends=backends
    ) as world:
        task = await waiting(world, stream=False)
        for seconds in (11, 31, 121, 599):
            await still_waiting(world, task, seconds)
        put_forward(world, 600.1)
        told = await task
        assert (told.status, told.error["code"]) == (504, "upstream_timeout")
        assert world.seen(SILENT) == [1]


@pytest.mark.parametrize(
    ("settings", "patience"),
    [
        ("provider: openai_compat", 10),
        ("provider: openai, api_key: k", 10),
        ("provider: ollama", 120),
        ("provider: llama.cpp", 120),
        ("provider: lmstudio", 120),
        ("provider: localai", 120),
        ("provider: vllm", 120),  # at a private address
        ("capabilities: {'*': {reasoning: true}}", 120),
    ],
)
@on_both_loops
async def test_the_first_token_is_waited_for_as_long_as_such_a_server_may_need(
    tmp_path: Path, settings: str, patience: int
) -> None:
    models = pair("delay_head=forever", backends=("sim", "other"))
    async with running(tmp_path, models, backends={"sim": settings, "other": ""}) as world:
        task = await waiting(world, stream=True)
        await still_waiting(world, task, patience - 1)
        put_forward(world, patience + 1)
        assert (await task).outcome == "success"
        assert (len(world.asked(SILENT)), len(world.asked(OK, "other"))) == (1, 1)


@on_both_loops
async def test_a_role_is_no_content_and_begins_no_shorter_limit(tmp_path: Path) -> None:
    """A server that loads its model may say the role at once: the 30 s between events do not hold yet."""
    models = pair("role_stall", backends=("sim", "other"))
    async with running(tmp_path, models, backends={"sim": "provider: ollama", "other": ""}) as world:
        task = asyncio.get_running_loop().create_task(world.call())
        await world.arrived(named("role_stall"))
        (exchange,) = world.gateway.runtime.live
        while exchange._relay is None or not exchange._relay.bytes_in:
            await asyncio.sleep(0.005)
        await still_waiting(world, task, 40)
        put_forward(world, 400)
        assert (await task).outcome == "success"
        assert len(world.asked(OK, "other")) == 1


@on_both_loops
async def test_a_long_prompt_is_given_more_time(tmp_path: Path) -> None:
    models = pair("delay_head=forever", backends=("sim", "other"))
    async with running(tmp_path, models, backends={"sim": "", "other": ""}) as world:
        say = [{"role": "user", "content": "word " * 16_000}]
        task = asyncio.get_running_loop().create_task(world.call(messages=say))
        await world.arrived(SILENT)
        await still_waiting(world, task, 25)
        put_forward(world, 40)
        assert (await task).outcome == "success"


@pytest.mark.parametrize("provider", ["openai_compat", "ollama"])
@on_both_loops
async def test_with_nobody_else_there_is_no_limit_for_the_first_token(tmp_path: Path, provider: str) -> None:
    models = f'models:\n  primary: {{targets: [{{backend: sim, model: "{SILENT}"}}]}}\n'
    async with running(tmp_path, models, backends={"sim": f"provider: {provider}", "other": ""}) as world:
        task = await waiting(world, stream=True)
        await still_waiting(world, task, 599)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
