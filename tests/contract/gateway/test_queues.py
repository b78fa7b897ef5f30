"""When one waits for a place and when not: before a last resort, after a failure, for one who is able, with an upload.

The queue itself, and places in general, are in test_places.py.
"""

import asyncio
from typing import Any

import pytest

from tests.contract.gateway.harness import Client, World, chat, multipart, on_both_loops, post, running
from tests.contract.gateway.test_places import BOTH, ONE, hold, line_up, until
from trunkline.routing.backend import CapabilitySettings

HANG = "x-sim-fault: stall=forever;after=0\r\n"
AT_A = {"backend": "a", "model": "sim-small"}
AT_B = {"backend": "b", "model": "sim-large"}
FALLS_BACK = {"m": {"targets": [AT_A], "fallbacks": ["f"]}, "f": {"targets": [AT_B]}}
NO_ROOM = {"max_queue": 0}


async def hold_at(world: World, sim: int, model: str) -> Client:
    """A call that keeps the place at a simulator until it is left."""
    client = await world.open()
    client.send(chat(model, headers=HANG))
    await world.sims[sim].until(lambda: world.sims[sim].in_flight == 1)
    return client


@pytest.mark.parametrize("stream", [False, True])
@on_both_loops
async def test_when_all_connections_are_in_use_one_is_waited_for(stream: bool) -> None:
    one = {"max_connections": 1}
    async with running("delay_head=0.1", "delay_head=0.1", models=BOTH, backends=[one, one]) as world:
        replies = await asyncio.gather(*(world.ask(chat("m", stream=stream)) for _ in range(6)))
        assert [reply.status for reply in replies] == [200] * 6
        assert sum(world.counts) == 6


# who is waited for


@on_both_loops
async def test_who_is_able_is_waited_for_though_others_are_free() -> None:
    blind = {"capabilities": {"sim-*": CapabilitySettings(vision=False)}}
    url = {"url": "data:image/png;base64,AAAA"}
    picture = [{"role": "user", "content": [{"type": "image_url", "image_url": url}]}]
    async with running(None, None, models=BOTH, backends=[ONE, blind]) as world:
        first = await hold_at(world, 0, "m")
        (waiting,) = await line_up(world, chat("m", messages=picture))
        await first.leave()
        assert (await waiting.answer()).headers["x-trunkline-backend"] == "a"
        assert world.counts == [2, 0]


async def eject_b(world: World) -> int:
    """Let the fallback fail until its breaker is open; how many requests that were."""
    for _ in range(5):
        assert (await world.ask(chat("f"))).status == 500
    return world.counts[1]


@on_both_loops
async def test_a_place_is_waited_for_before_an_ejected_fallback_is_asked() -> None:
    async with running(None, "status=500", models=FALLS_BACK, backends=[ONE, {}]) as world:
        asked = await eject_b(world)
        first = await hold_at(world, 0, "m")
        (waiting,) = await line_up(world, chat("m"))
        await first.leave()
        reply = await waiting.answer()
        assert (reply.status, reply.headers["x-trunkline-backend"]) == (200, "a")
        assert world.counts[1] == asked


@on_both_loops
async def test_without_room_in_the_queue_an_ejected_fallback_is_the_last_resort() -> None:
    async with running(None, "status=500", models=FALLS_BACK, backends=[ONE | NO_ROOM, {}]) as world:
        asked = await eject_b(world)
        world.sims[1].reset()
        first = await hold_at(world, 0, "m")
        reply = await world.ask(chat("m", headers="x-sim-fault: none\r\n"))
        assert (reply.headers["x-trunkline-backend"], asked) == ("b", 5)
        assert world.counts[1] == 1
        await first.leave()


# after a failure


@pytest.mark.parametrize("stream", [False, True])
@on_both_loops
async def test_after_a_failure_a_place_at_the_fallback_is_waited_for(stream: bool) -> None:
    async with running("status=500", None, models=FALLS_BACK, backends=[{}, ONE]) as world:
        first = await hold_at(world, 1, "f")
        (waiting,) = await line_up(world, chat("m", stream=stream))
        await first.leave()
        reply = await waiting.answer()
        assert (reply.status, reply.headers["x-trunkline-backend"]) == (200, "b")
        assert reply.headers["x-trunkline-attempts"] == "2"
        await world.quiet()
        assert world.faults == [("a", "server_error"), ("b", "")]


@pytest.mark.parametrize(("room", "total"), [(NO_ROOM, 600.0), ({}, 0.4)], ids=["no room", "no time"])
@on_both_loops
async def test_in_vain_before_the_fallback_the_client_gets_the_failure(
    room: dict[str, Any], total: float
) -> None:
    backends = [{}, ONE | room]
    faults = ("status=500;message=the first", None)
    async with running(*faults, models=FALLS_BACK, backends=backends, timeouts={"total": total}) as world:
        first = await world.open()
        # A stream that has begun has no total.
        first.send(chat("f", stream=True, headers="x-sim-fault: stall=forever;after=3\r\n"))
        await first.until(b"data: ")
        reply = await world.ask(chat("m"))
        assert (reply.status, reply.json["error"]["message"]) == (500, "the first")
        assert world.counts == [1, 1]
        assert len(world.gateway.runtime.waiting) == 0
        await first.leave()


PAUSES = "m!status=500;times=1;header=retry-after-ms: 300"


@on_both_loops
async def test_whose_place_was_taken_in_a_pause_waits_and_asks_again() -> None:
    async with running(backends=[ONE | {"max_retries": 2}]) as world:
        client = await world.open()
        client.send(chat(PAUSES))
        state = world.gateway.runtime.board.backends["a"]
        await until(lambda: len(world.sims[0].log) == 1 and state.inflight == 0)
        other = await hold(world)
        await until(lambda: len(world.gateway.runtime.waiting) == 1)
        assert world.counts == [2], "the place is the other's"
        await other.leave()
        reply = await client.answer()
        assert (reply.status, reply.headers["x-trunkline-attempts"]) == (200, "2")


@on_both_loops
async def test_who_waits_after_a_pause_asks_an_unhealthy_backend_if_there_is_no_other() -> None:
    async with running(backends=[ONE | {"max_retries": 2}]) as world:
        client = await world.open()
        client.send(chat(PAUSES))
        runtime = world.gateway.runtime
        state = runtime.board.backends["a"]
        await until(lambda: len(world.sims[0].log) == 1 and state.inflight == 0)
        other = await hold(world)
        await until(lambda: len(runtime.waiting) == 1)
        for _ in range(3):
            state.checked(False, runtime.clock.now)
        await other.leave()
        assert (await client.answer()).status == 200


@on_both_loops
async def test_a_stream_that_waits_shows_life_and_is_told_when_it_was_in_vain() -> None:
    async with running(backends=[ONE], timeouts={"total": 0.6}, server={"hold_head": 0.1}) as world:
        first = await world.open()
        first.send(chat("sim-small!stall=forever;after=3", stream=True))
        await first.until(b"data: ")
        reply = await world.ask(chat("m", stream=True))
        assert (reply.status, "x-trunkline-backend" in reply.headers) == (200, False)
        assert reply.body.startswith(b":")
        assert reply.events[-1]["error"]["code"] == "no_backend"
        assert world.counts == [1]
        await first.leave()


# uploads


@pytest.mark.parametrize("limit", [ONE, {"max_connections": 1}], ids=["place", "connection"])
@on_both_loops
async def test_an_upload_that_waits_for_its_turn_waits_with_its_client(limit: dict[str, Any]) -> None:
    kind, body = multipart(("model", b"m"), ("file", bytes(30 << 20)))
    async with running(backends=[limit]) as world:
        first = await hold(world)
        client = await world.open()
        client.send(post("/v1/audio/transcriptions", headers=kind, body=body))
        left = -1
        while left != client.writer.transport.get_write_buffer_size():
            left = client.writer.transport.get_write_buffer_size()
            await asyncio.sleep(0.2)
        assert left > 10 << 20
        assert len(world.gateway.runtime.live) == 2
        assert world.gateway.server.shared.buffered < 1 << 20
        await first.leave()
        reply = await client.answer()
        assert (reply.status, reply.json["bytes"]) == (200, len(body))


AT_C = {"backend": "c", "model": "sim-small"}
THREE = {
    "m": {"targets": [AT_A], "fallbacks": ["f", "g"]},
    "f": {"targets": [AT_B]},
    "g": {"targets": [AT_C]},
}


@pytest.mark.parametrize(
    ("faults", "second", "status", "code"),
    [
        (("status=502;message=the first", None), {"provider": "groq", "strict_params": True}, 502, None),
        (("window=20", "status=503"), {}, 400, "context_length_exceeded"),
    ],
    ids=["not sent to the second", "too long for the first"],
)
@on_both_loops
async def test_in_vain_before_the_last_of_three_the_first_failure_is_told(
    faults: tuple[str, str | None], second: dict[str, Any], status: int, code: str | None
) -> None:
    backends = [{}, second, ONE]
    async with running(*faults, None, models=THREE, backends=backends, timeouts={"total": 0.4}) as world:
        first = await world.open()
        first.send(chat("g", stream=True, headers="x-sim-fault: stall=forever;after=3\r\n"))
        await first.until(b"data: ")
        say = [{"role": "user", "content": "word " * 40}]
        reply = await world.ask(chat("m", messages=say, logit_bias={"1": 1}))
        assert reply.status == status
        assert reply.json["error"]["code"] == code or code is None
        assert world.counts[2] == 1
        await first.leave()
