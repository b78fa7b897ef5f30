"""Faults that put another answer in place, and which requests a fault strikes."""

import pytest

from tests.contract.simulator.raw import Wire, ask, chat, get, on_both_loops, post, text_of
from trunkline.simulator.app import Simulator

# Another answer ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "path", "content_type", "body"),
    [
        (
            "status=500",
            "/v1/chat/completions",
            "application/json",
            '{"error":{"message":"MSG 500","type":"server_error","param":null,"code":null}}',
        ),
        (
            "status=429",
            "/v1/responses",
            "application/json",
            '{"error":{"message":"MSG 429","type":"rate_limit_error","param":null,"code":"rate_limit_exceeded"}}',
        ),
        (
            "status=529",
            "/v1/messages",
            "application/json",
            '{"type":"error","error":{"type":"overloaded_error","message":"MSG 529"}}',
        ),
        (
            "status=404;body=openai",
            "/v1/messages",
            "application/json",
            '{"error":{"message":"MSG 404","type":"invalid_request_error","param":null,"code":"model_not_found"}}',
        ),
        ("status=503;body=string", "/v1/x", "application/json", '{"error":"MSG 503"}'),
        (
            "status=503;body=flat",
            "/v1/x",
            "application/json",
            '{"object":"error","message":"MSG 503","type":"server_error","param":null,"code":503}',
        ),
        ("status=422;body=detail", "/v1/x", "application/json", '{"detail":"MSG 422"}'),
        (
            "status=503;body=list",
            "/v1/x",
            "application/json",
            '[{"error":{"code":503,"message":"MSG 503","status":"UNAVAILABLE"}}]',
        ),
        (
            "status=502;body=html",
            "/v1/x",
            "text/html",
            "<html><body><h1>502</h1><p>MSG 502</p></body></html>\n",
        ),
        ("status=500;body=text", "/v1/x", "text/plain; charset=utf-8", "MSG 500"),
        ("status=500;body=empty", "/v1/x", None, ""),
        ("error_200;body=string", "/v1/x", "application/json", '{"error":"MSG 200"}'),
    ],
)
@on_both_loops
async def test_status_and_body(
    sim: Simulator, spec: str, path: str, content_type: str | None, body: str
) -> None:
    wire = await Wire.open(sim)
    wire.send(post(path, {"model": f"m!{spec}"}))
    reply = await wire.answer()
    assert reply.status == (200 if "error_200" in spec else int(spec[7:10]))
    assert reply.headers.get("content-type") == content_type
    assert reply.body.decode() == body.replace("MSG", "the simulator was asked for status")
    wire.send(get("/health"))  # the connection stays usable
    assert (await wire.answer()).status == 200
    await wire.close()


@on_both_loops
async def test_retry_after_and_redirect(sim: Simulator) -> None:
    reply = await ask(sim, chat("m!status=503;retry_after=Wed, 21 Oct 2026 07:28:00 GMT"))
    assert reply.headers["retry-after"] == "Wed, 21 Oct 2026 07:28:00 GMT"
    reply = await ask(sim, chat("m!redirect=http://127.0.0.1:1/a?b=c%3Bd"))
    assert (reply.status, reply.headers["location"], reply.body) == (302, "http://127.0.0.1:1/a?b=c;d", b"")


@on_both_loops
async def test_a_status_without_body_has_no_framing(sim: Simulator) -> None:
    wire = await Wire.open(sim)
    wire.send(chat("m!status=204") + get("/health", headers="connection: close\r\n"))
    first, _, _ = (await wire.rest()).raw.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 204 No Content\r\n")
    assert b"content-length" not in first


@on_both_loops
async def test_bytes_and_bulk(sim: Simulator) -> None:
    reply = await ask(sim, chat("m!bytes=200001"))
    assert reply.headers["content-type"] == "application/octet-stream"
    assert reply.body == (bytes(range(256)) * 800)[:200001]
    events = (await ask(sim, chat("m!bulk=5000"))).events
    assert text_of(events) == "".join(f" w{index}" for index in range(5000))
    assert (len(events), events[-1]) == (5002, "[DONE]")


@on_both_loops
async def test_an_empty_stream(sim: Simulator) -> None:
    reply = await ask(sim, chat("m!empty_stream", stream=True))
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.payload == b"0\r\n\r\n"


# Which requests ------------------------------------------------------------------------------------------------


@on_both_loops
async def test_times_counts_per_model_and_spec_until_the_reset(sim: Simulator) -> None:
    async def statuses(model: str, number: int) -> list[int]:
        return [(await ask(sim, chat(model))).status for _ in range(number)]

    assert await statuses("m!status=503;times=2", 4) == [503, 503, 200, 200]
    assert [entry.applied for entry in sim.log] == [True, True, False, False]
    assert await statuses("other!status=503;times=2", 1) == [503]
    assert await statuses("m!status=502;times=1", 2) == [502, 200]
    await ask(sim, post("/__reset"))
    assert await statuses("m!status=503;times=2", 3) == [503, 503, 200]


@on_both_loops
async def test_rate_is_seeded(sim: Simulator) -> None:
    async def statuses() -> list[int]:
        wire = await Wire.open(sim)
        found: list[int] = []
        for _ in range(200):
            wire.send(chat("m!status=500;rate=0.3"))
            found.append((await wire.answer()).status)
        await wire.close()
        return found

    first = await statuses()
    assert 30 <= first.count(500) <= 90
    sim.reset()
    assert await statuses() == first


@on_both_loops
async def test_the_header_wins(sim: Simulator) -> None:
    assert (await ask(sim, chat("m", headers="x-sim-fault: status=418\r\n"))).status == 418
    assert (await ask(sim, chat("m!status=500", headers="X-Sim-Fault: status=418\r\n"))).status == 418
    assert (await ask(sim, chat("m!status=500", headers="x-sim-fault:\r\n"))).status == 200
    assert (await ask(sim, get("/v1/models", headers="x-sim-fault: status=500\r\n"))).status == 500
    assert [entry.fault for entry in sim.log] == ["status=418", "status=418", "", "status=500"]


@on_both_loops
async def test_a_wrong_spec_is_refused(sim: Simulator) -> None:
    reply = await ask(sim, chat("m!status=503;retry_afte=2"))
    error = reply.json["error"]
    assert (reply.status, error["code"], error["param"]) == (400, "invalid_fault", "retry_afte=2")
    assert "`retry_afte=2`" in error["message"]
