"""The simulator as a server: connections, backpressure, clients that leave, log, start and stop."""

import asyncio
import gc
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
import trustme

from tests.contract.simulator.raw import Wire, ask, chat, get, on_both_loops, post, text_of
from trunkline.simulator.app import Simulator, SimulatorThread, start

SELF = Path("/proc/self")


@on_both_loops
async def test_pipelined_requests_are_answered_in_order(sim: Simulator) -> None:
    wire = await Wire.open(sim)
    wire.send(
        chat("m!delay_head=0.02;status=501")
        + chat("m!status=502")
        + get("/health", headers="connection: close\r\n")
    )
    raw = (await wire.rest()).raw
    assert [int(part[:3]) for part in raw.split(b"HTTP/1.1 ")[1:]] == [501, 502, 200]
    assert [entry.connection for entry in sim.log] == [1, 1, 1]


@on_both_loops
async def test_a_request_may_come_byte_by_byte(sim: Simulator) -> None:
    wire = await Wire.open(sim)
    body = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
    request = b"POST /v1/chat/completions HTTP/1.1\r\nhost: s\r\ntransfer-encoding: chunked\r\n\r\n"
    for byte in request + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body):
        wire.send(bytes((byte,)))
        await asyncio.sleep(0)
    assert (await wire.answer()).status == 200
    await wire.close()
    assert (sim.log[0].body_length, sim.log[0].body) == (len(body), body.decode())


@on_both_loops
async def test_expect_100_continue(sim: Simulator) -> None:
    wire = await Wire.open(sim)
    request = post("/v1/x", {"a": 1}, headers="expect: 100-continue\r\n")
    head, mark, body = request.partition(b"\r\n\r\n")
    wire.send(head + mark)
    assert await wire.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    wire.send(body)
    assert (await wire.answer()).json["body_text"] == '{"a": 1}'
    await wire.close()


@on_both_loops
async def test_what_is_not_http_is_refused_and_logged(sim: Simulator) -> None:
    wire = await Wire.open(sim)
    wire.send(get("/health") + b"GARBAGE\r\n\r\n" + get("/health"))
    reply = await wire.rest()
    assert [int(part[:3]) for part in reply.raw.split(b"HTTP/1.1 ")[1:]] == [200, 400]
    assert [(entry.outcome, entry.status, entry.error) for entry in sim.log] == [
        ("answered", 200, None),
        ("rejected", 400, "malformed request line"),
    ]


@on_both_loops
async def test_the_log(sim: Simulator) -> None:
    await ask(sim, chat("m!status=500", headers="X-Trace: 1\r\n"))
    wire = await Wire.open(sim)
    wire.send(get("/__log"))
    (entry,) = (await wire.answer()).json
    assert entry | {"received": 0, "finished": 0, "headers": [], "sent": 0, "body": ""} == {
        "number": 1,
        "connection": 1,
        "method": "POST",
        "target": "/v1/chat/completions",
        "headers": [],
        "received": 0,
        "body_length": len(entry["body"]),
        "body": "",
        "model": "m!status=500",
        "fault": "status=500",
        "applied": True,
        "status": 500,
        "sent": 0,
        "outcome": "answered",
        "finished": 0,
        "client_closed": None,
        "error": None,
    }
    assert ["X-Trace", "1"] in entry["headers"]
    assert sim.log[0].header("x-trace") == "1"
    assert entry["sent"] > 0
    assert 0 <= entry["received"] <= entry["finished"]
    wire.send(get("/__stats"))
    stats = (await wire.answer()).json
    assert (stats["in_flight"], stats["total"], stats["logged"]) == (0, 1, 1)
    assert stats == sim.stats()
    wire.send(post("/__reset"))
    assert (await wire.answer()).json == {"ok": True}
    assert sim.log == []
    wire.send(get("/__other"))
    assert (await wire.answer()).status == 404
    await wire.close()


@on_both_loops
async def test_the_log_is_bounded() -> None:
    async with await start(log_size=3) as sim:
        for number in range(5):
            await ask(sim, post(f"/v1/{number}", body=b"x" * 10_000))
        assert [(entry.target, len(entry.body)) for entry in sim.log] == [
            (f"/v1/{n}", 4096) for n in (2, 3, 4)
        ]


@on_both_loops
async def test_a_request_is_logged_while_its_body_arrives(sim: Simulator) -> None:
    wire = await Wire.open(sim)
    wire.send(b"POST /v1/x HTTP/1.1\r\nhost: s\r\ncontent-length: 100\r\n\r\nabc")
    await sim.until(lambda: sim.in_flight == 1)
    await wire.close()
    await sim.until(lambda: sim.in_flight == 0)
    assert (sim.log[0].outcome, sim.log[0].body_length) == ("client_closed", 3)


@pytest.mark.parametrize("how", ["fin", "half", "rst"])
@pytest.mark.parametrize(
    "spec", ["stall_after=1", "delay_head=forever", "bytes=2GiB", "words=100000;delay_chunk=0.01"]
)
@on_both_loops
async def test_a_client_that_leaves_is_noticed(sim: Simulator, spec: str, how: str) -> None:
    wire = await Wire.open(sim, limit=1024)
    wire.send(chat(f"m!{spec}", stream=True))
    if spec.startswith("delay"):
        await sim.until(lambda: sim.in_flight == 1)
    else:
        await wire.reader.readuntil(b"\r\n\r\n")
    if how == "half":
        wire.writer.write_eof()
    elif how == "rst":
        wire.writer.transport.abort()
    else:
        wire.writer.close()
    await sim.until(lambda: sim.open_connections == 0)
    assert (sim.log[0].outcome, sim.in_flight) == ("client_closed", 0)
    assert sim.log[0].client_closed is not None
    wire.writer.transport.abort()


@pytest.mark.parametrize("spec", ["bytes=2GiB", "bulk=100000000"])
@on_both_loops
async def test_a_slow_reader_stops_the_answer(sim: Simulator, spec: str) -> None:
    wire = await Wire.open(sim, limit=1024)
    wire.send(chat(f"m!{spec}"))
    await wire.reader.readuntil(b"\r\n\r\n")
    sent = -1
    while sim.log[0].sent != sent:  # until nothing moves any more: the kernel's buffers are full
        sent = sim.log[0].sent
        await asyncio.sleep(0.05)
    assert 0 < sent < 64 * 1024 * 1024
    assert (await ask(sim, get("/health"))).status == 200
    wire.writer.transport.abort()
    await sim.until(lambda: sim.open_connections == 0)


@on_both_loops
async def test_a_fast_stream_does_not_starve_others(sim: Simulator) -> None:
    wire = await Wire.open(sim)
    wire.send(chat("m!bulk=100000000"))

    async def swallow() -> None:
        while await wire.reader.read(1 << 20):
            pass

    reading = asyncio.get_running_loop().create_task(swallow())
    for _ in range(20):
        assert (await ask(sim, get("/health"))).status == 200
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    wire.writer.transport.abort()
    await sim.until(lambda: sim.open_connections == 0)


@on_both_loops
async def test_over_tls() -> None:
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    async with await start(ssl=server) as sim:
        assert sim.url.startswith("https://127.0.0.1:")
        wire = await Wire.open(sim, ssl=client)
        wire.send(chat(stream=True, max_tokens=3) + chat("m!reset=body;after=2", stream=True))
        reply = await wire.rest()
        assert reply.end == "reset"
        assert reply.raw.count(b"data: ") == 6 + 2  # role, 3 words, finish, [DONE]; then 2 events
        wire = await Wire.open(sim, ssl=client)
        wire.send(chat("m!stall_after=1", stream=True))
        await wire.reader.readuntil(b"\r\n\r\n")
        wire.writer.close()
        await sim.until(lambda: sim.open_connections == 0)
        assert sim.log[-1].outcome == "client_closed"


@on_both_loops
async def test_closing_ends_every_connection() -> None:
    sim = await start()
    idle, stalled = await Wire.open(sim), await Wire.open(sim)
    stalled.send(chat("m!stall_after=1", stream=True))
    await stalled.reader.readuntil(b"\r\n\r\n")
    await sim.close()
    await sim.close()
    assert (sim.open_connections, sim.in_flight, sim.log[0].outcome) == (0, 0, "shutdown")
    await idle.rest()
    await stalled.rest()


@on_both_loops
async def test_nothing_is_left_behind(sim: Simulator) -> None:
    """Requests of all endings leave no connection, task or descriptor."""
    specs = [
        "",
        "!status=500",
        "!reset=body",
        "!close=body",
        "!reset=accept",
        "!stall_after=1",
        "!times=1;drip",
    ]
    before = len(list((SELF / "fd").iterdir())), len(asyncio.all_tasks())

    async def one(number: int) -> None:
        wire = await Wire.open(sim)
        wire.send(chat(f"m{specs[number % len(specs)]}", stream=True, max_tokens=2))
        if "stall" in specs[number % len(specs)]:
            await wire.reader.readuntil(b"\r\n\r\n")
        else:
            wire.send(get("/health", headers="connection: close\r\n"))
            await wire.rest()
        wire.writer.transport.abort()

    for batch in range(10):
        await asyncio.gather(*(one(batch * 20 + number) for number in range(20)))
    await sim.until(lambda: sim.open_connections == 0)
    gc.collect()
    await asyncio.sleep(0)
    assert (len(list((SELF / "fd").iterdir())), len(asyncio.all_tasks())) == before
    assert sim.in_flight == 0


def test_a_thread_for_synchronous_tests() -> None:
    with SimulatorThread(seed=7, models=("a",)) as sim:
        connection = http.client.HTTPConnection("127.0.0.1", sim.port)
        connection.request("GET", "/v1/models")
        assert [item["id"] for item in json.load(connection.getresponse())["data"]] == ["a"]
        assert (sim.url, sim.open_connections) == (f"http://127.0.0.1:{sim.port}", 1)
        assert "1 connections, 1 requests" in repr(sim)
        connection.close()
        sim.until(lambda: sim.open_connections == 0 and sim.log[0].outcome == "answered")
        with pytest.raises(TimeoutError):
            sim.until(lambda: False, timeout=0.01)
        assert sim.stats()["total"] == 1
        sim.reset()
        assert sim.log == []
        port = sim.port
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_a_thread_says_why_it_cannot_start() -> None:
    with SimulatorThread() as first, pytest.raises(OSError, match="address already in use"):
        SimulatorThread(port=first.port).__enter__()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_program_ends_cleanly_on_a_signal(number: signal.Signals) -> None:
    code = "from trunkline.simulator.app import run\n"
    code += "run('127.0.0.1', 0, seed=3, announce=lambda line: print(line, flush=True))"
    command = [sys.executable, "-W", "error", "-c", code]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COV")}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        port = int(line.split("127.0.0.1:")[1].split("/")[0])
        connection = socket.create_connection(("127.0.0.1", port))
        connection.sendall(chat("m!stall", stream=True))
        assert connection.recv(1)
        process.send_signal(number)
        out, error = process.communicate(timeout=20)
        connection.close()
    assert (process.returncode, out, error) == (0, "", "")


@on_both_loops
async def test_reprs_tell_the_state(sim: Simulator) -> None:
    assert repr(sim) == f"<Simulator http://127.0.0.1:{sim.port}: 0 connections, 0 requests>"
    reply = await ask(sim, chat(stream=True))
    assert text_of(reply.events)
