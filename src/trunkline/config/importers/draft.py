"""A configuration of ours in the making: what it says, where each value came from, and what is to be told of it.

Owns the tree that importers fill, its notes, and the names of backends in it. Does not own the text that is made of
it (writer.py), nor the reading of the source (source.py).

A path is what leads to a place in the tree: `("backends", 0, "url")`. A note at a place that the tree turns out not to
have belongs to the nearest one around it.
"""

import re
from enum import Enum
from typing import TypeAlias

import msgspec

Path: TypeAlias = tuple[str | int, ...]

_NOT_IN_A_NAME = re.compile(r"[^!-+\--.0-~]+")
_LONGEST_SHOWN = 60
# What is written where a server wants some key and does not look at it.
_DUMMIES = frozenset(
    {
        "none",
        "null",
        "empty",
        "dummy",
        "not-needed",
        "not-required",
        "not_needed",
        "no-key",
        "sk-no-key-required",
    }
)


class Empty(Enum):
    """A list or mapping that holds nothing and is a value all the same: `stop: []`."""

    LIST = "[]"
    MAPPING = "{}"


Plain: TypeAlias = str | int | float | bool | Empty | None


class Leaf(msgspec.Struct, frozen=True):
    """A value and its place in the source. Text is as our files have it: `${X}` is a reference, `$$` a dollar."""

    value: Plain
    where: str


Tree: TypeAlias = Leaf | dict[str, "Tree"] | list["Tree"]


class Note(msgspec.Struct, frozen=True):
    """What could not be carried, or needs a look; `where` is the place in the source, `at` the one in the draft."""

    at: Path
    where: str
    text: str


class Draft:
    """A configuration in the making."""

    def __init__(self) -> None:
        self.tree: dict[str, Tree] = {}
        self.notes: list[Note] = []
        self.origins: dict[Path, str] = {}
        """Where in the source a mapping or list came from, for those that have such a place."""
        self.moved: dict[Path, Path] = {}
        """Where entries came to stand whose notes were taken before: a path of two steps -> the place."""
        self._names: set[str] = set()

    def note(self, where: str, text: str, *at: str | int) -> None:
        """Tell something, once."""
        note = Note(at, where, text if text.isprintable() else text.encode("unicode_escape").decode())
        if note not in self.notes:
            self.notes.append(note)

    def placeholder(self, name: str) -> Path:
        """A place for notes of an entry that does not stand anywhere yet; until it does, that is the head."""
        path: Path = (name, sum(known[0] == name for known in self.moved))
        self.moved[path] = ()
        return path

    def place(self, note: Note) -> Path:
        """Where a note belongs."""
        return (*self.moved.get(note.at[:2], note.at[:2]), *note.at[2:])

    def at(self, path: Path) -> Tree | None:
        """What stands at a place."""
        found: Tree | None = self.tree
        for step in path:
            found = None if found is None else step_into(found, step)
        return found

    def remove(self, at: Path) -> None:
        """Take something out of the tree; notes about it then belong to what was around it."""
        around = self.at(at[:-1])
        assert isinstance(around, dict | list)
        if isinstance(around, dict):
            del around[str(at[-1])]
        else:
            del around[int(at[-1])]
        self.notes = [
            msgspec.structs.replace(note, at=_moved_up(self.place(note), at)) for note in self.notes
        ]
        self.moved = {}
        kept = ((path, where) for path, where in self.origins.items() if path[: len(at)] != at)
        self.origins = {_moved_up(path, at): where for path, where in kept}

    def mapping(self, key: str) -> dict[str, Tree]:
        """A block of the root, which begins to exist with its first key."""
        found = self.tree.setdefault(key, {})
        assert isinstance(found, dict)
        return found

    def sequence(self, key: str) -> list[Tree]:
        """A list of the root, likewise."""
        found = self.tree.setdefault(key, [])
        assert isinstance(found, list)
        return found

    def add_backend(self, backend: dict[str, Tree], where: str) -> Path:
        """Append a backend; gives its path."""
        backends = self.sequence("backends")
        backends.append(backend)
        path: Path = ("backends", len(backends) - 1)
        self.origins[path] = where
        return path

    def backend_name(self, wanted: str) -> str:
        """A name that a backend may have and no other has, as like the wanted one as can be."""
        base = name = _NOT_IN_A_NAME.sub("-", wanted).strip("-") or "backend"
        number = 1
        while name in self._names:
            number += 1
            name = f"{base}-{number}"
        self._names.add(name)
        return name


def _moved_up(path: Path, gone: Path) -> Path:
    """A path when another is gone: members of a list that stood behind it have moved up."""
    *around, last = gone
    if path[: len(gone)] == gone:
        return tuple(around)
    step = path[len(around)] if path[: len(around)] == tuple(around) and len(path) > len(around) else None
    if isinstance(step, int) and isinstance(last, int) and step > last:
        return (*around, step - 1, *path[len(gone) :])
    return path


def value_of(tree: Tree | None) -> Plain:
    """What a leaf holds; None for anything else."""
    return tree.value if isinstance(tree, Leaf) else None


def step_into(tree: Tree, step: str | int) -> Tree | None:
    """What is one step further, if it is there."""
    if isinstance(tree, dict) and isinstance(step, str):
        return tree.get(step)
    if isinstance(tree, list) and isinstance(step, int) and step < len(tree):
        return tree[step]
    return None


def first_of(tree: Tree) -> tuple[str | int, Tree] | None:
    """The first member of a mapping or list, if it has one."""
    if isinstance(tree, dict):
        return next(iter(tree.items()), None)
    return (0, tree[0]) if isinstance(tree, list) and tree else None


def is_dummy(key: str) -> bool:
    """Whether a key is nobody's secret."""
    return key.lower() in _DUMMIES


def pruned(tree: Tree) -> Tree:
    """Without mappings and lists that hold nothing. Where that is a value it is a leaf, and stays."""
    if isinstance(tree, Leaf):
        return tree
    if isinstance(tree, dict):
        kept = {key: pruned(value) for key, value in tree.items()}
        return {key: value for key, value in kept.items() if value != {} and value != []}
    return [pruned(value) for value in tree]


def shown(name: str) -> str:
    """A name of the source as notes show it: short, on one line."""
    text = name if len(name) <= _LONGEST_SHOWN else f"{name[: _LONGEST_SHOWN - 3]}..."
    return f"`{text if text.isprintable() else text.encode('unicode_escape').decode()}`"
