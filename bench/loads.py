"""The load on every gateway: wrk for requests, `stream_client.py` and `latency_client.py` for the rest.

Each function drives one port for one stretch of time and returns plain numbers; who listens there is not its business.
"""

import json
import shutil
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from bench.payload import KEY, MODEL, PATH, Kind, render_head, render_request
from bench.process import BenchError, Child
from bench.upstreams import ROOT

Traffic = Literal["keep", "close", "heads", "models"]
"""The kinds of wrk's traffic; see `chat.lua`."""

_SCRIPT = Path(__file__).parent / "chat.lua"


@dataclass(frozen=True)
class RequestRun:
    """What wrk saw."""

    requests: int
    seconds: float


def run_requests(
    port: int,
    seconds: int,
    connections: int,
    directory: Path,
    cores: list[int],
    traffic: Traffic = "keep",
    models: Sequence[str] = (MODEL,),
) -> RequestRun:
    """Drive the port as fast as it answers. `models`: asked in turn by the traffic of that name."""
    binary = shutil.which("wrk")
    if binary is None:
        raise BenchError("the load generator is wrk, which is not installed: run `make bench-peers`")
    bodies = directory / "requests.jsonl"
    bodies.write_bytes(b"\n".join(render_request(model=model) for model in models) + b"\n")
    command = [binary, "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", str(_SCRIPT)]
    command += [f"http://127.0.0.1:{port}{PATH}", "--", str(bodies), KEY, traffic, str(time.time_ns())]
    with Child(command, cores) as wrk:
        output = wrk.read_all(seconds + 40)
    return parse_result(output)


def parse_result(output: str) -> RequestRun:
    """Read the line that `chat.lua` prints; a run with an error of any kind raises."""
    line = next((line for line in output.splitlines() if line.startswith("RESULT ")), None)
    if line is None:
        raise BenchError(f"wrk said: {output[-300:]}")
    result = json.loads(line.removeprefix("RESULT "))
    if result["bad_status"] or result["broken"] or not result["requests"]:
        raise BenchError(f"wrk: {line}")
    return RequestRun(result["requests"], result["seconds"])


@dataclass(frozen=True)
class StreamCount:
    """Counters of the stream client; see `stream_client.py`."""

    open: int
    events: int
    reads: int
    failed: int
    failure: str


class Streams:
    """Open streams through a port, from `with` to its end."""

    def __init__(
        self, port: int, streams: int, interval_ms: int, cores: list[int], kind: Kind = "alike"
    ) -> None:
        arguments = [str(port), str(streams), str(interval_ms), kind]
        self.child = Child([sys.executable, "-m", "bench.stream_client", *arguments], cores, directory=ROOT)
        self._streams = streams

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.child.stop()

    def count(self) -> StreamCount:
        """Return the counters now; a stream that failed raises."""
        count = StreamCount(**json.loads(self.child.ask()))
        if count.failed:
            raise BenchError(f"{count.failed} of {self._streams} streams failed, first: {count.failure}")
        return count

    def wait_open(self, timeout: float) -> None:
        """Wait until every stream has had an event."""
        deadline = time.monotonic() + timeout
        while (count := self.count()).open < self._streams:
            if time.monotonic() > deadline:
                raise BenchError(f"only {count.open} of {self._streams} streams opened in {timeout:.0f} s")
            time.sleep(0.05)


def run_latency(port: int, rate: float, seconds: float, body_bytes: int, cores: list[int]) -> list[float]:
    """Return the sorted latencies in seconds of an open-loop run; a failed request raises."""
    arguments = [str(port), str(rate), str(seconds), str(body_bytes)]
    command = [sys.executable, "-m", "bench.latency_client", *arguments]
    with Child(command, cores, directory=ROOT) as client:
        output = client.read_all(seconds + 30)
    result = json.loads(output or '{"latencies": [], "failed": 1}')
    if result["failed"] or not result["latencies"]:
        raise BenchError(f"{result['failed']} of {rate * seconds:.0f} requests failed")
    return sorted(result["latencies"])


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which `share` of the sorted values lie."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def ask_once(port: int, timeout: float) -> bool:
    """Send one chat completion on a fresh connection; return whether the answer was 200."""
    body = render_request()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout) as connection:
            connection.sendall(render_head(body) + body)
            return connection.recv(65536).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def accepts(port: int) -> bool:
    """Return whether something listens."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1.0):
            return True
    except OSError:
        return False
