"""Upstreams that are busy: waited for as long as they say, asked last meanwhile, and never taken for broken."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from tests.failover.harness import World, named, on_one_loop, pair, running

BUSY = "status=429"
HEALTHY = "words=20"
"""Of the primary, as an item of its name: so its requests can be told from the fallback's."""


async def gap(tmp_path: Path, spec: str) -> float:
    """Seconds that the gateway waits before it asks a primary again that was busy once."""
    async with running(tmp_path, pair(spec)) as world:
        told = await world.call()
        assert told.outcome == "success"
        assert world.seen(named(spec), named()) == [2, 0]
        first, second = world.asked(named(spec))
        return second.received - first.received


@on_one_loop
async def test_all_forms_of_retry_after_are_obeyed(tmp_path: Path) -> None:
    when = format_datetime(datetime.now(UTC) + timedelta(seconds=3), usegmt=True)
    folders = [tmp_path / str(at) for at in range(5)]
    for folder in folders:
        folder.mkdir()
    seconds, milliseconds, both, date, words = await asyncio.gather(
        gap(folders[0], "status=429;times=1;retry_after=1"),
        gap(folders[1], "status=429;times=1;header=retry-after-ms: 1300"),
        gap(folders[2], "status=429;times=1;header=retry-after-ms: 600;retry_after=4"),
        gap(folders[3], f"status=503;times=1;retry_after={when}"),
        gap(folders[4], "status=429;times=1;message=Rate limit reached. Please try again in 900ms."),
    )
    assert seconds >= 1.0
    assert milliseconds >= 1.3
    assert 0.6 <= both < 4, "the finer one is believed"
    assert date >= 1.0, "a date has whole seconds, and some had passed"
    assert words >= 0.9
    assert max(seconds, milliseconds, both, words) < 3.5, "and not much longer"


@pytest.mark.parametrize(
    "said", ["0", "-1", "soon", "9" * 30, "Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 99 Foo 2026 25:61:00 GMT"]
)
@on_one_loop
async def test_what_makes_no_sense_or_is_over_changes_nothing(tmp_path: Path, said: str) -> None:
    spec = f"status=429;retry_after={said}"
    async with running(tmp_path, pair(spec), backends={"sim": "backoff_max: 0.1"}) as world:
        assert (await world.call()).outcome == "success"
        assert world.seen(named(spec), named()) == [3, 1]


@pytest.mark.parametrize(
    "spec", ["status=429;retry_after=6", "status=503;retry_after=30", "status=529;retry_after=3600"]
)
@on_one_loop
async def test_a_long_wait_is_not_waited_for(tmp_path: Path, spec: str) -> None:
    async with running(tmp_path, pair(spec)) as world:
        told = await world.call()
        assert told.outcome == "success"
        assert world.seen(named(spec), named()) == [1, 1]
        assert told.total < 3, "the fallback was asked at once"


@on_one_loop
async def test_a_cooling_target_is_asked_again_when_its_time_is_over_however_often_it_refused(
    tmp_path: Path,
) -> None:
    """Twelve refusals would have opened any breaker, for five seconds at least."""
    async with running(tmp_path, pair(HEALTHY), backends={"sim": "max_retries: 0"}) as world:
        primary = named(HEALTHY)
        world.sim.set_fault("status=429;header=retry-after-ms: 1500", model=primary)
        told = await asyncio.gather(*(world.call() for _ in range(12)))
        assert all(one.outcome == "success" for one in told)
        refused = len(world.asked(primary))
        assert refused > 5, "they were under way at the same time"
        world.sim.set_fault(None, model=primary)
        while world.sim.log[-1].model != primary:
            assert (await world.call()).outcome == "success"
            await asyncio.sleep(0.05)
        waited = world.asked(primary)[-1].received - world.asked(primary)[-2].received
        assert 1.5 <= waited < 4.5
        assert len(world.asked(primary)) == refused + 1, "and not before"


TWO = """models:
  primary:
    targets:
      - {backend: a, model: "sim-small!words=20"}
      - {backend: b, model: "sim-small!words=20"}
"""
BOTH = {"a": "max_retries: 0", "b": "max_retries: 0"}


@on_one_loop
async def test_a_cooling_target_is_last_and_not_gone(tmp_path: Path) -> None:
    async with running(tmp_path, TWO, backends=BOTH) as world:
        model = named(HEALTHY)
        world.sims["a"].set_fault("status=429;retry_after=30")
        assert (await world.call()).headers["x-trunkline-backend"] == "b"
        world.sims["a"].set_fault(None)
        assert (await world.call()).headers["x-trunkline-backend"] == "b", "the other one comes first"
        assert len(world.asked(model, "a")) == 1
        world.sims["b"].set_fault("status=500")
        told = await world.call()
        assert (told.outcome, told.headers["x-trunkline-backend"]) == ("success", "a"), (
            "but it is still there"
        )
        assert told.headers["x-trunkline-attempts"] == "2"


@on_one_loop
async def test_when_all_are_busy_the_caller_gets_the_refusal_with_its_time(tmp_path: Path) -> None:
    async with running(tmp_path, pair("status=429;retry_after=40", "status=429;retry_after=50")) as world:
        for _ in range(2):
            told = await world.call()
            assert (told.outcome, told.status) == ("error", 429)
            assert told.error["code"] == "rate_limit_exceeded"
            assert 1 <= int(told.headers["retry-after"]) <= 50


FULL = """models:
  primary: {targets: [{backend: sim, model: "sim-small!delay_head=forever"}]}
  ok: {targets: [{backend: other, model: sim-small}]}
"""


@on_one_loop
async def test_the_gateways_own_503_says_when_to_come_again(tmp_path: Path) -> None:
    backends = {"sim": "max_concurrency: 1, max_queue: 0", "other": ""}
    async with running(tmp_path, FULL, backends=backends) as world:
        loop = asyncio.get_running_loop()
        first = loop.create_task(world.call(limit=20))
        await world.sim.until(lambda: world.sim.in_flight == 1)
        for stream in (True, False):
            told = await world.call(stream=stream)
            assert (told.outcome, told.status) == ("error", 503)
            assert told.error["code"] in ("no_backend", "overloaded")
            assert 1 <= int(told.headers["retry-after"]) <= 120
        assert len(world.asked(named("delay_head=forever"))) == 1
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await world.quiet()


@on_one_loop
async def test_a_full_target_hands_over_to_the_fallback(tmp_path: Path) -> None:
    models = FULL.replace('forever"}]}', 'forever"}], fallbacks: [ok]}', 1)
    backends = {"sim": "max_concurrency: 1, max_queue: 0", "other": ""}
    async with running(tmp_path, models, backends=backends) as world:
        first = asyncio.get_running_loop().create_task(world.call(limit=20, stream=False))
        await world.sim.until(lambda: world.sim.in_flight == 1)
        told = await world.call(stream=False)
        assert (told.outcome, told.headers["x-trunkline-backend"]) == ("success", "other")
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await world.quiet()


@on_one_loop
async def test_a_place_that_becomes_free_is_given_to_who_waits(tmp_path: Path) -> None:
    models = FULL.replace("forever", "0.3")
    async with running(tmp_path, models, backends={"sim": "max_concurrency: 1", "other": ""}) as world:
        told = await asyncio.gather(*(world.call() for _ in range(3)))
        assert [one.outcome for one in told] == ["success"] * 3
        entries = world.asked(named("delay_head=0.3"))
        assert len(entries) == 3
        assert most_at_once(world) == 1


@on_one_loop
async def test_who_leaves_the_queue_takes_no_place(tmp_path: Path) -> None:
    slow = named("delay_head=0.4")
    models = f'models:\n  primary: {{targets: [{{backend: sim, model: "{slow}"}}]}}\n'
    async with running(tmp_path, models, backends={"sim": "max_concurrency: 1"}) as world:
        loop = asyncio.get_running_loop()
        first = loop.create_task(world.call())
        await world.arrived(slow)
        leaving = [loop.create_task(world.call()) for _ in range(5)]
        while len(world.gateway.runtime.live) < 6:
            await asyncio.sleep(0.005)
        last = loop.create_task(world.call())
        while len(world.gateway.runtime.live) < 7:
            await asyncio.sleep(0.005)
        for task in leaving:
            task.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)
        assert [(await task).outcome for task in (first, last)] == ["success"] * 2
        assert len(world.asked(slow)) == 2, "nobody was asked for those who had left"


def most_at_once(world: World) -> int:
    """The most requests that the first simulator had in work at the same time."""
    entries = [entry for entry in world.sim.log if entry.method == "POST"]
    ends = [entry.finished or float("inf") for entry in entries]
    return max(
        sum(other.received <= entry.received < end for other, end in zip(entries, ends, strict=True))
        for entry in entries
    )
