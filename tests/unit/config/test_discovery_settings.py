"""config: discovery, the data directory and capabilities."""

from pathlib import Path

import pytest

from trunkline.config.load import load
from trunkline.config.model import DiscoverySettings, Loaded
from trunkline.errors import ConfigError
from trunkline.routing.backend import CapabilitySettings

BACKEND = "backends: [{url: 'http://h'}]\n"


def loaded(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> Loaded:
    file = tmp_path / "trunkline.yaml"
    file.write_text(text)
    return load(file, environ or {})


def test_how_often_backends_are_asked(tmp_path: Path) -> None:
    assert loaded(tmp_path, BACKEND).settings.discovery == DiscoverySettings(interval=300.0, timeout=10.0)
    text = BACKEND + "discovery: {interval: 0, timeout: 2.5}\n"
    assert loaded(tmp_path, text).settings.discovery == DiscoverySettings(interval=0.0, timeout=2.5)
    found = loaded(tmp_path, BACKEND, {"TRUNKLINE__DISCOVERY__INTERVAL": "60"})
    assert found.settings.discovery.interval == 60.0
    with pytest.raises(ConfigError, match=r"discovery.interval: must be at least 0"):
        loaded(tmp_path, BACKEND + "discovery: {interval: -1}\n")


@pytest.mark.parametrize(
    ("environ", "place"),
    [
        ({"HOME": "/users/me"}, "/users/me/.local/share/trunkline"),
        ({"HOME": "/users/me", "XDG_DATA_HOME": "/data"}, "/data/trunkline"),
        ({"HOME": "/users/me", "XDG_DATA_HOME": "relative"}, "/users/me/.local/share/trunkline"),
        ({"HOME": "/users/me", "XDG_DATA_HOME": ""}, "/users/me/.local/share/trunkline"),
        ({}, None),
    ],
)
def test_the_data_directory_is_where_the_desktop_specification_says(
    tmp_path: Path, environ: dict[str, str], place: str | None
) -> None:
    assert loaded(tmp_path, BACKEND, environ).settings.data_dir == place


def test_a_configured_data_directory_is_relative_to_the_file(tmp_path: Path) -> None:
    assert loaded(tmp_path, BACKEND + "data_dir: state\n").settings.data_dir == str(tmp_path / "state")
    assert loaded(tmp_path, BACKEND + "data_dir: /var/lib/x\n").settings.data_dir == "/var/lib/x"
    found = loaded(tmp_path, BACKEND, {"TRUNKLINE__DATA_DIR": "/env", "HOME": "/users/me"})
    assert found.settings.data_dir == "/env"


def test_capabilities_of_models(tmp_path: Path) -> None:
    text = """
url: http://h
capabilities:
  llama3*:
    context_window: 8192
    tools: true
  other:
    vision: false
"""
    (backend,) = loaded(tmp_path, text).settings.backends
    assert backend.capabilities == {
        "llama3*": CapabilitySettings(context_window=8192, tools=True),
        "other": CapabilitySettings(vision=False),
    }
    with pytest.raises(ConfigError, match="did you mean `tools`"):
        loaded(tmp_path, "url: http://h\ncapabilities: {m: {tool: true}}\n")
