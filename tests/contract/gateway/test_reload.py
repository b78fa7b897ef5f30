"""Another configuration while calls are running: what is under way ends as it began, what comes is new."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import structs

from tests.contract.gateway.harness import World, chat, get, on_both_loops, running
from trunkline.config.model import Settings
from trunkline.errors import RESET, Fault
from trunkline.policy.keys import KeySettings
from trunkline.routing.backend import BackendSettings, TimeoutSettings
from trunkline.routing.breaker import BreakerSettings, State
from trunkline.routing.health import HealthSettings
from trunkline.routing.models import ModelSettings, TargetSettings
from trunkline.routing.rules import RuleSettings, WhenSettings


def reload(world: World, **changes: Any) -> None:
    """Go on with some settings changed."""
    gateway = world.gateway
    gateway.adopt(gateway.prepare(structs.replace(gateway.settings, **changes)))


def backends(world: World, **changes: dict[str, Any]) -> list[BackendSettings]:
    """Those that there are, with fields changed by name."""
    return [structs.replace(one, **changes.get(one.name, {})) for one in world.gateway.settings.backends]


@on_both_loops
async def test_a_stream_goes_on_while_its_backend_is_removed() -> None:
    async with running(None, None) as world:
        client = await world.open()
        client.send(chat("sim-small!words=30;delay_chunk=0.01", stream=True))
        await client.until(b'"content":')
        old = world.gateway.runtime.upstreams[0]
        reload(world, backends=backends(world)[1:])
        assert "a" not in world.gateway.runtime.board.backends
        await client.until(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        client.send(chat())
        assert (await client.answer()).headers["x-trunkline-backend"] == "b"
        assert (old.pool.open_count, old.probes.open_count) == (0, 0), "nothing is kept there"
        assert [record.backend for record in world.records] == ["a", "b"]
        assert world.record.fault == world.records[0].fault == ""


@on_both_loops
async def test_a_call_that_fails_at_a_removed_backend_goes_on_to_those_it_began_with() -> None:
    async with running("status=500;delay_head=0.2", None) as world:
        client = await world.open()
        client.send(chat())
        await world.sims[0].until(lambda: world.sims[0].in_flight == 1)
        reload(world, backends=[structs.replace(backends(world)[0], name="c", url=world.sims[1].url)])
        assert (await client.answer()).status == 200
        assert world.faults == [("a", "server_error"), ("b", "")]


@on_both_loops
async def test_a_new_backend_and_a_new_model_are_there_at_once_on_open_connections_too() -> None:
    async with running(backends=[{"models": ["sim-small"]}]) as world:
        client = await world.open()
        client.send(chat("new"))
        assert (await client.answer()).status == 404
        added = structs.replace(backends(world)[0], name="b", models=["new"])
        reload(world, backends=[*backends(world), added])
        client.send(chat("new"))
        assert (await client.answer()).headers["x-trunkline-backend"] == "b"
        reload(
            world, models={"public": ModelSettings(targets=[TargetSettings(backend="a", model="sim-small")])}
        )
        client.send(chat("public"))
        assert (await client.answer()).status == 200
        assert world.seen.model == "sim-small"
        client.send(get("/v1/models"))
        assert [one["id"] for one in (await client.answer()).json["data"]] == ["public"]


@on_both_loops
async def test_a_removed_key_is_refused_from_then_on() -> None:
    keys = [KeySettings(name="one", key="sk-one"), KeySettings(name="two", key="sk-two")]
    async with running(keys=keys) as world:
        client = await world.open()
        request = chat(headers="authorization: Bearer sk-two\r\n")
        client.send(request)
        assert (await client.answer()).status == 200
        reload(world, keys=keys[:1])
        client.send(request)
        assert (await client.answer()).status == 401
        reload(world, keys=keys)
        client.send(request)
        assert (await client.answer()).status == 200


@on_both_loops
async def test_what_is_known_of_a_backend_survives_where_it_is_the_same_one() -> None:
    async with running(None, None) as world:
        runtime = world.gateway.runtime
        await world.ask(chat())
        first = runtime.upstreams[0]
        assert first.pool.idle == 1
        target = runtime.board.target("a", "sim-small")
        for _ in range(BreakerSettings().failures):
            target.failed(Fault(RESET, "x"), runtime.clock.read(), runtime.clock.now)
        assert target.breaker.state is State.OPEN
        latency = target.latency[0].read(runtime.clock.now)
        assert latency > 0
        # In another order, beside a new one, with another weight and other models.
        changed = backends(world, a={"weight": 5.0, "models": ["sim-*"], "priority": 7})
        added = structs.replace(changed[0], name="c", weight=1.0)
        reload(world, backends=[added, changed[1], changed[0]], keys=[KeySettings(name="k", key="k")])
        reload(world, keys=[])
        assert runtime.upstreams[2].pool is first.pool
        assert runtime.upstreams[2].settings.weight == 5.0
        assert runtime.board.target("a", "sim-small") is target
        assert target.breaker.state is State.OPEN
        assert first.pool.idle == 1
        reload(world, backends=backends(world)[2:])
        assert (await world.ask(chat())).status == 200
        assert first.pool.open_count == 1, "the connection was used again"


@on_both_loops
async def test_a_changed_backend_is_another_one() -> None:
    async with running(api_key="sk-old") as world:
        runtime = world.gateway.runtime
        await world.ask(chat())
        assert world.seen.header("authorization") == "Bearer sk-old"
        first, state = runtime.upstreams[0], runtime.board.backends["a"]
        reload(world, backends=backends(world, a={"api_key": "sk-new"}))
        await world.ask(chat())
        assert world.seen.header("authorization") == "Bearer sk-new"
        assert runtime.board.backends["a"] is not state
        assert first.pool.open_count == 0
        # The rules for failures are another matter than the connections.
        second, state = runtime.upstreams[0], runtime.board.backends["a"]
        reload(world, backends=backends(world, a={"max_concurrency": 3}))
        assert runtime.upstreams[0].pool is second.pool
        assert runtime.board.backends["a"] is state
        assert state.limit == 3
        breaker = state.breaker
        target = runtime.board.target("a", "sim-small")
        target.failed(Fault(RESET, "x"), runtime.clock.read(), runtime.clock.now)
        reload(world, breaker=BreakerSettings(failures=1))
        assert runtime.board.backends["a"] is state
        assert state.breaker is not breaker
        assert runtime.board.target("a", "sim-small") is target
        assert target.breaker.quiet
        target.failed(Fault(RESET, "x"), runtime.clock.read(), runtime.clock.now)
        assert target.breaker.state is State.OPEN, "after one failure"
        reload(world, breaker=BreakerSettings())
        assert (await world.ask(chat())).status == 200


@on_both_loops
async def test_a_request_whose_body_comes_after_the_reload_is_sent_with_what_is_new() -> None:
    rule = RuleSettings(use="sim-small", when=WhenSettings(contains_any=["hello"]))
    for rules in ([], [rule]):
        async with running(None, None, api_key="sk-old", backends=[{}, {"models": ["none"]}]) as world:
            reload(world, rules=rules)
            client = await world.open()
            client.send(chat())
            assert (await client.answer()).status == 200
            head, _, body = chat().partition(b"\r\n\r\n")
            client.send(head + b"\r\n\r\n" + body[:5])
            while not world.gateway.server.shared.buffered:
                await asyncio.sleep(0.005)
            changed = backends(world, a={"api_key": "sk-new", "url": world.sims[1].url})
            reload(world, backends=changed)
            client.send(body[5:])
            assert (await client.answer()).status == 200
            assert world.sims[1].log[-1].header("authorization") == "Bearer sk-new"
            assert world.sims[1].log[-1].header("host") == world.sims[1].url.removeprefix("http://")
            assert world.counts == [1, 1]


@on_both_loops
async def test_calls_that_wait_for_a_place_get_it() -> None:
    async with running(backends=[{"max_concurrency": 1}]) as world:
        first, second = await world.open(), await world.open()
        first.send(chat("sim-small!delay_head=0.3"))
        await world.sims[0].until(lambda: world.sims[0].in_flight == 1)
        second.send(chat())
        while not len(world.gateway.runtime.waiting):
            await asyncio.sleep(0.005)
        added = structs.replace(backends(world)[0], name="z", max_concurrency=None)
        reload(world, backends=[added])
        third = await world.ask(chat())
        assert third.headers["x-trunkline-backend"] == "z"
        for client in (first, second):
            assert (await client.answer()).headers["x-trunkline-backend"] == "a"


def limited(world: World, limit: int | None, **fields: Any) -> None:
    reload(world, backends=backends(world, a={"max_concurrency": limit} | fields))


async def wait_for(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


@on_both_loops
async def test_another_limit_of_calls_holds_for_those_that_are_there() -> None:
    async with running(backends=[{"max_concurrency": 2, "timeouts": TimeoutSettings(total=100.0)}]) as world:
        runtime, sim = world.gateway.runtime, world.sims[0]
        state = runtime.board.backends["a"]
        clients = [await world.open() for _ in range(12)]
        for number, client in enumerate(clients):
            client.send(chat(f"sim-small!delay_head=0.2;words={number + 1}"))
            await wait_for(lambda number=number: state.inflight + runtime.waiting.waiting(state) > number)
        assert (state.inflight, runtime.waiting.waiting(state)) == (2, 10)
        # The wait that is expected now is longer than the calls may take: of new ones, not of these.
        runtime.waiting.left(state, 1_000.0)
        limited(world, 1, max_queue=3, max_retries=1)
        assert (runtime.waiting.waiting(state), state.retry.max_retries) == (10, 1)
        assert (await world.ask(chat())).status == 503
        limited(world, 4)
        assert (state.inflight, runtime.waiting.waiting(state)) == (4, 8), "the new places are taken at once"
        limited(world, 1)
        assert [(await client.answer()).status for client in clients] == [200] * 12
        assert (state.inflight, state.breaker.quiet) == (0, True)
        models = [request.model or "" for request in sim.log]
        words = [int(model.rpartition("=")[2]) for model in models if "words" in model]
        # In order, but for those that were sent at the same moment, each on a connection of its own.
        assert [*sorted(words[:2]), *sorted(words[2:4]), *words[4:]] == list(range(1, 13))


@on_both_loops
async def test_calls_wait_no_more_when_the_limit_is_gone() -> None:
    async with running(backends=[{"max_concurrency": 1}]) as world:
        state = world.gateway.runtime.board.backends["a"]
        clients = [await world.open() for _ in range(3)]
        for client in clients:
            client.send(chat("sim-small!delay_head=0.2"))
        await wait_for(lambda: world.gateway.runtime.waiting.waiting(state) == 2)
        limited(world, None)
        assert len(world.gateway.runtime.waiting) == 0
        await world.sims[0].until(lambda: world.sims[0].in_flight == 3)
        assert [(await client.answer()).status for client in clients] == [200] * 3
        assert state.inflight == 0
        limited(world, 1)
        assert (await world.ask(chat())).status == 200


@on_both_loops
async def test_backends_that_stayed_are_not_asked_again() -> None:
    async with running(None, None, discovery=300.0) as world:
        await world.gateway.runtime.discovery.settled(5)
        for sim in world.sims:
            await sim.until(lambda sim=sim: len(sim.log) >= 1)
        await world.quiet()
        before = world.counts
        added = structs.replace(backends(world)[1], name="c")
        reload(world, backends=[added, *backends(world, a={"weight": 2.0, "priority": 9})])
        known = world.gateway.runtime.discovery.catalog.known
        assert (known[0].models is None, known[1].models is None) == (True, False)
        await world.sims[1].until(lambda: len(world.sims[1].log) > before[1])
        while known[0].models is None:
            await asyncio.sleep(0.005)
        assert world.counts == [before[0], before[1] + 1]
        assert world.gateway.runtime.plan.candidates("sim-small") == (0, 2, 1)
        reload(world, backends=backends(world)[1:])
        assert (await world.ask(chat("unheard-of"))).status == 404, "the lists are still known"


@on_both_loops
async def test_settings_of_the_port_hold_at_once() -> None:
    async with running() as world:
        assert (await world.ask(chat())).status == 200
        server = structs.replace(
            world.gateway.settings.server, max_body=10, max_headers=3, cors_origins=["https://page.test"]
        )
        reload(world, server=server)
        assert (await world.ask_to_end(chat())).status == 413
        crowded = "".join(f"x-{number}: 1\r\n" for number in range(5))
        assert (await world.ask_to_end(chat(headers=crowded))).status == 431
        reply = await world.ask(get("/health", headers="origin: https://page.test\r\n"))
        assert reply.headers["access-control-allow-origin"] == "https://page.test"


@on_both_loops
async def test_health_is_told_of_the_backends_that_there_are() -> None:
    async with running(None, None) as world:
        assert set((await world.ask(get("/health"))).json["backends"]) == {"a", "b"}
        added = structs.replace(backends(world)[0], name="c")
        reload(world, backends=[*backends(world), added])
        assert set((await world.ask(get("/health"))).json["backends"]) == {"a", "b", "c"}


@on_both_loops
async def test_health_checks_go_on() -> None:
    async with running(None, None) as world:
        runtime = world.gateway.runtime
        reload(world, backends=backends(world, a={"health": HealthSettings(interval=0.05)}))
        await world.sims[0].until(lambda: len(world.sims[0].log) >= 2)
        runtime.board.backends["a"].health.up = False
        reload(world, backends=backends(world, b={"weight": 2.0}))
        assert not runtime.board.backends["a"].health.up
        while not runtime.board.backends["a"].health.up:
            await asyncio.sleep(0.005)
        reload(world, backends=backends(world)[1:])
        count = len(world.sims[0].log)
        await asyncio.sleep(0.2)
        assert len(world.sims[0].log) <= count + 1, "it is asked no more"


@on_both_loops
async def test_a_configuration_that_cannot_be_had_changes_nothing() -> None:
    async with running(None, None) as world:
        runtime = world.gateway.runtime
        before = vars(runtime).copy()
        broken = backends(world, b={"url": "https://h", "ca_bundle_path": "/nowhere/ca.pem"})
        for bad in (
            structs.replace(world.gateway.settings, backends=broken),
            structs.replace(world.gateway.settings, router="nowhere:choose"),
        ):
            assert "nowhere" in refusal(world, bad)
        assert {name: value for name, value in vars(runtime).items() if before[name] is not value} == {}
        assert (await world.ask(chat())).status == 200


def refusal(world: World, settings: Settings) -> str:
    try:
        world.gateway.prepare(settings)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told
        return str(error)
    return ""


@on_both_loops
async def test_a_request_that_waits_for_the_router_of_before_gets_its_answer(tmp_path: Path) -> None:
    module = tmp_path / "reloaded_router.py"
    old = "import asyncio\nfree = asyncio.Event()\nasked = []\n"
    old += "async def choose(view):\n    asked.append(1)\n    await free.wait()\n    return 'sim-small'\n"
    async with running() as world:
        module.write_text(old)
        router = {"router": "reloaded_router:choose", "router_timeout": 20.0, "config_dir": str(tmp_path)}
        reload(world, **router)
        before: Any = sys.modules["reloaded_router"]
        client = await world.open()
        client.send(chat("auto"))
        while not before.asked:
            await asyncio.sleep(0.005)
        module.write_text("def choose(view):\n    return 'sim-large'\n# longer, so that it is read\n")
        reload(world, **router)
        assert (await world.ask(chat("auto"))).status == 200
        assert world.seen.model == "sim-large"
        before.free.set()
        assert (await client.answer()).status == 200
        assert world.seen.model == "sim-small"
        reload(world, router=None)
        assert (await world.ask(chat("sim-embed"))).headers["x-trunkline-model"] == "sim-embed"
