"""What the server refuses for its size or number, and that a client can read why even while it is still sending."""

import asyncio
import socket

import pytest

from tests.contract.net.serving import MUCH, PLAIN_AND_TLS, Serving, answers, chunked, request, serving, until
from tests.contract.simulator.raw import Reply, Wire, on_both_loops
from trunkline.errors import BAD_FRAMING, BODY_TOO_LARGE, HEAD_TOO_LARGE, OVERLOADED

KIB = 1024


def check_refused(server: Serving, raw: bytes, status: int) -> None:
    (answer,) = answers(raw)
    assert (answer.status, answer.headers[b"connection"], answer.complete) == (status, b"close", True)
    assert [fault.http_status for fault in server.app.faults] == [status]


async def last_answer(server: Serving, wire: Wire, *, tls: bool) -> Reply:
    """What comes until the end, which TLS cannot tell a client while it is still read from."""
    if not tls:
        return await wire.rest()
    reply = await wire.answer()
    await server.end_lingering()
    assert (await wire.rest()).raw == b""
    return reply


# heads


@on_both_loops
async def test_a_head_of_64_kib_is_taken() -> None:
    async with serving() as server:
        raw = request("/a", headers="Connection: close\r\nX: {}\r\n")
        raw = raw.replace(b"{}", b"x" * (64 * KIB - len(raw) + 2))
        assert len(raw) == 64 * KIB
        (answer,) = await server.ask(raw)
        assert answer.status == 200


@pytest.mark.parametrize("complete", [True, False])
@PLAIN_AND_TLS
@on_both_loops
async def test_a_longer_head_is_refused(complete: bool, tls: bool) -> None:
    async with serving(tls=tls) as server:
        raw = request("/a", headers="X: {}\r\n")
        raw = raw.replace(b"{}", b"x" * (64 * KIB - len(raw) + 3))
        wire = await server.connect(tls=tls)
        wire.send(raw if complete else raw.replace(b"\r\n\r\n", b"xxxx"))
        check_refused(server, (await last_answer(server, wire, tls=tls)).raw, 431)
        assert server.app.faults[0].kind is HEAD_TOO_LARGE
        assert server.app.heads == []


@on_both_loops
async def test_header_lines_are_counted() -> None:
    async with serving() as server:
        lines = "".join(f"X-{number}: 1\r\n" for number in range(126))
        (answer,) = await server.ask(request("/a", headers="Connection: close\r\n" + lines))  # with Host: 128
        assert answer.status == 200
        wire = await server.connect()
        wire.send(request("/a", headers="Connection: close\r\n" + lines + "X: 1\r\n"))
        check_refused(server, (await wire.rest()).raw, 431)
        assert len(server.app.heads) == 1


# bodies


@pytest.mark.parametrize("target", ["/whole", "/pieces"])
@on_both_loops
async def test_a_body_over_the_limit_is_refused_by_its_length(target: str) -> None:
    async with serving(max_body=100) as server:
        wire = await server.connect()
        wire.send(request(target, b"x" * 101)[:-101])  # before any byte of it
        check_refused(server, (await wire.rest()).raw, 413)
        assert server.app.faults[0].kind is BODY_TOO_LARGE
        assert server.app.heads == []


@pytest.mark.parametrize("target", ["/whole", "/pieces"])
@on_both_loops
async def test_a_chunked_body_over_the_limit_is_refused_where_it_crosses_it(target: str) -> None:
    async with serving(max_body=100) as server:
        wire = await server.connect()
        wire.send(chunked(target, b"x" * 60, b"x" * 40))
        assert (await wire.answer()).status == 200
        wire.send(chunked(target, b"x" * 60, b"x" * 41))
        check_refused(server, (await wire.rest()).raw, 413)
        taken = server.app.taken[1]
        assert not taken.complete
        assert taken.fault is not None
        assert taken.fault.kind is BODY_TOO_LARGE


@pytest.mark.parametrize(
    ("body", "rest"), [(request("/b", b"x" * 60)[:-1], b"x"), (chunked("/b", b"x" * 60)[:-1], b"\n")]
)
@on_both_loops
async def test_bodies_held_are_counted_over_all_connections(body: bytes, rest: bytes) -> None:
    async with serving(max_buffered=100) as server:
        first = await server.connect()
        first.send(request("/later", b"x" * 60))
        taken = await server.app.until_taken(1)
        assert server.shared.buffered == 60
        second = await server.connect()
        second.send(body)
        reply = await second.rest()
        check_refused(server, reply.raw, 503)
        assert reply.headers["retry-after"] == "1"
        assert server.app.faults[0].kind is OVERLOADED
        assert server.shared.buffered == 60
        taken.answer()
        assert (await first.answer()).status == 200
        assert server.shared.buffered == 0
        third = await server.connect()
        third.send(body + rest)
        assert (await third.answer()).status == 200
        await third.close()
        await first.close()


@on_both_loops
async def test_bodies_are_not_held_for_a_client_that_left_or_was_refused() -> None:
    async with serving(max_body=1000) as server:
        wires = [await server.connect() for _ in range(3)]
        wires[0].send(request("/a", b"x" * 60)[:-1])
        wires[1].send(chunked("/a", b"x" * 40)[:-5])
        wires[2].send(chunked("/a", b"x" * 30)[:-5])
        await until(lambda: server.shared.buffered == 129)
        wires[2].send(b"zz\r\n")
        await wires[2].reader.readuntil(b"\r\n\r\n")
        assert server.shared.buffered == 99  # already while the connection lingers
        for wire in wires:
            await wire.close()
        await until(lambda: server.shared.buffered == 0)


# answers that reach a client which is still sending


@pytest.mark.parametrize(
    ("start", "status", "kind"),
    [
        (request("/a", b"")[:-5] + b"99999999\r\n\r\n", 413, BODY_TOO_LARGE),
        (b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n", 400, BAD_FRAMING),
        (chunked("/a")[:-5] + b"zz\r\n", 400, BAD_FRAMING),
        (b"GET " + b"/" * 70_000, 431, HEAD_TOO_LARGE),
        (request("/refused", b"")[:-5] + b"9999999\r\n\r\n", 404, None),
    ],
    ids=["long body", "bad length", "bad chunk", "long head", "at its head"],
)
@PLAIN_AND_TLS
@on_both_loops
async def test_a_client_that_sends_all_before_it_reads_gets_its_answer(
    start: bytes, status: int, kind: object, tls: bool
) -> None:
    async with serving(tls=tls) as server:
        wire = await server.connect(tls=tls)
        wire.send(start)
        wire.send(b"x" * 3 * MUCH)
        await wire.writer.drain()
        reply = await last_answer(server, wire, tls=tls)
        assert (reply.status, reply.headers["connection"]) == (status, "close")
        assert reply.complete
        if kind is not None:
            assert server.app.faults[0].kind is kind


@on_both_loops
async def test_nothing_behind_a_refused_request_is_served() -> None:
    async with serving() as server:
        found = await server.ask(request("/1") + b"BROKEN\r\n\r\n" + request("/2"))
        assert [answer.status for answer in found] == [200, 400]
        assert [head.target for head in server.app.heads] == [b"/1"]


@pytest.mark.parametrize("size", [0, 10, 256 * KIB])
@on_both_loops
async def test_a_request_refused_at_its_head_keeps_the_connection_if_its_body_is_short(size: int) -> None:
    async with serving() as server:
        found = await server.ask(
            request("/refused", b"x" * size) + request("/a", headers="Connection: close\r\n")
        )
        assert [answer.status for answer in found] == [404, 200]


@pytest.mark.parametrize("raw", [request("/refused", b"x" * (256 * KIB + 1)), chunked("/refused", b"x")])
@on_both_loops
async def test_else_it_is_closed(raw: bytes) -> None:
    async with serving() as server:
        found = await server.ask(raw + request("/a"))
        assert [(answer.status, answer.headers[b"connection"]) for answer in found] == [(404, b"close")]
        assert len(server.app.heads) == 1


# 100-continue


@pytest.mark.parametrize("target", ["/whole", "/pieces"])
@on_both_loops
async def test_100_continue_is_sent_when_the_application_took_the_request(target: str) -> None:
    async with serving() as server:
        for raw, body in (
            (request(target, b"body", headers="Expect: 100-Continue\r\n"), b"body"),
            (chunked(target, b"body", headers="Expect: 100-continue\r\n"), b"4\r\nbody\r\n0\r\n\r\n"),
        ):
            wire = await server.connect()
            wire.send(raw.removesuffix(body))
            assert await wire.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            wire.send(body)
            assert (await wire.answer()).body == target.encode() + b" body"
            await wire.close()


@pytest.mark.parametrize("target", ["/refused", "/a"])
@on_both_loops
async def test_100_continue_is_not_sent_when_the_request_is_refused(target: str) -> None:
    async with serving(max_body=100) as server:
        size = 10 if target == "/refused" else 101
        wire = await server.connect()
        wire.send(request(target, b"x" * size, headers="Expect: 100-continue\r\n")[:-size])
        reply = await wire.rest()
        assert (reply.status, reply.headers["connection"]) == (404 if target == "/refused" else 413, "close")


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@on_both_loops
async def test_100_continue_is_not_sent_when_it_is_not_needed(version: str) -> None:
    async with serving() as server:
        raw = request("/a", b"body", headers="Expect: 100-continue\r\nConnection: close\r\n", version=version)
        wire = await server.connect()
        wire.send(raw if version == "1.1" else raw[:-4])
        if version == "1.0":
            await server.app.until_taken(1)
            wire.send(raw[-4:])
        assert (await wire.rest()).raw.startswith(b"HTTP/1.1 200 ")


# connections


@on_both_loops
async def test_connections_beyond_the_cap_are_closed() -> None:
    async with serving(max_connections=2) as server:
        wires = [await server.connect() for _ in range(2)]
        await until(lambda: len(server.shared.connections) == 2)
        third = await server.connect()
        assert (await third.rest()).raw == b""
        await wires[0].close()
        await until(lambda: len(server.shared.connections) == 1)
        assert [
            answer.status for answer in await server.ask(request("/a", headers="Connection: close\r\n"))
        ] == [200]
        await wires[1].close()


@on_both_loops
async def test_a_connection_ends_after_so_many_requests() -> None:
    async with serving(keep_alive_requests=3) as server:
        found = await server.ask(request("/a") * 5)
        assert [answer.headers.get(b"connection") for answer in found] == [None, None, b"close"]


@on_both_loops
async def test_a_connection_ends_at_the_first_answer_after_its_age() -> None:
    async with serving(keep_alive_age=0.05) as server:
        wire = await server.connect()
        wire.send(request("/a"))
        assert "connection" not in (await wire.answer()).headers
        await until(lambda: server.shared.clock.now > server.only._kept_until)
        wire.send(request("/a"))
        reply = await wire.rest()
        assert (reply.status, reply.headers["connection"], reply.end) == (200, "close", "fin")


@on_both_loops
async def test_an_answer_that_closes_reaches_a_client_that_sent_ahead() -> None:
    async with serving() as server:
        wire = await server.connect()
        sock: socket.socket = wire.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wire.send(request("/a", headers="Connection: close\r\n") + request("/b") * 10_000)
        await asyncio.sleep(0)
        reply = await wire.rest()
        assert (reply.end, reply.body) == ("fin", b"/a ")
