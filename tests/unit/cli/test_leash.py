"""cli/leash.py: what a child has started ends with it."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.processes import alive
from trunkline.cli import leash

# Starts a process that knows nothing of the leash, says which, and waits for ever.
PROGRAM = """
import subprocess, sys, threading
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
threading.Event().wait()
"""


def started(tmp_path: Path) -> tuple[subprocess.Popen[bytes], int]:
    """A child on a leash, and its own child."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    child = leash.start(Path(sys.executable), [str(program)], log=tmp_path / "log")
    return child, int(leash.first_line(child))


def until_gone(pid: int) -> bool:
    for _ in range(2000):
        if not alive(pid):
            return True
        time.sleep(0.005)
    return False


def test_stopping_ends_grandchildren_too(tmp_path: Path) -> None:
    child, grandchild = started(tmp_path)
    assert alive(grandchild)
    leash.stop(child)
    assert child.returncode is not None
    assert until_gone(grandchild)


def test_so_does_a_child_that_does_not_heed_its_leash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child, grandchild = started(tmp_path)
    child.send_signal(signal.SIGSTOP)
    monkeypatch.setattr(leash, "STOP_TIMEOUT", 0.05)
    leash.stop(child)
    assert until_gone(grandchild)


def test_a_child_that_ended_is_just_collected(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("print('done')")
    child = leash.start(Path(sys.executable), [str(program)], log=tmp_path / "log")
    assert leash.first_line(child) == "done"
    child.wait()  # what it printed last came before its end
    leash.stop(child)
    assert child.returncode == 0
