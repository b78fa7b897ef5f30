"""20,000 calls while the backends behind them are killed, hung, cut and refuse at random, but for one that is well.

With the gateway's own settings: no call fails before its content commit, no stream that is cut looks like a good one,
no text is doubled, no connection is left over, and every attempt is recorded once.
"""

import asyncio
import random
import time
from collections import Counter
from contextlib import AsyncExitStack

import uvloop

from tests.endurance.callers import Callers
from tests.endurance.chaos import Backend
from tests.endurance.inside import assert_nothing_left, assert_recorded, drain, keep, settled
from trunkline.config.model import AdminSettings, Settings
from trunkline.gateway.app import Gateway
from trunkline.net.listener import ServerSettings
from trunkline.policy.record import UsageRecord
from trunkline.routing.backend import BackendSettings
from trunkline.routing.models import ModelSettings, Strategy, TargetSettings

SEED = 4
CALLS = 20_000
AT_ONCE = 96
THOUGHT = 0.25  # so that the calls last as long as the limits of time do
FLAKY = [f"flaky-{number}" for number in range(8)]
WELL = "well"
ODD = "odd-"
ODDS = [ODD + name for name in FLAKY[:4]]
STRATEGIES: tuple[Strategy, ...] = ("priority", "round_robin", "weighted", "least_busy", "latency", "cost")
MUTE, STALLED = 6, 4  # calls that only the limits of time help


def models() -> dict[str, ModelSettings]:
    """A public model per strategy over some of the flaky backends, and three that have but one."""
    fallback, other = (
        TargetSettings(backend=WELL, model="sim-small"),
        TargetSettings(backend=WELL, model="sim-large"),
    )
    found = {
        "safe": ModelSettings(targets=[fallback]),
        "other": ModelSettings(targets=[other]),
        "mute": ModelSettings(targets=[target(WELL, "!delay_head=forever")], fallbacks=["safe"]),
        "stalled": ModelSettings(targets=[target(WELL, "!stall;after=4")], fallbacks=["safe"]),
    }
    for number, strategy in enumerate(STRATEGIES):
        some = [FLAKY[(number + step) % len(FLAKY)] for step in (0, 1, 3)]
        found[strategy] = ModelSettings(
            targets=[target(name) for name in some], strategy=strategy, fallbacks=["safe"]
        )
    # Another model says something else: no cut can be mended there.
    found |= {
        name: ModelSettings(targets=[target(name.removeprefix(ODD))], fallbacks=["other"]) for name in ODDS
    }
    return found


def target(backend: str, fault: str = "") -> TargetSettings:
    return TargetSettings(backend=backend, model=f"sim-small{fault}")


def test_20_000_calls_while_backends_go_wrong() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(chaos())


async def chaos() -> None:
    print(f"seed {SEED}")
    errors: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: errors.append(repr(context)))
    backends = [Backend(name) for name in (*FLAKY, WELL)]
    async with AsyncExitStack() as stack:
        for backend in backends:
            await backend.start()
            stack.push_async_callback(backend.end)
        running = Gateway(
            Settings(
                server=ServerSettings(port=0),
                admin=AdminSettings(port=0),
                backends=[BackendSettings(name=backend.name, url=backend.url) for backend in backends],
                models=models(),
            )
        )
        await running.start()
        stack.push_async_callback(running.stop)
        tasks = asyncio.all_tasks()
        records: list[UsageRecord] = []
        callers = await called(running, backends, records)
        await settled(running, backends)
        drain(running.runtime, records)
        tell(callers, records, backends)
        assert errors == []
        assert asyncio.all_tasks() - tasks == set()
        assert [repr(item) for item in callers.wrong[:5]] == []
        assert_recorded(callers, records, [entry for backend in backends for entry in backend.requests])
        assert_nothing_left(running.runtime)
        assert_not_harmless(callers, records, backends)


async def called(running: Gateway, backends: list[Backend], records: list[UsageRecord]) -> Callers:
    """Make all the calls, while backends go wrong."""
    names: dict[str, tuple[str, ...]] = dict.fromkeys((*STRATEGIES, "mute", "stalled"), ("sim-small",))
    callers = Callers(running.server.port, names | dict.fromkeys(ODDS, ("sim-small", "sim-large")), SEED)
    async with asyncio.TaskGroup() as meanwhile:
        tasks = [meanwhile.create_task(keep(running.runtime, records))]
        for backend in backends:
            if backend.name != WELL:
                suffering = backend.suffer(random.Random(f"{SEED}-{backend.name}"))
                tasks.append(meanwhile.create_task(suffering))
        async with asyncio.TaskGroup() as group:
            group.create_task(callers.patient("mute", MUTE))
            group.create_task(callers.patient("stalled", STALLED))
            group.create_task(
                callers.run(CALLS - MUTE - STALLED, AT_ONCE, [*STRATEGIES, *ODDS], thought=THOUGHT)
            )
        for task in tasks:
            task.cancel()
    return callers


def assert_not_harmless(callers: Callers, records: list[UsageRecord], backends: list[Backend]) -> None:
    """The run has met what it is made for."""
    outcomes = callers.outcomes
    assert outcomes["whole"] > CALLS / 2
    assert outcomes["left"] > CALLS / 20
    assert outcomes["error"] > 0
    assert outcomes["refused"] == 0
    faults = Counter(attempt.fault for record in records for attempt in record.attempts)
    assert faults.total() - faults[""] - faults["client_gone"] > 500
    assert faults["first_token_timeout"] >= MUTE
    assert faults["idle_timeout"] >= STALLED
    assert all(
        backend.happened["kill"] and backend.happened["hang"] for backend in backends if backend.name != WELL
    )


def tell(callers: Callers, records: list[UsageRecord], backends: list[Backend]) -> None:
    """What happened, for whoever reads a failure or asks with -s."""
    faults = Counter(attempt.fault for record in records for attempt in record.attempts)
    answered = Counter(record.backend for record in records if not record.fault)
    print(dict(callers.outcomes), dict(faults), dict(answered), sep="\n")
    print(
        dict(sum((backend.happened for backend in backends), Counter[str]())),
        f"{time.process_time():.1f} s of CPU",
    )
