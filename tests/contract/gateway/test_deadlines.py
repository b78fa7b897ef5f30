"""Time limits, the promise of a head, stale connections, and the gateway's own end."""

import asyncio
import time
from typing import Any

import pytest

from tests.contract.gateway.harness import chat, get, on_both_loops, post, running, scripted

SAY = [{"role": "user", "content": "hello there"}]


# What the gateway asks such streams for itself: with it a request goes upstream byte for byte.
USAGE: dict[str, Any] = {"stream_options": {"include_usage": True}}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": SAY}),
        ("/v1/completions", {"prompt": "hi"}),
        ("/v1/responses", {"input": "hi"}),
        ("/v1/messages", {"messages": SAY, "max_tokens": 40}),
    ],
)
@on_both_loops
async def test_a_slow_stream_is_promised_and_arrives(path: str, body: dict[str, object]) -> None:
    usage = USAGE if path in ("/v1/chat/completions", "/v1/completions") else {}
    request = post(path, {"model": "sim-small", "stream": True} | body | usage)
    async with running("delay_head=0.9", server={"hold_head": 0.3}) as world:
        client = await world.open()
        client.send(request)
        head = await client.head()
        assert world.seen.sent == 0, "the upstream has said nothing yet"
        assert head.status == 200
        assert head.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert head.headers["cache-control"] == "no-cache, no-transform"
        assert head.headers["x-accel-buffering"] == "no"
        rest = await client.until(b"0\r\n\r\n")
        reply = type(head)(head.raw + rest, "open")
        await client.leave()
        plain = await world.direct(request)
        waiting, _, body_bytes = reply.body.rpartition(b": keep-alive\n")
        assert body_bytes == plain.body
        assert set((waiting + b": keep-alive\n").split(b": keep-alive\n")) == {b""}
        await world.quiet()
        assert (world.record.status, world.record.fault) == (200, "")


@pytest.mark.parametrize(
    "spec", ["status=503", "delay_head=0.6;status=400", "delay_head=0.6;error_200", "delay_head=0.6;bytes=10"]
)
@on_both_loops
async def test_a_failure_after_the_promise_is_an_event(spec: str) -> None:
    if "delay" not in spec:
        spec = f"delay_head=0.6;{spec}"
    async with running(spec, server={"hold_head": 0.2}) as world:
        reply = await world.ask(chat(stream=True))
        assert (reply.status, reply.complete) == (200, True)
        (event,) = reply.events
        assert event["error"]["message"]
        assert b"[DONE]" not in reply.body
        await world.quiet()
        assert world.record.status == 200
        assert world.record.fault


@on_both_loops
async def test_after_the_promise_another_backend_may_still_answer() -> None:
    async with running("delay_head=0.5;status=503", None, server={"hold_head": 0.2}) as world:
        reply = await world.ask(chat(stream=True, **USAGE))
        plain = await world.direct(chat(stream=True, **USAGE), sim=1)
        assert reply.body.endswith(plain.body)
        assert reply.body.removesuffix(plain.body).strip(b": keep-alive\n") == b""
        await world.quiet()
        assert world.faults == [("a", "server_error"), ("b", "")]


@on_both_loops
async def test_json_where_events_were_promised_is_an_error_event() -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}]")
        await asyncio.sleep(0.5)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")
        await reader.read()

    async with scripted(play) as url, running(backends=[{"url": url}], server={"hold_head": 0.2}) as world:
        reply = await world.ask(chat(stream=True))
        assert reply.events[0]["error"]["code"] == "upstream_error"
        assert len(reply.events) == 1


@on_both_loops
async def test_what_is_not_a_stream_is_not_promised() -> None:
    async with running("delay_head=0.5", server={"hold_head": 0.1}) as world:
        reply = await world.ask(chat())
        assert reply.headers["content-type"] == "application/json"
        reply = await world.ask(post("/v1/embeddings", {"model": "sim-small", "input": "x"}))
        assert reply.headers["content-type"] == "application/json"


@on_both_loops
async def test_one_deadline_covers_all_attempts() -> None:
    async with running("delay_head=0.4;status=503", "delay_head=forever", timeouts={"total": 0.6}) as world:
        reply = await world.ask(chat())
        assert (reply.status, reply.json["error"]["code"]) == (504, "upstream_timeout")
        await world.quiet()
        assert world.faults == [("a", "server_error"), ("b", "total_timeout")]
        await world.sims[1].until(lambda: world.sims[1].open_connections == 0)
        assert world.record.ended - world.record.started < 5


@on_both_loops
async def test_total_bounds_a_stream_until_its_content_only() -> None:
    async with running("words=20;delay_chunk=0.05", timeouts={"total": 0.4}) as world:
        reply = await world.ask(chat(stream=True))
        assert reply.events[-1] == "[DONE]"
    async with running("role_stall", timeouts={"total": 0.3, "idle": 20}) as world:
        reply = await world.ask(chat(stream=True))
        assert (reply.status, reply.json["error"]["code"]) == (504, "upstream_timeout")


@on_both_loops
async def test_a_slow_prompt_is_no_silence_between_events() -> None:
    async with running("stall=0.6;after=0", timeouts={"idle": 0.2}) as world:
        reply = await world.ask(chat(stream=True))
        assert (reply.status, reply.events[-1]) == (200, "[DONE]")


@on_both_loops
async def test_comments_extend_the_first_token_three_times_at_most() -> None:
    async with running("comments=0.05;stall=0.6;after=1", None, timeouts={"first_token": 0.4}) as world:
        reply = await world.ask(chat(stream=True))
        assert reply.headers["x-trunkline-backend"] == "a"
    async with running("comments=0.05;stall=forever;after=1", None, timeouts={"first_token": 0.2}) as world:
        reply = await world.ask(chat(stream=True))
        assert reply.headers["x-trunkline-backend"] == "b"


@on_both_loops
async def test_no_first_token_limit_without_another_candidate() -> None:
    async with running("role_stall;stall=0.6", timeouts={"first_token": 0.1, "idle": 20}) as world:
        reply = await world.ask(chat(stream=True))
        assert (reply.status, reply.events[-1]) == (200, "[DONE]")


@on_both_loops
async def test_the_last_target_that_is_left_is_waited_for() -> None:
    """Somebody who has failed already is nobody else to ask: there is no limit for the first token."""
    async with running("status=500", "delay_head=0.5", timeouts={"first_token": 0.2}) as world:
        reply = await world.ask(chat(stream=True))
        assert (reply.status, reply.headers["x-trunkline-backend"]) == (200, "b")
        await world.quiet()
        assert world.faults == [("a", "server_error"), ("b", "")]


@on_both_loops
async def test_a_connect_timeout_is_504_and_leads_on() -> None:
    # A listening socket whose queue is full lets a connection wait.
    import socket

    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        async with running(backends=[{"url": url}], timeouts={"connect": 0.3}) as world:
            reply = await world.ask(chat())
            assert (reply.status, reply.json["error"]["code"]) == (504, "upstream_timeout")
            await world.quiet()
            assert world.faults == [("a", "connect_timeout")]


@on_both_loops
async def test_a_stale_connection_is_replaced_once_on_the_same_backend() -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}]}")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")
        await reader.readexactly(1)  # the next request has begun: close without an answer

    async with (
        scripted(play) as url,
        running(None, urls=[url], backends=[{"priority": 9}, {"priority": 1}]) as world,
    ):
        assert (await world.ask(chat())).headers["x-trunkline-attempts"] == "1"
        reply = await world.ask(chat())
        assert (reply.body, reply.headers["x-trunkline-backend"], reply.headers["x-trunkline-attempts"]) == (
            b"{}",
            "b",
            "2",
        )
        await world.quiet()
        assert world.faults == [("b", "stale_connection"), ("b", "")]
        assert [attempt.stale_retry for attempt in world.record.attempts] == [False, True]
        assert world.counts == [0]


@on_both_loops
async def test_a_connection_that_the_upstream_closed_in_idleness_is_not_used() -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}]}")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")

    async with scripted(play) as url, running(backends=[{"url": url}]) as world:
        for _ in range(3):
            assert (await world.ask(chat())).headers["x-trunkline-attempts"] == "1"
            while world.gateway.runtime.upstreams[0].pool.open_count:
                await asyncio.sleep(0.005)


@on_both_loops
async def test_calls_wait_in_turn_for_a_connection_and_may_leave_while_waiting() -> None:
    async with running("delay_head=0.1", backends=[{"max_connections": 1}]) as world:
        clients = [await world.open() for _ in range(6)]
        for client in clients:
            client.send(chat())
            await asyncio.sleep(0.01)
        await clients[2].leave()
        await clients[4].leave()
        for client in (clients[0], clients[1], clients[3], clients[5]):
            assert (await client.answer()).status == 200
            await client.leave()
        await world.quiet()
        assert world.counts == [4]
        assert sorted(record.fault for record in world.records) == [
            "",
            "",
            "",
            "",
            "client_gone",
            "client_gone",
        ]
        assert world.gateway.runtime.upstreams[0].pool.open_count <= 1
    async with running(
        "delay_head=forever", backends=[{"max_connections": 1}], timeouts={"total": 0.3}
    ) as world:
        replies = await asyncio.gather(*(world.ask(chat()) for _ in range(3)))
        assert {reply.status for reply in replies} == {504}


@on_both_loops
async def test_stopping_lets_calls_finish() -> None:
    async with running("delay_head=0.3") as world:
        client = await world.open()
        idle = await world.open()
        idle.send(get("/health/live"))
        await idle.answer()
        client.send(chat(stream=True))
        await world.sims[0].until(lambda: world.sims[0].in_flight == 1)
        stop = asyncio.get_running_loop().create_task(world.gateway.stop())
        assert (await idle.rest()).end == "fin", "an idle connection is closed at once"
        with pytest.raises(ConnectionRefusedError):
            await world.open()
        reply = await client.rest()
        assert reply.events[-1] == "[DONE]"
        assert reply.complete
        await stop
        assert world.record.fault == ""


@on_both_loops
async def test_stopping_cuts_with_an_error_event_when_the_time_is_over() -> None:
    async with running(None, server={"drain_timeout": 0.3}) as world:
        streaming, whole, binary = [await world.open() for _ in range(3)]
        streaming.send(chat("sim-small!stall;after=5", stream=True))
        whole.send(chat("sim-small!delay_head=forever"))
        binary.send(post("/v1/audio/speech", {"model": "m!stall;after=100", "input": "x", "voice": "v"}))
        await streaming.head()
        await binary.head()
        began = time.monotonic()
        await world.gateway.stop()
        assert time.monotonic() - began < 5
        reply = await streaming.rest()
        assert reply.raw.endswith(b"0\r\n\r\n")
        assert b'"code":"overloaded"' in reply.raw
        assert b"[DONE]" not in reply.raw
        refused = await whole.rest()
        assert (refused.status, refused.json["error"]["code"]) == (503, "overloaded")
        assert refused.headers["retry-after"] == "1"
        cut = await binary.rest()
        assert len(cut.raw) < 8000
        assert {record.fault for record in world.records} == {"shutting_down"}


@on_both_loops
async def test_a_request_on_a_kept_connection_is_refused_while_draining() -> None:
    async with running("delay_head=0.3") as world:
        client = await world.open()
        client.send(chat() + chat())
        await world.sims[0].until(lambda: world.sims[0].in_flight == 1)
        await world.gateway.stop()
        reply = await client.rest()
        assert reply.raw.count(b"HTTP/1.1 200") == 1
        assert world.counts == [1]


def chunked(*events: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events)


SSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


@on_both_loops
async def test_comments_behind_the_last_word_do_not_keep_a_call_open() -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"true}")
        said = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n'
        writer.write(SSE + chunked(said, b"data: [DONE]\n\n"))
        while not writer.is_closing():
            writer.write(chunked(b": still here\n\n"))
            await writer.drain()
            await asyncio.sleep(0.02)

    async with (
        scripted(play) as url,
        running(backends=[{"url": url}], timeouts={"idle": 0.2}) as world,
    ):
        reply = await world.ask(chat(stream=True))
        assert reply.status == 200
        assert b"data: [DONE]" in reply.body
        await world.quiet()
        assert world.record.fault == ""


@on_both_loops
async def test_a_flood_of_comments_is_no_answer() -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"true}")
        writer.write(SSE)
        flood = chunked(b": " + b"x" * 60_000 + b"\n\n")
        while not writer.is_closing():
            writer.write(flood)
            await writer.drain()
            await asyncio.sleep(0.001)

    async with (
        scripted(play) as url,
        running(backends=[{"url": url}], timeouts={"total": 1.0}) as world,
    ):
        reply = await world.ask(chat(stream=True))
        assert (reply.status, reply.json["error"]["code"]) == (504, "upstream_timeout")
        await world.quiet()
        assert world.record.fault == "total_timeout"
