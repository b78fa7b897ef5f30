"""Ctrl-C as a user presses it: early, once, twice. Real processes."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.e2e.processes import STOP_TIMEOUT, Trunkline
from trunkline.simulator.app import SimulatorThread

CALL = b'{"model":"sim-small!delay_head=%b","messages":[{"role":"user","content":"hi"}]}'


@pytest.fixture
def sim() -> Iterator[SimulatorThread]:
    with SimulatorThread() as running:
        yield running


def config(tmp_path: Path, url: str) -> str:
    path = tmp_path / "trunkline.yaml"
    path.write_text(
        f"backends: [{{name: a, url: '{url}', models: ['*']}}]\nserver: {{port: 0}}\nadmin: {{port: 0}}\n"
    )
    return str(path)


def call(gateway: Trunkline, delay: bytes) -> threading.Thread:
    """Ask in a thread; the answer does not matter, the call does."""
    ready = gateway.wait_for(lambda line: " ready on " in line)
    address = urlsplit(next(word for word in ready.split() if word.startswith("http://")))

    def ask() -> None:
        connection = HTTPConnection(address.netloc, timeout=60)
        connection.request("POST", "/v1/chat/completions", CALL % delay, {"content-type": "application/json"})
        try:
            connection.getresponse().read()
        except OSError:
            pass  # it was cut, as it should be
        finally:
            connection.close()

    thread = threading.Thread(target=ask)
    thread.start()
    return thread


@pytest.mark.parametrize("delay", [0.005, 0.02, 0.05, 0.1, 0.2])
@pytest.mark.parametrize("verb", ["serve", "check", "sim"])
def test_ctrl_c_at_any_moment_of_the_start_is_clean(verb: str, delay: float, tmp_path: Path) -> None:
    arguments = ["--port", "0"] if verb == "sim" else ["--config", config(tmp_path, "http://127.0.0.1:1")]
    # It says when Python itself has started: what happens before is not ours.
    program = "import trunkline.cli.main as command; print('begun', flush=True); command.main()"
    with subprocess.Popen(
        [sys.executable, "-c", program, verb, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            time.sleep(delay)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=STOP_TIMEOUT)
        finally:
            process.kill()
    assert "Traceback" not in errors
    assert process.returncode in (0, -signal.SIGINT)


def test_the_first_signal_says_what_is_waited_for_and_the_second_cuts(
    sim: SimulatorThread, tmp_path: Path
) -> None:
    gateway = Trunkline("serve", "--config", config(tmp_path, sim.url))
    asking = call(gateway, b"forever")
    sim.until(lambda: sim.log[-1:] != [] and sim.log[-1].outcome == "in_flight")
    gateway.process.send_signal(signal.SIGINT)
    gateway.wait_for(lambda line: line == "finishing 1 call, up to 30 s; Ctrl-C again to cut it")
    assert gateway.stop(signal.SIGINT) == 1
    asking.join()
    assert "Traceback" not in gateway.output


def test_without_calls_there_is_nothing_to_say(sim: SimulatorThread, tmp_path: Path) -> None:
    gateway = Trunkline("serve", "--config", config(tmp_path, sim.url))
    gateway.wait_for(lambda line: " ready on " in line)
    assert gateway.stop(signal.SIGTERM) == 0
    assert "finishing" not in gateway.output
