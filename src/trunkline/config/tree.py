"""A parsed configuration document: scalars as written, and where each thing stands.

Owns the three kinds of node. Does not own parsing (`parse.py`), what a scalar's text means (`scalars.py`) nor what
keys mean (`bind.py`).

A scalar keeps its source text because only the setting it is for decides what it is: `2024-06-01`, `1.10` and `yes`
are text where text is wanted. `where` is `file:line:column`, or the name of the variable or argument it came from.
"""

from typing import TypeAlias

import msgspec

from trunkline.errors import ConfigError


class Scalar(msgspec.Struct, frozen=True, kw_only=True):
    """One value. `plain`: not quoted, so it may be a number, a truth value or null; `literal`: `${}` is text."""

    text: str
    where: str
    plain: bool = True
    literal: bool = False


class Sequence(msgspec.Struct, frozen=True, kw_only=True):
    """A list of values."""

    items: "list[Node]"
    where: str


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One key of a mapping with its value; `where` is the key's own place."""

    where: str
    node: "Node"


class Mapping(msgspec.Struct, frozen=True, kw_only=True):
    """Keys and values, in the order written."""

    items: dict[str, Entry]
    where: str


Node: TypeAlias = Scalar | Sequence | Mapping

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})


def is_null(node: Node) -> bool:
    """Whether it is written as null or not written at all."""
    return isinstance(node, Scalar) and node.plain and node.text in _NULLS


def at(root: Node, *path: str | int) -> Node | None:
    """The value by keys and indexes; None where there is none."""
    node = root
    for step in path:
        below = _below(node, step)
        if below is None:
            return None
        node = below.node
    return node


def value_at(root: Node, *path: str | int) -> str:
    """The position of a value by keys and indexes, or of the nearest thing around it that is written."""
    node = root
    for step in path:
        below = _below(node, step)
        if below is None:
            break
        node = below.node
    return node.where


def key_at(root: Node, *path: str | int) -> str:
    """The same, but of the key that names the value."""
    node, where = root, root.where
    for step in path:
        below = _below(node, step)
        if below is None:
            break
        node, where = below.node, below.where
    return where


def _below(node: Node, step: str | int) -> Entry | None:
    if isinstance(node, Mapping) and isinstance(step, str):
        return node.items.get(step)
    if isinstance(node, Sequence) and isinstance(step, int) and step < len(node.items):
        return Entry(where=node.items[step].where, node=node.items[step])
    return None


def replaced(node: Node, keys: list[str], value: Scalar) -> Node:
    """A copy with one value set, lists addressed by index. Raises ConfigError where the path leads nowhere."""
    if not keys:
        return value
    key, rest = keys[0], keys[1:]
    if isinstance(node, Sequence):
        if not key.isdecimal() or int(key) >= len(node.items):
            raise ConfigError(f"{value.where}: there is no item {key} in a list of {len(node.items)}")
        items = list(node.items)
        items[int(key)] = replaced(items[int(key)], rest, value)
        return Sequence(items=items, where=node.where)
    if isinstance(node, Scalar):
        if not is_null(node):
            raise ConfigError(f"{value.where}: `{key}` would be inside a single value")
        node = Mapping(items={}, where=value.where)
    old = node.items.get(key)
    below = old.node if old is not None else Scalar(text="", where=value.where)
    entry = Entry(where=value.where, node=replaced(below, rest, value))
    return Mapping(items={**node.items, key: entry}, where=node.where)
