"""50,000 requests of clients that leave at any moment, to an upstream that fails in every way: nothing is left over."""

import asyncio
import gc
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from tests.e2e.processes import Trunkline
from tests.endurance.crowd import Crowd
from tests.endurance.harness import PATIENCE, GatewayProcess, eventually, gateway, get
from trunkline.config.model import AdminSettings, DiscoverySettings, Settings
from trunkline.engine.exchange import Exchange
from trunkline.engine.relay import Relay
from trunkline.gateway.app import Gateway
from trunkline.net.http1_client import ClientConnection
from trunkline.net.http1_server import ServerConnection
from trunkline.net.listener import ServerSettings
from trunkline.routing.backend import BackendSettings, TimeoutSettings
from trunkline.simulator.app import SimulatorThread

WARM_UP = 3_000  # the gateway keeps its last 1,000 usage records: first they must all be there
REQUESTS = 50_000
# A leak of 200 bytes per request would be 7 MB; heaps of arenas of 256 KiB and a peak of 64 calls at once breathe less.
GROWTH = 6 * 1024 * 1024
TIMEOUTS = TimeoutSettings(idle=0.2, total=1.0)  # what stalls shall not hold up the crowd
LOOPS = [
    pytest.param(uvloop.new_event_loop, id="uvloop"),
    pytest.param(asyncio.new_event_loop, id="asyncio"),
]


@pytest.mark.timeout(600)
def test_nothing_is_left_of_50_000_requests(tmp_path: Path) -> None:
    simulator = Trunkline("sim", "--port", "0")
    try:
        ready = simulator.wait_for(lambda line: " ready at " in line)
        upstream = ready.partition(" ready at ")[2].partition("/v1")[0]
        timeouts = {"idle": TIMEOUTS.idle, "total": TIMEOUTS.total}
        with gateway(tmp_path, upstream, timeouts=timeouts) as running:
            crowd = Crowd(running.port, seed=2)
            crowded(crowd, running, upstream, 500)
            descriptors = min(running.descriptors for _ in range(5))
            crowded(crowd, running, upstream, WARM_UP - 500)
            warm = running.rss
            crowded(crowd, running, upstream, REQUESTS - WARM_UP)
            print(f"{crowd.done}\nRSS {warm >> 10} -> {running.rss >> 10} KiB, peak {running.peak >> 10} KiB")
            eventually(
                lambda: running.descriptors <= descriptors, f"more than {descriptors} descriptors are open"
            )
            assert running.rss - warm < GROWTH
    finally:
        assert simulator.stop() == 0


def crowded(crowd: Crowd, running: GatewayProcess, upstream: str, requests: int) -> None:
    """Let the crowd in and wait until all traces of it are gone."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(crowd.run(requests))
    eventually(lambda: running.clients == 0, "connections of clients are left")
    assert running.in_flight == 0
    eventually(lambda: running.upstream("busy") == 0, "upstream connections are still in use")
    pooled = running.upstream("idle")
    port = int(upstream.rpartition(":")[2])
    assert simulated(port)["open_connections"] <= pooled + 1  # the question came on one, too
    eventually(lambda: simulated(port)["open_connections"] == 1, "pooled connections have not expired")
    assert simulated(port)["in_flight"] == 0
    assert running.upstream("idle") == 0


def simulated(port: int) -> dict[str, int]:
    """The simulator's counters."""
    return json.loads(get(port, "/__stats")[1])


@pytest.mark.parametrize("new_loop", LOOPS)
def test_no_task_and_no_object_is_left(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def main(upstream: str) -> None:
        running = Gateway(
            Settings(
                server=ServerSettings(port=0),
                admin=AdminSettings(port=0),
                discovery=DiscoverySettings(interval=0),  # it has tasks of its own
                backends=[BackendSettings(name="sim", url=upstream, timeouts=TIMEOUTS)],
            )
        )
        await running.start()
        crowd = Crowd(running.server.port, seed=3)
        await crowd.run(3_000)
        shared = running.server.shared
        async with asyncio.timeout(PATIENCE):
            while shared.connections or running.runtime.upstreams[0].pool.open_count:
                await asyncio.sleep(0.05)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert running.runtime.live == set()
        assert shared.buffered == 0
        await running.stop()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with SimulatorThread(seed=7) as sim:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(main(sim.url))
        gc.collect()
        kinds = (Exchange, Relay, ServerConnection, ClientConnection)
        assert [item for item in gc.get_objects() if isinstance(item, kinds)] == []
