"""A client that leaves takes its upstream with it, and leaves a record behind."""

import asyncio

import pytest

from tests.contract.gateway.harness import World, chat, get, on_both_loops, post, running, scripted


async def gone(world: World) -> None:
    """Everything that a call held is free again, and its record says why."""
    await world.quiet()
    await world.sims[0].until(lambda: world.sims[0].open_connections == 0)
    assert world.seen.outcome == "client_closed"
    assert world.record.fault == "client_gone"
    assert world.record.attempts[-1].fault == "client_gone"
    assert world.gateway.runtime.upstreams[0].pool.open_count == 0


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (chat("sim-small!delay_head=forever"), 499),
        (chat("sim-small!delay_head=forever", stream=True), 499),
        (chat("sim-small!role_stall", stream=True), 499),
        (post("/v1/audio/speech", {"model": "m!delay_head=forever", "input": "x", "voice": "v"}), 499),
    ],
)
@on_both_loops
async def test_before_anything_was_sent(request_bytes: bytes, status: int) -> None:
    async with running() as world:
        client = await world.open()
        client.send(request_bytes)
        await world.sims[0].until(lambda: world.sims[0].in_flight == 1)
        await client.leave()
        await gone(world)
        assert (world.record.status, world.record.bytes_out) == (status, 0)


@on_both_loops
async def test_in_the_middle_of_a_stream() -> None:
    async with running() as world:
        client = await world.open()
        client.send(chat("sim-small!stall;after=5", stream=True))
        await client.head()
        await client.leave()
        await gone(world)
        assert world.record.status == 200
        assert world.record.bytes_out > 0
        client = await world.open()
        client.send(post("/v1/audio/speech", {"model": "m!stall;after=900", "input": "x", "voice": "v"}))
        await client.head()
        await client.leave()
        await gone(world)


@on_both_loops
async def test_while_its_socket_is_paused() -> None:
    async with running() as world:
        client = await world.open()
        client.send(chat("sim-small!bulk=3000000", stream=True))
        await client.head()
        sent = -1
        while sent != world.seen.sent:  # until back-pressure has stopped the upstream
            sent = world.seen.sent
            await asyncio.sleep(0.1)
        await client.leave()
        await gone(world)


@on_both_loops
async def test_half_closed_is_gone_too() -> None:
    async with running() as world:
        client = await world.open()
        client.send(chat("sim-small!delay_head=forever"))
        await world.sims[0].until(lambda: world.sims[0].in_flight == 1)
        client.writer.write_eof()
        await gone(world)


@on_both_loops
async def test_while_the_next_request_waits_in_the_pipeline() -> None:
    async with running() as world:
        client = await world.open()
        client.send(chat("sim-small!delay_head=forever") + chat() * 400)
        await world.sims[0].until(lambda: world.sims[0].in_flight == 1)
        await client.leave()
        await gone(world)
        assert world.counts == [1]


@on_both_loops
async def test_while_a_connection_is_being_opened() -> None:
    async with running() as world:
        pool = world.gateway.runtime.upstreams[0].pool
        opened = asyncio.Event()

        class Slow:
            async def connect(self, factory: object) -> None:
                opened.set()
                await asyncio.get_running_loop().create_future()

        pool._connector = Slow()  # type: ignore[assignment]  # never answers
        client = await world.open()
        client.send(chat())
        await opened.wait()
        await client.leave()
        await world.quiet()
        assert world.record.fault == "client_gone"
        assert pool.open_count == 0
        assert world.counts == [0]


@on_both_loops
async def test_between_two_attempts() -> None:
    async with running("status=503", "delay_head=forever") as world:
        client = await world.open()
        client.send(chat())
        await world.sims[1].until(lambda: world.sims[1].in_flight == 1)
        await client.leave()
        await world.quiet()
        assert world.faults == [("a", "server_error"), ("b", "client_gone")]
        assert world.sims[1].log[0].outcome == "client_closed"


@on_both_loops
async def test_from_the_gateways_own_pages() -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with scripted(play) as url, running(backends=[{"url": url}]) as world:
        client = await world.open()
        client.send(get("/health"))
        while not world.gateway.runtime.upstreams[0].probes.open_count:
            await asyncio.sleep(0.005)
        await client.leave()
        while world.gateway.server.shared.connections:
            await asyncio.sleep(0.005)


@on_both_loops
async def test_a_reader_that_stops_is_cut() -> None:
    async with running(server={"slow_client": 0.3}) as world:
        client = await world.open()
        client.send(chat("sim-small!bulk=3000000", stream=True))
        await client.head()
        await gone(world)


@on_both_loops
async def test_an_answer_that_is_not_read_holds_the_next_one_back() -> None:
    async with running() as world:
        client = await world.open()
        client.send(post("/v1/audio/speech", {"model": "m!bytes=3MiB", "input": "x", "voice": "v"}))
        await client.head()
        client.send(chat("sim-small!bulk=1000000", stream=True))
        await asyncio.sleep(0.5)
        transports = [connection._transport for connection in world.gateway.server.shared.connections]
        assert all(
            transport is not None and transport.get_write_buffer_size() < 1 << 20 for transport in transports
        )
        await client.leave()
        await world.quiet()


@on_both_loops
async def test_the_connection_is_used_again_after_back_pressure() -> None:
    async with running() as world:
        client = await world.open()
        for _ in range(3):
            client.send(post("/v1/audio/speech", {"model": "m!bytes=3MiB", "input": "x", "voice": "v"}))
            head = await client.head()
            await asyncio.sleep(0.2)  # back-pressure builds up
            await client.reader.readexactly(int(head.headers["content-length"]))
        await world.quiet()
        assert (await world.ask(chat())).status == 200
        assert world.sims[0].stats()["connections_total"] == 1
