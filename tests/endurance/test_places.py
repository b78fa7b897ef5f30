"""A crowd before few places (`max_concurrency`): no backend ever has more calls than it may have, and nobody is lost.

All clients come at once, and some leave while they wait or while they are served. Who finds the queue full is refused
with the time after which to come again.
"""

import asyncio
from contextlib import AsyncExitStack

import pytest
import uvloop

from tests.endurance.callers import Callers
from tests.endurance.chaos import SEED as TEXTS
from tests.endurance.inside import assert_nothing_left, assert_recorded, drain, keep, settled
from trunkline.config.model import AdminSettings, Settings
from trunkline.gateway.app import Gateway
from trunkline.net.listener import ServerSettings
from trunkline.policy.record import UsageRecord
from trunkline.routing.backend import BackendSettings
from trunkline.routing.models import ModelSettings, TargetSettings
from trunkline.simulator.app import Simulator, start

SEED = 5
AT_ONCE = 200
CALLS = 3_000
THOUGHT = 0.3  # so that who was refused does not come again at once
# Of several lengths: a few words at once, many of them slowly, a late beginning.
FAULTS = (
    "",
    "!words=3",
    "!words=60",
    "!words=12;delay_chunk=0.002",
    "!delay_head=0.01",
    "!delay_head=0.03;words=2",
)


@pytest.mark.parametrize("places", [(4,), (3, 1)], ids=["one backend", "two backends"])
def test_no_backend_has_more_calls_than_it_may(places: tuple[int, ...]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(crowded(places))


async def crowded(places: tuple[int, ...]) -> None:
    errors: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: errors.append(repr(context)))
    async with AsyncExitStack() as stack:
        watched = [Watched(await stack.enter_async_context(await start(seed=TEXTS))) for _ in places]
        names = [f"backend-{at}" for at in range(len(places))]
        backends = [
            BackendSettings(name=name, url=one.sim.url, max_concurrency=limit)
            for name, one, limit in zip(names, watched, places, strict=True)
        ]
        public = {
            f"model-{at}": ModelSettings(
                targets=[TargetSettings(backend=name, model=f"sim-small{fault}") for name in names]
            )
            for at, fault in enumerate(FAULTS)
        }
        running = Gateway(
            Settings(
                server=ServerSettings(port=0), admin=AdminSettings(port=0), backends=backends, models=public
            )
        )
        await running.start()
        stack.push_async_callback(running.stop)
        records: list[UsageRecord] = []
        callers = Callers(
            running.server.port, {name: (item.targets[0].model,) for name, item in public.items()}, SEED
        )
        async with asyncio.TaskGroup() as meanwhile:
            tasks = [meanwhile.create_task(keep(running.runtime, records))]
            tasks += [meanwhile.create_task(one.watch()) for one in watched]
            await callers.run(CALLS, AT_ONCE, thought=THOUGHT)
            for task in tasks:
                task.cancel()
        sims = [one.sim for one in watched]
        await settled(running, sims)
        drain(running.runtime, records)
        print(dict(callers.outcomes), [one.most for one in watched])
        assert errors == []
        assert [repr(call) for call in callers.wrong[:5]] == []
        assert [one.most for one in watched] == list(places)
        assert_recorded(
            callers, records, [entry for sim in sims for entry in sim.log if entry.method == "POST"]
        )
        assert_nothing_left(running.runtime)
        outcomes = callers.outcomes
        assert set(outcomes) == {"whole", "left", "refused"}
        assert outcomes["whole"] > CALLS / 10


class Watched:
    """A simulator, and the most requests that it had at once."""

    def __init__(self, sim: Simulator) -> None:
        self.sim = sim
        self.most = 0

    async def watch(self) -> None:
        """Look whenever a request begins or ends, until cancelled."""
        await self.sim.until(self._look)

    def _look(self) -> bool:
        self.most = max(self.most, self.sim.in_flight)
        return False
