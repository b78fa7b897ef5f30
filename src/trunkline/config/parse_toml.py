"""TOML -> one document with positions.

`tomllib` decides what the text means; it keeps no positions, so a scan of headers and keys by line finds them again.
A key of an inline table has the position of the table. A scan that is misled (by a key inside a multi-line string)
costs a wrong line in an error message, never a wrong value.
"""

import re
import tomllib
from collections.abc import Callable
from typing import Any, cast

from trunkline.config.tree import Entry, Mapping, Node, Scalar, Sequence
from trunkline.errors import ConfigError

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]")
_KEY = re.compile(r"\s*([A-Za-z0-9_.\"' -]+?)\s*=")
_AT = re.compile(r"(.*) \(at line (\d+), column (\d+)\)")

_Path = tuple[str | int, ...]


class _Number(str):
    """A float as it was written, so that a text field may have it."""

    __slots__ = ()


def parse_toml(text: str, name: str) -> Mapping:
    """The document of a TOML text; `name` stands in front of positions. Raises ConfigError."""
    try:
        values = tomllib.loads(text, parse_float=_Number)
    except tomllib.TOMLDecodeError as error:
        match = _AT.fullmatch(str(error))
        last = text.count("\n") + 1
        place, problem = (
            (f"{name}:{match[2]}:{match[3]}", match[1]) if match else (f"{name}:{last}:1", str(error))
        )
        raise ConfigError(f"{place}: not valid TOML: {problem}") from error
    positions = _positions(text)

    def where(path: _Path) -> str:
        while path and path not in positions:
            path = path[:-1]
        line, column = positions.get(path, (1, 1))
        return f"{name}:{line}:{column}"

    return _mapping(values, (), where)


def _mapping(values: dict[str, Any], path: _Path, where: Callable[[_Path], str]) -> Mapping:
    items = {
        key: Entry(where=where((*path, key)), node=_node(value, (*path, key), where))
        for key, value in values.items()
    }
    return Mapping(items=items, where=where(path))


def _node(value: Any, path: _Path, where: Callable[[_Path], str]) -> Node:
    if isinstance(value, dict):
        return _mapping(cast("dict[str, Any]", value), path, where)
    if isinstance(value, list):
        members = cast("list[Any]", value)
        return Sequence(
            items=[_node(item, (*path, at), where) for at, item in enumerate(members)], where=where(path)
        )
    if isinstance(value, bool):
        return Scalar(text=str(value).lower(), where=where(path))
    quoted = isinstance(value, str) and not isinstance(value, _Number)
    return Scalar(text=str(value), where=where(path), plain=not quoted)


def _positions(text: str) -> dict[_Path, tuple[int, int]]:
    """Line and column of every table and key that stands at the start of a line."""
    found: dict[_Path, tuple[int, int]] = {}
    counts: dict[_Path, int] = {}
    table: _Path = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = _place(_split(header[2]), counts)
            if header[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                found.setdefault(table, (number, header.start(1) + 1))
                table = (*table, counts[table])
            found.setdefault(table, (number, header.start(1) + 1))
        elif key := _KEY.match(line):
            found.setdefault((*table, *_split(key[1])), (number, key.start(1) + 1))
    return found


def _place(names: list[str], counts: dict[_Path, int]) -> _Path:
    """The path of a header: below an array of tables it means the last one of them."""
    path: _Path = ()
    for at, part in enumerate(names):
        path = (*path, part)
        if path in counts and at < len(names) - 1:
            path = (*path, counts[path])
    return path


def _split(dotted: str) -> list[str]:
    return [part.strip().strip("\"'") for part in dotted.split(".")]
