"""The server takes requests: one after another, many at once, in any pieces."""

import asyncio

import pytest

from tests.contract.net.serving import (
    PLAIN_AND_TLS,
    Serving,
    answers,
    chunked,
    request,
    serving,
    until,
)
from tests.contract.simulator.raw import on_both_loops
from trunkline.net.http1_server import PIPELINE

CLOSE = "Connection: close\r\n"


@PLAIN_AND_TLS
@on_both_loops
async def test_a_connection_is_kept_for_the_next_request(tls: bool) -> None:
    async with serving(tls=tls) as server:
        wire = await server.connect(tls=tls)
        for number in range(3):
            wire.send(request(f"/{number}", b"body"))
            reply = await wire.answer()
            assert (reply.status, reply.body) == (200, b"/%d body" % number)
            assert "connection" not in reply.headers
        wire.send(request("/last", headers=CLOSE))
        last = await wire.rest()
        assert (last.status, last.headers["connection"], last.end) == (200, "close", "fin")


@pytest.mark.parametrize("headers", ["", "Connection: close\r\n", "Connection: upgrade\r\n"])
@on_both_loops
async def test_http_1_0_closes(headers: str) -> None:
    async with serving() as server:
        (answer,) = await server.ask(request("/a", headers=headers, version="1.0"))
        assert (answer.status, answer.headers[b"connection"], answer.body) == (200, b"close", b"/a ")


@pytest.mark.parametrize("value", ["keep-alive", "Keep-Alive", "x , keep-alive"])
@on_both_loops
async def test_http_1_0_is_kept_when_it_asks(value: str) -> None:
    async with serving() as server:
        wire = await server.connect()
        for _ in range(2):
            wire.send(request("/a", headers=f"Connection: {value}\r\n", version="1.0"))
            assert (await wire.answer()).headers["connection"] == "keep-alive"
        await wire.close()


@on_both_loops
async def test_http_1_0_needs_no_host() -> None:
    async with serving() as server:
        (answer,) = await server.ask(b"GET /a HTTP/1.0\r\n\r\n")
        assert answer.status == 200


# pipelines

PIPELINED = (
    request("/1")
    + request("/2", b"two")
    + chunked("/3", b"th", b"ree")
    + request("/refused")
    + request("/refused", b"dropped")
    + request("/pieces", b"six")
    + chunked("/pieces", b"se", b"ven")
    + request("/8", headers=CLOSE)
    + request("/never")
)
BODIES = [
    b"/1 ",
    b"/2 two",
    b"/3 three",
    b"nothing here",
    b"nothing here",
    b"/pieces six",
    b"/pieces seven",
    b"/8 ",
]


def check_pipelined(server: Serving, raw: bytes) -> None:
    found = answers(raw)
    assert [answer.body for answer in found] == BODIES
    assert [answer.status for answer in found] == [200, 200, 200, 404, 404, 200, 200, 200]
    assert server.app.heads[-1].target == b"/8"


@PLAIN_AND_TLS
@on_both_loops
async def test_pipelined_requests_are_answered_in_order(tls: bool) -> None:
    async with serving(tls=tls) as server:
        wire = await server.connect(tls=tls)
        wire.send(PIPELINED)
        if tls:  # over TCP the client sees the end at once
            await server.end_lingering()
        check_pipelined(server, (await wire.rest()).raw)


@pytest.mark.parametrize("turns", [0, 20])  # of the loop between the two
@on_both_loops
async def test_a_pipeline_may_be_cut_in_two_anywhere(turns: int) -> None:
    async with serving() as server:
        for position in range(1, len(PIPELINED), 2):
            wire = await server.connect()
            await until(lambda: len(server.shared.connections) == 1)
            # Straight into the connection: through a socket the two would be joined again.
            connection = server.only
            connection.data_received(PIPELINED[:position])
            for _ in range(turns):
                await asyncio.sleep(0)
            connection.data_received(PIPELINED[position:])
            check_pipelined(server, (await wire.rest()).raw)
            await until(lambda: not server.shared.connections)


@on_both_loops
async def test_a_pipeline_may_come_byte_by_byte() -> None:
    async with serving() as server:
        wire = await server.connect()
        await until(lambda: len(server.shared.connections) == 1)
        connection = server.only
        for position in range(len(PIPELINED)):
            connection.data_received(PIPELINED[position : position + 1])
            await asyncio.sleep(0)
        check_pipelined(server, (await wire.rest()).raw)


@pytest.mark.parametrize("target", ["/a", "/refused", "/pieces"])
@on_both_loops
async def test_thousands_of_requests_in_one_write_do_not_nest(target: str) -> None:
    count = 5000
    async with serving() as server:
        wire = await server.connect()
        wire.send(request(target) * count + request("/last", headers=CLOSE))
        raw = (await wire.rest()).raw
        assert raw.count(b"HTTP/1.1 200") + raw.count(b"HTTP/1.1 404") == count + 1
        assert raw.endswith(b"/last ")
        assert len(server.app.heads) == count + 1


@on_both_loops
async def test_what_is_sent_ahead_is_bounded() -> None:
    async with serving() as server:
        wire = await server.connect()
        wire.send(request("/later"))
        taken = await server.app.until_taken(1)
        connection = server.only
        more = request("/a", b"x" * 1000) * 4000
        wire.send(more)
        await until(lambda: not connection._reading)
        limit = PIPELINE + 2 * 256 * 1024  # two reads
        assert len(connection._buffer) <= limit
        taken.answer()
        read = 0
        while read < 4001:
            raw = await wire.reader.read(65536)
            assert raw
            read += raw.count(b"HTTP/1.1 200")
            assert len(connection._buffer) <= limit
        assert (read, len(server.app.heads)) == (4001, 4001)
        await wire.close()


@on_both_loops
async def test_who_does_not_read_its_answers_gets_no_further_ones() -> None:
    """Else every answer would wait in memory, and the requests cost a few bytes."""
    async with serving() as server:
        wire = await server.connect(limit=64 * 1024)
        wire.send(request("/a?" + "x" * 8000) * 2000)
        await until(lambda: len(server.shared.connections) == 1)
        connection = server.only
        await until(lambda: not connection.writable and not connection._reading)
        before = len(server.app.heads)
        assert before < 2000
        assert connection._transport is not None
        assert connection._transport.get_write_buffer_size() < 64 * 1024 + 512 * 1024
        for _ in range(2000):
            await wire.reader.readuntil(b"x-by: app")
        assert len(server.app.heads) == 2000
        await wire.close()


# bodies


@pytest.mark.parametrize("target", ["/whole", "/pieces"])
@on_both_loops
async def test_chunked_bodies_in_any_chunking(target: str) -> None:
    body = bytes(range(256)) * 3
    async with serving() as server:
        wire = await server.connect()
        for size in (1, 2, 7, 255, 256, 1023, 1024):
            pieces = [body[at : at + size] for at in range(0, len(body), size)]
            wire.send(chunked(target, *pieces))
            assert (await wire.answer()).body == target.encode() + b" " + body
        await wire.close()


@on_both_loops
async def test_pieces_come_as_they_arrive() -> None:
    async with serving() as server:
        wire = await server.connect()
        wire.send(chunked("/pieces").removesuffix(b"0\r\n\r\n"))
        taken = await server.app.until_taken(1)
        for count, piece in enumerate((b"one", b"two"), 1):
            wire.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            await until(lambda count=count: len([p for p in taken.pieces if p]) == count)
        assert (taken.body, taken.complete) == (b"onetwo", False)
        wire.send(b"0\r\n\r\n")
        assert (await wire.answer()).body == b"/pieces onetwo"
        assert taken.complete
        await wire.close()


@on_both_loops
async def test_trailers_are_dropped() -> None:
    async with serving() as server:
        raw = chunked("/a", b"x", headers=CLOSE)[:-2] + b"X-Check: 1\r\nHost: other\r\n\r\n"
        (answer,) = await server.ask(raw)
        assert answer.body == b"/a x"
        assert b"x-check" not in server.app.heads[0].fields


@on_both_loops
async def test_an_answer_before_the_body_is_all_there_ends_the_connection() -> None:
    async with serving() as server:
        wire = await server.connect()
        wire.send(request("/early", b"x" * 100)[:-50])
        reply = await wire.rest()
        assert (reply.status, reply.end) == (200, "fin")
        await until(lambda: not server.shared.connections)
        assert server.app.taken[0].fault is None


@on_both_loops
async def test_the_upload_stops_when_the_application_asks() -> None:
    async with serving() as server:
        wire = await server.connect()
        wire.send(chunked("/pieces").removesuffix(b"0\r\n\r\n"))
        taken = await server.app.until_taken(1)
        taken.connection.pause_body(True)
        wire.send(b"1\r\nx\r\n" * 200_000)
        for _ in range(100):
            await asyncio.sleep(0)
        assert taken.body == b""
        taken.connection.pause_body(False)
        wire.send(b"0\r\n\r\n")
        assert (await wire.answer()).body == b"/pieces " + b"x" * 200_000
        await wire.close()


# empty lines in front


@pytest.mark.parametrize("lines", [1, 2, 30_000])
@on_both_loops
async def test_empty_lines_before_a_request_are_skipped(lines: int) -> None:
    async with serving() as server:
        (answer,) = await server.ask(b"\r\n" * lines + request("/a", headers=CLOSE))
        assert answer.body == b"/a "


@on_both_loops
async def test_empty_lines_may_be_cut_anywhere() -> None:
    raw = b"\r\n\r\n\r\n" + request("/a", headers=CLOSE)
    async with serving() as server:
        for position in range(1, 12):
            wire = await server.connect()
            await until(lambda: len(server.shared.connections) == 1)
            server.only.data_received(raw[:position])
            server.only.data_received(raw[position:])
            (answer,) = answers((await wire.rest()).raw)
            assert answer.body == b"/a "
            await until(lambda: not server.shared.connections)


@on_both_loops
async def test_reprs_tell_the_state() -> None:
    async with serving() as server:
        wire = await server.connect()
        wire.send(request("/later"))
        await server.app.until_taken(1)
        assert repr(server.only) == "<ServerConnection call, 1 served>"
        assert repr(server) == f"<Server on port {server.port}, 1 connections>"
        await wire.close()
