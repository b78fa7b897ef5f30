"""Breakers as the providers see them: who is left alone, who is asked for a sign of life, and by how many."""

import asyncio
from pathlib import Path

import pytest

from tests.failover.harness import World, named, on_one_loop, pair, running

PRIMARY = named("words=20")
QUICK = "breaker: {base_ejection: 0.4, max_ejection: 0.8}"
NO_REPEATS = {"sim": "max_retries: 0"}


async def eject(world: World) -> None:
    """Let the primary fail until it gets no calls."""
    world.sim.set_fault("status=503", model=PRIMARY)
    for _ in range(5):
        assert (await world.call()).outcome == "success"
    assert len(world.asked(PRIMARY)) == 5


async def until_half_open(world: World) -> None:
    """Wait until the ejection is over, with calls that the fallback answers."""
    seen = len(world.asked(PRIMARY))
    while len(world.asked(PRIMARY)) == seen:
        assert (await world.call()).outcome == "success"
        await asyncio.sleep(0.02)


@on_one_loop
async def test_an_ejected_target_gets_no_calls_and_others_of_its_backend_do(tmp_path: Path) -> None:
    models = pair("words=20") + "  large: {targets: [{backend: sim, model: sim-large}], fallbacks: [ok]}\n"
    async with running(tmp_path, models, backends=NO_REPEATS) as world:
        await eject(world)
        for _ in range(5):
            told = await world.call()
            assert (told.outcome, told.headers["x-trunkline-attempts"]) == ("success", "1")
        assert len(world.asked(PRIMARY)) == 5
        assert (await world.call("large")).headers["x-trunkline-model"] == "large"


@on_one_loop
async def test_one_call_at_a_time_is_the_probe(tmp_path: Path) -> None:
    async with running(tmp_path, pair("words=20"), backends=NO_REPEATS, more=QUICK) as world:
        await eject(world)
        world.sim.set_fault("delay_head=0.5", model=PRIMARY)
        await asyncio.sleep(0.45)  # the ejection is over
        told = await asyncio.gather(*(world.call() for _ in range(20)))
        assert all(one.outcome == "success" for one in told)
        assert len(world.asked(PRIMARY)) == 6, "nineteen calls did not wait for the answer to the one"
        world.sim.set_fault(None, model=PRIMARY)
        await asyncio.gather(*(world.call() for _ in range(5)))
        assert len(world.asked(PRIMARY)) == 11, "and with it the target is back"


@pytest.mark.parametrize("probe", ["left", "status=429", "status=400;message=yours"])
@on_one_loop
async def test_a_probe_that_says_nothing_makes_place_for_the_next(tmp_path: Path, probe: str) -> None:
    async with running(tmp_path, pair("words=20"), backends=NO_REPEATS, more=QUICK) as world:
        await eject(world)
        await asyncio.sleep(0.45)
        if probe == "left":
            world.sim.set_fault("delay_head=forever", model=PRIMARY)
            leaving = asyncio.get_running_loop().create_task(world.call())
            await world.arrived(PRIMARY, 6)
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
            await world.quiet()
        else:
            world.sim.set_fault(probe, model=PRIMARY)
            await world.call()
            assert len(world.asked(PRIMARY)) == 6
        world.sim.set_fault(None, model=PRIMARY)
        await until_half_open(world)
        assert world.asked(PRIMARY)[-1].status == 200
        assert len(world.asked(PRIMARY)) == 7
        assert (await world.call()).headers["x-trunkline-model"] == "primary"


@on_one_loop
async def test_a_failed_probe_costs_its_call_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, pair("words=20"), backends={"sim": "backoff_max: 0.1"}, more=QUICK) as world:
        world.sim.set_fault("status=503", model=PRIMARY)
        for _ in range(2):
            assert (await world.call()).outcome == "success"
        assert len(world.asked(PRIMARY)) == 5, "three attempts of the first call, two of the second"
        await until_half_open(world)
        assert len(world.asked(PRIMARY)) == 6, "a probe is not repeated"


@on_one_loop
async def test_with_nobody_else_an_ejected_target_is_asked_after_all(tmp_path: Path) -> None:
    models = f'models:\n  primary: {{targets: [{{backend: sim, model: "{PRIMARY}"}}]}}\n'
    async with running(tmp_path, models, backends=NO_REPEATS) as world:
        world.sim.set_fault("status=503", model=PRIMARY)
        for _ in range(6):
            assert (await world.call()).status == 503
        world.sim.set_fault(None, model=PRIMARY)
        assert (await world.call()).outcome == "success", "a call that would fail anyway may as well try"
        assert len(world.asked(PRIMARY)) == 7


@on_one_loop
async def test_when_all_are_ejected_the_one_that_is_out_longest_is_asked(tmp_path: Path) -> None:
    async with running(tmp_path, pair("words=20"), backends=NO_REPEATS) as world:
        await eject(world)
        world.sim.set_fault("status=503", model=named())
        for _ in range(5):
            await world.call()
        world.sim.set_fault(None, model=PRIMARY)
        world.sim.set_fault(None, model=named())
        told = await world.call()
        assert (told.outcome, told.headers["x-trunkline-model"]) == ("success", "primary")


@on_one_loop
async def test_cuts_in_the_middle_count_too(tmp_path: Path) -> None:
    """Each is rescued, and yet a target that does it five times in a row gets no more calls."""
    spec = "delay_chunk=0;close=body;after=9"
    async with running(tmp_path, pair(spec)) as world:
        for _ in range(8):
            assert (await world.call()).outcome == "success"
        assert world.seen(named(spec)) == [5]


POOL = """models:
  primary:
    strategy: STRATEGY
    targets: [{backend: a, model: sim-small}, {backend: b, model: sim-small}]
    fallbacks: [ok]
  ok: {targets: [{backend: c, model: sim-small}]}
"""


@pytest.mark.parametrize("strategy", ["round_robin", "weighted", "least_busy", "latency", "cost"])
@on_one_loop
async def test_in_a_pool_a_sibling_takes_over_at_once(tmp_path: Path, strategy: str) -> None:
    models = POOL.replace("STRATEGY", strategy)
    async with running(tmp_path, models, backends=dict.fromkeys("abc", "backoff_max: 0.1")) as world:
        world.sims["a"].set_fault("status=503")
        for _ in range(14):
            told = await world.call()
            assert (told.outcome, told.headers["x-trunkline-backend"]) == ("success", "b")
        assert len(world.asked("sim-small", "a")) <= 5, "never the same one again, and not when it is ejected"
        assert world.asked("sim-small", "c") == []
        world.sims["b"].set_fault("status=503")
        told = await world.call()
        assert (told.outcome, told.headers["x-trunkline-backend"]) == ("success", "c")


@on_one_loop
async def test_repeats_are_limited_over_all_calls(tmp_path: Path) -> None:
    """Without a budget forty calls would make eighty repeats of a primary that refuses everything for load."""
    async with running(
        tmp_path, pair("words=20"), backends={"sim": "backoff_base: 1, backoff_max: 0.05"}
    ) as world:
        world.sim.set_fault("status=429", model=PRIMARY)
        told = await asyncio.gather(*(world.call() for _ in range(60)))
        assert all(one.outcome == "success" for one in told)
        assert len(world.asked(PRIMARY)) <= 60 + 45
        assert len(world.asked(named())) == 60
