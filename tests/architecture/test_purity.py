"""The pure rings only decide: no IO, no clock, no chance, and of third parties msgspec alone.

The order of the rings among themselves is import-linter's part (`make lint`, contracts in pyproject.toml).
"""

import ast
import sys
from pathlib import Path

import pytest

from tests.architecture.tree import PURE, SOURCE, name_of, sources

# The rest of the set are other roads to the same things.
FORBIDDEN = {"asyncio", "logging", "os", "random", "socket", "ssl", "threading", "time"} | {
    *("concurrent", "importlib", "multiprocessing", "pathlib", "secrets", "selectors", "subprocess", "uuid")
}
THIRD_PARTY = {"msgspec"}
FORBIDDEN_CALLS = {"open", "print", "input", "eval", "exec", "__import__"}

FILES = [SOURCE / "errors.py", *sources(*PURE)]


def imported_roots(tree: ast.AST) -> set[str]:
    roots: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            roots |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole path"
            roots.add((node.module or "").partition(".")[0])
    return roots


def impurities(source: str) -> list[str]:
    tree = ast.parse(source)
    roots = imported_roots(tree)
    strangers = {
        r for r in roots if r not in sys.stdlib_module_names and r not in {"trunkline", *THIRD_PARTY}
    }
    calls = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS
    }
    states = ["global statement" for node in ast.walk(tree) if isinstance(node, ast.Global)]
    return sorted((roots & FORBIDDEN) | strangers | calls) + states


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_pure_files_stay_pure(path: Path) -> None:
    assert impurities(path.read_text()) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import time", ["time"]),
        ("def f():\n    from os import path", ["os"]),
        ("import httpx", ["httpx"]),
        ("import msgspec, re\nfrom trunkline import errors", []),
        ("open('x')", ["open"]),
        ("def f():\n    global x\n    x = 1", ["global statement"]),
    ],
)
def test_the_scan_finds_what_it_looks_for(source: str, found: list[str]) -> None:
    assert impurities(source) == found
