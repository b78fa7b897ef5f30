"""What the server writes: whole answers and streams, to clients of both versions, and their ends."""

import asyncio

import pytest

from tests.contract.net.serving import MUCH, PLAIN_AND_TLS, Taken, answers, request, serving, until
from tests.contract.simulator.raw import on_both_loops

CLOSE = "Connection: close\r\n"


@pytest.mark.parametrize("size", [0, 5, 64 * 1024, 64 * 1024 + 1, MUCH])
@on_both_loops
async def test_a_whole_answer(size: int) -> None:
    async with serving() as server:
        wire = await server.connect()
        wire.send(request("/later"))
        (await server.app.until_taken(1)).answer(b"x" * size, status=418)
        reply = await wire.answer()
        assert (reply.status, len(reply.body), reply.headers["x-by"]) == (418, size, "app")
        await wire.close()


@on_both_loops
async def test_head_gets_the_head_alone() -> None:
    async with serving() as server:
        wire = await server.connect()
        wire.send(request("/a", method="HEAD") + request("/b", headers=CLOSE))
        first, second = answers((await wire.rest()).raw, methods=(b"HEAD",))
        assert (first.headers[b"content-length"], first.body) == (b"3", b"")
        assert second.body == b"/b "


@pytest.mark.parametrize("status", [204, 304])
@on_both_loops
async def test_an_answer_that_has_no_body_names_no_length(status: int) -> None:
    async with serving() as server:
        wire = await server.connect()
        wire.send(request("/later", headers=CLOSE))
        (await server.app.until_taken(1)).answer(b"", status=status)
        reply = await wire.rest()
        assert reply.status == status
        assert "content-length" not in reply.headers
        assert "transfer-encoding" not in reply.headers


# streams


def stream(taken: Taken, *pieces: bytes, length: int | None = None) -> None:
    taken.connection.head(200, b"x-by: app\r\n", length)
    for piece in pieces:
        taken.connection.data(piece)


def finish(taken: Taken) -> None:
    taken.connection.end()
    taken.connection.done()


@PLAIN_AND_TLS
@on_both_loops
async def test_a_stream_is_chunked_and_the_connection_kept(tls: bool) -> None:
    async with serving(tls=tls) as server:
        wire = await server.connect(tls=tls)
        for number in range(1, 3):
            wire.send(request("/later"))
            taken = await server.app.until_taken(number)
            stream(taken, b"one", b"", b"two")  # an empty piece is not the end
            framed = taken.connection.framed()
            assert framed is not None
            framed(b"5\r\nthree\r\n")
            finish(taken)
            reply = await wire.answer()
            assert (reply.chunks, reply.complete) == ([b"one", b"two", b"three", b""], True)
            assert "connection" not in reply.headers
        await wire.close()


@on_both_loops
async def test_a_stream_of_known_length() -> None:
    async with serving() as server:
        wire = await server.connect()
        wire.send(request("/later"))
        taken = await server.app.until_taken(1)
        stream(taken, b"one", b"", b"two", length=6)
        assert taken.connection.framed() is None
        finish(taken)
        reply = await wire.answer()
        assert (reply.headers["content-length"], reply.body) == ("6", b"onetwo")
        await wire.close()


@pytest.mark.parametrize("headers", ["", "Connection: keep-alive\r\n"])
@on_both_loops
async def test_a_stream_to_http_1_0_ends_with_the_connection(headers: str) -> None:
    async with serving() as server:
        wire = await server.connect()
        wire.send(request("/later", version="1.0", headers=headers))
        taken = await server.app.until_taken(1)
        stream(taken, b"one", b"two")
        assert taken.connection.framed() is None
        finish(taken)
        reply = await wire.rest()
        assert (reply.payload, reply.headers["connection"], reply.end) == (b"onetwo", "close", "fin")
        assert "transfer-encoding" not in reply.headers


@pytest.mark.parametrize("length", [None, 6])
@on_both_loops
async def test_a_stream_for_head_is_its_head(length: int | None) -> None:
    async with serving() as server:
        wire = await server.connect()
        wire.send(request("/later", method="HEAD") + request("/b", headers=CLOSE))
        taken = await server.app.until_taken(1)
        stream(taken, b"onetwo", length=length)
        assert taken.connection.framed() is None
        finish(taken)
        first, second = answers((await wire.rest()).raw, methods=(b"HEAD",))
        assert (first.body, second.body) == (b"", b"/b ")
        assert first.headers.get(b"content-length") == (None if length is None else b"6")


@pytest.mark.parametrize("length", [None, 100])
@PLAIN_AND_TLS
@on_both_loops
async def test_an_answer_that_fails_is_seen_to_be_cut(length: int | None, tls: bool) -> None:
    async with serving(tls=tls) as server:
        wire = await server.connect(tls=tls)
        wire.send(request("/later") + request("/b"))
        taken = await server.app.until_taken(1)
        stream(taken, b"one", length=length)
        taken.connection.fail()
        reply = await wire.rest()
        assert reply.body == b"one"
        assert not reply.complete
        assert len(server.app.heads) == 1


@on_both_loops
async def test_an_answer_to_http_1_0_that_fails_is_reset() -> None:
    """Its body ends with the connection, so an ordinary close would say that it was whole."""
    async with serving() as server:
        wire = await server.connect()
        wire.send(request("/later", version="1.0"))
        taken = await server.app.until_taken(1)
        stream(taken, b"one")
        assert await wire.reader.readuntil(b"one")
        taken.connection.fail()
        assert (await wire.rest()).end == "reset"


@PLAIN_AND_TLS
@on_both_loops
async def test_the_application_hears_when_the_client_stops_reading(tls: bool) -> None:
    async with serving(tls=tls) as server:
        wire = await server.connect(tls=tls)
        wire.send(request("/later"))
        taken = await server.app.until_taken(1)
        stream(taken)
        sent = 0
        while taken.connection.writable:
            taken.connection.data(b"x" * 65536)
            sent += 65536
            await asyncio.sleep(0)
            assert sent <= MUCH
        assert taken.writable == [False]
        reading = asyncio.get_running_loop().create_task(wire.answer())
        await until(lambda: taken.writable == [False, True])
        finish(taken)
        assert len((await reading).body) == sent
        await wire.close()


@on_both_loops
async def test_another_handler_may_take_over() -> None:
    async with serving() as server:
        wire = await server.connect()
        wire.send(request("/pieces", b"0123456789")[:-5])
        first = await server.app.until_taken(1)
        await until(lambda: first.body == b"01234")
        second = Taken(first.head, first.connection)
        first.connection.adopt(second)
        wire.send(b"56789")
        assert (await wire.answer()).body == b"/pieces 56789"
        assert (first.complete, second.complete) == (False, True)
        await wire.close()


# draining


@on_both_loops
async def test_draining_closes_idle_connections_and_lets_calls_finish() -> None:
    async with serving() as server:
        idle = await server.connect()
        busy = await server.connect()
        busy.send(request("/later"))
        taken = await server.app.until_taken(1)
        await until(lambda: len(server.shared.connections) == 2)
        draining = asyncio.get_running_loop().create_task(server.drain(30))
        assert (await idle.rest()).raw == b""
        with pytest.raises(ConnectionRefusedError):
            await server.connect()
        assert not taken.drained
        taken.answer()
        reply = await busy.rest()
        assert (reply.status, reply.headers["connection"]) == (200, "close")
        assert await draining is True


@on_both_loops
async def test_a_stream_that_outlasts_the_drain_is_told_to_end() -> None:
    async with serving() as server:
        wire = await server.connect()
        wire.send(request("/later"))
        taken = await server.app.until_taken(1)
        assert await server.drain(0.05) is False
        assert taken.drained
        assert (await wire.rest()).status == 503
