"""Who leaves stops the work done for him: his upstream is closed within 100 ms, also while his socket is not read.

The bar is the issue's own. The machine may be busy with something else, so the best of several tries must meet it,
and the middle one must be of the same kind: no sweep, no timeout stands between the two ends.
"""

import select
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.endurance.crowd import RESET_ON_CLOSE, chat
from tests.endurance.harness import PATIENCE, GatewayProcess, StubServer, eventually, gateway
from trunkline.simulator.app import SimulatorThread

BAR = 0.1
SANE = 0.2
TRIES = 5
_LEFT = select.POLLRDHUP | select.POLLHUP | select.POLLERR

Leave = Callable[[socket.socket], None]


def by_fin(sock: socket.socket) -> None:
    """Without unread data a close says FIN; with some, the kernel makes it a reset. This is always FIN."""
    sock.shutdown(socket.SHUT_WR)


def by_reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    sock.close()


LEAVING = [pytest.param(by_fin, id="FIN"), pytest.param(by_reset, id="reset")]


@pytest.fixture(scope="module")
def sim() -> Iterator[SimulatorThread]:
    with SimulatorThread(seed=7) as running:
        yield running


@pytest.fixture(scope="module")
def relay(sim: SimulatorThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with gateway(tmp_path_factory.mktemp("gateway"), sim.url) as running:
        yield running


@pytest.mark.parametrize("leave", LEAVING)
@pytest.mark.parametrize("model", ["sim!delay_head=forever", "sim!words=3;stall"])
def test_a_client_that_waits(sim: SimulatorThread, relay: GatewayProcess, model: str, leave: Leave) -> None:
    def waiting() -> socket.socket:
        return asked(sim, relay, model)

    assert_prompt([leaving_takes(sim, waiting(), leave) for _ in range(TRIES)])


@pytest.mark.parametrize("leave", LEAVING)
@pytest.mark.parametrize("model", ["sim!bulk=10000000", "sim!bytes=2GiB"])
def test_a_client_that_does_not_read(
    sim: SimulatorThread, relay: GatewayProcess, model: str, leave: Leave
) -> None:
    def unread() -> socket.socket:
        sock = asked(sim, relay, model)
        sent = -1
        while sent != (sent := sim.log[-1].sent):  # until nothing moves: all buffers are full
            time.sleep(0.1)
        return sock

    assert_prompt([leaving_takes(sim, unread(), leave) for _ in range(TRIES)])


@pytest.mark.parametrize("leave", LEAVING)
def test_a_client_that_sent_so_much_ahead_that_it_is_not_read(
    sim: SimulatorThread, relay: GatewayProcess, leave: Leave
) -> None:
    def ahead() -> socket.socket:
        sock = asked(sim, relay, "sim!words=100000;delay_chunk=0.01")
        fill(sock, relay.port, chat("sim") * 50)
        return sock

    assert_prompt([leaving_takes(sim, ahead(), leave) for _ in range(TRIES)])


@pytest.mark.parametrize("leave", LEAVING)
def test_a_client_that_sends_more_than_the_upstream_takes(tmp_path: Path, leave: Leave) -> None:
    with DeafUpstream() as upstream, gateway(tmp_path, upstream.url, {"max_body": "1GiB"}) as running:
        took: list[float] = []
        for number in range(TRIES):
            sock = socket.create_connection(("127.0.0.1", running.port), PATIENCE)
            sock.sendall(b"POST /v1/files HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000000\r\n\r\n")
            fill(sock, running.port, b"x" * 32768)
            left = time.monotonic()
            leave(sock)
            eventually(lambda number=number: len(upstream.closed) > number, "the upstream is still open")
            took.append(upstream.closed[number] - left)
            sock.close()
        assert_prompt(took)


def asked(sim: SimulatorThread, relay: GatewayProcess, model: str) -> socket.socket:
    """A client whose request has arrived upstream."""
    seen = sim.stats()["total"]
    sock = socket.socket()
    sock.settimeout(PATIENCE)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", relay.port))
    sock.sendall(chat(model, stream=True))
    sim.until(lambda: sim.stats()["total"] > seen, PATIENCE)
    return sock


def leaving_takes(sim: SimulatorThread, sock: socket.socket, leave: Leave) -> float:
    """Seconds from leaving to the end of the upstream connection, as the simulator logged it."""
    entry = sim.log[-1]
    left = sim_now(sim)
    leave(sock)
    sim.until(lambda: entry.finished is not None, PATIENCE)
    sock.close()
    assert entry.outcome == "client_closed"
    assert entry.client_closed is not None
    return entry.client_closed - left


def sim_now(sim: SimulatorThread) -> float:
    """The simulator's clock, which its log is written by."""
    state = sim._simulator._state
    return sim._call(state.now)


def assert_prompt(took: list[float]) -> None:
    print("ms:", [round(seconds * 1000) for seconds in took])
    assert min(took) <= BAR
    assert statistics.median(took) <= SANE


def fill(sock: socket.socket, port: int, piece: bytes) -> None:
    """Send until the gateway does not read any more, but no more than its kernel takes: a FIN still gets through."""
    rest = 0
    while not rest:
        sock.sendall(piece)
        rest = unread_by(port, sock.getsockname()[1])
        for _ in range(4 if rest else 0):  # it must stay unread, not just be on its way
            time.sleep(0.01)
            rest = min(rest, unread_by(port, sock.getsockname()[1]))


def unread_by(port: int, peer: int) -> int:
    """Bytes from that peer in the kernel that the server on `port` has not read (proc_net_tcp(5))."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(f":{port:04X}") and fields[2].endswith(f":{peer:04X}"):
            return int(fields[4].partition(":")[2], 16)
    return 0


class DeafUpstream(StubServer):
    """Accepts, reads nothing, and notes when each connection is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.closed: list[float] = []

    def serve(self, sock: socket.socket) -> None:
        watch = select.poll()
        watch.register(sock, _LEFT)
        if watch.poll(PATIENCE * 1000):
            self.closed.append(time.monotonic())
