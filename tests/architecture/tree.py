"""The tree under test: where it is, its files, and which packages are pure."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "trunkline"
UNIT_TESTS = ROOT / "tests" / "unit"

PURE = ("wire", "providers", "routing", "streams", "policy")
# Pure packages whose files are each covered by the unit test file of their name; of providers, which are
# rows of one table, one contract suite covers all.
OWN_TESTS = ("wire", "routing", "streams", "policy")


def committed_files() -> list[Path]:
    """Every file that is in the repository or would be after `git add .`."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    return [path for name in sorted(set(listed.split("\0"))) if name and (path := ROOT / name).is_file()]


def sources(*packages: str) -> list[Path]:
    """The Python files of the given packages of Trunkline; of all without an argument."""
    folders = [SOURCE / name for name in packages] or [SOURCE]
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


def name_of(path: Path) -> str:
    """The path as messages and lists show it: from the root of the repository."""
    return path.relative_to(ROOT).as_posix()


def own_test(path: Path) -> Path:
    """The unit test file that belongs to a source file."""
    relative = path.relative_to(SOURCE)
    return UNIT_TESTS / relative.parent / f"test_{relative.name}"
