"""Clients that are slow, and clients that leave: noticed by deadlines, by FIN, or by asking the kernel."""

import asyncio
import socket
import struct

import pytest

from tests.contract.net.serving import MUCH, PLAIN_AND_TLS, Serving, answers, chunked, request, serving, until
from tests.contract.simulator.raw import Wire, on_both_loops
from trunkline.errors import CLIENT_GONE, SLOW_REQUEST

SOON = 0.05  # a deadline that is to pass


async def drip(wire: Wire, raw: bytes) -> None:
    """Send byte after byte until the connection ends."""
    for position in range(len(raw)):
        if wire.reader.at_eof() or wire.writer.is_closing():
            return
        wire.send(raw[position : position + 1])
        await asyncio.sleep(0.005)


# deadlines


@pytest.mark.parametrize("served", [0, 1])
@on_both_loops
async def test_a_head_that_drips_is_refused(served: int) -> None:
    async with serving(head_timeout=SOON) as server:
        wire = await server.connect()
        for _ in range(served):
            wire.send(request("/a"))
            await wire.answer()
        dripping = asyncio.get_running_loop().create_task(drip(wire, request("/a" + "x" * 10_000)))
        reply = await wire.rest()
        assert (reply.status, reply.headers["connection"]) == (408, "close")
        assert [fault.kind for fault in server.app.faults] == [SLOW_REQUEST]
        assert len(server.app.heads) == served
        await dripping


@pytest.mark.parametrize("sent", [b"", b"\r\n", b"\r\n\r\n"])
@on_both_loops
async def test_a_client_that_says_nothing_is_closed_without_a_word(sent: bytes) -> None:
    async with serving(head_timeout=SOON) as server:
        wire = await server.connect()
        wire.send(sent)
        assert (await wire.rest()).raw == b""
        assert server.app.faults == []


@on_both_loops
async def test_a_connection_that_idles_is_closed_without_a_word() -> None:
    async with serving(keep_alive_idle=SOON) as server:
        wire = await server.connect()
        wire.send(request("/a"))
        await wire.answer()
        assert (await wire.rest()).raw == b""
        assert server.app.faults == []


@pytest.mark.parametrize("raw", [request("/a", b"12345")[:-1], chunked("/a", b"12345")[:-1]])
@pytest.mark.parametrize("target", [b"/whole", b"/pieces"])
@on_both_loops
async def test_a_body_that_stops_is_refused(raw: bytes, target: bytes) -> None:
    async with serving(body_idle=SOON) as server:
        wire = await server.connect()
        wire.send(raw.replace(b"/a", target))
        reply = await wire.rest()
        assert (reply.status, reply.headers["connection"]) == (408, "close")
        (taken,) = server.app.taken
        assert taken.fault is not None
        assert taken.fault.kind is SLOW_REQUEST


@on_both_loops
async def test_a_body_may_take_longer_than_its_idle_time() -> None:
    async with serving(body_idle=0.3) as server:
        wire = await server.connect()
        wire.send(request("/a", b"x" * 8)[:-8])
        taken = await server.app.until_taken(1)
        begun = server.shared.clock.read()
        for _ in range(8):
            await asyncio.sleep(0.06)
            wire.send(b"x")
        assert (await wire.answer()).body == b"/a xxxxxxxx"
        assert server.shared.clock.read() - begun > 0.3
        assert taken.complete
        await wire.close()


@on_both_loops
async def test_a_body_that_the_application_paused_is_not_late() -> None:
    async with serving(body_idle=SOON) as server:
        wire = await server.connect()
        wire.send(request("/pieces", b"12345")[:-4])
        taken = await server.app.until_taken(1)
        taken.connection.pause_body(True)
        await ticks(server, 3)
        taken.connection.pause_body(False)
        wire.send(b"2345")
        assert (await wire.answer()).body == b"/pieces 12345"
        await wire.close()


@pytest.mark.parametrize("form", ["length", "chunks"])
@pytest.mark.parametrize("target", ["/whole", "/pieces"])
@on_both_loops
async def test_a_body_that_drips_is_refused(form: str, target: str) -> None:
    body = b"x" * 10_000
    raw = request(target, body) if form == "length" else chunked(target, *[b"x"] * 10_000)
    begins = raw.index(b"\r\n\r\n") + 4
    async with serving(body_timeout=0.2) as server:
        wire = await server.connect()
        wire.send(raw[:begins])
        dripping = asyncio.get_running_loop().create_task(drip(wire, raw[begins:]))
        reply = await wire.rest()
        assert (reply.status, reply.headers["connection"]) == (408, "close")
        assert b"did not come within 0.2 s" in reply.body
        (taken,) = server.app.taken
        assert taken.fault is not None
        assert taken.fault.kind is SLOW_REQUEST
        assert not taken.complete
        await dripping


@on_both_loops
async def test_a_body_that_drips_after_its_answer_is_cut() -> None:
    async with serving(body_timeout=0.2) as server:
        wire = await server.connect()
        wire.send(request("/later", b"12345")[:-5])
        taken = await server.app.until_taken(1)
        taken.connection.head(200, b"")
        dripping = asyncio.get_running_loop().create_task(drip(wire, b"1234"))
        reply = await wire.rest()
        assert reply.raw.endswith(b"\r\n\r\n")
        assert taken.fault is not None
        assert taken.fault.kind is SLOW_REQUEST
        await dripping


@on_both_loops
async def test_the_time_of_a_body_stands_still_while_it_is_paused() -> None:
    async with serving(body_timeout=0.3) as server:
        wire = await server.connect()
        wire.send(request("/pieces", b"12345")[:-4])
        taken = await server.app.until_taken(1)
        for paused in (True, True):
            taken.connection.pause_body(paused)
        await ticks(server, 5)
        assert taken.fault is None
        for paused in (False, False):
            taken.connection.pause_body(paused)
        # What was left when it began is left now, and no more.
        assert 0.0 < taken.connection._body_until - server.shared.clock.now < 0.3 + 1e-6
        reply = await wire.rest()
        assert (reply.status, taken.fault is not None) == (408, True)


@on_both_loops
async def test_the_time_of_a_body_is_over_with_it() -> None:
    async with serving(body_timeout=0.3) as server:
        wire = await server.connect()
        wire.send(request("/later", b"12345")[:-4])
        taken = await server.app.until_taken(1)
        wire.send(b"2345")
        await until(lambda: taken.complete)
        await ticks(server, 5)
        taken.answer()
        assert (await wire.answer()).body == b"/later 12345"
        wire.send(request("/a"))
        assert (await wire.answer()).status == 200
        await wire.close()


@on_both_loops
async def test_a_call_has_no_deadline_here() -> None:
    async with serving(head_timeout=SOON, body_idle=SOON, keep_alive_idle=SOON, slow_client=SOON) as server:
        wire = await server.connect()
        wire.send(request("/later", b"body"))
        taken = await server.app.until_taken(1)
        await ticks(server, 4)
        taken.answer()
        assert (await wire.answer()).status == 200
        await wire.close()


@PLAIN_AND_TLS
@on_both_loops
async def test_a_client_that_reads_nothing_is_cut(tls: bool) -> None:
    async with serving(slow_client=SOON, tls=tls) as server:
        wire = await server.connect(tls=tls, limit=1024)
        wire.send(request("/later"))
        taken = await server.app.until_taken(1)
        taken.connection.head(200, b"")
        while taken.fault is None:
            if taken.connection.writable:  # the kernel takes more and more for a while
                taken.connection.data(b"x" * 65536)
            await asyncio.sleep(0.001)
        assert taken.fault.kind is CLIENT_GONE
        assert taken.fault.message == "the client read nothing for 0.05 s"
        await until(lambda: not server.shared.connections)
        wire.writer.transport.abort()


@on_both_loops
async def test_a_client_that_reads_slowly_is_not() -> None:
    async with serving(slow_client=0.25) as server:
        wire = await server.connect(limit=1024)
        wire.send(request("/later"))
        taken = await server.app.until_taken(1)
        taken.connection.head(200, b"", MUCH)
        taken.connection.data(b"x" * MUCH)
        begun = server.shared.clock.read()
        await wire.reader.readuntil(b"\r\n\r\n")
        read = 0
        while read < MUCH:
            read += len(await wire.reader.read(64 * 1024))
            if server.shared.clock.read() - begun < 0.8:
                await asyncio.sleep(0.01)
        assert taken.fault is None
        assert server.shared.clock.read() - begun > 0.5
        taken.connection.end()
        taken.connection.done()
        await wire.close()


# leaving


@PLAIN_AND_TLS
@pytest.mark.parametrize("how", ["fin", "reset"])
@on_both_loops
async def test_a_client_that_leaves_during_a_call_is_gone(tls: bool, how: str) -> None:
    async with serving(tls=tls) as server:
        wire = await server.connect(tls=tls)
        wire.send(request("/later", b"body"))
        taken = await server.app.until_taken(1)
        if how == "reset":
            linger(wire)
        wire.writer.close() if how == "fin" else wire.writer.transport.abort()
        await until(lambda: taken.fault is not None)
        assert taken.fault is not None
        assert taken.fault.kind is CLIENT_GONE
        await until(lambda: not server.shared.connections)


@pytest.mark.parametrize("raw", [request("/a", b"body")[:-1], chunked("/pieces", b"body")[:-1], b"GET /a HT"])
@on_both_loops
async def test_a_client_that_leaves_in_a_request_is_gone(raw: bytes) -> None:
    async with serving() as server:
        wire = await server.connect()
        wire.send(raw)
        if b"POST" in raw:
            taken = await server.app.until_taken(1)
            await wire.close()
            await until(lambda: taken.fault is not None)
            assert not taken.complete
        else:
            await until(lambda: len(server.shared.connections) == 1 and bool(server.only._buffer))
            await wire.close()
        await until(lambda: not server.shared.connections)
        assert server.app.faults == []


@on_both_loops
async def test_a_half_closed_connection_gets_what_was_answered_and_no_more() -> None:
    """FIN means gone: whoever sends it does not wait for the calls that it has begun."""
    async with serving() as server:
        wire = await server.connect()
        wire.send(request("/a") + request("/later") + request("/never"))
        wire.writer.write_eof()
        reply = await wire.rest()
        assert [answer.status for answer in answers(reply.raw)] == [200]
        await until(lambda: not server.shared.connections)
        assert all(taken.fault is not None for taken in server.app.taken[1:])
        assert b"/never" not in [head.target for head in server.app.heads]


@on_both_loops
async def test_an_answer_given_at_once_reaches_a_half_closed_connection() -> None:
    async with serving() as server:
        wire = await server.connect()
        wire.send(request("/a"))
        wire.writer.write_eof()
        assert (await wire.rest()).body == b"/a "


@pytest.mark.parametrize("how", ["fin", "reset"])
@PLAIN_AND_TLS
@on_both_loops
async def test_a_client_that_leaves_while_it_is_not_read_is_noticed_by_the_sweep(tls: bool, how: str) -> None:
    async with serving(tls=tls) as server:
        wire = await server.connect(tls=tls)
        wire.send(request("/later"))
        taken = await server.app.until_taken(1)
        connection = server.only
        wire.send(b"x" * 100_000)
        await wire.writer.drain()
        await until(lambda: not connection._reading)
        if how == "reset":
            linger(wire)
        left = server.shared.clock.read()
        wire.writer.transport.abort()
        await until(lambda: taken.fault is not None)
        # One sweep, and what a loaded machine adds to it.
        assert server.shared.clock.read() - left < 1.0
        await until(lambda: not server.shared.connections)


@on_both_loops
async def test_a_client_that_leaves_while_its_upload_is_paused_is_noticed_by_the_sweep() -> None:
    async with serving() as server:
        wire = await server.connect()
        wire.send(request("/pieces", b"x" * 1000)[:-500])
        taken = await server.app.until_taken(1)
        taken.connection.pause_body(True)
        await wire.close()
        await until(lambda: taken.fault is not None)
        await until(lambda: not server.shared.connections)


@on_both_loops
async def test_a_client_that_waits_while_it_is_not_read_is_left_alone() -> None:
    async with serving() as server:
        wire = await server.connect()
        wire.send(request("/later"))
        taken = await server.app.until_taken(1)
        wire.send(request("/b", headers="Connection: close\r\n") * 5000)
        await until(lambda: not server.only._reading)
        await ticks(server, 3)
        assert taken.fault is None
        taken.answer()
        assert [answer.status for answer in answers((await wire.rest()).raw)] == [200, 200]


def linger(wire: Wire) -> None:
    """Let the next close be a reset."""
    sock = wire.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def ticks(server: Serving, count: int) -> None:
    """Wait for sweeps: only time passes, and nothing is to happen."""
    seen: list[float] = []
    server.shared.clock.join(seen.append)
    await until(lambda: len(seen) >= count)
