"""From a file of another system to a configuration of ours that can be loaded.

Owns the table of the systems, and the last check: the text is loaded as `serve` would load it before anybody gets it.
What the check finds is told with its place in the source. Does not own what any key means (one file per system).
"""

import re
import tempfile
from collections.abc import Callable
from collections.abc import Mapping as Environ
from pathlib import Path

import msgspec

from trunkline.config.importers import beigebox, cot_proxy, litellm, openai_compatible
from trunkline.config.importers.draft import Note
from trunkline.config.importers.references import References
from trunkline.config.importers.source import Source
from trunkline.config.importers.writer import Written, write
from trunkline.config.load import load
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
    if references.unset:
        names = ", ".join(references.unset)
        draft.note(str(path), f"not set when this was made, and so written with an empty default: {names}")
    for name, what in references.stood_in.items():
        draft.note(str(path), f"{name} is not set, and {_STAND_INS.get(what, '`...` stands in for it')}")
    written = write(draft, f"Made of the {system} configuration {path.name}")
    counts = _checked(written, path, environ)
    return Imported(written.text, sorted(draft.notes, key=_line_of), counts)


def _checked(written: Written, path: Path, environ: Environ[str, str]) -> dict[str, int]:
    """Load the text, away from settings in the environment that are for the gateway that runs here."""
    rest = {name: value for name, value in environ.items() if not name.startswith("TRUNKLINE_")}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trunkline.yaml"
        file.write_text(written.text)
        try:
            settings = load(file, rest).settings
        except ConfigError as error:
            lines = [_told(line.removeprefix(str(file)), written, path) for line in str(error).splitlines()]
            raise ConfigError("\n".join(lines)) from None
    return {"backends": len(settings.backends), "models": len(settings.models), "keys": len(settings.keys)}


def _told(line: str, written: Written, path: Path) -> str:
    match = _LINE.fullmatch(line)
    origin = written.origin(match[1]) if match else None
    return f"{origin or f'{path}:1:1'}: cannot be carried: {match[2] if match else line}"


def _line_of(note: Note) -> tuple[int, int]:
    numbers = note.where.rsplit(":", 2)[1:]
    return (
        (int(numbers[0]), int(numbers[1]))
        if len(numbers) == 2 and all(n.isdecimal() for n in numbers)
        else (0, 0)
    )
