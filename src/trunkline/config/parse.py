"""Text of a configuration file -> documents with positions.

Owns the three notations: YAML, JSON (which YAML 1.2 contains, so one reader serves both) and TOML (`parse_toml.py`).
Raises ConfigError with line and column; a message never quotes a value, because it might be a secret.
"""

import json
from pathlib import Path
from stat import S_ISREG
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from trunkline.config.parse_toml import parse_toml
from trunkline.config.tree import Entry, Mapping, Node, Scalar, Sequence, is_null
from trunkline.errors import ConfigError

_CORE_TAG = "tag:yaml.org,2002:"
_MERGE = "tag:yaml.org,2002:merge"
# Keys that begin a backend's stanza: twice at the root, they were meant to be two backends.
_STANZA_KEYS = frozenset({"type", "provider", "config", "base_url", "url", "api_key"})
_ONE_STANZA = "; several backends in one file are one stanza per document: put a line `---` between them"


MAX_SIZE = 16 << 20
"""Bytes of a file. Ten thousand backends take 2 MB."""


def read_file(path: Path) -> bytes:
    """All of a file, which must be one: reading a pipe may take for ever, and a device has no end.

    Raises ConfigError.
    """
    try:
        if not S_ISREG(path.stat().st_mode):
            raise ConfigError(f"{path}: cannot be read: not a regular file")
        with path.open("rb") as file:
            content = file.read(MAX_SIZE + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > MAX_SIZE:
        raise ConfigError(f"{path}: cannot be read: larger than {MAX_SIZE >> 20} MiB")
    return content


def parse_file(path: Path) -> list[Node]:
    """Read a file by its suffix: .toml, .json, anything else is YAML. Documents that are empty are left out."""
    try:
        text = read_file(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}:{line}:1: not UTF-8 text") from error
    if path.suffix == ".toml":
        return [parse_toml(text, str(path))]
    if path.suffix == ".json":
        _check_json(text, str(path))
    return parse_yaml(text, str(path))


def parse_yaml(text: str, name: str) -> list[Node]:
    """All documents of a YAML text; `name` stands in front of positions."""
    # The library's types are incomplete: its parser and nodes are used as `Any`.
    reader: Any = YAML(typ="safe", pure=True)
    try:
        roots = list(reader.compose_all(text))
        builder = _Builder(name)
        documents = [builder.build(root) for root in roots]
    except YAMLError as error:
        raise _syntax_error(error, text, name) from error
    except RecursionError:
        raise ConfigError(f"{name}:1:1: nested too deeply") from None
    return [document for document in documents if not is_null(document)]


def _check_json(text: str, name: str) -> None:
    """JSON proper, so that a .json file is one for every other program too."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{name}:{error.lineno}:{error.colno}: not valid JSON: {error.msg}") from error


def _syntax_error(error: Any, text: str, name: str) -> ConfigError:
    line = column = 1
    problem = "not valid YAML"
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        line, column, problem = mark.line + 1, mark.column + 1, str(error.problem)
        if problem.startswith("found undefined alias"):
            # The name of the alias would be the value of a secret that starts with an asterisk.
            problem = "undefined alias; a text that starts with `*` needs quotes"
    elif hasattr(error, "position"):
        before = text[: error.position]
        line, column = before.count("\n") + 1, error.position - before.rfind("\n")
        problem = "a control character that YAML does not allow"
    lines = text.splitlines()
    if line <= len(lines) and "${" in lines[line - 1]:
        problem += '; in {...} and [...] and before ": " a reference needs quotes: "${NAME}"'
    return ConfigError(f"{name}:{line}:{column}: {problem}")


class _Builder:
    """Turns ruamel's nodes into ours; an alias is the same object twice, so each node is built once."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._built: dict[int, Node] = {}
        self._open: set[int] = set()

    def build(self, node: Any) -> Node:
        """One node with all below it. Raises ConfigError for duplicate keys, tags and recursion."""
        key = id(node)
        if key in self._open:
            raise ConfigError(f"{self._where(node)}: an alias inside its own anchor")
        if key not in self._built:
            self._open.add(key)
            self._built[key] = self._make(node)
            self._open.discard(key)
        return self._built[key]

    def _make(self, node: Any) -> Node:
        where = self._where(node)
        tag = str(node.tag)
        if not tag.startswith(_CORE_TAG):
            raise ConfigError(f"{where}: tags are not supported; a text that starts with `!` needs quotes")
        if node.id == "scalar":
            return Scalar(text=str(node.value), where=where, plain=node.style is None)
        if node.id == "sequence":
            return Sequence(items=[self.build(item) for item in node.value], where=where)
        return self._mapping(node, where)

    def _mapping(self, node: Any, where: str) -> Mapping:
        items: dict[str, Entry] = {}
        merged: list[Node] = []
        for key_node, value_node in node.value:
            key_where = self._where(key_node)
            if key_node.id != "scalar":
                raise ConfigError(f"{key_where}: a key must be text")
            value = self.build(value_node)
            if key_node.tag == _MERGE:
                merged.extend(value.items if isinstance(value, Sequence) else [value])
                continue
            key = str(key_node.value)
            if key in items:
                first = items[key].where.split(":")[-2]
                hint = _ONE_STANZA if key in _STANZA_KEYS and len(self._open) == 1 else ""
                raise ConfigError(f"{key_where}: duplicate key `{key}`, first on line {first}{hint}")
            items[key] = Entry(where=key_where, node=value)
        for source in merged:
            if not isinstance(source, Mapping):
                raise ConfigError(f"{where}: `<<` merges mappings only")
            for key, entry in source.items.items():
                items.setdefault(key, entry)
        return Mapping(items=items, where=where)

    def _where(self, node: Any) -> str:
        mark = node.start_mark
        return f"{self._name}:{mark.line + 1}:{mark.column + 1}"
