"""Backends that take no more calls: places at them and the queue for these, and health checks, through the gateway.

The queue alone is tested in tests/unit/engine/test_waiting.py, health checks in tests/contract/engine.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.gateway.harness import Client, World, chat, on_both_loops, running
from trunkline.routing.health import HealthSettings

HUNG = "sim-small!stall=forever;after=0"
"""A model that sends the head of an answer and then nothing: the caller decides when the call is over."""
ONE = {"max_concurrency": 1, "models": ["*"]}
BOTH = {"m": {"targets": [{"backend": "a", "model": "sim-small"}, {"backend": "b", "model": "sim-large"}]}}


async def until(check: Callable[[], bool]) -> None:
    """Wait for something that no socket tells."""
    while not check():
        await asyncio.sleep(0.001)


async def hold(world: World, model: str = HUNG, **more: Any) -> Client:
    """A call that keeps its place until it is left."""
    sim = world.sims[0]
    before = sim.in_flight
    client = await world.open()
    client.send(chat(model, **more))
    await sim.until(lambda: sim.in_flight == before + 1)
    return client


async def line_up(world: World, *requests: bytes) -> list[Client]:
    """Calls that wait, in this order."""
    clients: list[Client] = []
    for request in requests:
        wanted = len(world.gateway.runtime.waiting) + 1
        client = await world.open()
        client.send(request)
        await until(lambda wanted=wanted: len(world.gateway.runtime.waiting) == wanted)
        clients.append(client)
    return clients


def models_asked(world: World) -> list[str | None]:
    return [entry.model for entry in world.sims[0].log]


@on_both_loops
async def test_who_waits_gets_the_place_that_comes_free_in_the_order_of_arrival() -> None:
    async with running(backends=[ONE]) as world:
        first = await hold(world)
        waiting = await line_up(world, *(chat(f"m{at}", stream=at == 1) for at in range(3)))
        assert models_asked(world) == [HUNG], "nothing is sent while there is no place"
        await first.leave()
        for client in waiting:
            reply = await client.answer()
            assert (reply.status, reply.headers["x-trunkline-attempts"]) == (200, "1")
        assert models_asked(world) == [HUNG, "m0", "m1", "m2"]
        await world.quiet()
        assert [record.fault for record in world.records] == ["client_gone", "", "", ""]


@on_both_loops
async def test_many_calls_share_few_places_and_none_is_lost() -> None:
    async with running("delay_head=0.01", backends=[ONE | {"max_concurrency": 3}]) as world:
        most = 0

        async def one(at: int) -> int:
            nonlocal most
            reply = await world.ask(chat(f"m{at}", stream=at % 2 == 0))
            most = max(most, world.gateway.runtime.board.backends["a"].inflight)
            return reply.status

        assert await asyncio.gather(*(one(at) for at in range(30))) == [200] * 30
        assert 1 <= most <= 3
        await world.quiet()
        assert world.gateway.runtime.board.backends["a"].inflight == 0
        assert len(world.gateway.runtime.waiting) == 0


@pytest.mark.parametrize("stream", [False, True])
@on_both_loops
async def test_with_no_room_in_the_queue_a_call_is_refused_at_once(stream: bool) -> None:
    async with running(backends=[ONE | {"max_queue": 1}]) as world:
        first = await hold(world)
        (second,) = await line_up(world, chat("m"))
        reply = await world.ask(chat("n", stream=stream))
        assert (reply.status, reply.json["error"]["code"]) == (503, "no_backend")
        assert 1 <= int(reply.headers["retry-after"]) <= 120
        assert not {"x-trunkline-backend", "x-trunkline-attempts"} & set(reply.headers), "nobody was asked"
        assert reply.headers["x-should-retry"] == "false"
        await first.leave()
        assert (await second.answer()).status == 200
        assert models_asked(world) == [HUNG, "m"]
        await world.quiet()
        assert world.records[0].fault == "no_backend"
        assert world.records[0].attempts == ()


@on_both_loops
async def test_without_a_queue_a_full_backend_refuses_until_a_place_is_free() -> None:
    async with running(backends=[ONE | {"max_queue": 0}]) as world:
        first = await hold(world)
        assert (await world.ask(chat("m"))).status == 503
        await first.leave()
        await world.quiet()
        assert (await world.ask(chat("m"))).status == 200


@on_both_loops
async def test_who_leaves_the_queue_is_not_sent_and_takes_no_place() -> None:
    async with running(backends=[ONE]) as world:
        first = await hold(world)
        second, third = await line_up(world, chat("m0"), chat("m1"))
        await second.leave()
        await until(lambda: len(world.gateway.runtime.waiting) == 1)
        await first.leave()
        assert (await third.answer()).status == 200
        assert models_asked(world) == [HUNG, "m1"]
        await world.quiet()
        assert sorted(record.fault for record in world.records) == ["", "client_gone", "client_gone"]


@on_both_loops
async def test_who_waits_in_vain_is_told_when_its_time_is_over() -> None:
    async with running(backends=[ONE], timeouts={"total": 0.3}) as world:
        # A stream that has begun has no total.
        first = await hold(world, "sim-small!stall=forever;after=3", stream=True)
        await first.until(b"data: ")
        replies = await asyncio.gather(*(world.ask(chat("m", stream=stream)) for stream in (False, True)))
        assert [(reply.status, reply.json["error"]["code"]) for reply in replies] == [(503, "no_backend")] * 2
        assert all(1 <= int(reply.headers["retry-after"]) <= 120 for reply in replies)
        assert not any("x-trunkline-backend" in reply.headers for reply in replies)
        assert len(world.gateway.runtime.waiting) == 0
        assert len(models_asked(world)) == 1
        await first.leave()


@on_both_loops
async def test_a_place_elsewhere_is_taken_before_one_waits() -> None:
    async with running(None, None, models=BOTH, backends=[ONE, {}]) as world:
        first = await hold(world, "m", headers="x-sim-fault: stall=forever;after=0\r\n")
        for _ in range(2):
            assert (await world.ask(chat("m"))).headers["x-trunkline-backend"] == "b"
        await first.leave()
        await world.quiet()
        assert (await world.ask(chat("m"))).headers["x-trunkline-backend"] == "a"


@on_both_loops
async def test_one_waits_at_all_backends_and_takes_the_first_place() -> None:
    async with running(None, None, models=BOTH, backends=[ONE, ONE]) as world:
        fault = "x-sim-fault: stall=forever;after=0\r\n"
        at_a = await hold(world, "m", headers=fault)
        at_b = await world.open()
        at_b.send(chat("m", headers=fault))
        await world.sims[1].until(lambda: world.sims[1].in_flight == 1)
        (waiting,) = await line_up(world, chat("m"))
        await at_b.leave()
        assert (await waiting.answer()).headers["x-trunkline-backend"] == "b"
        assert world.counts == [1, 2]
        await at_a.leave()


# health


def healthy(**settings: Any) -> dict[str, Any]:
    return {"health": HealthSettings(interval=0.01, rise=1, fall=2, **settings)}


async def until_up(world: World, up: bool) -> None:
    await until(lambda: world.gateway.runtime.board.backends["a"].health.up is up)


@on_both_loops
async def test_a_backend_whose_checks_fail_gets_no_calls_until_they_succeed(
    capfd: pytest.CaptureFixture[str],
) -> None:
    async with running(None, None, backends=[healthy(path="/v1/models"), {}]) as world:
        a = world.sims[0]
        assert (await world.ask(chat())).headers["x-trunkline-backend"] == "a"
        a.set_fault("status=503")
        await until_up(world, False)
        asked = [entry.method for entry in a.log].count("POST")
        for stream in (False, True):
            reply = await world.ask(chat(stream=stream))
            assert (reply.headers["x-trunkline-backend"], reply.headers["x-trunkline-attempts"]) == ("b", "1")
        assert [entry.method for entry in a.log].count("POST") == asked, "not even a probe"
        a.set_fault(None)
        await until_up(world, True)
        assert (await world.ask(chat())).headers["x-trunkline-backend"] == "a"
    told = capfd.readouterr().err
    assert told.index("backend a: its health checks fail") < told.index("its health checks succeed again")


@on_both_loops
async def test_with_nobody_else_an_unhealthy_backend_is_asked_all_the_same() -> None:
    async with running(backends=[healthy(path="/nowhere")]) as world:
        await until_up(world, False)
        assert (await world.ask(chat())).status == 200
