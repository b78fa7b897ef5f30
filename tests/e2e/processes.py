"""Real processes for the tests: started with their output read, ended without leaving any."""

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

READY_TIMEOUT = 300.0
STOP_TIMEOUT = 30.0


class Trunkline:
    """The command `trunkline`, running in a session of its own; all it prints is kept in `lines`."""

    def __init__(self, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self.lines: list[str] = []
        self._news: queue.Queue[str | None] = queue.Queue()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "trunkline.cli.main", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env=os.environ | (environment or {}),
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def wait_for(self, wanted: Callable[[str], bool]) -> str:
        """The first line that is wanted; fails with the whole output if the process ends before."""
        for line in self.lines:
            if wanted(line):
                return line
        while (line := self._news.get(timeout=READY_TIMEOUT)) is not None:
            if wanted(line):
                return line
        raise AssertionError(f"ended with {self.process.wait()}:\n{self.output}")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal and wait; the result is the exit code."""
        self.process.send_signal(how)
        return self.wait()

    def wait(self) -> int:
        """Wait for the end of the process and of its output."""
        try:
            code = self.process.wait(STOP_TIMEOUT)
        finally:
            self.process.kill()
            self._reader.join(STOP_TIMEOUT)
        return code

    def children(self) -> set[int]:
        """Every process below this one."""
        found: set[int] = set()
        grown = {self.process.pid}
        while grown:
            grown = {pid for pid, parent in _parents().items() if parent in grown} - found
            found |= grown
        return found

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            for line in output:
                self.lines.append(line.rstrip("\n"))
                self._news.put(line.rstrip("\n"))
        self._news.put(None)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def alive(pid: int) -> bool:
    """True while the process runs (a zombie does not)."""
    try:
        return _stat(pid)[0] not in "ZX"
    except FileNotFoundError:
        return False


def _parents() -> dict[int, int]:
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int(_stat(int(entry.name))[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
    return parents


def _stat(pid: int) -> list[str]:
    """State, parent and so on: what follows the name in /proc/PID/stat."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
