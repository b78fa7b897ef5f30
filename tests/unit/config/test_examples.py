"""Configurations as people have them, through the whole of loading."""

import re
from pathlib import Path

import pytest

from tests.unit.config.examples import ENVIRON, LOADS, REFUSED
from trunkline.config.load import load
from trunkline.errors import ConfigError

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(yaml|toml)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def written(folder: Path, text: str) -> Path:
    path = folder / ("trunkline.json" if text.startswith("{") else "trunkline.yaml")
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", LOADS)
def test_an_example_loads(name: str, tmp_path: Path) -> None:
    text, rows = LOADS[name]
    loaded = load(written(tmp_path, text), ENVIRON)
    assert [(one.name, one.provider, one.url) for one in loaded.settings.backends] == rows


@pytest.mark.parametrize("name", REFUSED)
def test_an_example_that_cannot_work_says_so(name: str, tmp_path: Path) -> None:
    text, lines = REFUSED[name]
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    assert str(caught.value).splitlines() == [f"{path}:{line}" for line in lines]


def test_keys_without_effect_are_named(tmp_path: Path) -> None:
    path = written(tmp_path, LOADS["a comment after the value, and no name"][0])
    assert load(path, {}).warnings == [f"{path}:1:1: `backends_enabled` has no effect yet"]


@pytest.mark.parametrize("page", [page for page in PAGES if page.exists()], ids=lambda page: page.name)
def test_every_configuration_in_the_documents_loads(page: Path, tmp_path: Path) -> None:
    for kind, text in BLOCK.findall(page.read_text()):
        if "backends" not in text and "url" not in text and "provider" not in text:
            continue
        path = tmp_path / f"trunkline.{kind}"
        path.write_text(text)
        assert load(path, ENVIRON).settings.backends
