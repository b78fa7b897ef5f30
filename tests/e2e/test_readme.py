"""The README's examples, run as they stand: its file, its curl line, its Python program."""

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.processes import Trunkline, free_port
from trunkline.simulator.app import SimulatorThread

README = (Path(__file__).parents[2] / "README.md").read_text()


def block(language: str, holding: str) -> str:
    """The one code block of that language that holds the text."""
    blocks = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    (found,) = [text for text in blocks if holding in text]
    return found


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The README's configuration, with the simulator as the GPU box."""
    chosen = free_port()
    file = tmp_path_factory.mktemp("readme") / "trunkline.yaml"
    with SimulatorThread() as simulator:
        file.write_text(block("yaml", "backends:").replace("http://gpu-box:8000", simulator.url))
        environment = {"GROQ_API_KEY": "unused", "TRUNKLINE__ADMIN__PORT": "0"}
        checked = Trunkline("check", "--config", str(file), environment=environment)
        checked.wait_for(lambda line: line.startswith("ok: 2 backends"))
        checked.stop(signal.SIGTERM)
        process = Trunkline("serve", "--config", str(file), "--port", str(chosen), environment=environment)
        try:
            process.wait_for(lambda line: " ready on " in line)
            yield chosen
        finally:
            process.stop(signal.SIGTERM)


@pytest.mark.skipif(
    shutil.which("curl") is None, reason="the example is a curl command, and there is no curl here"
)
def test_curl(port: int) -> None:
    command = block("sh", "curl ").replace("127.0.0.1:8080", f"127.0.0.1:{port}")
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=30, check=True)
    assert json.loads(done.stdout)["choices"][0]["message"]["content"]


def test_openai_sdk(port: int, tmp_path: Path) -> None:
    program = tmp_path / "example.py"
    program.write_text(block("python", "OpenAI(").replace("127.0.0.1:8080", f"127.0.0.1:{port}"))
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, timeout=60, check=True
    )
    assert len(done.stdout.split()) > 3
    assert done.stderr == ""
