"""The model server's environment: made once, made again when half made, and a reason when it cannot be made."""

from pathlib import Path

import pytest

from trunkline.cli import llama

pytestmark = [pytest.mark.llama, pytest.mark.timeout(600)]


def test_the_second_run_installs_nothing(llama_directory: Path) -> None:
    said: list[str] = []
    llama.install(llama_directory, said.append)
    assert said == []


def test_a_half_made_environment_is_made_again(tmp_path: Path) -> None:
    rest = tmp_path / "env" / "rest"
    rest.parent.mkdir()
    rest.touch()
    said: list[str] = []
    llama.install(tmp_path, said.append)
    assert len(said) == 1
    assert "130 MB" in said[0]
    assert str(tmp_path) in said[0]
    assert not rest.exists()
    assert Path(llama.model_path(tmp_path)).stat().st_size > 1_000_000


def test_a_failed_installation_says_why_and_leaves_no_stamp(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(llama.LlamaUnavailableError, match="pip failed: ERROR") as caught:
        llama.install(tmp_path, print)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("installed.txt"))


def test_a_server_that_does_not_start_says_why(llama_directory: Path, tmp_path: Path) -> None:
    settings = llama.LlamaSettings(model_path=str(tmp_path / "none.gguf"), alias="none")
    with pytest.raises(llama.LlamaUnavailableError, match=r"llama\.cpp did not start: ") as caught:
        llama.start(llama_directory, settings)
    assert "\n" not in str(caught.value)
