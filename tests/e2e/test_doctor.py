"""`trunkline doctor` in front of a real llama.cpp: well as docs/servers.md writes it, and what is said if it is not."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import CHAT_MODEL, UPSTREAM_KEY
from tests.e2e.exchange import Server
from trunkline.cli.main import main


def diagnosis(capsys: pytest.CaptureFixture[str], folder: Path, **backend: Any) -> tuple[int, dict[str, Any]]:
    path = folder / "trunkline.yaml"
    path.write_text(json.dumps({"backends": [{"name": "llama", "provider": "llama.cpp", **backend}]}))
    with pytest.raises(SystemExit) as caught:
        main(["doctor", "--config", str(path), "--json"])
    assert isinstance(caught.value.code, int)
    (told,) = json.loads(capsys.readouterr().out)["backends"]
    return caught.value.code, {step["name"]: step for step in told["steps"]}


def test_a_good_one(chat_upstream: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {"url": chat_upstream.url, "api_key": UPSTREAM_KEY, "models": [CHAT_MODEL]}
    code, steps = diagnosis(capsys, tmp_path, **settings)
    assert {step["state"] for step in steps.values()} == {"ok", "skipped"}
    assert steps["models"]["says"] == f"`{CHAT_MODEL}`"
    assert steps["streaming"]["says"].startswith("first event after ")
    assert code == 0


def test_wrong_key_path_and_scheme(
    chat_upstream: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fix(name: str, **backend: Any) -> str:
        code, steps = diagnosis(capsys, tmp_path, **backend)
        assert [step for step in steps if steps[step]["state"] == "fail"] == [name]
        assert code == 1
        return steps[name]["fix"]

    url = chat_upstream.url
    assert "it wants a key: set `api_key`" in fix("models", url=url)
    assert "the key is refused" in fix("models", url=url, api_key="sk-wrong")
    assert "like http://localhost:8080" in fix("models", url=f"{url}/wrong", api_key=UPSTREAM_KEY)
    assert "use http://" in fix("tls", url=url.replace("http:", "https:"), api_key=UPSTREAM_KEY)
