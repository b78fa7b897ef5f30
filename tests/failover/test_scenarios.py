"""The sixteen scenarios, with default settings and one fallback: each is passed, and fails without a gateway.

All run at once, each with a gateway and a simulator of its own, on both event loops; the tests then look at what came.
"""

import asyncio
import statistics
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from tests.contract.simulator.raw import LOOPS
from tests.failover.caller import Told, call, request
from tests.failover.harness import World, named, pair, running
from tests.failover.outage import Outage, outage
from tests.failover.scenarios import PACE, SCENARIOS, WORDS, Scenario, Seen, verdict

S15_PRIMARY = named("words=60")
LONG_PRIMARY = named("words=20")


class Results(msgspec.Struct):
    """What came of everything."""

    through: dict[str, Seen] = {}
    direct: dict[str, Seen] = {}
    s15: list[Outage] = []
    long: list[Outage] = []
    plain: list[float] = []
    """Seconds of calls without a gateway, made while the long outage lasted."""
    errors: list[str] = []


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Future[Results]]:
    """All of it, run at once on each event loop, both at the same time."""

    def run(name: str, folder: Path) -> Results:
        with asyncio.Runner(loop_factory=LOOPS[name]) as runner:
            return runner.run(_everything(folder))

    with ThreadPoolExecutor() as threads:
        return {name: threads.submit(run, name, tmp_path_factory.mktemp(name)) for name in sorted(LOOPS)}


@pytest.fixture(scope="module", params=sorted(LOOPS))
def results(request: pytest.FixtureRequest, runs: dict[str, Future[Results]]) -> Results:
    """What came of it on one event loop."""
    return runs[request.param].result()


async def _everything(folder: Path) -> Results:
    found = Results()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: found.errors.append(repr(context)))
    ready = asyncio.Barrier(2 * len(SCENARIOS) + 2)
    async with asyncio.timeout(90), asyncio.TaskGroup() as group:
        for scenario in SCENARIOS:
            group.create_task(_through(folder, scenario, ready, found))
            group.create_task(_direct(folder, scenario, ready, found))
        group.create_task(_s15(folder, ready, found))
        group.create_task(_long(folder, ready, found))
    return found


async def _through(folder: Path, scenario: Scenario, ready: asyncio.Barrier, found: Results) -> None:
    models = (
        "models:\n"
        f'  primary: {{targets: [{{backend: sim, model: "{named(scenario.primary)}"}}], fallbacks: [ok]}}\n'
        f'  ok: {{targets: [{{backend: sim, model: "{scenario.fallback}"}}]}}\n'
    )
    async with running(folder, models, words=WORDS) as world:
        canonical = await _canonical(world, scenario)
        await ready.wait()
        told = await world.call(limit=scenario.cap)
        primary, fallback = world.asked(named(scenario.primary)), world.asked(scenario.fallback)
        probe = await world.call("ok", stream=False, limit=10)
        assert probe.text == canonical or probe.outcome != "success"
        found.through[scenario.name] = Seen(told, primary, fallback, canonical, probe)


async def _direct(folder: Path, scenario: Scenario, ready: asyncio.Barrier, found: Results) -> None:
    async with running(folder, pair("status=503"), words=WORDS) as world:
        canonical = await _canonical(world, scenario)
        await ready.wait()
        told = await call(world.sim.port, request(named(scenario.primary)), limit=scenario.cap)
        seen = world.asked(named(scenario.primary))
        probe = await call(world.sim.port, request(scenario.fallback, stream=False), limit=10)
        found.direct[scenario.name] = Seen(told, seen, [], canonical, probe)


async def _canonical(world: World, scenario: Scenario) -> str:
    model = scenario.fallback.partition("!")[0]
    text = (await call(world.sim.port, request(model))).text
    assert len(text.split()) == WORDS
    world.sim.reset()
    return text


async def _s15(folder: Path, ready: asyncio.Barrier, found: Results) -> None:
    async with running(folder, pair("words=60", PACE), words=WORDS) as world:
        canonical = (await world.direct()).text
        await ready.wait()
        found.s15.append(
            await outage(world, S15_PRIMARY, seconds=6, calls=10, apart=1.2, canonical=canonical)
        )


async def _long(folder: Path, ready: asyncio.Barrier, found: Results) -> None:
    """An outage in which one probe fails at least, with calls one upon the other."""
    async with running(folder, pair("words=20", "words=20;delay_chunk=0"), words=20) as world:
        canonical = (await world.direct()).text
        await ready.wait()

        async def compare() -> None:
            for _ in range(30):
                await asyncio.sleep(0.3)
                found.plain.append((await call(world.sim.port, request("sim-small!delay_chunk=0"))).total)

        comparing = asyncio.get_running_loop().create_task(compare())
        # Repeats take up to 4 seconds, by chance, before there are failures enough; the first probe comes 5 later.
        found.long.append(
            await outage(world, LONG_PRIMARY, seconds=12, calls=200, apart=0.1, canonical=canonical)
        )
        await comparing


def test_no_callback_failed(results: Results) -> None:
    assert results.errors == []


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_scenario_is_passed(results: Results, scenario: Scenario) -> None:
    seen = results.through[scenario.name]
    said, why = verdict(scenario, seen)
    assert (said, why) == ("pass", ""), summary(seen)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_scenario_is_not_passed_by_itself(results: Results, scenario: Scenario) -> None:
    said, why = verdict(scenario, results.direct[scenario.name])
    assert said == scenario.direct, why


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_no_request_is_made_in_vain(results: Results, scenario: Scenario) -> None:
    seen = results.through[scenario.name]
    assert (len(seen.primary), len(seen.fallback)) == scenario.asked


def test_a_content_filters_refusal_is_passed_on_as_it_is(results: Results) -> None:
    told = next(seen.told for name, seen in results.through.items() if name.startswith("S13"))
    assert (told.status, told.error["code"]) == (400, "content_policy_violation")


def test_what_nobody_waits_for_is_not_left_running(results: Results) -> None:
    for name in ("S06 silence", "S07 a very late first event"):
        (entry,) = results.through[name].primary
        assert entry.outcome == "client_closed"
        assert entry.client_closed is not None
        assert entry.client_closed - entry.received < results.through[name].told.total


def test_s15_an_outage_costs_no_call_and_the_primary_comes_back(results: Results) -> None:
    (seen,) = results.s15
    assert seen.answered(), [(told.outcome, told.error) for told in seen.calls]
    assert len(seen.calls) == 10
    assert seen.during()
    assert seen.back() <= 10
    before = [entry for entry in seen.primary if entry.status != 200]
    assert len(before) <= 6, "the breaker should have opened after five"


def test_in_a_long_outage_the_primary_sees_probes_only(results: Results) -> None:
    (seen,) = results.long
    assert seen.answered(), [(told.outcome, told.error) for told in seen.calls if told.outcome != "success"]
    later = seen.during()[5:]
    assert len(later) > 20, "calls were as quick as without the outage"
    probes = [entry for told in later for entry in seen.requests(told)]
    assert 1 <= len(probes) <= 2, "one per ejection"
    assert max(len(seen.requests(told)) for told in later) == 1


def test_in_a_long_outage_calls_are_as_quick_as_without_a_gateway(results: Results) -> None:
    (seen,) = results.long
    later = seen.during()[5:]
    added = statistics.median(told.total for told in later) - statistics.median(results.plain)
    assert added < 0.05


def test_after_a_long_outage_the_primary_is_back_soon(results: Results) -> None:
    (seen,) = results.long
    assert seen.back() <= 10
    assert seen.requests(seen.calls[-1]), "it gets the calls again"


def summary(seen: Seen) -> str:
    """What a failed scenario looks like, for the report."""
    told: Told = seen.told
    primary = [(round(entry.received, 2), entry.status, entry.outcome) for entry in seen.primary]
    fallback = [(round(entry.received, 2), entry.status, entry.outcome) for entry in seen.fallback]
    words = len(told.text.split())
    return f"{told.outcome} {told.status} after {told.total:.2f} s, {words} words; {primary=} {fallback=}"
