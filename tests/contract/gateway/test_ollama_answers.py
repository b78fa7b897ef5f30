"""Odd answers of something at Ollama's /api/chat: none goes on untranslated, and none is taken for more than it is."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from tests.contract.gateway.harness import World, chat, on_both_loops, running, scripted
from tests.contract.gateway.test_ollama import OLLAMA, read


@asynccontextmanager
async def upstream(
    *pieces: bytes, kind: str = "application/x-ndjson", ends: bool = True
) -> AsyncGenerator[World]:
    """A gateway whose backend says these pieces, whatever is asked."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]))
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ntransfer-encoding: chunked\r\n\r\n" % kind.encode()
            )
            for piece in pieces:
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                await writer.drain()
                await asyncio.sleep(0)
            if ends:
                writer.write(b"0\r\n\r\n")

    # It is asked first: it takes all models, and nobody knows which those of the simulator are.
    async with scripted(play) as url, running(urls=[url], backends=[{}, OLLAMA]) as world:
        yield world


FIRST = b'{"model":"m","message":{"role":"assistant","content":"Hel"},"done":false}\n'
LAST = b'{"model":"m","message":{"role":"assistant","content":"lo"},"done":true,"done_reason":"stop","eval_count":2}'
UNTIL = b'{"model":"m","message":{"role":"assistant","content":"lo"},"done":false}'


@pytest.mark.parametrize(
    "kind", ["application/x-ndjson", "application/json", "text/plain", "text/event-stream"]
)
@pytest.mark.parametrize("last", [LAST, LAST + b"\n", LAST + b"\r\n\r\n"])
@on_both_loops
async def test_the_last_line_may_have_no_end_and_another_type(kind: str, last: bytes) -> None:
    async with upstream(FIRST, last, kind=kind) as world:
        for _ in range(2):
            reply = await world.ask(chat(stream=True, num_ctx=1))
            assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert (read(reply)[0], read(reply)[3]) == ("Hello", "stop")
        assert world.gateway.runtime.upstreams[1].pool.idle == 1
    async with upstream(LAST, kind=kind) as world:
        for stream in (False, True):
            reply = await world.ask(chat(stream=stream, num_ctx=1))
            assert (read(reply)[0], read(reply)[3]) == ("lo", "stop")


@pytest.mark.parametrize(
    ("pieces", "fault"),
    [
        ((FIRST, UNTIL), "incomplete_stream"),
        ((FIRST, b'{"error":"out of memory"}'), "error_in_stream"),
        ((FIRST, b'{"error":"out of memory"}\n'), "error_in_stream"),
        ((FIRST, LAST[:40]), "incomplete_stream"),
    ],
)
@on_both_loops
async def test_a_last_line_that_is_no_end(pieces: tuple[bytes, ...], fault: str) -> None:
    """What is found out at the very end must not touch the connection, which is another call's by then."""
    async with upstream(*pieces, kind="application/x-ndjson") as world:
        for _ in range(2):
            reply = await world.ask(chat(stream=True, num_ctx=1))
            assert reply.events[-1]["error"]["message"]
        await world.quiet()
        assert world.record.fault == fault
        assert [attempt.stale_retry for attempt in world.record.attempts] == [False]


@pytest.mark.parametrize(
    "body",
    [
        UNTIL,
        b"[]",
        b'"x"',
        b'{"x":1}',
        b"<html>",
        LAST[:-1],
        FIRST + LAST,
        b'{"model":"m","pad":"' + b"x" * (9 << 20),
    ],
    ids=lambda body: body[:10].decode(),
)
@pytest.mark.parametrize("kind", ["application/json", "application/octet-stream", "text/html"])
@on_both_loops
async def test_no_answer_goes_on_untranslated(body: bytes, kind: str) -> None:
    async with upstream(body, kind=kind) as world:
        reply = await world.ask(chat(num_ctx=1, headers="x-trunkline-backend: b\r\n"))
        assert (reply.status, reply.json["error"]["code"]) == (502, "upstream_error")
        await world.quiet()
        assert world.record.fault == "malformed"


@on_both_loops
async def test_a_stream_that_says_done_and_never_ends_is_finished() -> None:
    async with upstream(FIRST, LAST + b"\n", kind="application/x-ndjson", ends=False) as world:
        reply = await world.ask(chat(stream=True, num_ctx=1))
        assert (read(reply)[0], read(reply)[3]) == ("Hello", "stop")
