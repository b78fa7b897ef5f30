"""One measurement of one gateway, for each of the measures; `rounds.py` decides who is measured when.

`requests`  CPU per request and requests/s at saturation, keep-alive.
`heads`     the same with heads of requests and answers that never come twice.
`churn`     the same with a connection per request.
`routing`   the same, over few and over many backends with a model each.
`targets`   the same, over few and over many targets of one model.
`latency`   open loop at a fixed rate, direct and through the gateway.
`bodies`    the same with long request bodies.
`streams`   CPU per streamed chunk at a pace that leaves nobody saturated, so that events do not share a read.
`events`    the same with events that differ in more than their text.
`memory`    resident memory idle and with many open streams.
`start`     from spawning the process until it accepts, and until it has answered a first request.

Each returns its values by name; one that cannot be measured raises BenchError.
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

from bench.fleet import Fleet, Live, launch
from bench.gateways import Gateway
from bench.loads import Streams, Traffic, percentile, run_latency, run_requests
from bench.payload import Kind
from bench.process import BenchError, resident, usage
from bench.settings import Settings

Values = dict[str, float]

_SLOW_FACTOR = 2
"""A slow gateway is measured once only, this much longer."""

_SLOW_CONNECTIONS = 16
"""And with fewer connections: calls that wrk abandons at its end have cost CPU but are not counted."""


def direct_requests(fleet: Fleet, directory: Path, settings: Settings, traffic: Traffic) -> Values:
    """Drive the upstream without a gateway: what load and upstream can do together."""
    load = settings.load_cores
    run = run_requests(fleet.ports[0], settings.seconds, settings.connections, directory, load, traffic)
    return {"per_second": run.requests / run.seconds}


def drive_requests(live: Live, directory: Path, settings: Settings, traffic: Traffic) -> Values:
    """Drive the gateway as fast as it answers."""
    slow = live.gateway.slow
    connections = _SLOW_CONNECTIONS if slow else settings.connections
    seconds = settings.seconds * (_SLOW_FACTOR if slow else 1)
    load, models = settings.load_cores, live.gateway.models
    with live.turn():
        # With many backends the requests of `turn` do not replace all the connections that grew stale.
        if not live.warm or live.gateway.backends > settings.connections:
            run_requests(live.port, 1, connections, directory, load, traffic, models)
            live.warm = True
        before = usage(live.child.pid)
        run = run_requests(live.port, seconds, connections, directory, load, traffic, models)
        cpu = usage(live.child.pid).since(before)
    return {
        "cpu_us": cpu / run.requests * 1e6,
        "per_second": run.requests / run.seconds,
        "gateway_busy": cpu / run.seconds,
    }


def _latency(port: int, rate: float, seconds: float, body_bytes: int, load_cores: list[int]) -> Values:
    times = run_latency(port, rate, seconds, body_bytes, load_cores)
    return {"p50_ms": percentile(times, 0.5) * 1e3, "p99_ms": percentile(times, 0.99) * 1e3, "rate": rate}


def direct_latency(fleet: Fleet, settings: Settings, body_bytes: int) -> Values:
    """Measure the upstream without a gateway, to be subtracted; `body_bytes` 0: a short body."""
    return _latency(fleet.ports[0], settings.rate, settings.seconds, body_bytes, settings.load_cores)


def gateway_latency(live: Live, settings: Settings, body_bytes: int) -> Values:
    """Measure through the gateway."""
    seconds = settings.seconds * (_SLOW_FACTOR if live.gateway.slow else 1)
    with live.turn():
        rate = min(settings.rate, live.gateway.max_rate)
        return _latency(live.port, rate, seconds, body_bytes, settings.load_cores)


def _streams(
    port: int,
    interval_ms: int,
    seconds: float,
    settings: Settings,
    upstream: int,
    gateway: int | None,
    kind: Kind = "alike",
) -> Values:
    with Streams(port, settings.streams, interval_ms, settings.load_cores, kind) as streams:
        streams.wait_open(60)
        time.sleep(1)
        roots = [upstream, streams.child.pid] + ([] if gateway is None else [gateway])
        before, first = [usage(pid) for pid in roots], streams.count()
        time.sleep(seconds)
        after, last = [usage(pid) for pid in roots], streams.count()
    wall = after[0].wall - before[0].wall
    cpu = [now.since(then) for now, then in zip(after, before, strict=True)]
    events, reads = last.events - first.events, last.reads - first.reads
    if not events:
        raise BenchError("no event arrived")
    values = {
        "per_second": events / wall,
        "reads_per_second": reads / wall,
        "load_busy": (cpu[0] + cpu[1]) / wall / len(settings.load_cores),
    }
    if gateway is not None:
        values |= {"cpu_us": cpu[2] / events * 1e6, "gateway_busy": cpu[2] / wall}
    return values


def direct_streams(fleet: Fleet, settings: Settings) -> Values:
    """Read the streams without a gateway and without a pace: what load and upstream can do together."""
    return _streams(fleet.ports[0], 0, 2, settings, fleet.upstream.pid, None)


def relay_streams(fleet: Fleet, live: Live, settings: Settings, kind: Kind) -> Values:
    """Read the streams through the gateway; a slow one gets them at a pace that it can keep."""
    interval, seconds = settings.interval_ms, settings.seconds
    if settings.streams * 1000 / interval > live.gateway.max_chunks:
        interval = int(settings.streams * 1000 / live.gateway.max_chunks)
        seconds *= _SLOW_FACTOR
    with live.turn():
        return _streams(live.port, interval, seconds, settings, fleet.upstream.pid, live.child.pid, kind)


def hold_streams(
    gateway: Gateway, binary: str, ports: tuple[int, int], directory: Path, settings: Settings
) -> Values:
    """Start the gateway afresh and open many slow streams."""
    count = min(settings.open_streams, gateway.max_streams)
    live = launch(gateway, binary, ports, directory, settings.gateway_core, streams=True)
    with live.child:
        time.sleep(1)
        idle = resident(live.child.pid)
        with Streams(live.port, count, 1000, settings.load_cores) as streams:
            streams.wait_open(60)
            time.sleep(1)
            full = resident(live.child.pid)
            streams.count()
    return {"idle_mb": idle, "open_mb": full, "streams": count, "kb_per_stream": (full - idle) * 1000 / count}


def start(
    gateway: Gateway, binary: str, ports: tuple[int, int], directory: Path, settings: Settings
) -> Values:
    """Start the gateway and stop it again."""
    live = launch(gateway, binary, ports, directory, settings.gateway_core, streams=False)
    live.child.stop()
    return {"accept_s": live.accept_s, "answer_s": live.answer_s}


def commands(environment: dict[str, str]) -> Values:
    """Time `import trunkline` (without Python's own start) and `trunkline --version` (with it)."""

    def timed(*arguments: str, says: bytes = b"") -> float:
        times: list[float] = []
        for _ in range(7):
            began = time.perf_counter()
            answer = subprocess.run(
                [sys.executable, *arguments], env=environment, capture_output=True, check=False
            )
            times.append(time.perf_counter() - began)
            # A command that says nothing would be the fastest of all.
            if answer.returncode or says not in answer.stdout:
                raise BenchError(f"{' '.join(arguments)}: {answer.stderr.decode()[-200:]}")
        return statistics.median(times) * 1e3

    bare = timed("-c", "pass")
    imported = timed("-c", "import trunkline")
    return {
        "import_ms": imported - bare,
        "version_ms": timed("-m", "trunkline.cli.main", "--version", says=b"trunkline "),
    }
