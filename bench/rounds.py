"""The order of a run: rounds A B C A B C, so that a noisy neighbour hurts all gateways alike.

Prints every sample as it comes, keeps it in the results, and keeps what failed as a problem without ending the run.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from bench import measures
from bench.fleet import Fleet, Live, fleet, upstream
from bench.gateways import Gateway
from bench.process import BenchError
from bench.settings import DIRECT, Results, Sample

Direct = Callable[[], measures.Values]
Through = Callable[[Live], measures.Values]


class Rounds:
    """One run over the gateways that are installed."""

    def __init__(self, results: Results, rows: list[tuple[Gateway, str]], directory: Path) -> None:
        self._results = results
        self._settings = results.settings
        self._rows = rows
        self._directory = directory

    def run(self, names: list[str]) -> None:
        """Run these measures; those with the same upstreams share one start of the gateways."""
        if {"requests", "churn", "latency"}.intersection(names):
            with self._fleet("requests", streams=False) as running:
                self._on_requests(running, names)
        if "streams" in names:
            with self._fleet("streams", streams=True) as running:
                direct = partial(measures.direct_streams, running, self._settings)
                through = partial(measures.relay_streams, running, settings=self._settings)
                self._interleave("streams", running, direct, through)
        if "memory" in names:
            self._memory()
        if "start" in names:
            self._start()

    def _fleet(self, name: str, *, streams: bool) -> AbstractContextManager[Fleet]:
        return fleet(self._rows, self._directory / name, self._settings, self._note_problem, streams=streams)

    def _on_requests(self, running: Fleet, names: list[str]) -> None:
        directory, settings = self._directory, self._settings
        if "requests" in names:
            direct = partial(measures.direct_requests, running, directory, settings)
            through = partial(measures.drive_requests, directory=directory, settings=settings, churn=False)
            self._interleave("requests", running, direct, through)
        if "churn" in names:
            through = partial(measures.drive_requests, directory=directory, settings=settings, churn=True)
            self._interleave("churn", running, None, through)
        if "latency" in names:
            direct = partial(measures.direct_latency, running, settings)
            self._interleave("latency", running, direct, partial(measures.gateway_latency, settings=settings))

    def _interleave(self, measure: str, running: Fleet, direct: Direct | None, through: Through) -> None:
        for number in range(self._settings.rounds):
            if direct is not None:
                self._note(measure, DIRECT, number, direct)
            for live in running.lives:
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
            values = measured()
        except BenchError as exc:
            self._note_problem(f"{measure}, {gateway}: {exc}")
            return
        self._results.samples.append(Sample(measure=measure, gateway=gateway, round=number, values=values))
        shown = "  ".join(f"{key} {value:,.5g}" for key, value in values.items())
        print(f"{measure:9} {gateway:12} {shown}", flush=True)

    def _note_problem(self, problem: str) -> None:
        self._results.problems.append(problem)
        print(f"problem: {problem}", flush=True)
