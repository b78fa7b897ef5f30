"""Event streams arrive with the upstream's own bytes, whatever the packets; both commits are kept."""

import asyncio
from typing import Any

import pytest

from tests.contract.gateway.harness import chat, get, on_both_loops, post, running, scripted

SAY = [{"role": "user", "content": "hello there"}]
STREAMS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": SAY, "stream_options": {"include_usage": True}},
    "/v1/completions": {"prompt": "hello there", "stream_options": {"include_usage": True}},
    "/v1/responses": {"input": "hello there"},
    "/v1/messages": {"messages": SAY, "max_tokens": 50},
}


def streaming(path: str, spec: str = "", **fields: Any) -> bytes:
    """A request for a stream. The fault stands in a header, so that the answer depends on the body alone."""
    return post(
        path,
        {"model": "sim-small", "stream": True} | STREAMS[path] | fields,
        headers=f"x-sim-fault: {spec}\r\n",
    )


@pytest.mark.parametrize("path", STREAMS)
@pytest.mark.parametrize(
    "spec",
    ["", "drip", "crlf", "crlf;drip", "comments;delay_chunk=0", "big_event=2MiB", "delay_chunk=0", "gzip"],
)
@on_both_loops
async def test_a_relayed_stream_has_the_upstreams_bytes(path: str, spec: str) -> None:
    async with running() as world:
        request = streaming(path, spec)
        plain = await world.direct(streaming(path, spec.replace("gzip", "")))
        reply = await world.ask(request)
        assert reply.status == 200
        assert reply.body == plain.body
        assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert "content-encoding" not in reply.headers
        await world.quiet()
        assert (world.record.fault, world.record.streamed, world.record.status) == ("", True, 200)
        if spec != "big_event=2MiB":
            assert world.record.usage is not None
            assert world.record.usage.completion_tokens > 0
        assert world.gateway.runtime.upstreams[0].pool.idle == 1, "the connection is kept"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
@on_both_loops
async def test_a_usage_chunk_that_nobody_asked_for_is_left_out(path: str) -> None:
    async with running() as world:
        asked = await world.ask(streaming(path))
        silent = await world.ask(streaming(path, "usage=always", stream_options=None))
        assert len([event for event in asked.events if event != "[DONE]" and event["choices"] == []]) == 1
        assert not [event for event in silent.events if event != "[DONE]" and event["choices"] == []]
        assert silent.events[-1] == "[DONE]"
        assert world.records[0].usage == world.records[1].usage


@on_both_loops
async def test_a_malformed_event_is_dropped_and_the_rest_arrives() -> None:
    async with running() as world:
        for spec in ("malformed_event=4", "malformed_event=0", "malformed_event=4;drip"):
            plain = await world.direct(streaming("/v1/chat/completions"))
            reply = await world.ask(streaming("/v1/chat/completions", spec))
            texts = [
                [c["delta"] for e in r.events if e != "[DONE]" for c in e["choices"]] for r in (plain, reply)
            ]
            assert texts[0] == texts[1], spec
            assert reply.events[-1] == "[DONE]"


@on_both_loops
async def test_the_head_of_a_stream_says_who_answered() -> None:
    async with running() as world:
        reply = await world.ask(streaming("/v1/chat/completions"))
        assert reply.headers["x-trunkline-model"] == "sim-small"
        assert reply.headers["x-trunkline-backend"] == "a"
        assert reply.headers["x-trunkline-attempts"] == "1"
        assert reply.headers["x-request-id"] == world.record.request_id
        assert reply.headers["server-timing"].startswith("total;dur=")
        assert reply.headers["cache-control"] == "no-cache"
    async with running(server={"expose": False}) as world:
        reply = await world.ask(streaming("/v1/chat/completions"))
        assert "x-trunkline-backend" not in reply.headers


@on_both_loops
async def test_an_old_client_gets_its_stream_until_the_connection_closes() -> None:
    async with running() as world:
        plain = await world.direct(streaming("/v1/chat/completions"))
        request = streaming("/v1/chat/completions").replace(b"HTTP/1.1", b"HTTP/1.0", 1)
        reply = await world.ask_to_end(request)
        assert reply.end == "fin"
        assert "transfer-encoding" not in reply.headers
        assert reply.payload == plain.body


@pytest.mark.parametrize(
    ("spec", "path", "fault"),
    [
        ("no_done", "/v1/chat/completions", ""),
        ("no_done;http10", "/v1/chat/completions", ""),
        ("http10", "/v1/chat/completions", ""),
        ("no_length", "/v1/messages", ""),
        ("http10", "/v1/responses", ""),
        ("no_done;no_finish", "/v1/chat/completions", "incomplete_stream"),
        ("no_done;no_finish", "/v1/completions", "incomplete_stream"),
        ("no_done", "/v1/responses", "incomplete_stream"),
        ("no_done", "/v1/messages", "incomplete_stream"),
        ("http10;close=body;after=5", "/v1/chat/completions", "incomplete_stream"),
        ("http10;no_finish", "/v1/chat/completions", ""),
    ],
)
@on_both_loops
async def test_complete_is_what_had_its_terminal_event(spec: str, path: str, fault: str) -> None:
    async with running() as world:
        reply = await world.ask(streaming(path, spec))
        await world.quiet()
        assert world.record.fault == fault
        assert (b'"error":{' in reply.body) == bool(fault)


@on_both_loops
async def test_silence_behind_the_terminal_event_ends_the_stream_soon() -> None:
    async with running(timeouts={"idle": 0.3}) as world:
        for path in STREAMS:
            reply = await world.ask(streaming(path, "stall_after=1000000"))
            assert reply.body == (await world.direct(streaming(path))).body
            await world.quiet()
            assert world.record.fault == ""
            assert world.sims[0].log[-2].outcome == "client_closed"


@on_both_loops
async def test_a_json_answer_to_a_stream_request_is_no_stream() -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}]")
        writer.write(
            b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 15\r\n\r\n{"choices": []}'
        )
        await writer.drain()
        await reader.read()

    async with scripted(play) as url, running(backends=[{"url": url}]) as world:
        reply = await world.ask(
            post("/v1/chat/completions", {"model": "m", "stream": True, "messages": [{}]})
        )
        assert (reply.status, reply.json["error"]["code"]) == (502, "upstream_error")
        assert "without a stream" in reply.json["error"]["message"]
        assert reply.headers["content-type"] == "application/json"


@on_both_loops
async def test_other_streams_pass_undecoded() -> None:
    events = b"event: x\ndata: 1\n\n: note\n\ndata: {\n\n"

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        writer.write(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(events), events))
        await reader.read()

    async with scripted(play) as url, running(backends=[{"url": url}]) as world:
        assert (await world.ask(get("/v1/things/events"))).body == events


@on_both_loops
async def test_a_client_that_reads_slowly_holds_its_upstream() -> None:
    async with running() as world:
        client = await world.open()
        client.send(chat("sim-small!bulk=300000", stream=True))
        await client.head()
        while world.gateway.runtime.live and world.seen.sent < 1_000_000:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0)
        assert world.seen.outcome == "in_flight"
        total = 0
        while True:
            size = int(await client.until(b"\r\n"), 16)
            await client.reader.readexactly(size + 2)
            total += size
            if not size:
                break
        await client.leave()
        await world.quiet()
        assert world.record.fault == ""
        assert total > 20_000_000
