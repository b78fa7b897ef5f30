"""Gigabytes through somebody slow: the gateway holds next to nothing of it, over TCP and over TLS, both ways.

The bar is the issue's: 16 MiB of growth. Its peak is looked at, not its end, and a smaller transfer goes first, so
that what any transfer needs once (buffers, TLS, code that is loaded) is there before.
"""

import contextlib
import socket
import ssl
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme

from tests.endurance.crowd import chat
from tests.endurance.harness import PATIENCE, GatewayProcess, StubServer, gateway
from trunkline.simulator.app import SimulatorThread

MIB = 1024 * 1024
BAR = 16 * MIB
BURST = 32 * MIB  # what the slow one reads before it rests: more than all buffers on the way hold
REST = 0.01
LONG_REST = 0.5
LONG_RESTS = 3
PATTERN = bytes(range(256)) * 4097  # the simulator's: the byte at offset i is i modulo 256
PIECE = 1024 * 1024


class Wire(msgspec.Struct, frozen=True):
    """How both hops of a test are made: plain, or TLS with the gateway's own certificate and the upstream's."""

    name: str
    server: dict[str, Any] = {}
    backend: dict[str, Any] = {}
    upstream_context: ssl.SSLContext | None = None
    client_context: ssl.SSLContext | None = None

    def connect(self, port: int) -> socket.socket:
        """A client's connection to the gateway."""
        sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
        if self.client_context is None:
            return sock
        return self.client_context.wrap_socket(sock, server_hostname="localhost")


@pytest.fixture(scope="module", params=["TCP", "TLS"])
def wire(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Wire:
    if request.param == "TCP":
        return Wire("TCP")
    directory = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    cert, key, bundle = (str(directory / name) for name in ("cert.pem", "key.pem", "ca.pem"))
    certificate.cert_chain_pems[0].write_to_path(cert)
    certificate.private_key_pem.write_to_path(key)
    authority.cert_pem.write_to_path(bundle)
    upstream = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    upstream.load_cert_chain(cert, key)
    client = ssl.create_default_context(cafile=bundle)
    return Wire(
        "TLS",
        {"tls_cert_path": cert, "tls_key_path": key},
        {"ca_bundle_path": bundle},
        upstream,
        client,
    )


@pytest.fixture(scope="module")
def sim(wire: Wire) -> Iterator[SimulatorThread]:
    with SimulatorThread(seed=7, ssl=wire.upstream_context) as running:
        yield running


def test_two_gigabytes_to_a_slow_reader(wire: Wire, sim: SimulatorThread, tmp_path: Path) -> None:
    with gateway(tmp_path, sim.url, wire.server, **wire.backend) as running:
        download(wire, running, None, "sim!bytes=64MiB", 64 * MIB)
        with small_growth(running):
            download(wire, running, sim, "sim!bytes=2GiB", 2048 * MIB)


def test_a_quarter_gigabyte_of_events_to_a_slow_reader(
    wire: Wire, sim: SimulatorThread, tmp_path: Path
) -> None:
    with gateway(tmp_path, sim.url, wire.server, **wire.backend) as running:
        download(wire, running, None, "sim!bulk=300000", None)
        with small_growth(running):
            size = download(wire, running, sim, "sim!bulk=1900000", None)
        assert size > 256 * MIB


def test_a_gigabyte_to_a_slow_upstream(wire: Wire, tmp_path: Path) -> None:
    with (
        SlowUpstream(wire.upstream_context) as upstream,
        gateway(tmp_path, upstream.url, wire.server | {"max_body": "2GiB"}, **wire.backend) as running,
    ):
        upload(wire, running, 64 * MIB)
        with small_growth(running):
            upload(wire, running, 1024 * MIB)


@contextlib.contextmanager
def small_growth(running: GatewayProcess) -> Generator[None]:
    """What happens inside must not need more memory than the bar, at its worst moment."""
    running.forget_peak()
    before = running.rss
    started = time.monotonic()
    yield
    took = time.monotonic() - started
    print(f"RSS {before >> 10} KiB, peak {running.peak >> 10} KiB, end {running.rss >> 10} KiB, {took:.1f} s")
    assert running.peak - before < BAR


def download(
    wire: Wire, running: GatewayProcess, sim: SimulatorThread | None, model: str, size: int | None
) -> int:
    """Read an answer in bursts: a pattern of so many bytes, or a chunked one. The result is its length.

    With `sim` the upstream's coming to rest is looked at: the answer must be longer than all buffers on the way.
    """
    with wire.connect(running.port) as sock:
        sock.sendall(chat(model, stream=size is None))
        buffer = bytearray(PIECE)
        got = bytearray()
        while b"\r\n\r\n" not in got:
            got += sock.recv(4096)
        head, _, start = bytes(got).partition(b"\r\n\r\n")
        assert b" 200 OK" in head
        read, tail, rests = len(start), start, 0
        while read < size if size is not None else not tail.endswith(b"\r\n0\r\n\r\n"):
            count = sock.recv_into(buffer)
            assert count, "the answer was cut"
            if size is not None:
                assert PATTERN.startswith(buffer[:count], read % 256)
            tail = tail[-8:] + buffer[max(0, count - 8) : count]
            if read // BURST != (read + count) // BURST:
                rests += 1
                if sim is not None and rests <= LONG_RESTS:
                    everything_stops(sim)
                else:
                    time.sleep(REST)
            read += count
        return read


def everything_stops(sim: SimulatorThread) -> None:
    """While the client rests, its upstream comes to rest too, in the middle of its answer."""
    sent = -1
    while sent != (sent := sim.log[-1].sent):
        time.sleep(LONG_REST)
    assert sim.log[-1].outcome == "in_flight"


def upload(wire: Wire, running: GatewayProcess, size: int) -> None:
    """Send a body of a pattern."""
    with wire.connect(running.port) as sock:
        sock.sendall(b"POST /v1/files HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % size)
        piece = memoryview(PATTERN)[:PIECE]
        for _ in range(size // PIECE):
            sock.sendall(piece)
        answer = b""
        while not answer.endswith(b"}"):
            more = sock.recv(4096)
            assert more, answer
            answer += more
        assert answer.endswith(b'{"read":%d}' % size)


class SlowUpstream(StubServer):
    """Reads bodies in bursts, checks their pattern, and answers how much it has read."""

    def serve(self, sock: socket.socket) -> None:
        got = b""
        while b"\r\n\r\n" not in got:
            got += sock.recv(4096)
        head, _, start = got.partition(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        read, rests = len(start), 0
        buffer = bytearray(PIECE)
        while read < size:
            count = sock.recv_into(buffer)
            if not count or not PATTERN.startswith(buffer[:count], read % 256):
                return  # the gateway sees a cut, and the test no answer
            if read // BURST != (read + count) // BURST:
                rests += 1
                time.sleep(LONG_REST if rests <= LONG_RESTS else REST)
            read += count
        body = b'{"read":%d}' % read
        sock.sendall(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n"
            b"content-length: %d\r\n\r\n%b" % (len(body), body)
        )
