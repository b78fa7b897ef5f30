"""A draft -> the text of a configuration file, notes as comments above what they are about.

Owns the layout: block style, the order in which the draft was filled, one comment per note. Also owns the way back from
a place in that text to the one in the source (`Written.origin`), so that what is wrong with a value is told where it
was read. Does not own what is in a draft.
"""

import io
import re
from collections.abc import Callable
from textwrap import wrap
from typing import Any, cast

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.representer import RoundTripRepresenter

from trunkline.config.importers.draft import Draft, Empty, Leaf, Note, Path, Tree, first_of, pruned, step_into
from trunkline.config.parse import parse_yaml
from trunkline.config.tree import Mapping, Node, Sequence

_WIDTH = 110
_EMPTY: dict[Empty, type[Any]] = {Empty.LIST: CommentedSeq, Empty.MAPPING: CommentedMap}
_POSITION = re.compile(r":(\d+):\d+$")


class _Representer(RoundTripRepresenter):
    """Writes null as a word: an empty value looks like something that was forgotten."""


def _null(representer: Any, _: None) -> Any:
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")


# The library's types are incomplete: it is used as `Any`.
cast("Any", _Representer).add_representer(type(None), _null)


class Written(msgspec.Struct, frozen=True):
    """The text, and by `line:column` in it the place in the source and that in the draft."""

    text: str
    origins: dict[str, str]
    paths: dict[str, Path]
    """Of those that begin at one place the innermost."""

    def origin(self, place: str) -> str | None:
        """Where in the source that came from what stands at `line:column` of the text."""
        return self.origins.get(place)


def write(draft: Draft, title: str) -> Written:
    """Make the file; its first lines are the title and the notes that belong to no entry."""
    tree = pruned(draft.tree)
    places: dict[Path, list[Note]] = {}
    for note in draft.notes:
        places.setdefault(_existing(tree, draft.place(note)), []).append(note)
    root: Any = _commented(tree, (), places)
    root.yaml_set_start_comment("\n".join([title, *_lines(places.get((), []), 0)]))
    yaml: Any = YAML()
    yaml.Representer = _Representer
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 1 << 20  # a folded value is harder to read than a long line
    stream = io.StringIO()
    yaml.dump(root, stream)
    text = stream.getvalue()
    written = Written(text, {}, {})
    documents = parse_yaml(text, "")
    if documents:
        _locate(documents[0], tree, (), _where_of(draft), written)
    return written


def _existing(tree: Tree, at: Path) -> Path:
    """The longest part of a path that the tree has. The first key of a list's member is that member."""
    path: Path = ()
    around = found = tree
    for step in at:
        below = step_into(found, step)
        if below is None:
            break
        around, found, path = found, below, (*path, step)
    if len(path) > 1 and isinstance(path[-2], int):
        first = first_of(around)
        return path[:-1] if first is not None and first[0] == path[-1] else path
    return path


def _commented(tree: Tree, path: Path, places: dict[Path, list[Note]]) -> Any:
    if isinstance(tree, Leaf):
        return _EMPTY[tree.value]() if isinstance(tree.value, Empty) else tree.value
    node: Any = CommentedMap() if isinstance(tree, dict) else CommentedSeq()
    if (
        isinstance(tree, list)
        and path
        and isinstance(path[-1], int)
        and all(isinstance(i, Leaf) for i in tree)
    ):
        node.fa.set_flow_style()  # a pair in a list of pairs
    members: Any = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in members:
        below = (*path, key)
        if isinstance(tree, dict):
            node[key] = _commented(value, below, places)
        else:
            node.append(_commented(value, below, places))
        notes = places.get(below)
        if notes:
            indent = 2 * len(path)
            node.yaml_set_comment_before_after_key(
                key, before="\n".join(_lines(notes, indent)), indent=indent
            )
    return node


def _lines(notes: list[Note], indent: int) -> list[str]:
    """Notes as lines of a comment."""
    lines: list[str] = []
    for note in notes:
        match = _POSITION.search(note.where)
        prefix = f"note (line {match[1]}): " if match else "note: "
        lines += wrap(prefix + note.text, _WIDTH - indent - 2, subsequent_indent="  ", break_on_hyphens=False)
    return lines


def _where_of(draft: Draft) -> Callable[[Path, Tree], str | None]:
    def where(path: Path, tree: Tree) -> str | None:
        while not isinstance(tree, Leaf):
            if path in draft.origins:
                return draft.origins[path]
            first = first_of(tree)
            if first is None:
                return None
            path, tree = (*path, first[0]), first[1]
        return tree.where

    return where


def _locate(
    node: Node, tree: Tree, path: Path, where: Callable[[Path, Tree], str | None], written: Written
) -> None:
    """Note the origin and the path of every value and key; the origin is the outermost's that begins there."""
    origin = where(path, tree)
    if origin is None:
        return
    written.origins.setdefault(node.where.lstrip(":"), origin)
    written.paths[node.where.lstrip(":")] = path
    if isinstance(node, Mapping) and isinstance(tree, dict):
        for key, entry in node.items.items():
            below = where((*path, key), tree[key])
            if below is not None:
                written.origins.setdefault(entry.where.lstrip(":"), below)
            written.paths[entry.where.lstrip(":")] = (*path, key)
            _locate(entry.node, tree[key], (*path, key), where, written)
    elif isinstance(node, Sequence) and isinstance(tree, list):
        for at, (item, value) in enumerate(zip(node.items, tree, strict=True)):
            _locate(item, value, (*path, at), where, written)
