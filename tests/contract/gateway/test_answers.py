"""What a client is told in the end, what was checked, and which credentials travel."""

import asyncio
import gzip
import json
from typing import Any

import pytest

from tests.contract.gateway.harness import chat, get, on_both_loops, post, running, scripted
from trunkline.policy.keys import KeySettings

SAY = [{"role": "user", "content": "hello there"}]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "spec", ["status=503;body=text;retry_after=7", "status=500;body=html", "status=422;body=detail"]
)
@on_both_loops
async def test_the_last_backends_own_error_is_passed_unchanged(spec: str, stream: bool) -> None:
    async with running(spec) as world:
        plain = await world.direct(chat(stream=stream, headers=f"x-sim-fault: {spec}\r\n"))
        reply = await world.ask(chat(stream=stream))
        assert (reply.status, reply.body) == (plain.status, plain.body)
        assert reply.headers["content-type"] == plain.headers["content-type"]
        assert reply.headers.get("retry-after") == plain.headers.get("retry-after")
        assert reply.headers["x-should-retry"] == "false"
        await world.quiet()
        assert (world.record.status, world.record.bytes_out) == (plain.status, len(plain.body))


@pytest.mark.parametrize(
    ("spec", "status", "code"),
    [
        ("reset=accept", 502, "upstream_error"),
        ("close=head", 502, "upstream_error"),
        ("lying_length=+9", 502, "upstream_error"),
        ("error_200", 502, "upstream_error"),
        ("empty_stream", 502, "upstream_error"),
        ("redirect=http://elsewhere.test/", 502, "upstream_error"),
        ("delay_head=forever", 504, "upstream_timeout"),
    ],
)
@on_both_loops
async def test_the_gateways_own_error_names_its_kind(spec: str, status: int, code: str) -> None:
    async with running(spec, timeouts={"total": 0.2} if status == 504 else {}) as world:
        kinds = {
            "empty_stream": (True,),
            "lying_length=+9": (False,),
        }  # the others stop either kind of answer
        for stream in kinds.get(spec, (True, False)):
            reply = await world.ask(chat(stream=stream))
            assert (reply.status, reply.json["error"]["code"]) == (status, code)
            assert reply.headers["x-should-retry"] == "false"
            assert reply.headers["x-trunkline-attempts"] == "1"
            assert "elsewhere" not in reply.body.decode()
            await world.quiet()
            assert world.record.status == status
            assert world.record.head_at > 0


@on_both_loops
async def test_no_connection_is_502_and_the_last_attempt_speaks() -> None:
    async with running("status=500", urls=["http://127.0.0.1:1"]) as world:
        reply = await world.ask(chat())
        assert (reply.status, reply.json["error"]["code"]) == (502, "upstream_error")
        assert reply.headers["x-trunkline-attempts"] == "2"
        await world.quiet()
        assert world.faults == [("a", "server_error"), ("b", "connect")]


@on_both_loops
async def test_heads_and_bodies_over_the_limit_and_bad_framing_are_refused() -> None:
    async with running(server={"max_head": 2048, "max_body": 1000, "max_headers": 20}) as world:
        for request, status, code in (
            (get("/v1/x", headers=f"x-long: {'y' * 3000}\r\n"), 431, "request_too_large"),
            (get("/v1/x", headers="a: b\r\n" * 30), 431, "request_too_large"),
            (post("/v1/chat/completions", body=b"x" * 2000), 413, "request_too_large"),
            (
                get("/v1/x", headers="content-length: 1\r\ntransfer-encoding: chunked\r\n"),
                400,
                "invalid_request",
            ),
            (b"GET /v1/x HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400, "invalid_request"),
        ):
            reply = await world.ask_to_end(request)
            assert (reply.status, reply.json["error"]["code"]) == (status, code)
            assert reply.headers["connection"] == "close"
        assert world.counts == [0]
        assert [record.status for record in world.records] == [431, 431, 413, 400, 400]


@on_both_loops
async def test_models_that_nobody_serves_or_the_key_may_not_use() -> None:
    keys = [KeySettings(name="team", key="k", models=["sim-*"])]
    async with running(keys=keys, backends=[{"models": ["sim-small", "sim-large", "gpt-4o"]}]) as world:
        head = "authorization: Bearer k\r\n"
        reply = await world.ask(chat("Sim-smal", headers=head))
        assert (reply.status, reply.json["error"]["code"]) == (403, "model_not_allowed")
        reply = await world.ask(chat("sim-smal", headers=head))
        assert (reply.status, reply.json["error"]["code"]) == (404, "model_not_found")
        assert "`sim-small`" in reply.json["error"]["message"]
        assert reply.json["error"]["param"] == "model"
        reply = await world.ask(chat("gpt-4o", headers=head))
        assert (reply.status, reply.json["error"]["code"]) == (403, "model_not_allowed")
        reply = await world.ask(get("/v1/files", headers=head))
        assert reply.status == 403, "a limited key names its model"
        assert world.counts == [0]
        assert {record.key for record in world.records} == {"team"}
        assert [record.fault for record in world.records[:2]] == ["model_not_allowed", "model_unknown"]


@on_both_loops
async def test_what_was_checked_is_what_the_upstream_sees() -> None:
    keys = [KeySettings(name="team", key="k", models=["b"])]
    head = "x-api-key: k\r\n"
    rest = b'"messages":[{"role":"user","content":"x"}]'
    async with running(keys=keys) as world:
        reply = await world.ask(
            post("/v1/chat/completions", body=b'{"model":"a",%b,"model":"b"}' % rest, headers=head)
        )
        assert reply.status == 200
        assert json.loads(world.seen.body)["model"] == "b"
        assert world.seen.body.count('"model"') == 1
        assert world.record.model == "b"
        for body in (
            b'{"MODEL":"b","model":"a",%b}' % rest,
            b'{"model":"b","Model":"a",%b}' % rest,
            b'{"model":"b","STREAM":true,%b}' % rest,
        ):
            reply = await world.ask(post("/v1/chat/completions", body=body, headers=head))
            assert (reply.status, reply.json["error"]["code"]) == (400, "invalid_request")
        reply = await world.ask(
            post("/v1/chat/completions", body=b'{"model":"b","model":"a",%b}' % rest, headers=head)
        )
        assert (reply.status, reply.json["error"]["code"]) == (403, "model_not_allowed")
        assert world.counts == [1]
    async with running() as world:
        reply = await world.ask(post("/v1/chat/completions", body=b'{"MODEL":"b","model":"a",%b}' % rest))
        assert reply.status == 400
        body = b'{ "n" : 1.50,"model":"a", "x" :[1 ,2], %b,"model":"b"}' % rest
        await world.ask(post("/v1/chat/completions", body=body))
        assert world.seen.body.encode() == b'{"n":1.50,"model":"b","x":[1 ,2],%b}' % rest


@on_both_loops
async def test_every_form_of_the_key_is_taken_and_none_goes_upstream() -> None:
    keys = [KeySettings(name="team", key="secret-1")]
    async with running(keys=keys, api_key="upstream-key") as world:
        for form in (
            "authorization: Bearer secret-1",
            "AUTHORIZATION: bearer  secret-1",
            "x-api-key: secret-1",
            "api-key: secret-1",
        ):
            reply = await world.ask(
                chat(headers=f"{form}\r\ncookie: session=secret-1\r\nx-goog-api-key: secret-1\r\n")
            )
            assert reply.status == 200, form
            assert "secret-1" not in str(world.seen.headers)
            assert world.seen.header("authorization") == "Bearer upstream-key"
        for form in (
            "",
            "authorization: Bearer wrong",
            "authorization: Basic secret-1",
            "x-api-key: wrong",
            "api-key:",
        ):
            reply = await world.ask(chat(headers=f"{form}\r\n" if form else ""))
            assert (reply.status, reply.json["error"]["code"]) == (401, "invalid_api_key"), form
            assert reply.headers["x-should-retry"] == "false"
        assert world.counts == [4]


@on_both_loops
async def test_headers_of_the_backend_replace_and_headers_of_this_hop_stay() -> None:
    settings = {"headers": {"X-Team": "blue", "User-Agent": "own"}, "organization": "org-1"}
    async with running(backends=[settings]) as world:
        extra = (
            "x-team: red\r\nuser-agent: theirs\r\naccept-encoding: br, gzip\r\nkeep-alive: timeout=9\r\n"
            "te: trailers\r\nconnection: x-private, keep-alive\r\nx-private: 1\r\n"
            "proxy-authorization: Basic x\r\nx-kept: yes\r\nanthropic-beta: a\r\nanthropic-beta: b\r\n"
        )
        reply = await world.ask(chat(headers=extra))
        assert reply.status == 200
        assert sorted(name for name, _ in world.seen.headers) == [
            *("accept-encoding", "anthropic-beta", "anthropic-beta", "content-length", "host"),
            *("openai-organization", "user-agent", "x-kept", "x-team"),
        ]
        assert world.seen.header("x-team") == "blue"
        assert world.seen.header("user-agent") == "own"
        assert world.seen.header("accept-encoding") == "identity"
        assert world.seen.header("openai-organization") == "org-1"


@on_both_loops
async def test_headers_of_the_upstreams_hop_do_not_reach_the_client() -> None:
    body = b'{"id":"x"}'

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 200 Fine\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close, x-hop\r\n"
            b"x-hop: 1\r\nkeep-alive: timeout=3\r\nalt-svc: h3\r\nx-request-id: theirs\r\nx-kept: yes\r\n"
            b"access-control-allow-origin: *\r\nx-should-retry: true\r\nx-trunkline-backend: lie\r\n\r\n%b"
            % (len(body), body)
        )
        await writer.drain()

    async with scripted(play) as url, running(backends=[{"url": url}]) as world:
        reply = await world.ask(get("/v1/x"))
        assert reply.body == body
        assert set(reply.headers) == {
            *("content-type", "content-length", "x-kept", "x-request-id", "server-timing"),
            *("x-trunkline-backend", "x-trunkline-attempts"),
        }
        assert reply.headers["x-request-id"] != "theirs"


@on_both_loops
async def test_compressed_answers_are_decoded_where_they_are_read_and_bounded() -> None:
    async with running("gzip") as world:
        plain = await world.direct(chat())
        reply = await world.ask(chat())
        assert (reply.status, reply.body) == (200, plain.body)
        assert "content-encoding" not in reply.headers
        await world.quiet()
        assert world.record.usage is not None
    async with running("gzip;status=400") as world:
        reply = await world.ask(chat())
        assert reply.json["error"]["message"] == "the simulator was asked for status 400"
        assert "content-encoding" not in reply.headers
    for coding, body in (
        (b"gzip", gzip.compress(bytes(64 * 1024 * 1024), mtime=0)),
        (b"br", b"x" * 100),
        (b"gzip", b"x" * 100),
    ):

        async def play(
            reader: asyncio.StreamReader,
            writer: asyncio.StreamWriter,
            coding: bytes = coding,
            body: bytes = body,
        ) -> None:
            await reader.readuntil(b"\r\n\r\n")
            head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: %b\r\n" % coding
            writer.write(head + b"content-length: %d\r\n\r\n%b" % (len(body), body))
            await reader.read()

        async with scripted(play) as url, running(backends=[{"url": url}]) as world:
            reply = await world.ask_to_end(chat(headers="connection: close\r\n"))
            await world.quiet()
            assert world.record.fault == "malformed"
            assert reply.status == 502 or not reply.complete


@on_both_loops
async def test_things_that_failed_are_not_failures_of_the_call() -> None:
    job = b'{"object":"fine_tuning.job","id":"j","error":{"code":null,"message":null}}'

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
                % (len(job), job)
            )

    async with scripted(play) as url, running(backends=[{"url": url}]) as world:
        reply = await world.ask(get("/v1/fine_tuning/jobs/j"))
        assert (reply.status, reply.body) == (200, job)


@on_both_loops
async def test_not_modified_and_no_content_pass() -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 %b X\r\netag: e\r\n\r\n" % (b"304" if b"/v1/a" in request else b"204"))

    async with scripted(play) as url, running(backends=[{"url": url}]) as world:
        client = await world.open()
        for path, status in (("/v1/a", 304), ("/v1/b", 204), ("/v1/a", 304)):
            client.send(get(path))
            reply = await client.answer()
            assert (reply.status, reply.headers["etag"]) == (status, "e")
            assert "transfer-encoding" not in reply.headers
        await client.leave()


@pytest.mark.parametrize("framing", [b"content-length: 0\r\n", b"transfer-encoding: chunked\r\n"])
@on_both_loops
async def test_an_empty_answer_of_a_model_is_a_fault(framing: bytes) -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        end = b"0\r\n\r\n" if b"chunked" in framing else b""
        head = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\n"
        writer.write(head + framing + b"\r\n" + end)
        await reader.read()

    async with scripted(play) as url, running(backends=[{"url": url}]) as world:
        assert (await world.ask(chat())).status == 502
        assert (await world.ask(post("/v1/jobs/j/cancel", {}))).status == 200


@pytest.mark.parametrize("status", [200, 401, 500])
@on_both_loops
async def test_an_upstream_that_quotes_its_key_does_not_tell_it_to_the_client(status: int) -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = b'{"error":{"message":"wrong key: sk-upstream-secret"}}'
        head = (
            b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n"
        )
        writer.write(
            head % (status, len(body)) + b"set-cookie: a=b\r\nwww-authenticate: Bearer\r\n\r\n" + body
        )
        await writer.drain()

    async with (
        scripted(play) as url,
        running(backends=[{"url": url, "api_key": "sk-upstream-secret"}]) as world,
    ):
        reply = await world.ask(chat())
        assert reply.status == (502 if status == 200 else status)
        assert b"secret" not in reply.body
        assert b"wrong key: ***" in reply.body
        assert not {"set-cookie", "www-authenticate"} & set(reply.headers)


@on_both_loops
async def test_a_limited_key_may_not_name_other_models_beside_its_own() -> None:
    keys = [KeySettings(name="team", key="secret", models=["sim-small"])]
    head = "authorization: Bearer secret\r\n"
    requests: list[tuple[str, dict[str, Any]]] = [
        ("/v1/chat/completions", {"model": "sim-small", "models": ["sim-large"], "messages": []}),
        ("/v1/engines/sim-large/completions", {"model": "sim-small"}),
        ("/openai/deployments/sim-large/chat/completions", {"model": "sim-small", "messages": []}),
    ]
    async with running(keys=keys) as world:
        for path, body in requests:
            reply = await world.ask(post(path, body, headers=head))
            assert (reply.status, reply.json["error"]["code"]) == (403, "model_not_allowed"), path
        assert world.counts == [0]
