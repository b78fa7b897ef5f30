"""`trunkline demo` as a user runs it: a real process, its printed example, its end."""

import json
import shlex
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.e2e.processes import Trunkline, alive

pytestmark = [pytest.mark.llama, pytest.mark.timeout(600)]


@pytest.fixture
def demo(llama_directory: Path) -> Iterator[Trunkline]:
    process = Trunkline("demo", "--port", "0")
    yield process
    process.stop(signal.SIGKILL)


def paste(demo: Trunkline) -> Any:
    """Run the example that the demo prints when it is ready."""
    example = demo.wait_for(lambda line: "curl " in line)
    words = shlex.split(example[example.index("curl ") :])
    (url,) = [word for word in words if word.startswith("http://")]
    headers = dict([words[words.index("-H") + 1].split(": ", 1)])
    with urlopen(Request(url, words[words.index("-d") + 1].encode(), headers), timeout=240) as answer:
        return json.load(answer)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_answers_the_printed_example_and_stops_cleanly(demo: Trunkline, how: signal.Signals) -> None:
    answer = paste(demo)
    children = demo.children()
    code = demo.stop(how)
    assert answer["model"] == "smollm2"
    assert answer["choices"][0]["message"]["content"]
    assert children, "the model server is a process of its own"
    assert [pid for pid in children if alive(pid)] == []
    assert code == 0
    assert "Traceback" not in demo.output


def test_the_model_server_does_not_outlive_a_killed_demo(demo: Trunkline) -> None:
    demo.wait_for(lambda line: "curl " in line)
    children = demo.children()
    assert children
    demo.stop(signal.SIGKILL)
    while any(alive(pid) for pid in children):
        time.sleep(0.02)


def test_a_taken_port_is_said_in_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        demo = Trunkline("demo", "--port", str(port))
        assert demo.wait() == 1
    assert len(demo.lines) == 1
    assert f"127.0.0.1:{port}" in demo.output
    assert "--port" in demo.output


def test_without_a_model_server_the_simulator_answers(tmp_path: Path) -> None:
    """A cache directory that cannot be made stands for all that can go wrong with the installation."""
    obstacle = tmp_path / "file"
    obstacle.touch()
    demo = Trunkline("demo", "--port", "0", environment={"XDG_CACHE_HOME": str(obstacle)})
    answer = paste(demo)
    children = demo.children()
    code = demo.stop(signal.SIGINT)
    assert "simulator" in demo.lines[0]
    assert str(obstacle) in demo.lines[0]
    assert answer["choices"][0]["message"]["content"]
    assert [pid for pid in children if alive(pid)] == []
    assert code == 0
    assert "Traceback" not in demo.output
