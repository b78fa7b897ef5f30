"""The order of a run: rounds A B C A B C, so that a noisy neighbour hurts all gateways alike.

Prints every sample as it comes, keeps it in the results, and keeps what failed as a problem without ending the run.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from bench import measures
from bench.disturbance import Watch
from bench.fleet import Fleet, Live, fleet, upstream
from bench.gateways import IN_BARS, STRATEGIES, Gateway, routing_row, splitting, targets_row
from bench.loads import Traffic
from bench.process import BenchError
from bench.settings import DIRECT, DISTURBED, Results, Sample

Direct = Callable[[], measures.Values]
Through = Callable[[Live], measures.Values]

_LOOK = 1.0
"""Seconds of looking at the machine, again and again, until a disturbed measurement may be taken again."""


class Rounds:
    """One run over the gateways that are installed."""

    def __init__(self, results: Results, rows: list[tuple[Gateway, str]], directory: Path) -> None:
        self._results = results
        self._settings = results.settings
        self._rows = rows
        self._directory = directory
        self._patience = results.settings.patience

    def run(self, names: list[str]) -> None:
        """Run these measures; those with the same upstreams share one start of the gateways."""
        compared = [row for row in self._rows if row[0].name in IN_BARS]
        if {"requests", "churn", "latency"}.intersection(names):
            with self._fleet("requests", self._rows, streams=False) as running:
                self._on_requests(running, names)
        if "heads" in names:
            with self._fleet("heads", compared, streams=False, ids=True) as running:
                self._saturate("heads", running, "heads", direct=True)
        if {"streams", "events", "bodies"}.intersection(names):
            with self._fleet("streams", self._rows, streams=True) as running:
                self._on_streams(running, names)
        if "thoughts" in names:
            rows = [(splitting(gateway), binary) for gateway, binary in compared]
            with self._fleet("thoughts", rows, streams=True) as running:
                through = partial(measures.relay_streams, running, settings=self._settings, kind="thinking")
                self._interleave("thoughts", running.lives, through)
        if "routing" in names:
            self._route("routing", [routing_row(count) for count in self._few_and_many], "models")
        if "targets" in names:
            rows = [targets_row(count, strategy) for strategy in STRATEGIES for count in self._few_and_many]
            self._route("targets", rows, "keep")
        if "memory" in names:
            self._memory()
        if "start" in names:
            self._start()

    def _fleet(
        self, name: str, rows: list[tuple[Gateway, str]], *, streams: bool, ids: bool = False
    ) -> AbstractContextManager[Fleet]:
        directory = self._directory / name
        return fleet(rows, directory, self._settings, self._note_problem, streams=streams, ids=ids)

    def _on_requests(self, running: Fleet, names: list[str]) -> None:
        if "requests" in names:
            self._saturate("requests", running, "keep", direct=True)
        if "churn" in names:
            self._saturate("churn", running, "close", direct=False)
        if "latency" in names:
            self._pace("latency", running, 0)

    def _on_streams(self, running: Fleet, names: list[str]) -> None:
        relay = partial(measures.relay_streams, running, settings=self._settings)
        if "streams" in names:
            self._note("streams", DIRECT, 0, partial(measures.direct_streams, running, self._settings))
            self._interleave("streams", running.lives, partial(relay, kind="alike"))
        compared = [live for live in running.lives if live.gateway.name in IN_BARS]
        if "events" in names:
            self._interleave("events", compared, partial(relay, kind="varied"))
        if "bodies" in names:
            # Here, because this upstream reads a body to its end before it answers, as model servers do; nginx's
            # `return` does not.
            self._pace("bodies", Fleet(running.upstream, running.ports, compared), self._settings.body_bytes)

    @property
    def _few_and_many(self) -> tuple[int, int]:
        return 2, self._settings.backends

    def _route(self, measure: str, gateways: list[Gateway], traffic: Traffic) -> None:
        ours = [binary for gateway, binary in self._rows if gateway.name == "trunkline"]
        rows = [(gateway, binary) for binary in ours for gateway in gateways]
        if rows:
            with self._fleet(measure, rows, streams=False) as running:
                self._saturate(measure, running, traffic, direct=False)

    def _saturate(self, measure: str, running: Fleet, traffic: Traffic, *, direct: bool) -> None:
        directory, settings = self._directory, self._settings
        if direct:
            # Once: it only tells how much load and upstream could do.
            alone = partial(measures.direct_requests, running, directory, settings, traffic)
            self._note(measure, DIRECT, 0, alone)
        through = partial(measures.drive_requests, directory=directory, settings=settings, traffic=traffic)
        self._interleave(measure, running.lives, through)

    def _pace(self, measure: str, running: Fleet, body_bytes: int) -> None:
        direct = partial(measures.direct_latency, running, self._settings, body_bytes)
        through = partial(measures.gateway_latency, settings=self._settings, body_bytes=body_bytes)
        self._interleave(measure, running.lives, through, direct)

    def _interleave(
        self, measure: str, lives: list[Live], through: Through, direct: Direct | None = None
    ) -> None:
        for number in range(self._settings.rounds):
            if direct is not None:
                self._note(measure, DIRECT, number, direct)
            for live in lives:
                if number == 0 or not live.gateway.slow:
                    self._note(measure, live.gateway.name, number, partial(through, live))

    def _memory(self) -> None:
        with upstream(self._directory / "memory-upstream", self._settings, streams=True) as (_, ports):
            for gateway, binary in self._rows:
                directory = self._directory / "memory" / gateway.name
                hold = partial(measures.hold_streams, gateway, binary, ports, directory, self._settings)
                self._note("memory", gateway.name, 0, hold)

    def _start(self) -> None:
        with upstream(self._directory / "start-upstream", self._settings, streams=False) as (_, ports):
            for number, (gateway, binary) in self._starts():
                directory = self._directory / f"start-{number}" / gateway.name
                begin = partial(measures.start, gateway, binary, ports, directory, self._settings)
                self._note("start", gateway.name, number, begin)
        for gateway, _ in self._rows:
            if gateway.name == "trunkline":
                environment = {**os.environ, **gateway.environment}
                self._note("command", gateway.name, 0, partial(measures.commands, environment))

    def _starts(self) -> Iterator[tuple[int, tuple[Gateway, str]]]:
        for number in range(max(gateway.starts for gateway, _ in self._rows)):
            for row in self._rows:
                if number < row[0].starts:
                    yield number, row

    def _note(self, measure: str, gateway: str, number: int, measured: Callable[[], measures.Values]) -> None:
        try:
            values, others = self._undisturbed(measured)
        except BenchError as exc:
            self._note_problem(f"{measure}, {gateway}: {exc}")
            return
        sample = Sample(measure=measure, gateway=gateway, round=number, values=values, others=others)
        self._results.samples.append(sample)
        shown = "  ".join(f"{key} {value:,.5g}" for key, value in values.items())
        print(f"{measure:9} {gateway:12} {shown}  (others {others:.2f})", flush=True)

    def _undisturbed(self, measured: Callable[[], measures.Values]) -> tuple[measures.Values, float]:
        """Measure; if others used the machine, wait for a quiet moment and do it again; the quietest counts."""
        best: tuple[measures.Values, float] | None = None
        while True:
            began = time.perf_counter()
            watch = self._watch()
            values, others = measured(), watch.others()
            if best is None or others < best[1]:
                best = values, others
            # The counters are too coarse for less than a second.
            if best[1] <= DISTURBED or self._patience <= 0 or time.perf_counter() - began < 1:
                return best
            self._patience -= time.perf_counter() - began
            self._wait_for_quiet()

    def _wait_for_quiet(self) -> None:
        while self._patience > 0:
            watch = self._watch()
            time.sleep(_LOOK)
            self._patience -= _LOOK
            if watch.others() <= DISTURBED:
                return

    def _watch(self) -> Watch:
        return Watch({self._settings.gateway_core, *self._settings.load_cores})

    def _note_problem(self, problem: str) -> None:
        self._results.problems.append(problem)
        print(f"problem: {problem}", flush=True)
