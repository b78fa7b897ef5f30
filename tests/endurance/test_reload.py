"""Fifty reloads under load: nobody notices, and nothing is left of what was removed."""

import asyncio
import json
from collections import Counter
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from tests.endurance.callers import Callers
from tests.endurance.chaos import SEED
from tests.endurance.harness import PATIENCE
from tests.endurance.inside import assert_nothing_left, drain, settled
from trunkline.config.load import load
from trunkline.engine.upstream import Upstream
from trunkline.gateway.app import Gateway
from trunkline.gateway.reload import Reloader, Source
from trunkline.policy.record import UsageRecord
from trunkline.simulator.app import Simulator, start

RELOADS = 50
CALLS = 4_000  # at least
AT_ONCE = 24
STRATEGIES = ("weighted", "latency", "priority")
MODEL = "sim-small!words=20;delay_chunk=0.002"


def configuration(turn: int, sims: list[Simulator]) -> dict[str, Any]:
    """One of many: weights and limits change, backends come and go, one gets another key, models another order."""
    names = ["a", "b", "c"]
    if turn % 2:
        names.remove("c")
    if turn % 7 == 3:
        names.remove("a")
    if turn % 5 == 4:
        names.reverse()
    backends: list[dict[str, Any]] = [
        {"name": name, "url": sims["abc".index(name)].url, "weight": 1 + (turn + at) % 3}
        for at, name in enumerate(names)
    ]
    backends[0] |= {"api_key": f"key-{turn // 10}"}
    backends[-1] |= {"max_concurrency": 1000 + turn // 4, "max_retries": turn % 3}
    targets = [{"backend": name, "model": MODEL} for name in names]
    return {
        "server": {"port": 0, "max_body": 1_000_000 + turn},
        "admin": {"port": 0},
        "discovery": {"interval": 0 if turn % 10 == 9 else 300},
        "data_dir": ".",
        "breaker": {"failures": 5 + turn // 25},
        "backends": backends,
        "models": {name: {"targets": targets, "strategy": name} for name in STRATEGIES},
    }


def write(file: Path, settings: dict[str, Any]) -> None:
    file.write_text(json.dumps(settings))


def test_fifty_reloads_under_load(tmp_path: Path) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(tmp_path / "trunkline.json"))


async def run(file: Path) -> None:
    errors: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: errors.append(repr(context)))
    async with AsyncExitStack() as stack:
        sims = [await stack.enter_async_context(await start(seed=SEED)) for _ in range(3)]
        write(file, configuration(0, sims))
        read = partial(load, file, {})
        gateway = Gateway(read().settings)
        await gateway.start()
        stack.push_async_callback(gateway.stop)
        callers = Callers(gateway.server.port, dict.fromkeys(STRATEGIES, (MODEL,)), SEED)
        records: list[UsageRecord] = []
        said: asyncio.Queue[str] = asyncio.Queue()
        ever: dict[int, Upstream] = {}
        reloader = Reloader(gateway, Source(read=read, path=file), said.put_nowait)
        watching = asyncio.get_running_loop().create_task(reloader.run())
        reloading = asyncio.get_running_loop().create_task(reload(reloader, file, sims, said, gateway, ever))
        async with asyncio.timeout(PATIENCE * 3):
            while not reloading.done() or len(callers.calls) < CALLS:
                await callers.run(200, AT_ONCE)
                drain(gateway.runtime, records)
        reloading.result()
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        await settled(gateway, sims)
        drain(gateway.runtime, records)
        print(callers.outcomes, len(ever), "upstreams")
        assert errors == []
        assert [repr(call) for call in callers.calls if call.outcome not in ("whole", "left")] == []
        assert callers.outcomes["whole"] > CALLS / 2
        assert len(records) <= len(callers.calls)
        faults = Counter(attempt.fault for record in records for attempt in record.attempts)
        assert set(faults) <= {"", "client_gone"}
        assert {record.backend for record in records} >= {"a", "b", "c"}
        assert_nothing_left(gateway.runtime)
        assert [one.pool.open_count for one in ever.values()] == [0] * len(ever)


async def reload(
    reloader: Reloader,
    file: Path,
    sims: list[Simulator],
    said: "asyncio.Queue[str]",
    gateway: Gateway,
    ever: dict[int, Upstream],
) -> None:
    for turn in range(1, RELOADS + 1):
        write(file, configuration(turn, sims))
        reloader.ask()
        line = await said.get()
        assert line.startswith(f"reloaded {file}: backends "), line
        ever |= {id(one): one for one in gateway.runtime.upstreams}
        await asyncio.sleep(0.1)  # for calls on this one
