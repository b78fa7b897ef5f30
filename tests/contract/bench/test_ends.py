"""The two ends of the wire that are ours, against each other: the streaming upstream and its clients."""

import os
import sys
from collections.abc import Iterator

import pytest
from bench.loads import Streams, ask_once, run_latency
from bench.payload import Kind
from bench.process import BenchError
from bench.upstreams import start_streaming, two_ports

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="the benchmark reads /proc and pins its children"
)

CORES = sorted(os.sched_getaffinity(0))


@pytest.fixture
def port() -> Iterator[int]:
    ports = two_ports()
    with start_streaming(ports, CORES):
        yield ports[0]


@pytest.mark.parametrize("kind", ["alike", "varied", "thinking"])
def test_every_stream_opens_and_goes_on(port: int, kind: Kind) -> None:
    with Streams(port, 3, 5, CORES, kind=kind) as streams:
        streams.wait_open(30)
        before = streams.count()
        while (now := streams.count()).events < before.events + 30:
            pass
    assert (now.open, now.failed) == (3, 0)


@pytest.mark.parametrize("body_bytes", [0, 100_000])
def test_every_request_of_an_open_loop_is_answered(port: int, body_bytes: int) -> None:
    latencies = run_latency(port, 100, 0.5, body_bytes, CORES)
    # The first fifth warms up.
    assert 0 < len(latencies) <= 41
    assert latencies == sorted(latencies)


def test_failed_requests_are_an_error(port: int) -> None:
    assert ask_once(port, 5)
    closed, _ = two_ports()
    assert not ask_once(closed, 5)
    with pytest.raises(BenchError, match="failed"), Streams(closed, 1, 5, CORES) as streams:
        streams.wait_open(30)
