"""SIGTERM: what runs is finished, what does not finish in time ends with an error and not with a lie."""

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.endurance.crowd import chat
from tests.endurance.harness import PATIENCE, gateway
from tests.endurance.raw import RawClient
from trunkline.simulator.app import SimulatorThread

LAST = b"data: [DONE]\n\n\r\n0\r\n\r\n"


@pytest.fixture(scope="module")
def sim() -> Iterator[SimulatorThread]:
    with SimulatorThread(seed=7) as running:
        yield running


def test_a_running_stream_and_a_waiting_call_are_finished(sim: SimulatorThread, tmp_path: Path) -> None:
    with (
        gateway(tmp_path, sim.url) as running,
        RawClient(running.port) as stream,
        RawClient(running.port) as call,
        RawClient(running.port) as idle,
    ):
        idle.send(chat("sim-small"))
        assert idle.answer().status == 200
        call.send(chat("sim-small!delay_head=1.5"))
        stream.send(chat("sim-small!words=40;delay_chunk=0.05", stream=True))
        stream.until(b'"content":')
        running.trunkline.process.send_signal(signal.SIGTERM)
        assert idle.rest() == b""  # told at once
        assert refuses(running.port)
        answer = call.answer()
        assert answer.status == 200
        assert stream.rest().endswith(LAST)
        assert running.trunkline.wait() == 0


def test_a_request_that_is_on_its_way_is_refused_and_not_dropped(
    sim: SimulatorThread, tmp_path: Path
) -> None:
    with (
        gateway(tmp_path, sim.url) as running,
        RawClient(running.port) as late,
        RawClient(running.port) as busy,
    ):
        busy.send(chat("sim-small!words=20;delay_chunk=0.05", stream=True))
        busy.until(b'"content":')
        request = chat("sim-small")
        late.send(request[:30])
        assert running.in_flight == 1
        running.trunkline.process.send_signal(signal.SIGTERM)
        wait_for_refusal(running.port)
        late.send(request[30:])
        answer = late.answer()
        assert answer.status == 503
        assert answer.field(b"connection") == b"close"
        assert answer.field(b"retry-after") is not None
        assert busy.rest().endswith(LAST)
        assert running.trunkline.wait() == 0


def test_what_takes_too_long_ends_with_an_error(sim: SimulatorThread, tmp_path: Path) -> None:
    with (
        gateway(tmp_path, sim.url, {"drain_timeout": 0.3}) as running,
        RawClient(running.port) as stream,
        RawClient(running.port) as silent,
        RawClient(running.port) as call,
    ):
        call.send(chat("sim-small!delay_head=forever"))
        silent.send(chat("sim-small!delay_head=forever", stream=True))
        stream.send(chat("sim-small!stall;after=3", stream=True))
        stream.until(b'"content":')
        running.trunkline.process.send_signal(signal.SIGTERM)
        rest = stream.rest()
        assert b'"error":{"message":"the gateway is shutting down"' in rest
        assert rest.endswith(b"\r\n0\r\n\r\n")
        for client in (call, silent):  # nothing of theirs was sent: an ordinary refusal
            answer = client.answer()
            assert answer.status == 503
            assert b"the gateway is shutting down" in answer.body
        assert running.trunkline.wait() == 0
    sim.until(lambda: sim.open_connections == 0, PATIENCE)


def test_a_second_signal_does_not_wait(sim: SimulatorThread, tmp_path: Path) -> None:
    with (
        gateway(tmp_path, sim.url, {"drain_timeout": 600}, code=1) as running,
        RawClient(running.port) as stream,
    ):
        stream.send(chat("sim-small!stall;after=3", stream=True))
        stream.until(b'"content":')
        running.trunkline.process.send_signal(signal.SIGTERM)
        wait_for_refusal(running.port)
        assert running.trunkline.process.poll() is None
        running.trunkline.stop(signal.SIGINT)
        assert not stream.rest().endswith(LAST)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopping_in_the_middle_of_everything(
    sim: SimulatorThread, tmp_path: Path, number: signal.Signals
) -> None:
    """Calls in every phase, connections opening and closing: it ends with 0 and has nothing to complain about."""
    stop = threading.Event()

    def besiege(port: int) -> None:
        requests = (
            chat("sim-small") * 3,
            chat("sim-small!words=200;delay_chunk=0.002", stream=True),
            chat("sim-small")[:50],
            chat("sim-small!delay_head=forever"),
            b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n",
            b"POST /v1/files HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\n" + b"x" * 70_000,
        )
        held: list[socket.socket] = []
        with contextlib.suppress(OSError):
            for request in requests * 100_000:
                if stop.is_set():
                    break
                held.append(socket.create_connection(("127.0.0.1", port), PATIENCE))
                held[-1].sendall(request)
                if len(held) > 50:
                    held.pop(0).close()
        for sock in held:
            sock.close()

    with gateway(tmp_path, sim.url, {"drain_timeout": 0.5}) as running:
        besiegers = [threading.Thread(target=besiege, args=(running.port,)) for _ in range(2)]
        for besieger in besiegers:
            besieger.start()
        try:
            seen = sim.stats()["total"]
            sim.until(lambda: sim.stats()["total"] > seen + 500, PATIENCE)
            assert running.trunkline.stop(number) == 0
        finally:
            stop.set()
            for besieger in besiegers:
                besieger.join()
    sim.until(lambda: sim.open_connections == 0, PATIENCE)


def refuses(port: int) -> bool:
    """Whether nobody listens on the port."""
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) != 0


def wait_for_refusal(port: int) -> None:
    """Wait until the gateway has begun to stop."""
    deadline = time.monotonic() + PATIENCE
    while not refuses(port):
        assert time.monotonic() < deadline
        time.sleep(0.01)
