"""Each file of the pure packages is covered, every line, by the unit test file of its own name.

A script: `make unit` runs the tests under coverage, and then this. `tests/conftest.py` has noted for each line which
test file reached it; lines reached while modules are imported carry no note and count for all.
The list of exemptions only gets shorter: an entry that is no longer needed is an error too.
"""

import re
import sys
from pathlib import Path

from coverage import Coverage

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.architecture.tree import OWN_TESTS, ROOT, name_of, own_test, sources

# Source file -> why its own test file does not (yet) cover it.
EXEMPT: dict[str, str] = {}


def main() -> int:
    """Print what is uncovered or needlessly exempt; the result is the exit code."""
    coverage = Coverage(config_file=str(ROOT / "tests" / "coverage.toml"))
    coverage.load()
    problems: list[str] = []
    files = [path for path in sources(*OWN_TESTS) if path.name != "__init__.py"]
    for path in files:
        own = re.escape(name_of(own_test(path)))
        coverage.get_data().set_query_contexts(["^$", f"^{own}$"])
        _, _, _, missing, readable = coverage.analysis2(str(path))
        if missing and name_of(path) not in EXEMPT:
            problems.append(f"{name_of(path)}: lines not covered by {name_of(own_test(path))}: {readable}")
        if not missing and name_of(path) in EXEMPT:
            problems.append(f"{name_of(path)}: covered now; remove it from EXEMPT")
    print("\n".join(problems) or f"{len(files)} files are covered by their own test files")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
