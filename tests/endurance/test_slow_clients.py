"""Clients that are slow, idle or too many: each limit ends what it is there to end, and nobody else."""

import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.endurance.crowd import chat
from tests.endurance.harness import PATIENCE, GatewayProcess, eventually, gateway
from tests.endurance.raw import RawClient
from trunkline.simulator.app import SimulatorThread
from trunkline.simulator.state import Entry

LIMITS = {"head_timeout": 0.5, "body_idle": 1.0, "keep_alive_idle": 0.5, "slow_client": 0.5}
STEADY = 0.05  # seconds between two signs of life of a client that is slow and not idle
UPLOAD = b"POST /v1/files HTTP/1.1\r\nhost: localhost\r\ncontent-length: 40\r\n\r\n"


@pytest.fixture(scope="module")
def sim() -> Iterator[SimulatorThread]:
    with SimulatorThread(seed=7) as running:
        yield running


@pytest.fixture(scope="module")
def limited(sim: SimulatorThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway with little patience."""
    with gateway(tmp_path_factory.mktemp("gateway"), sim.url, LIMITS) as running:
        yield running


def test_who_says_nothing_is_closed_without_a_word(limited: GatewayProcess) -> None:
    with RawClient(limited.port) as client:
        assert client.rest() == b""


def test_a_head_that_does_not_end(limited: GatewayProcess) -> None:
    with RawClient(limited.port) as client:
        client.send(b"GET /health/live HTTP/1.1\r\n")
        assert client.answer().status == 408
        assert client.rest() == b""


def test_a_head_that_drips_does_not_win_time(limited: GatewayProcess) -> None:
    with RawClient(limited.port) as client:
        client.send(b"GET /health/live HTTP/1.1\r\nx: ")
        for _ in range(int(PATIENCE / STEADY)):
            client.send(b"y")
            if client.answers_within(STEADY):
                break
        assert client.answer().status == 408


@pytest.mark.parametrize("request_", [chat("sim-small")[:-5], UPLOAD + b"12345"], ids=["JSON", "upload"])
def test_a_body_that_does_not_go_on(limited: GatewayProcess, request_: bytes) -> None:
    with RawClient(limited.port) as client:
        client.send(request_)
        assert client.answer().status == 408
        assert client.rest() == b""
    eventually(lambda: limited.in_flight == 0, "the call is still there")


@pytest.mark.parametrize("request_", [chat("sim-small"), UPLOAD + b"x" * 40], ids=["JSON", "upload"])
def test_a_body_that_drips_is_waited_for(limited: GatewayProcess, request_: bytes) -> None:
    with RawClient(limited.port) as client:
        client.send(request_[:-40])
        for byte in request_[-40:]:
            time.sleep(STEADY)
            client.send(bytes((byte,)))
        assert client.answer().status == 200


def test_a_connection_without_a_next_request(limited: GatewayProcess) -> None:
    with RawClient(limited.port) as client:
        for _ in range(2):
            client.send(chat("sim-small"))
            assert client.answer().status == 200
        assert client.rest() == b""


def test_an_answer_that_takes_its_time_is_not_idleness(limited: GatewayProcess) -> None:
    with RawClient(limited.port) as client:
        client.send(chat("sim-small!delay_head=2"))
        assert client.answer().status == 200


@pytest.mark.parametrize("model", ["sim!bulk=10000000", "sim!bytes=2GiB"])
def test_who_does_not_read_is_cut_and_his_upstream_with_him(
    sim: SimulatorThread, limited: GatewayProcess, model: str
) -> None:
    with RawClient(limited.port) as client:
        client.send(chat(model, stream=True))
        entry = arrived(sim)
        sim.until(lambda: entry.finished is not None, PATIENCE)
        assert entry.outcome == "client_closed"
        eventually(lambda: limited.clients == 0, "the client's connection is still there")
        assert not client.rest().endswith(b"0\r\n\r\n")


def test_who_does_not_read_his_last_answer_is_closed_all_the_same(limited: GatewayProcess) -> None:
    """The answer is over for the gateway and waits for the client: only the close is left, and it must come."""
    with RawClient(limited.port) as client:
        request = chat("sim!bytes=7MiB").replace(b"host: localhost", b"host: localhost\r\nconnection: close")
        client.send(request)
        eventually(lambda: limited.clients == 0, "the client's connection is still there")


@pytest.mark.parametrize("fault", ["", "!bytes=7MiB"], ids=["reads", "does not read"])
def test_who_does_not_answer_the_close_of_tls_is_closed_all_the_same(
    sim: SimulatorThread, tmp_path: Path, fault: str
) -> None:
    cert = tmp_path / "cert.pem"
    trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(cert))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        gateway(tmp_path, sim.url, LIMITS | {"tls_cert_path": str(cert)}) as running,
        socket.create_connection(("127.0.0.1", running.port), PATIENCE) as plain,
        context.wrap_socket(plain) as client,
    ):
        client.sendall(
            chat(f"sim{fault}").replace(b"host: localhost", b"host: localhost\r\nconnection: close")
        )
        if not fault:
            assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
        else:
            sim.until(lambda: sim.stats()["in_flight"] == 0, PATIENCE)  # all of it is the gateway's by now
        eventually(lambda: running.clients == 0, "the client's connection is still there")


def test_who_reads_slowly_and_steadily_is_not_cut(sim: SimulatorThread, limited: GatewayProcess) -> None:
    # A large buffer would be refilled in steps that take longer than the limit: nobody sees that it is being read.
    with RawClient(limited.port, receive_buffer=65536) as client:
        client.send(chat("sim!bytes=1GiB"))
        entry = arrived(sim)
        for _ in range(60):
            time.sleep(STEADY)
            assert client.sock.recv(32768)
        assert entry.outcome == "in_flight"


def arrived(sim: SimulatorThread) -> Entry:
    """The log entry of the only request at work."""
    sim.until(lambda: sim.stats()["in_flight"] == 1, PATIENCE)
    return sim.log[-1]


def test_no_more_connections_than_allowed(sim: SimulatorThread, tmp_path: Path) -> None:
    with gateway(tmp_path, sim.url, {"max_connections": 3}) as running:
        clients = [RawClient(running.port) for _ in range(3)]
        for client in clients:
            client.send(chat("sim-small"))
            assert client.answer().status == 200
        with RawClient(running.port) as too_many:
            assert too_many.rest() == b""
        clients.pop().sock.close()
        eventually(lambda: running.clients == 2, "the place has not come free")
        with RawClient(running.port) as client:
            client.send(chat("sim-small"))
            assert client.answer().status == 200
        for client in clients:
            client.send(chat("sim-small"))
            assert client.answer().status == 200
            client.sock.close()


def test_no_more_requests_on_a_connection_than_allowed(sim: SimulatorThread, tmp_path: Path) -> None:
    with gateway(tmp_path, sim.url, {"keep_alive_requests": 3}) as running, RawClient(running.port) as client:
        client.send(chat("sim-small") * 4)
        assert [client.answer().field(b"connection") for _ in range(3)] == [None, None, b"close"]
        assert client.rest() == b""


def test_no_more_bodies_are_held_than_allowed(sim: SimulatorThread, tmp_path: Path) -> None:
    with gateway(tmp_path, sim.url, {"max_buffered": "100KiB"}) as running:
        long = chat("sim-small", user="x" * 80_000)
        with (
            RawClient(running.port) as first,
            RawClient(running.port) as second,
            RawClient(running.port) as third,
        ):
            first.send(long[:50_000])
            eventually(lambda: running.clients == 3, "the clients have not come")
            second.send(long)
            refused = second.answer()
            assert refused.status == 503
            assert refused.field(b"retry-after") is not None
            assert b'"overloaded"' in refused.body
            third.send(chat("sim-small"))
            assert third.answer().status == 200
            first.send(long[50_000:])
            assert first.answer().status == 200
            third.send(long)
            assert third.answer().status == 200
