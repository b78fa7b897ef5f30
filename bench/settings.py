"""What one run does: the cores, the sizes, the rounds; and the samples it yields, which are also the JSON on disk."""

import os
import platform
from pathlib import Path

import msgspec

from bench.process import BenchError

MEASURES = (
    "requests",
    "heads",
    "streams",
    "events",
    "thoughts",
    "latency",
    "bodies",
    "churn",
    "routing",
    "targets",
    "memory",
    "start",
)

DISTURBED = 0.15
"""Cores in use by others from which on a sample counts as disturbed; the counters err by up to half of that."""

DIRECT = "direct"
"""The name under which samples without a gateway are kept."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How to measure."""

    rounds: int = 3
    seconds: int = 3
    connections: int = 64
    streams: int = 64
    interval_ms: int = 2
    rate: float = 500.0
    body_bytes: int = 100_000
    backends: int = 1000
    patience: float = 0.0
    """Seconds that a run may take longer, to repeat what was disturbed by others on the machine."""
    open_streams: int = 5000
    gateway_core: int = 0
    load_cores: list[int] = msgspec.field(default_factory=lambda: [1])


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One gateway, one measure, one round."""

    measure: str
    gateway: str
    round: int
    values: dict[str, float]
    others: float = 0.0
    """Cores that others on the machine used meanwhile."""


class Results(msgspec.Struct, kw_only=True):
    """Everything a run found, as kept in bench/results/latest.json."""

    date: str
    machine: str
    settings: Settings
    versions: dict[str, str]
    samples: list[Sample] = []
    problems: list[str] = []


def join(old: Results, new: Results, measured: list[str]) -> Results:
    """Return the new run with what the old one has of measures that were not `measured` now.

    Nothing is compared across measures but a gateway's cost with its own, so that runs of one machine may be joined.
    """
    if (old.machine, old.versions) != (new.machine, new.versions):
        raise BenchError("the last run was on another machine or of other gateways: it cannot be kept")
    names = {*measured, "command"} if "start" in measured else set(measured)
    return Results(
        date=f"{old.date}; {', '.join(measured)}: {new.date}",
        machine=new.machine,
        settings=new.settings,
        versions=new.versions,
        samples=[*(sample for sample in old.samples if sample.measure not in names), *new.samples],
        problems=[*(text for text in old.problems if text.partition(",")[0] not in names), *new.problems],
    )


def split_cores() -> tuple[int, list[int]]:
    """Return the gateway's core and those of load and upstream: the first that we may use, and the rest."""
    cores = sorted(os.sched_getaffinity(0))
    return cores[0], cores[1:] or cores


def describe_machine() -> str:
    """Return processor, cores, memory and kernel in one line."""
    facts = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(
        (line.partition(":")[2].strip() for line in facts if line.startswith("model name")),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    # The release up to the first dash: what follows is the builder's own naming.
    kernel = platform.release().partition("-")[0]
    return f"{model}, {cores} cores, {memory:.0f} GiB, Linux {kernel}, Python {platform.python_version()}"
