"""Until content was sent the next backend is asked; afterwards nothing is repeated, nor ends as if it were whole."""

import asyncio
from typing import Any

import pytest

from tests.contract.gateway.harness import World, chat, on_both_loops, post, running, scripted, soon

SAY = [{"role": "user", "content": "hello there"}]
# What the gateway asks streams for itself: with it a request goes upstream byte for byte.
USAGE: dict[str, Any] = {"stream_options": {"include_usage": True}}
# What a backend does before content, and what it is called in the record.
BEFORE_CONTENT = {
    "reset=accept": "reset",
    "close=before_head": "reset",
    "reset=head": "cut",
    "close=head": "cut",
    "status=500": "server_error",
    "status=502;body=html": "server_error",
    "status=503": "server_error",
    "status=503;retry_after=7": "overloaded",
    "status=408": "timeout",
    "status=429": "rate_limit",
    "status=529": "overloaded",
    "status=401": "auth",
    "status=403": "permission",
    "error_200": "error_in_200",
    "error_200;body=flat": "error_in_200",
    "redirect=http://elsewhere.test/": "malformed",
}
STREAM_ONLY = {
    "empty_stream": "empty_stream",
    "bytes=100": "malformed",
    "bytes=3MiB": "malformed",
    "error_event=0": "error_in_stream",
    "error_event=1": "error_in_stream",
    "close=body;after=0": "cut",
    "close=body;after=1": "cut",
    "reset=body;after=1": "cut",
    "broken_chunk;after=1": "malformed",
    "broken_chunk;after=0": "malformed",
    "close=body;after=1;http10": "incomplete_stream",
    "gzip;close=body;after=1": "cut",
}
WHOLE_ONLY = {
    "close=body;after=20": "cut",
    "reset=body;after=20": "cut",
    "broken_chunk;after=20": "malformed",
    "lying_length=+10": "cut",
    "lying_length=-10": "malformed",
    "http10;close=body;after=20": "cut",
    "gzip;close=body;after=20;no_length": "cut",
}


@pytest.mark.parametrize(
    ("stream", "spec", "kind"),
    [(True, *row) for row in (BEFORE_CONTENT | STREAM_ONLY).items()]
    + [(False, *row) for row in (BEFORE_CONTENT | WHOLE_ONLY).items()],
)
@on_both_loops
async def test_a_fault_before_content_leads_to_the_next_backend(stream: bool, spec: str, kind: str) -> None:
    async with running(spec, None) as world:
        request = chat(stream=stream, **(USAGE if stream else {}))
        reply = await world.ask(request)
        plain = await world.direct(request, sim=1)
        assert (reply.status, reply.body) == (200, plain.body)
        assert (reply.headers["x-trunkline-backend"], reply.headers["x-trunkline-attempts"]) == ("b", "2")
        await world.quiet()
        assert world.faults == [("a", kind), ("b", "")]
        assert (world.record.backend, world.record.fault) == ("b", "")
        assert world.counts == [1, 2]
        assert world.record.attempts[0].ended <= world.record.attempts[1].ended


@on_both_loops
async def test_a_refused_connection_leads_to_the_next_backend() -> None:
    async with running(
        None, urls=["http://127.0.0.1:1"], backends=[{"priority": 9}, {"priority": 1}]
    ) as world:
        for stream in (False, True):
            reply = await world.ask(chat(stream=stream))
            assert (reply.status, reply.headers["x-trunkline-backend"]) == (200, "a")
            await world.quiet()
            assert world.faults == [("b", "connect"), ("a", "")]


@on_both_loops
async def test_a_missing_model_leads_to_the_next_backend_and_other_404s_do_not() -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await reader.readuntil(b"\r\n\r\n")
            name = b"The model `x` does not exist" if b"/v1/embeddings" in request else b"no such file"
            writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: %d\r\n\r\n%b" % (len(name), name))
            length = int(request.lower().partition(b"content-length: ")[2].split(b"\r\n")[0] or b"0")
            await reader.readexactly(length)

    async with (
        scripted(play) as url,
        running(None, backends=[{"priority": 9}, {"priority": 1}], urls=[url]) as world,
    ):
        reply = await world.ask(post("/v1/embeddings", {"model": "x", "input": "y"}))
        assert (reply.status, reply.headers["x-trunkline-backend"]) == (200, "a")
        await world.quiet()
        assert world.faults == [("b", "model_not_found"), ("a", "")]
        reply = await world.ask(post("/v1/files", {"model": "x"}))
        assert (reply.status, reply.json["error"]["message"]) == (404, "no such file")
        assert world.counts == [1]


@pytest.mark.parametrize("status", [400, 404, 405, 409, 413, 415, 422])
@pytest.mark.parametrize("stream", [False, True])
@on_both_loops
async def test_the_clients_own_mistake_is_asked_once_and_passed_on(status: int, stream: bool) -> None:
    async with running(f"status={status};body=detail", None) as world:
        plain = await world.direct(chat(f"m!status={status};body=detail", stream=stream))
        world.sims[0].reset()
        reply = await world.ask(chat(stream=stream))
        assert (reply.status, reply.body) == (status, plain.body)
        assert reply.headers["x-should-retry"] == "false"
        assert world.counts == [1, 0]


CUTS = {
    "close=body;after=4": "cut",
    "reset=body;after=4": "cut",
    "delay_chunk=0.01;broken_chunk;after=4": "malformed",
    "close=body;after=4;http10": "incomplete_stream",
    "no_done;no_finish": "incomplete_stream",
    "stall;after=4": "idle_timeout",
}


@pytest.mark.parametrize("spec", CUTS)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"])
@on_both_loops
async def test_after_content_the_stream_ends_with_an_error_event(spec: str, path: str) -> None:
    if path in ("/v1/responses", "/v1/messages"):
        spec = spec.replace("after=4", "after=8")
    async with running(spec, None, timeouts=soon(spec)) as world:
        body = {
            "model": "sim-small",
            "stream": True,
            "messages": SAY,
            "prompt": "x",
            "input": "x",
            "max_tokens": 9,
        }
        reply = await world.ask(post(path, body))
        await world.quiet()
        assert reply.status == 200
        assert reply.complete, "an error event is a proper end of the body"
        assert b"[DONE]" not in reply.body
        assert_error(path, reply.events[-1], CUTS[spec.replace("after=8", "after=4")])
        assert len(reply.events) >= 3
        assert world.counts == [1, 0]
        assert (world.record.status, world.record.backend) == (200, "a")
        assert world.faults == [("a", world.record.fault)]


def assert_error(path: str, event: Any, kind: str) -> None:
    code = "upstream_timeout" if "timeout" in kind else "upstream_error"
    if path == "/v1/messages":
        assert event["type"] == "error"
        assert event["error"]["message"]
    elif path == "/v1/responses":
        assert (event["type"], event["code"]) == ("error", code)
    else:
        assert event["error"]["code"] == code


@on_both_loops
async def test_the_upstreams_own_error_event_is_passed_once_and_ends_the_stream() -> None:
    async with running("error_event=4", None) as world:
        for path, kind in (("/v1/chat/completions", "error_in_stream"), ("/v1/messages", "overloaded")):
            body = {"model": "sim-small", "stream": True, "messages": SAY, "max_tokens": 9} | USAGE
            plain = await world.direct(post(path, body, headers="x-sim-fault: error_event=4\r\n"), sim=1)
            world.sims[1].reset()
            reply = await world.ask(post(path, body))
            assert reply.body == plain.body
            assert reply.complete
            assert world.counts[1] == 0
            await world.quiet()
            assert world.faults == [("a", kind)]


@on_both_loops
async def test_an_event_that_is_cut_in_its_middle_closes_the_connection() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    event = b'data: {"choices":[{"delta":{"content":"' + b"x" * 1_500_000

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head + b"%x\r\n%b\r\n" % (len(event), event))
        await writer.drain()

    async with scripted(play) as url, running(backends=[{"url": url}]) as world:
        reply = await world.ask_to_end(chat(stream=True))
        assert not reply.complete
        assert b"error" not in reply.body
        assert world.record.fault == "cut"


@on_both_loops
async def test_json_up_to_8_mib_is_held_and_fails_over() -> None:
    async with running() as world:
        await check_long_json(world, 7 * 1024 * 1024, held=True)
        await check_long_json(world, 9 * 1024 * 1024, held=False)


async def check_long_json(world: World, size: int, *, held: bool) -> None:
    for framing in (b"content-length: %d\r\n" % (size + 100), b"transfer-encoding: chunked\r\n"):
        text = b'{"x":"' + b"y" * size
        body = b"%x\r\n%b\r\n" % (len(text), text) if b"chunked" in framing else text

        async def play(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter, said: bytes = framing + b"\r\n" + body
        ) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" + said)
            await writer.drain()

        async with (
            scripted(play) as url,
            running(None, urls=[url], backends=[{"priority": 9}, {"priority": 1}]) as other,
        ):
            reply = await other.ask_to_end(chat(headers="connection: close\r\n"))
            await other.quiet()
            assert other.counts == [int(held)]
            assert other.faults[0] == ("b", "cut")
            assert reply.complete == held
            if not held:
                assert reply.body.startswith(b'{"x":"yyy')
                assert other.record.fault == "cut"


@on_both_loops
async def test_long_json_arrives_whole() -> None:
    text = b'{"x":"' + b"y" * (9 * 1024 * 1024) + b'"}'

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}]}")
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        writer.write(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(text), text))
        await writer.drain()
        await reader.read()

    async with scripted(play) as url, running(backends=[{"url": url}]) as world:
        reply = await world.ask(chat())
        assert reply.body == text
        await world.quiet()
        assert (world.record.fault, world.record.bytes_out) == ("", len(text))


@on_both_loops
async def test_binary_commits_at_its_first_byte() -> None:
    body = {"model": "m", "input": "x", "voice": "v"}
    async with running("close=body;after=0", None) as world:
        reply = await world.ask(post("/v1/audio/speech", body))
        assert (reply.status, reply.headers["content-type"]) == (200, "audio/mpeg")
        await world.quiet()
        assert world.faults == [("a", "cut"), ("b", "")]
    for spec in (
        "close=body;after=100",
        "reset=body;after=100",
        "chunked;close=body;after=100",
        "lying_length=+5",
    ):
        async with running(spec, None) as world:
            reply = await world.ask_to_end(post("/v1/audio/speech", body))
            assert not reply.complete, spec
            assert reply.body.startswith(b"ID3")
            assert world.counts == [1, 0]
            assert (world.record.fault, world.record.status) == ("cut", 200)
    async with running("close=body;after=100;delay_chunk=0.01") as world:  # to whom closing is the only end
        reply = await world.ask_to_end(post("/v1/audio/speech", body).replace(b"HTTP/1.1", b"HTTP/1.0", 1))
        assert reply.end == "reset" or not reply.complete


@pytest.mark.parametrize(
    "spec", ["delay_head=forever", "role_stall", "stall;after=0", "role_stall;comments=0.05"]
)
@on_both_loops
async def test_a_backend_without_a_first_token_is_left_while_another_could_take_over(spec: str) -> None:
    async with running(spec, None, timeouts={"first_token": 0.2, "idle": 20}) as world:
        reply = await world.ask(chat(stream=True))
        assert reply.headers["x-trunkline-backend"] == "b"
        assert reply.events[-1] == "[DONE]"
        await world.quiet()
        assert world.faults == [("a", "first_token_timeout"), ("b", "")]
        await world.sims[0].until(lambda: world.sims[0].open_connections == 0)
        assert world.seen.outcome == "client_closed"
