"""What is kept from one call to the next: connections, heads, choices. Nothing of one call shows in another."""

import asyncio
import gc

from tests.contract.gateway.harness import chat, on_both_loops, post, running, scripted
from trunkline.providers.model_list import parse_models

EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n'
LISTS = (b'{"data":[{"id":"sim-small"}]}', b'{"data":[{"id":"other"}]}')
LAST = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


def entries() -> int:
    """How many judged heads there are in the process."""
    gc.collect()
    return sum(type(item).__name__ == "_Entry" for item in gc.get_objects())


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@on_both_loops
async def test_a_stream_after_one_that_came_whole_is_its_own_clients() -> None:
    """The first answer, events with a length in one read, teaches a frame; the next one has the same frame."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        whole = EVENT % b"first"
        await reader.readuntil(b"true}")
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n%b"
            % (len(whole), whole)
        )
        await reader.readuntil(b"true}")
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        for text in (b"second", b"third"):
            writer.write(chunk(EVENT % text))
            await writer.drain()
            await asyncio.sleep(0.02)
        writer.write(chunk(LAST) + b"0\r\n\r\n")
        await reader.read()

    async with scripted(play) as url, running(backends=[{"url": url}]) as world:
        first, second = await world.open(), await world.open()
        first.send(chat(stream=True))
        await first.until(b"\r\n0\r\n\r\n")
        second.send(chat(stream=True))
        body = await second.until(b"\r\n0\r\n\r\n")
        assert body.count(b"second") == body.count(b"third") == 1
        await world.quiet()
        assert len(world.records[0].attempts) == len(world.records[1].attempts) == 1
        assert world.records[0].bytes_out < world.records[1].bytes_out


@on_both_loops
async def test_heads_that_never_repeat_are_let_go() -> None:
    before = entries()
    async with running() as world:
        client = await world.open()
        for number in range(700):  # more than are remembered
            client.send(
                post("/v1/embeddings", {"model": "m", "input": "x"}, headers=f"traceparent: {number}\r\n")
            )
            assert (await client.answer()).status == 200
        await world.quiet()
        assert entries() - before <= 513


@on_both_loops
async def test_a_known_head_follows_when_another_backend_gets_the_model() -> None:
    async with running(None, None, backends=[{}, {}]) as world:
        catalog = world.gateway.runtime.discovery.catalog
        lists = [parse_models(body) or [] for body in LISTS]
        for turn in (0, 1):
            for index in (0, 1):
                assert catalog.learn(index, lists[index ^ turn], turn)
            assert (await world.ask(chat())).headers["x-trunkline-backend"] == "ab"[turn]
