"""What every file of the tree must be like: size, name, docstring, test file."""

import ast
from pathlib import Path

import pytest

import trunkline
from tests.architecture.own_coverage import EXEMPT
from tests.architecture.tree import OWN_TESTS, ROOT, SOURCE, committed_files, name_of, own_test, sources

LINE_CAP = 500
# File -> why it may be longer. An entry that is no longer needed is an error.
LONGER: dict[str, str] = {}
BANNED_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers"}


def python_files() -> list[Path]:
    return [path for path in committed_files() if path.suffix == ".py"]


def line_count(path: Path) -> int:
    return len(path.read_text().splitlines())


def names(paths: list[Path]) -> list[str]:
    return [name_of(path) for path in paths]


def test_there_are_files_to_check() -> None:
    assert SOURCE / "errors.py" in python_files()
    assert len(sources()) > 10


def test_no_file_is_longer_than_the_cap() -> None:
    assert [p for p in python_files() if line_count(p) > LINE_CAP and name_of(p) not in LONGER] == []


def test_every_longer_file_still_needs_to_be() -> None:
    assert [name for name in LONGER if line_count(ROOT / name) <= LINE_CAP] == []


def test_no_file_or_folder_has_a_name_that_says_nothing() -> None:
    banned = [p for p in python_files() if BANNED_NAMES & {*p.relative_to(ROOT).parts[:-1], p.stem}]
    assert names(banned) == []


def test_every_source_file_says_what_it_owns() -> None:
    silent = [
        path
        for path in sources()
        if (path.name != "__init__.py" or path.parent == SOURCE)
        and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert names(silent) == []


def test_only_the_top_package_has_names() -> None:
    named = [
        path
        for path in SOURCE.rglob("*/__init__.py")
        if any(not isinstance(node, ast.Expr) for node in ast.parse(path.read_text()).body)
    ]
    assert names(named) == []


def test_the_public_names_are_there_and_sorted() -> None:
    assert sorted(trunkline.__all__) == trunkline.__all__
    assert [name for name in trunkline.__all__ if not hasattr(trunkline, name)] == []


def test_every_pure_file_has_its_own_test_file() -> None:
    lonely = [
        path
        for path in sources(*OWN_TESTS)
        if path.name != "__init__.py" and not own_test(path).is_file() and name_of(path) not in EXEMPT
    ]
    assert [f"{name_of(path)} wants {name_of(own_test(path))}" for path in lonely] == []


def test_every_exemption_names_a_file_and_a_reason() -> None:
    listed = EXEMPT | LONGER
    assert [name for name, reason in listed.items() if not (ROOT / name).is_file() or not reason] == []


@pytest.mark.parametrize("folder", ["unit", "contract"])
def test_every_test_folder_is_a_package(folder: str) -> None:
    """Otherwise two test files of one name in two folders clash."""
    tests = [path for path in python_files() if path.is_relative_to(ROOT / "tests" / folder)]
    assert names([p.parent for p in tests if not (p.parent / "__init__.py").is_file()]) == []
