"""`trunkline config import` as it is typed, and the page that tells of it."""

import re
from pathlib import Path

import pytest

from trunkline.cli.config import SYSTEMS
from trunkline.cli.main import main
from trunkline.config.importers import run
from trunkline.config.load import load

PAGE = Path(__file__).parents[3] / "docs" / "importing.md"
# A source, and what is printed for it.
EXAMPLE = re.compile(
    r"^```(?:yaml|sh) (\w+) (\S+)\n(.*?)^```\n.*?^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL
)


class Typed:
    """One run of the verb: its exit code and what it wrote."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> None:
        self.code: int | str | None = 0
        try:
            main(["config", "import", *arguments])
        except SystemExit as ended:
            self.code = ended.code or 0
        self.out, self.err = capsys.readouterr()


@pytest.fixture(autouse=True)
def _nothing_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "GROQ_API_KEY", "LITELLM_MASTER_KEY", "LLM_PARAMS", "COT_TARGET_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def test_the_configuration_is_printed_and_the_notes_are_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text("backends: [{provider: ollama, url: http://h, zork: 1}]\n")
    typed = Typed(capsys, "--from", "beigebox", "config.yaml")
    assert typed.code == 0
    assert typed.err.splitlines() == [
        "note: config.yaml:1:1: `backends` are used in BeigeBox with `backends_enabled: true` only; here they are",
        "note: config.yaml:1:46: not carried: `backends[0].zork`",
        "made of config.yaml: 1 backend, 0 models, 0 keys, 2 notes",
    ]
    written = tmp_path / "trunkline.yaml"
    written.write_text(typed.out)
    assert [backend.url for backend in load(written, {}).settings.backends] == ["http://h"]


def test_keys_that_stand_in_are_different_each_time(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = "model_list: [{model_name: m, litellm_params: {model: gpt-4o}}]\n"
    (tmp_path / "config.yaml").write_text(
        f"{text}general_settings: {{master_key: os.environ/LITELLM_MASTER_KEY}}\n"
    )
    keys = {
        re.findall(
            r"LITELLM_MASTER_KEY:-(sk-\w{32})\}", Typed(capsys, "--from", "litellm", "config.yaml").out
        )[0]
        for _ in range(3)
    }
    assert len(keys) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--from", "litellm", "gone.yaml"), "gone.yaml: cannot be read: No such file or directory"),
        (("--from", "litellm", "empty.yaml"), "empty.yaml:1:1: is empty"),
        (
            ("--from", "litellm", "wrong.yaml"),
            "wrong.yaml:1:13: model_list: expected a list, not a single value",
        ),
        (("--from", "zork", "empty.yaml"), "'zork' is not one of"),
        (("empty.yaml",), "Missing option '--from'"),
        (("--from", "litellm"), "Missing argument 'FILE'"),
    ],
)
def test_what_cannot_be_imported(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "empty.yaml").write_text("")
    (tmp_path / "wrong.yaml").write_text("model_list: x\n")
    typed = Typed(capsys, *arguments)
    assert (typed.code, typed.out) == (2, "")
    assert words in typed.err


def test_the_verb_knows_all_importers() -> None:
    assert tuple(run.SYSTEMS) == SYSTEMS


@pytest.mark.parametrize("at", range(len(EXAMPLE.findall(PAGE.read_text()))))
def test_an_example_of_the_page(at: int, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    system, name, source, printed = EXAMPLE.findall(PAGE.read_text())[at]
    (tmp_path / name).write_text(source)
    typed = Typed(capsys, "--from", system, name)
    assert (typed.code, typed.out) == (0, printed)


def test_the_page_has_an_example_of_each_system() -> None:
    assert {example[0] for example in EXAMPLE.findall(PAGE.read_text())} == set(SYSTEMS)
