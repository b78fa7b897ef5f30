"""From a file of another system to a configuration of ours that can be loaded.

Owns the table of the systems, and the last check: the text is loaded as `serve` would load it before anybody gets it.
What the check refuses is left out with a note if all else can stand without it, and is an error if not; both have the
place in the source. Does not own what any key means (one file per system).
"""

import re
import tempfile
from collections.abc import Callable
from collections.abc import Mapping as Environ
from pathlib import Path

import msgspec

from trunkline.config.importers import beigebox, cot_proxy, litellm, openai_compatible
from trunkline.config.importers.draft import Draft, Leaf, Note
from trunkline.config.importers.left_out import Problem, leave_out
from trunkline.config.importers.references import References
from trunkline.config.importers.secrets import written_down
from trunkline.config.importers.source import Source
from trunkline.config.importers.writer import Written, write
from trunkline.config.load import load
from trunkline.config.model import Settings
from trunkline.errors import ConfigError

SYSTEMS: dict[str, Callable[[Path, References], Source]] = {
    "beigebox": beigebox.convert,
    "cot_proxy": cot_proxy.convert,
    "litellm": litellm.convert,
    "openai_compatible": openai_compatible.convert,
}
"""By name: reads a file and fills a draft."""

_STAND_INS = {
    "url": "an address that leads nowhere stands in for it",
    "key": "a key that nobody was told stands in for it: set the variable",
}
_LINE = re.compile(r"[^:]*:(\d+:\d+): (.*)", re.DOTALL)


class Imported(msgspec.Struct, frozen=True):
    """The text of a configuration, what there is to tell, and how many backends, models and keys it has."""

    text: str
    notes: list[Note]
    counts: dict[str, int]


def import_file(system: str, path: Path, environ: Environ[str, str], new_key: Callable[[], str]) -> Imported:
    """Make a configuration of another system's file. Raises ConfigError, with all that is wrong at once."""
    references = References(environ, new_key)
    try:
        source = SYSTEMS[system](path, references)
        source.finish()
    except RecursionError:
        raise ConfigError(f"{path}:1:1: nested too deeply") from None
    draft = source.draft
    if not source.report.errors and not draft.tree.get("backends"):
        told = "".join(f"\n{note.where}: {note.text}" for note in draft.notes)
        source.report.error(f"{path}:1:1", f"nothing here could be made a backend of{told}")
    if source.report.errors:
        raise ConfigError("\n".join(source.report.errors))
    title = f"Made of the {system} configuration {path.name}"
    written, settings = _loadable(draft, title, path, environ)
    for words, names in (
        (
            "written with an empty default",
            [name for name in references.unset if f"${{{name}:-" in written.text],
        ),
        ("taken for empty", [name for name in references.unset if f"${{{name}:-" not in written.text]),
    ):
        if names:
            draft.note(str(path), f"not set when this was made, and so {words}: {', '.join(names)}")
    for name, what in references.stood_in.items():
        draft.note(str(path), f"{name} is not set, and {_STAND_INS.get(what, '`...` stands in for it')}")
    counts = {
        "backends": len(settings.backends),
        "models": len(settings.models),
        "keys": len(settings.keys),
    }
    return Imported(write(draft, title).text, sorted(draft.notes, key=_line_of), counts)


def _loadable(draft: Draft, title: str, path: Path, environ: Environ[str, str]) -> tuple[Written, Settings]:
    """Write the draft and load that, without what cannot be carried. Raises ConfigError."""
    # What is set in the environment for the gateway that runs here does not matter.
    rest = {name: value for name, value in environ.items() if not name.startswith("TRUNKLINE_")}
    told: dict[str, None] = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trunkline.yaml"
        while True:
            written = write(draft, title)
            file.write_text(written.text)
            try:
                loaded = load(file, rest)
                break
            except ConfigError as error:
                lines = [line.removeprefix(str(file)) for line in str(error).splitlines()]
            found = [_problem(line, written) for line in lines]
            told |= {f"{one.where or f'{path}:1:1'}: cannot be carried: {one.text}": None for one in found}
            if not leave_out(draft, found):
                raise ConfigError("\n".join(told))
    for line in loaded.literal_secrets:
        _tell_secret(draft, written, line.removeprefix(str(file)))
    return written, loaded.settings


def _problem(line: str, written: Written) -> Problem:
    match = _LINE.fullmatch(line)
    if match is None:
        return Problem(line)
    return Problem(match[2], written.origin(match[1]) or "", written.paths.get(match[1], ()))


def _tell_secret(draft: Draft, written: Written, line: str) -> None:
    problem = _problem(line, written)
    leaf = draft.at(problem.at)
    if isinstance(leaf, Leaf):
        written_down(draft, str(problem.at[-1]), leaf, *problem.at)


def _line_of(note: Note) -> tuple[int, int]:
    numbers = note.where.rsplit(":", 2)[1:]
    return (
        (int(numbers[0]), int(numbers[1]))
        if len(numbers) == 2 and all(n.isdecimal() for n in numbers)
        else (0, 0)
    )
