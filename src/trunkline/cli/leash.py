"""Child processes that cannot outlive their parent.

Owns starting and stopping them. Does not own what they do.

How: a child's standard input is a pipe whose other end only the parent holds. When the parent is gone, for
whatever reason, the kernel closes that end, the child reads end-of-file and ends its process group: itself and what it
has started (pip's own children). This needs no signal handler and works on every POSIX system, while PR_SET_PDEATHSIG
is Linux only and fires when a *thread* ends.

The file is also the program that such a child runs first (`python leash.py FILE ARG...` or `-m MODULE ARG...`),
possibly under a Python of another environment: hence the standard library alone.
"""

import os
import runpy
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

# Loading the model takes 0.3 s on two cores; the rest is patience with a cold disk.
READY_TIMEOUT = 60.0
# A child has nothing to finish when its parent leaves, so it gets no long farewell.
STOP_TIMEOUT = 5.0


def start(python: Path, arguments: list[str], *, log: Path, pipe: bool = True) -> subprocess.Popen[bytes]:
    """Run `python ARGUMENTS` on a leash. Its standard error goes to `log`, its output to a pipe or also to `log`.

    The child has a session of its own: Ctrl-C on the terminal reaches the parent alone, which stops the child
    when it has no more use for it.
    """
    with log.open("ab") as errors:
        return subprocess.Popen(
            [str(python), "-P", __file__, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if pipe else errors,
            stderr=errors,
            start_new_session=True,
        )


def first_line(child: subprocess.Popen[bytes]) -> str:
    """What the child printed first; empty if it ended or kept silent for too long."""
    assert child.stdout is not None
    readable, _, _ = select.select([child.stdout], [], [], READY_TIMEOUT)
    return child.stdout.readline().decode().strip() if readable else ""


def stop(child: subprocess.Popen[bytes]) -> None:
    """End the child with all that it started, and wait until it is gone."""
    try:
        child.communicate(timeout=STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()


def _exit_with_parent() -> None:
    while os.read(0, 4096):
        pass
    if os.getpgrp() == os.getpid():  # as `start` makes it; else the group is somebody else's
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


def _main() -> None:
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    sys.argv = sys.argv[1:]
    if sys.argv[0] == "-m":
        sys.argv = sys.argv[1:]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    _main()
