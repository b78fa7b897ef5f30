"""net/handshake.py: a connection counts from the moment it is accepted, and nothing sent early is lost."""

import asyncio
import ssl

import pytest

from tests.contract.net.dialling import CA
from tests.contract.net.serving import Serving, request, serving, until
from tests.contract.simulator.raw import Wire, on_both_loops
from trunkline.net.handshake import Handshake


async def refused(server: Serving) -> None:
    """Connect and be cut off before or in the handshake."""
    with pytest.raises((ConnectionError, ssl.SSLError)):
        await server.connect(tls=True)


@on_both_loops
async def test_who_does_not_shake_hands_counts_for_the_cap() -> None:
    async with serving(tls=True, max_connections=2) as server:
        silent = await server.connect()
        await until(lambda: server.open_count == 1)
        good = await server.connect(tls=True)
        good.send(request("/a"))
        assert (await good.answer()).status == 200
        assert (server.open_count, len(server.shared.connections)) == (2, 1)
        await refused(server)
        assert (await (await server.connect()).rest()).raw == b""
        await silent.close()
        await until(lambda: server.open_count == 1)
        other = await server.connect(tls=True)
        other.send(request("/b"))
        assert (await other.answer()).status == 200
        await good.close()
        await other.close()


@on_both_loops
async def test_a_handshake_that_does_not_begin_is_ended() -> None:
    async with serving(tls=True, head_timeout=0.1) as server:
        silent = await server.connect()
        assert (await silent.rest()).raw == b""
        assert server.open_count == 0


@on_both_loops
async def test_who_speaks_no_tls_is_closed() -> None:
    async with serving(tls=True) as server:
        wire = await server.connect()
        wire.send(request("/a"))
        await wire.rest()
        await until(lambda: server.open_count == 0)
        assert server.app.heads == []


@on_both_loops
async def test_a_request_right_behind_the_handshake_is_answered() -> None:
    """The last message of the handshake and the request in one piece."""
    context = ssl.create_default_context()
    CA.configure_trust(context)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    async with serving(tls=True) as server:
        wire = Wire(*await asyncio.open_connection("127.0.0.1", server.port))
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                wire.send(outgoing.read())
                incoming.write(await wire.reader.read(65536))
        client.write(request("/early-bird"))
        wire.send(outgoing.read())
        answer = b""
        while not answer.endswith(b"/early-bird "):
            incoming.write(await wire.reader.read(65536))
            try:
                answer += client.read(65536)
            except ssl.SSLWantReadError:
                continue
        assert answer.startswith(b"HTTP/1.1 200 ")
        await wire.close()


@on_both_loops
async def test_a_server_that_closes_ends_handshakes() -> None:
    async with serving(tls=True) as server:
        silent = await server.connect()
        await until(lambda: server.open_count == 1)
        await server.close()
        assert server.open_count == 0
        assert (await silent.rest()).raw == b""


@on_both_loops
async def test_a_handshake_is_cut_before_it_began(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(tls=True) as server:
        made = Handshake.connection_made

        def made_and_cut(self: Handshake, transport: asyncio.BaseTransport) -> None:
            made(self, transport)
            self.cut()

        monkeypatch.setattr(Handshake, "connection_made", made_and_cut)
        assert (await (await server.connect()).rest()).raw == b""
        assert server.open_count == 0
