"""The smuggling corpus (smuggling.py) against the server alone, and through the whole gateway to an upstream's log."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import pytest

from tests.contract.net.serving import answers, request, serving
from tests.contract.net.smuggling import REFUSED, SMUGGLED, TAKEN
from tests.contract.simulator.raw import Wire, on_both_loops
from trunkline.config.model import AdminSettings, DiscoverySettings, Settings
from trunkline.gateway.app import Gateway
from trunkline.net.listener import ServerSettings
from trunkline.routing.backend import BackendSettings
from trunkline.simulator.app import Simulator, start


async def refused(port: int, raw: bytes) -> list[int]:
    """Send a row of the corpus and the smuggled request; give the statuses of what comes until the end."""
    wire = Wire(*await asyncio.open_connection("127.0.0.1", port))
    wire.send(raw + SMUGGLED)
    reply = await wire.rest()
    assert reply.end == "fin"
    return [answer.status for answer in answers(reply.raw)]


@pytest.mark.parametrize("name", sorted(REFUSED))
@on_both_loops
async def test_the_server_refuses_it_and_all_behind_it(name: str) -> None:
    raw = REFUSED[name]
    async with serving() as server:
        assert await refused(server.port, raw) == [400]
        assert [fault.kind.name for fault in server.app.faults] == ["bad_framing"]
        # Only a body can be wrong after the head was passed on, and then the application is told.
        if b"Transfer-Encoding: chunked\r\n\r\n" not in raw or name.startswith("TE"):
            assert server.app.heads == []
        for taken in server.app.taken:
            assert taken.fault is server.app.faults[0]
            assert not taken.complete
        assert all(b"smuggled" not in head.target for head in server.app.heads)


@pytest.mark.parametrize("name", sorted(REFUSED))
@on_both_loops
async def test_it_is_refused_after_a_sound_request_of_the_same_head(name: str) -> None:
    """Heads that were read before are not read again: what looks like one must not pass for it."""
    raw = REFUSED[name]
    known = b"POST /v1/a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n12345"
    async with serving() as server:
        wire = await server.connect()
        wire.send(known + request("/v1/a", b"12345") + raw + SMUGGLED)
        found = [answer.status for answer in answers((await wire.rest()).raw)]
        assert found == [200, 200, 400]
        assert all(b"smuggled" not in head.target for head in server.app.heads)


@pytest.mark.parametrize("name", sorted(TAKEN))
@on_both_loops
async def test_what_is_sound_is_read_in_the_one_way(name: str) -> None:
    raw, requests = TAKEN[name]
    async with serving() as server:
        found = await server.ask(raw + request("/last", headers="Connection: close\r\n"))
        assert [answer.status for answer in found] == [200] * (len(requests) + 1)
        read = [(taken.head.method + b" " + taken.head.target, taken.body) for taken in server.app.taken]
        assert read == [*requests, (b"GET /last", b"")]


# through the gateway


@contextlib.asynccontextmanager
async def gateway(sim: Simulator) -> AsyncGenerator[Gateway]:
    settings = Settings(
        server=ServerSettings(port=0, allowed_hosts=["h", "a", "example.com"]),
        discovery=DiscoverySettings(interval=0),
        admin=AdminSettings(port=0),
        backends=[BackendSettings(name="sim", url=sim.url, models=["*"])],
    )
    running = Gateway(settings)
    await running.start()
    try:
        yield running
    finally:
        for connection in list(running.server.shared.connections):
            connection._abort()
        await running.stop()


@on_both_loops
async def test_no_upstream_hears_of_what_was_refused() -> None:
    async with await start() as sim, gateway(sim) as running:
        for name, raw in REFUSED.items():
            assert await refused(running.server.port, raw) == [400], name
            # A body of another type streams through, so its beginning may have gone up; but never as a whole request.
            complete = [entry for entry in sim.log if entry.outcome == "answered"]
            assert complete == [], name
        assert [entry for entry in sim.log if "smuggled" in entry.target] == []


@on_both_loops
async def test_an_upstream_hears_what_was_sent() -> None:
    async with await start() as sim, gateway(sim) as running:
        for name, (raw, requests) in TAKEN.items():
            sim.reset()
            wire = Wire(*await asyncio.open_connection("127.0.0.1", running.server.port))
            wire.send(raw + request("/v1/last", headers="Connection: close\r\n"))
            reply = await wire.rest()
            assert reply.end == "fin", name
            heard = [(f"{entry.method} {entry.target}".encode(), entry.body.encode()) for entry in sim.log]
            sent = [(line.replace(b"http://other", b""), body) for line, body in requests]
            assert heard == [*sent, (b"GET /v1/last", b"")], name
