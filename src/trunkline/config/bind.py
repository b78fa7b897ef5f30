"""Node + struct type -> values, with every mistake found on the way.

Owns the walk over nodes and types, the check of keys, and `Report`, which collects what is wrong. Does not own what
a scalar means to a type (`scalars.py`) nor what backends need beyond their types (`backends.py`).

An empty value or null is the same as an absent one. `INVALID` stands for a value that has been reported.
"""

from collections.abc import Iterable
from collections.abc import Mapping as Environ
from difflib import get_close_matches
from enum import Enum
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import inspect

from trunkline.config.expand import expand, has_reference, is_literal
from trunkline.config.model import OUTSIDE, OutsideKeys
from trunkline.config.parse import parse_yaml
from trunkline.config.scalars import Extra, bare, fields_of, out_of_range, read, shown, wanted
from trunkline.config.tree import Entry, Mapping, Node, Scalar, Sequence, is_null
from trunkline.config.values import json_of
from trunkline.errors import ConfigError
from trunkline.policy.secrecy import Params, names_secret


class _Mark(Enum):
    INVALID = "invalid"
    ABSENT = "absent"


INVALID: Final = _Mark.INVALID
ABSENT: Final = _Mark.ABSENT

_encode = msgspec.json.Encoder().encode
_NOTHING = OutsideKeys({})


class Report(msgspec.Struct):
    """What was found: each line starts with its place."""

    errors: list[str] = []
    warnings: list[str] = []
    literal_secrets: list[str] = []

    def error(self, where: str, message: str) -> None:
        """Add an error, once."""
        line = f"{where}: {message}"
        if line not in self.errors:
            self.errors.append(line)

    def warn(self, where: str, message: str) -> None:
        """Add a warning."""
        self.warnings.append(f"{where}: {message}")


class Binder:
    """Reads nodes by type; relative `${file:}` references are looked up in `base`."""

    def __init__(self, environ: Environ[str, str], base: Path, report: Report) -> None:
        self._environ = environ
        self._base = base
        self._report = report

    def struct(self, node: Node, cls: type, path: str) -> Any:
        """An instance of `cls`, or INVALID."""
        values = self.fields(node, cls, path)
        if values is INVALID:
            return INVALID
        missing = [
            key for key, field in fields_of(cls).items() if field.required and field.name not in values
        ]
        for key in missing:
            self._report.error(node.where, f"{_join(path, key)}: is required")
        if missing or INVALID in values.values():
            return INVALID
        return cls(**values)

    def fields(self, node: Node, cls: type, path: str) -> Any:
        """The values that a mapping gives for fields of `cls`, by their name in Python; INVALID if it is no mapping."""
        node = self._structured(node)
        if is_null(node):
            return {}
        if not isinstance(node, Mapping):
            self._report.error(
                node.where, f"{path or 'the file'}: expected keys and values, not {_kind(node)}"
            )
            return INVALID
        known, outside = fields_of(cls), OUTSIDE.get(cls, _NOTHING)
        values: dict[str, Any] = {}
        for key, entry in node.items.items():
            at = _join(path, key)
            if key in known:
                field = known[key]
                value = self._value(entry.node, field.type, field.extra, at)
                if value is not ABSENT:
                    values[field.name] = value
            elif key in outside.no_effect:
                self._report.warn(entry.where, f"`{at}` has no effect yet")
            elif key in outside.planned:
                if not self._asks_nothing(entry.node, outside.planned[key]):
                    self._report.error(entry.where, f"`{at}` is not supported in this version")
            else:
                self._report.error(
                    entry.where, f"unknown key `{at}`{suggestion(key, [*known, *outside.planned])}"
                )
        return values

    def _asks_nothing(self, node: Node, neutral: frozenset[str]) -> bool:
        if not isinstance(node, Scalar):
            return False
        try:
            text = node.text if node.literal else expand(node.text, self._environ, self._base)
        except ConfigError:
            return False
        return is_null(node) or text == "" or text in neutral

    def _value(self, node: Node, type_: inspect.Type, extra: Extra, path: str) -> Any:
        if isinstance(type_, inspect.StructType):
            if extra.short and isinstance(self._structured(node), Scalar):
                return self._short(node, type_.cls, extra.short, path)
            return ABSENT if is_null(node) else self.struct(node, type_.cls, path)
        if isinstance(type_, inspect.RawType):
            return self._json(node, path)
        if isinstance(type_, inspect.ListType):
            return self._list(node, type_, extra, path)
        if isinstance(type_, inspect.DictType):
            return self._dict(node, type_, extra, path)
        if not isinstance(node, Scalar):
            self._report.error(node.where, f"{path}: expected {wanted(type_, extra)}, not {_kind(node)}")
            return INVALID
        return self._scalar(node, type_, extra, path)

    def _short(self, node: Node, cls: type, name: str, path: str) -> Any:
        """A struct of which one field is written, in its place."""
        field = fields_of(cls)[name]
        value = self._value(node, field.type, field.extra, path)
        return value if value in (ABSENT, INVALID) else cls(**{field.name: value})

    def _json(self, node: Node, path: str) -> Any:
        """Any value, as JSON."""
        node = self._structured(node, within="[{")
        if isinstance(node, Sequence):
            values = [self._json(item, f"{path}[{at}]") for at, item in enumerate(node.items)]
            return INVALID if INVALID in values else msgspec.Raw(_encode(values))
        if isinstance(node, Mapping):
            members = {key: self._json(item.node, _join(path, key)) for key, item in node.items.items()}
            return INVALID if INVALID in members.values() else msgspec.Raw(_encode(members))
        try:
            text = node.text if node.literal else expand(node.text, self._environ, self._base)
            value = msgspec.Raw(json_of(text, plain=node.plain))
            # Numbers and truth values are none, however they are called.
            secret = names_secret(path.rpartition(".")[2]) and bytes(value)[:1] == b'"' and text
            if secret and not node.literal and is_literal(node.text):
                self._report.literal_secrets.append(f"{node.where}: {path}")
            return value
        except (ConfigError, ValueError) as error:
            self._report.error(node.where, f"{path}: {error}")
            return INVALID

    def _list(self, node: Node, type_: inspect.ListType, extra: Extra, path: str) -> Any:
        node = self._structured(node)
        if is_null(node):
            return ABSENT
        if not isinstance(node, Sequence):
            self._report.error(node.where, f"{path}: expected a list, not {_kind(node)}")
            return INVALID
        item_type, _ = bare(type_.item_type)
        values = [self._item(item, item_type, extra, f"{path}[{at}]") for at, item in enumerate(node.items)]
        return INVALID if INVALID in values else values

    def _dict(self, node: Node, type_: inspect.DictType, extra: Extra, path: str) -> Any:
        node = self._structured(node)
        if is_null(node):
            return ABSENT
        if not isinstance(node, Mapping):
            self._report.error(node.where, f"{path}: expected keys and values, not {_kind(node)}")
            return INVALID
        value_type, _ = bare(type_.value_type)
        values: dict[str, Any] = {}
        for key, entry in node.items.items():
            # No header's value is shown, but `X-Team: a` is no reason to warn.
            warns = extra.literal_warns and names_secret(key)
            item_extra = Extra(secret=extra.secret, literal_warns=warns)
            values[key] = self._item(entry.node, value_type, item_extra, _join(path, key))
        if INVALID in values.values():
            return INVALID
        if not isinstance(value_type, inspect.RawType):
            return values
        return Params(values, frozenset(key for key, entry in node.items.items() if _refers(entry.node)))

    def _item(self, node: Node, type_: inspect.Type, extra: Extra, path: str) -> Any:
        """A member of a list or mapping: there is no default that an empty value could mean."""
        value = self._value(node, type_, extra, path)
        if value is not ABSENT:
            return value
        if isinstance(node, Scalar) and (not node.plain or has_reference(node.text)):
            return ""
        self._report.error(
            node.where, f"{path}: expected {wanted(type_, extra)}, not null (quote it to mean text)"
        )
        return INVALID

    def _scalar(self, node: Scalar, type_: inspect.Type, extra: Extra, path: str) -> Any:
        """A single value: text as written, or what the type makes of it."""
        if is_null(node):
            return ABSENT
        text, plain = node.text, node.plain
        if not node.literal:
            if extra.literal_warns and text and is_literal(text):
                self._report.literal_secrets.append(f"{node.where}: {path}")
            try:
                text = expand(text, self._environ, self._base)
            except ConfigError as error:
                self._report.error(node.where, f"{path}: {error}")
                return INVALID
            plain = plain or has_reference(node.text)
        if not text:
            return ABSENT
        value = read(text, type_, extra, plain)
        problem = "" if value is None else out_of_range(value, type_)
        if value is not None and not problem:
            return value
        problem = problem or f"expected {wanted(type_, extra)}"
        if not extra.secret:
            problem += f", not {shown(text)}"
        if value is None and not plain and read(text, type_, extra, plain=True) is not None:
            problem += "; leave the quotes out"
        self._report.error(node.where, f"{path}: {problem}")
        return INVALID

    def _structured(self, node: Node, within: str = "") -> Node:
        """A list or mapping that came as the text of one variable, e.g. `["a", "b"]`; `within`: how it must begin."""
        if not isinstance(node, Scalar) or not node.literal or is_null(node):
            return node
        if within and node.text.lstrip()[:1] not in within:
            return node
        documents = parse_yaml(node.text, node.where)
        return documents[0] if documents else node


def suggestion(key: str, known: Iterable[str]) -> str:
    """`; did you mean ...?` or nothing."""
    close = get_close_matches(key.lower(), list(known), n=1)
    return f"; did you mean `{close[0]}`?" if close else ""


def entry(node: Node, key: str) -> Entry | None:
    """A key of a mapping with its place."""
    return node.items.get(key) if isinstance(node, Mapping) else None


def _refers(node: Node) -> bool:
    """Whether a value, or part of it, comes from a variable or a file."""
    if isinstance(node, Scalar):
        return node.literal or has_reference(node.text)
    inner = node.items if isinstance(node, Sequence) else [entry.node for entry in node.items.values()]
    return any(map(_refers, inner))


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _kind(node: Node) -> str:
    if isinstance(node, Mapping):
        return "keys and values"
    return "a list" if isinstance(node, Sequence) else "a single value"
