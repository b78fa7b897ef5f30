"""What operators and monitors see: records, metrics, health, the list of models."""

import asyncio

import msgspec
import pytest

from tests.contract.gateway.harness import Reply, World, chat, get, on_both_loops, post, running
from trunkline.policy.keys import KeySettings


@on_both_loops
async def test_the_record_of_a_call_that_went_well() -> None:
    keys = [KeySettings(name="team", key="k")]
    async with running(keys=keys) as world:
        request = chat(stream=True, stream_options={"include_usage": True}, headers="api-key: k\r\n")
        reply = await world.ask(request)
        await world.quiet()
        record = world.record
        assert record.request_id == reply.headers["x-request-id"]
        assert (record.key, record.surface, record.model, record.backend) == (
            "team",
            "chat",
            "sim-small",
            "a",
        )
        assert (record.status, record.fault, record.streamed) == (200, "", True)
        usage = reply.events[-2]["usage"]
        assert record.usage is not None
        assert record.usage.prompt_tokens == usage["prompt_tokens"]
        assert record.usage.completion_tokens == usage["completion_tokens"]
        assert record.bytes_in == len(request.partition(b"\r\n\r\n")[2])
        assert record.bytes_out >= len(reply.body)
        assert record.started <= record.head_at <= record.ended
        (attempt,) = record.attempts
        assert (attempt.backend, attempt.status, attempt.fault, attempt.stale_retry) == ("a", 200, "", False)
        assert record.started <= attempt.started <= attempt.sent <= attempt.first_byte <= attempt.ended
        assert attempt.bytes_in >= len(reply.body)


@on_both_loops
async def test_whole_answers_of_every_surface_are_counted() -> None:
    body = {
        "model": "sim-small",
        "input": "a b",
        "prompt": "a b",
        "max_tokens": 5,
        "messages": [{"role": "user", "content": "x"}],
    }
    async with running() as world:
        for path in (
            "/v1/chat/completions",
            "/v1/completions",
            "/v1/embeddings",
            "/v1/responses",
            "/v1/messages",
        ):
            assert (await world.ask(post(path, body))).status == 200
            await world.quiet()
            usage = world.record.usage
            assert usage is not None, path
            assert usage.prompt_tokens > 0


@on_both_loops
async def test_the_records_of_failover_and_refusal() -> None:
    async with running("status=429;retry_after=3", None, backends=[{}, {"models": ["sim-*"]}]) as world:
        await world.ask(chat("other"))
        await world.quiet()
        assert (world.record.status, world.record.fault, world.record.backend) == (429, "rate_limit", "a")
        await world.ask(chat("sim-x", headers="x-sim-fault: status=400\r\n"))
        await world.quiet()
        assert (world.record.status, world.record.fault, world.record.backend) == (
            400,
            "invalid_request",
            "b",
        )
        reply = await world.ask(post("/v1/chat/completions", body=b"{"))
        assert (world.record.status, world.record.fault, world.record.attempts) == (400, "invalid_json", ())
        assert world.record.request_id == reply.headers["x-request-id"]
        assert (world.record.surface, world.record.backend, world.record.usage) == ("chat", "", None)


@on_both_loops
async def test_metrics_on_the_admin_port() -> None:
    async with running("times=1;status=503", None) as world:
        await world.ask(chat())
        await world.ask(chat(stream=True))
        await world.ask(get("/nope"))
        await world.quiet()
        reply = await world.ask_admin("/metrics")
        assert reply.status == 200
        assert reply.headers["content-type"].startswith("text/plain")
        lines = reply.body.decode().splitlines()
        for line in (
            'trunkline_requests_total{backend="b",model="sim-small",status="2xx",surface="chat"} 1.0',
            'trunkline_requests_total{backend="a",model="sim-small",status="2xx",surface="chat"} 1.0',
            'trunkline_attempts_total{backend="a",outcome="server_error"} 1.0',
            'trunkline_attempts_total{backend="b",outcome="ok"} 1.0',
            "trunkline_in_flight 0.0",
            'trunkline_upstream_connections{backend="a",state="idle"} 1.0',
        ):
            assert line in lines, line
        assert not [line for line in lines if 'status="4xx"' in line and 'model="/nope"' in line]
        client = await world.open()
        client.send(chat("sim-small!delay_head=forever"))
        await world.sims[0].until(lambda: world.sims[0].in_flight == 1)
        assert b"trunkline_in_flight 1.0" in (await world.ask_admin("/metrics")).body
        assert (await world.ask_admin("/health")).status == 200
        assert (await world.ask_admin("/")).status == 404
        assert (await world.ask(get("/metrics"))).status == 404, "not on the data port"


@on_both_loops
async def test_health_asks_the_backend_and_any_answer_is_one() -> None:
    for spec in (None, "status=500", "status=401"):
        async with running(spec) as world:
            reply = await world.ask(get("/health"))
            assert (reply.status, reply.json) == (200, {"status": "healthy", "target_url": world.sims[0].url})
            assert reply.headers["cache-control"] == "no-store"
            assert reply.headers["x-request-id"]
            assert "connection" not in reply.headers
            await world.ask(get("/health"))
            assert world.counts == [1], "not asked more than once a second"
    async with running(backends=[{"url": "http://127.0.0.1:1"}]) as world:
        reply = await world.ask(get("/health"))
        assert reply.status == 503
        assert set(reply.json) == {"status", "error"}
        assert reply.json["status"] == "unhealthy"
        assert reply.json["error"].startswith("Health check failed: ")


@on_both_loops
async def test_health_of_several_backends() -> None:
    keys = [KeySettings(name="k", key="k")]
    async with running(None, urls=["http://127.0.0.1:1"], keys=keys) as world:
        reply = await world.ask(get("/health"))
        assert reply.status == 200
        assert reply.json == {
            "status": "healthy",
            "target_url": world.sims[0].url,
            "backends": {"a": "healthy", "b": "unhealthy"},
        }
        assert (await world.ask(get("/health/live"))).json == {"status": "alive"}
        assert (await world.ask(get("/health/ready"))).json == {"status": "ready"}
    async with running(urls=["http://127.0.0.1:1"], backends=[{"url": "http://127.0.0.1:1"}]) as world:
        assert (await world.ask(get("/health"))).status == 503
        assert (await world.ask(get("/health/live"))).status == 200


async def broken(world: World, request: bytes) -> Reply:
    """The answer when the gateway itself fails; its alarm goes to standard error."""
    reply = await world.ask_to_end(request)
    await world.quiet()
    return reply


@on_both_loops
async def test_a_failure_of_the_gateway_itself_is_an_answer(capfd: pytest.CaptureFixture[str]) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    async with running("delay_chunk=0.001") as world:
        upstream = world.gateway.runtime.upstreams[0]
        upstream.head = fail  # type: ignore[method-assign,assignment]  # a bug before the request is sent
        reply = await broken(world, chat(headers="connection: close\r\n"))
        assert (reply.status, reply.json["error"]["code"]) == (500, "internal_error")
        assert "a bug" not in reply.body.decode()
        del upstream.head
        world.gateway.runtime.finished = fail  # type: ignore[method-assign,assignment]  # and one at the very end
        reply = await broken(world, chat(headers="connection: close\r\n"))
        assert reply.status == 200
        assert msgspec.json.decode(reply.body)
        del world.gateway.runtime.finished
        assert (await world.ask(chat())).status == 200
    assert "a bug" in capfd.readouterr().err


@on_both_loops
async def test_a_failure_while_a_connection_is_made_ends_that_too(capfd: pytest.CaptureFixture[str]) -> None:
    opened, ended = asyncio.Event(), asyncio.Event()

    class Slow:
        async def connect(self, factory: object) -> None:
            opened.set()
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                ended.set()

    async with running() as world:
        pool = world.gateway.runtime.upstreams[0].pool
        pool._connector = Slow()  # type: ignore[assignment]  # never answers
        client = await world.open()
        client.send(chat(headers="connection: close\r\n"))
        await opened.wait()
        (exchange,) = world.gateway.runtime.live
        exchange.broke(RuntimeError("a bug"))
        reply = await client.rest()
        assert (reply.status, reply.json["error"]["code"]) == (500, "internal_error")
        await ended.wait()
        await world.quiet()
        assert world.record.fault == "internal"
        assert pool.open_count == 0
        assert world.counts == [0]
    assert "a bug" in capfd.readouterr().err
