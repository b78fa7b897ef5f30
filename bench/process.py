"""Children that always end, pinned to cores, and what /proc says about their whole tree.

CPU time is read as nanoseconds from /proc/PID/task/*/schedstat over the process and all its descendants. Threads or
processes that ended between two readings have left those files, so the tick counters of /proc/PID/stat, which keep the
dead, are read as well and win if they say more than their own rounding explains.
"""

import ctypes
import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

TICK = 1 / os.sysconf("SC_CLK_TCK")
_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


def raise_file_limit() -> int:
    """Let this process and its children have as many files as the system allows; return that number."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class BenchError(Exception):
    """A part of the benchmark cannot run; the text says why."""


def free_port() -> int:
    """Return a loopback port that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _stat_fields(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat from the state on (field 3), or None if it has gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return None


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def tree(root: int) -> list[int]:
    """Return the process and all its descendants."""
    children: dict[int, list[int]] = {}
    for pid in _pids():
        if (fields := _stat_fields(pid)) is not None:
            children.setdefault(int(fields[1]), []).append(pid)
    found = [root]
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


def _session(leader: int) -> list[int]:
    """Return the processes of the session that this process leads or led: also those whose parent has gone."""
    return [pid for pid in _pids() if (fields := _stat_fields(pid)) is not None and int(fields[3]) == leader]


@dataclass(frozen=True)
class Usage:
    """CPU time of a tree at one moment."""

    wall: float
    threads: Mapping[int, int]
    ticks: Mapping[int, float]

    def since(self, before: "Usage") -> float:
        """Return the CPU seconds used since the other reading."""
        exact = sum(value - before.threads.get(tid, 0) for tid, value in self.threads.items()) / 1e9
        coarse = sum(value - before.ticks.get(pid, 0.0) for pid, value in self.ticks.items())
        # Per process two counters, each rounded down, at both readings.
        rounding = 4 * TICK * len(self.ticks)
        return exact if coarse - exact <= rounding else coarse


def usage(root: int) -> Usage:
    """Read the CPU time of the tree."""
    threads: dict[int, int] = {}
    ticks: dict[int, float] = {}
    for pid in tree(root):
        if (fields := _stat_fields(pid)) is None:
            continue
        # utime, stime, and those of children that have ended and were waited for.
        ticks[pid] = sum(int(field) for field in fields[11:15]) * TICK
        for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            try:
                threads[int(task.parent.name)] = int(task.read_text().split()[0])
            except OSError:
                continue
    return Usage(time.perf_counter(), threads, ticks)


def resident(root: int) -> float:
    """Return the resident memory of the tree in MB (10**6 bytes), shared pages counted in each process."""
    page = os.sysconf("SC_PAGE_SIZE")
    total = 0
    for pid in tree(root):
        try:
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page
        except OSError:
            continue
    return total / 1e6


def _prepare(cores: Sequence[int]) -> Callable[[], None]:
    """Return what a child does before exec: pin itself, and end when the benchmark is killed."""

    def prepare() -> None:
        # Not SIGTERM: a gateway that is stopped because it is not its turn would not hear it.
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        os.sched_setaffinity(0, cores)

    return prepare


class Child:
    """A pinned child process in a session of its own; leaving the `with` block ends its whole tree."""

    def __init__(
        self,
        command: Sequence[str],
        cores: Sequence[int],
        *,
        log: Path | None = None,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> None:
        self.command = command
        self.log = log
        with Path(log or os.devnull).open("wb") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=output if log else subprocess.PIPE,
                stderr=output if log else None,
                cwd=directory,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
                preexec_fn=_prepare(cores),  # noqa: PLW1509 - the benchmark has one thread
                text=True,
            )

    @property
    def pid(self) -> int:
        """The root of the tree."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the root is alive."""
        return self._process.poll() is None

    @property
    def status(self) -> int | None:
        """How it ended: exit code, or minus the signal; None while it runs."""
        return self._process.poll()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def ask(self, line: str = "") -> str:
        """Write a line to the child and return the line it answers."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise BenchError(f"{self.command[0]} has ended") from None
        return self.read_line()

    def read_line(self) -> str:
        """Return the child's next line of output."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BenchError(f"{' '.join(self.command)} has ended")
        return line

    def read_all(self, timeout: float) -> str:
        """Wait for the child's end and return its output."""
        try:
            output, _ = self._process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise BenchError(f"{self.command[0]} did not end within {timeout:.0f} s") from None
        return output

    def last_words(self) -> str:
        """Return the end of the child's log."""
        if self.log is None:
            return ""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return "\n".join(lines[-2:])[-400:]

    def signal_tree(self, number: signal.Signals) -> None:
        """Send a signal to every process of the tree."""
        for pid in _session(self.pid):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    def stop(self) -> None:
        """End the tree: kindly, and after three seconds by force."""
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        if self.running:
            self._process.terminate()
            # A stopped process hears nothing but this.
            self.signal_tree(signal.SIGCONT)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(3)
        self.signal_tree(signal.SIGKILL)
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
