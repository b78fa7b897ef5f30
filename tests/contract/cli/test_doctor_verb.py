"""`trunkline doctor` as it is typed: what it prints, and how it ends."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trunkline.cli.main import main
from trunkline.simulator.app import SimulatorThread


def written(folder: Path, *backends: dict[str, Any], **others: Any) -> str:
    path = folder / "some.yaml"
    path.write_text(json.dumps({"server": {"port": 0}, "admin": {"port": 0}, "backends": backends} | others))
    return str(path)


def code_of(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["doctor", *arguments])
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_all_is_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with SimulatorThread(seed=7) as sim:
        path = written(tmp_path, {"name": "a", "url": sim.url, "timeout": 20, "request_timeout": 30})
        assert code_of("--config", path) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith(f"configuration: {path}\n\na: openai_compat at {sim.url}\n")
    assert "completion" in printed.out
    assert printed.out.endswith("\nall is well\n")
    assert printed.err.startswith(f"warning: {path}:1:")


def test_what_failed_is_said_with_its_fix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with SimulatorThread(seed=7) as sim:
        path = written(
            tmp_path,
            {"name": "good", "url": sim.url},
            {
                "name": "bad",
                "url": sim.url,
                "headers": {"x-sim-fault": "status=500"},
                "provider": "openai",
                "api_key": "k",
            },
        )
        assert code_of("-c", path) == 1
        out = capsys.readouterr().out
        assert "fail    models" in out
        assert "fix: the service has failed: try again, and see https://status.openai.com" in out
        assert out.endswith("\nbad: models failed\n")
        assert code_of("good", "-c", path) == 0
        assert "bad" not in capsys.readouterr().out


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with SimulatorThread(seed=7) as sim:
        good = {"name": "good", "url": sim.url}
        path = written(tmp_path, good, {"name": "bad", "url": f"{sim.url}/wrong"})
        assert code_of("-c", path, "--json") == 1
        told = json.loads(capsys.readouterr().out)
        assert (told["ok"], told["errors"], told["warnings"]) == (False, [], [])
        assert [(one["name"], one["ok"], one["url"]) for one in told["backends"]] == [
            ("good", True, sim.url),
            ("bad", False, sim.url),
        ]
        steps = told["backends"][1]["steps"]
        assert [step["name"] for step in steps][-3:] == ["models", "completion", "streaming"]
        assert set(steps[0]) == {"name", "state", "seconds", "says", "fix", "link"}
        assert {step["state"] for step in steps} == {"ok", "fail", "skipped"}
        assert code_of("good", "-c", path, "--json") == 0
        assert json.loads(capsys.readouterr().out)["ok"] is True


def test_a_configuration_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, {"name": "a", "url": "http://h", "colour": "red"})
    assert code_of("-c", path) == 2
    assert "colour" in capsys.readouterr().err
    assert code_of("-c", path, "--json") == 2
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], told["backends"]) == (False, [])
    assert "colour" in told["errors"][0]
    path = written(tmp_path, {"name": "a", "url": "http://h"})
    assert code_of("b", "-c", path) == 2
    assert capsys.readouterr().err == "there is no backend 'b'; there are: a\n"


def test_ctrl_c_is_clean(tmp_path: Path) -> None:
    with socket.socket() as hanging:
        hanging.bind(("127.0.0.1", 0))
        hanging.listen()
        path = written(tmp_path, {"name": "a", "url": f"http://127.0.0.1:{hanging.getsockname()[1]}"})
        command = [sys.executable, "-m", "trunkline.cli.main", "doctor", "-c", path]
        environ = {**os.environ, "PYTHONUNBUFFERED": "1"}
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ
        ) as child:
            assert child.stdout is not None
            for line in child.stdout:
                if "credentials" in line:  # now it waits for the list of models
                    break
            child.send_signal(signal.SIGINT)
            _, err = child.communicate(timeout=30)
        assert err == ""
        assert child.returncode in (-signal.SIGINT, 128 + signal.SIGINT)
