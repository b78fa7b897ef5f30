"""What an import may pull in: the package itself next to nothing, the data plane no library of the control plane."""

import subprocess
import sys

import pytest

# `import trunkline` may load these beyond what a bare interpreter has.
LIGHT = {"trunkline"}
# Libraries that belong to the command line, the control process or the clients (DESIGN sections 2 and 7).
HEAVY = {
    "alembic",
    "genai_prices",
    "httpx",
    "openai",
    "pydantic",
    "regex",
    "requests",
    "rich",
    "sqlalchemy",
    "sqlite3",
    "starlette",
    "structlog",
    "tiktoken",
    "typer",
    "uvicorn",
    "watchfiles",
}


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; before = set(sys.modules); {statement}; print(*set(sys.modules) - before)"
    # -I: neither the current folder nor PYTHON* variables have a say.
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_importing_the_package_loads_nothing_else() -> None:
    assert loaded_by("import trunkline") == LIGHT


@pytest.mark.parametrize("module", ["trunkline.gateway.app", "trunkline.engine.exchange"])
def test_the_data_plane_loads_no_heavy_library(module: str) -> None:
    loaded = loaded_by(f"import {module}")
    assert module in loaded
    assert {name.partition(".")[0] for name in loaded} & HEAVY == set()
    assert not [name for name in loaded if name.startswith("trunkline.client")], "it counts by other means"


def test_the_command_line_loads_no_heavy_library() -> None:
    command = "app(['serve', '--help'], standalone_mode=False)"
    loaded = loaded_by(f"from trunkline.cli.app import app; {command}; import trunkline.config.load")
    assert {"trunkline.cli.serve", "trunkline.cli.count"} <= loaded
    assert {name.partition(".")[0] for name in loaded} & HEAVY == set()


def test_the_version_is_told_without_the_data_plane() -> None:
    assert "trunkline.gateway.app" not in loaded_by("import trunkline.cli.main")
