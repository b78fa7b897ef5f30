"""A file of variables: `NAME=value` or `export NAME=value`, a line each, as Docker Compose reads it.

Owns quotes, which may span lines, escapes and comments. Does not own references in values (references.py) nor what the
variables mean. Rules: https://docs.docker.com/compose/how-tos/environment-variables/variable-interpolation/#env-file-syntax
"""

import re
from pathlib import Path

from trunkline.config.parse import read_file
from trunkline.config.tree import Entry, Mapping, Scalar
from trunkline.errors import ConfigError

_BLANK = r"[^\S\n]*"
_EMPTY = re.compile(rf"{_BLANK}(?:#[^\n]*)?(?:\n|\Z)")
_NAME = re.compile(rf"{_BLANK}(?:export[^\S\n]+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)={_BLANK}")
_QUOTED = re.compile(r'"(?P<double>(?:[^"\\]|\\.)*)"|\'(?P<single>(?:[^\'\\]|\\.)*)\'', re.DOTALL)
_BARE = re.compile(r"[^\n]*(?:\n|\Z)")
_COMMENT = re.compile(r"\s+#.*$")
_ESCAPE = re.compile(r"\\([nrt\"\\$])")
# A dollar that is none of a reference is written twice (references.py).
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "$": "$$"}


def read_variables(path: Path) -> Mapping | None:
    """The variables of a file that has nothing else; None for any other file. Raises ConfigError for open quotes."""
    try:
        text = read_file(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    items: dict[str, Entry] = {}
    at, line, counted = 0, 1, 0
    while at < len(text):
        empty = _EMPTY.match(text, at)
        if empty is not None:
            at = empty.end()
            continue
        begin = _NAME.match(text, at)
        if begin is None:
            return None
        line, counted = line + text.count("\n", counted, at), at
        where = f"{path}:{line}:{begin.start('name') - at + 1}"
        value, at = _value(text, begin.end(), where)
        items[begin["name"]] = Entry(where=where, node=Scalar(text=value, where=where, plain=False))
    return Mapping(items=items, where=f"{path}:1:1") if items else None


def _value(text: str, at: int, where: str) -> tuple[str, int]:
    """The value that begins at a place of the text, and the place where the next line begins."""
    if not text.startswith(('"', "'"), at):
        line = _BARE.match(text, at)
        assert line is not None
        return _COMMENT.sub("", line[0].strip()), line.end()
    quoted = _QUOTED.match(text, at)
    if quoted is None:
        raise ConfigError(f"{where}: the value begins with a quote that is not closed")
    rest = _EMPTY.match(text, quoted.end())
    if rest is None:
        raise ConfigError(f"{where}: there is text behind the closing quote of the value")
    if quoted["single"] is not None:
        return quoted["single"].replace("\\'", "'").replace("$", "$$"), rest.end()
    return _ESCAPE.sub(lambda match: _ESCAPED.get(match[1], match[1]), quoted["double"]), rest.end()
