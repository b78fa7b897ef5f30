"""Gateways running side by side in front of one pair of upstreams.

All are started once and stay; those whose turn it is not are stopped by SIGSTOP, so that a neighbour's background work
neither uses the gateway core nor ends up in somebody's tail latency.
"""

import signal
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.gateways import Gateway, Place
from bench.loads import accepts, ask_once
from bench.process import BenchError, Child, free_port
from bench.settings import Settings
from bench.upstreams import start_static, start_streaming, two_ports


class Live:
    """One running gateway."""

    def __init__(self, gateway: Gateway, child: Child, port: int, accept_s: float, answer_s: float) -> None:
        self.gateway = gateway
        self.child = child
        self.port = port
        self.accept_s = accept_s
        self.answer_s = answer_s
        self.warm = False
        """Whether it was under full load before."""

    @contextmanager
    def turn(self) -> Generator[None]:
        """Let the stopped gateway run, until the end of the block; one that has ended raises."""
        if not self.child.running:
            raise BenchError(
                f"it has ended with status {self.child.status}: {self.child.last_words() or 'no output'}"
            )
        self.child.signal_tree(signal.SIGCONT)
        # Connections that grew stale meanwhile are replaced by the first requests, outside of what is measured.
        for _ in range(4):
            ask_once(self.port, 10)
        try:
            yield
        finally:
            self.child.signal_tree(signal.SIGSTOP)


def launch(
    gateway: Gateway, binary: str, upstreams: tuple[int, ...], directory: Path, core: int, *, streams: bool
) -> Live:
    """Start a gateway and wait until it accepts and answers; one that does not raises with its last words."""
    # It is there when a disturbed measurement is taken again.
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    place = Place(directory, port, free_port(), upstreams, streams)
    command = gateway.render(place, binary)
    began = time.perf_counter()
    child = Child(
        command, [core], log=directory / "log", environment=gateway.environment, directory=directory
    )

    def wait(ready: Callable[[], bool]) -> float:
        while not ready():
            if not child.running or time.perf_counter() - began > gateway.start_timeout:
                words = child.last_words()
                child.stop()
                raise BenchError(f"{gateway.name} did not start: {words or 'no output'}")
            time.sleep(0.002)
        return time.perf_counter() - began

    try:
        accept_s = wait(lambda: accepts(port))
        answer_s = wait(lambda: ask_once(port, 5))
    except BaseException:
        child.stop()
        raise
    return Live(gateway, child, port, accept_s, answer_s)


class Fleet:
    """Upstreams with all gateways that could be started in front."""

    def __init__(self, upstream: Child, ports: tuple[int, int], lives: list[Live]) -> None:
        self.upstream = upstream
        self.ports = ports
        self.lives = lives


@contextmanager
def upstream(
    directory: Path, settings: Settings, *, streams: bool, ids: bool = False
) -> Generator[tuple[Child, tuple[int, int]]]:
    """Run the pair of upstreams for one kind of traffic; `ids`: see `upstreams.start_static`."""
    ports = two_ports()
    if streams:
        child = start_streaming(ports, settings.load_cores)
    else:
        child = start_static(directory, ports, settings.load_cores, ids=ids)
    with child:
        deadline = time.monotonic() + 5
        while not all(accepts(port) for port in ports):
            if not child.running or time.monotonic() > deadline:
                raise BenchError(f"the upstream did not start: {child.last_words()}")
            time.sleep(0.01)
        yield child, ports


@contextmanager
def fleet(
    rows: list[tuple[Gateway, str]],
    directory: Path,
    settings: Settings,
    note: Callable[[str], None],
    *,
    streams: bool,
    ids: bool = False,
) -> Generator[Fleet]:
    """Start everything for one kind of traffic; gateways that do not start are left out and noted."""
    with ExitStack() as stack:
        child, ports = stack.enter_context(
            upstream(directory / "upstream", settings, streams=streams, ids=ids)
        )
        lives: list[Live] = []
        for gateway, binary in rows:
            try:
                live = launch(
                    gateway, binary, ports, directory / gateway.name, settings.gateway_core, streams=streams
                )
            except BenchError as exc:
                note(str(exc))
                continue
            stack.enter_context(live.child)
            live.child.signal_tree(signal.SIGSTOP)
            lives.append(live)
        yield Fleet(child, ports, lives)
