"""docs/clients.md is true: every example runs as it stands, and the versions are those that were tested."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.clients.conftest import KEY
from tests.clients.npm import FOLDER, NODE
from tests.clients.suite import QUESTION, ROOT, SEED, python
from trunkline.simulator.text import digest, words

PAGE = (ROOT / "docs" / "clients.md").read_text()
EXAMPLES = re.findall(r"^## ([^\n]+)\n\n```(\w+)\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL)
ENVIRONMENTS = {"LlamaIndex": "openai2", "instructor": "openai2"}
"""Of examples in Python that do not run in that with the newest openai."""

pytestmark = pytest.mark.timeout(600)


def test_every_client_of_the_table_has_an_example() -> None:
    assert re.findall(r"^\| \[([^\]]+)\]", PAGE, re.MULTILINE) == [name for name, _, _ in EXAMPLES]


@pytest.mark.parametrize(
    ("name", "language", "code"),
    [
        pytest.param(*example, id=example[0], marks=[pytest.mark.node] if example[1] == "js" else [])
        for example in EXAMPLES
    ],
)
def test_an_example(name: str, language: str, code: str, gateway: str, tmp_path: Path) -> None:
    code = code.replace("http://127.0.0.1:8080", gateway).replace("your-key", KEY)
    if language == "js":
        modules = FOLDER / "node_modules"
        if not modules.exists():
            pytest.skip("the Node clients are not there: `make test-clients` installs them")
        (tmp_path / "node_modules").symlink_to(modules)
        program, runner = tmp_path / "example.mjs", NODE
    else:
        program, runner = tmp_path / "example.py", python(ENVIRONMENTS.get(name, "openai3"))
    program.write_text(code)
    done = subprocess.run([runner, program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    text = "".join(words(digest(SEED, "llama3-8b", QUESTION, 0)))
    assert re.fullmatch(r"name='\w+' age=1" if name == "instructor" else re.escape(text), done.stdout.strip())


def test_the_versions_are_those_that_were_tested() -> None:
    rows = re.findall(r"^\| [^|]*\| ([^| ]+)(?: \(npm\))? \| ([\d., ]+) \|$", PAGE, re.MULTILINE)
    told = {(package, version) for package, versions in rows for version in versions.split(", ")}
    pinned = {
        (name, version)
        for pins in ROOT.glob("requirements/clients-*.txt")
        for name, version in re.findall(r"^([\w-]+)==([\w.]+)", pins.read_text(), re.MULTILINE)
    }
    pinned |= set(json.loads((FOLDER / "package.json").read_text())["dependencies"].items())
    assert len(told) == 10
    assert told <= pinned
