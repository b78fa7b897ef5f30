"""What others did on our cores meanwhile: CPU time that was used, but not by the benchmark and its children.

Idle time of the cores is what /proc/stat knows best (the kernel measures it, the rest it samples), so the others have
what is neither idle nor ours; time that a hypervisor took away is theirs too.
"""

import os
import time
from collections.abc import Iterable
from pathlib import Path

from bench.process import TICK, usage


def _idle(cores: Iterable[int]) -> float:
    names = {f"cpu{core}" for core in cores}
    lines = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
    # Idle, and idle while the disk works.
    return sum(int(line[4]) + int(line[5]) for line in lines if line[0] in names) * TICK


def _own() -> float:
    # Ticks, not nanoseconds: they know the children that have ended.
    return sum(usage(os.getpid()).ticks.values())


class Watch:
    """Watches from its making on."""

    def __init__(self, cores: Iterable[int]) -> None:
        self._cores = frozenset(cores)
        self._began = time.perf_counter()
        self._idle = _idle(self._cores)
        self._own = _own()

    def others(self) -> float:
        """Return how many cores the others have used, on average since the beginning."""
        wall = time.perf_counter() - self._began
        used = wall * len(self._cores) - (_idle(self._cores) - self._idle)
        return max(0.0, used - (_own() - self._own)) / wall
