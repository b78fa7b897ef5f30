"""The documents of a source file.

Owns the first look at it: that it can be read, that it is not more than can be gone through, and that it holds what is
expected at its root.
"""

import re
from pathlib import Path

from trunkline.config.parse import parse_file, parse_yaml, read_file
from trunkline.config.tree import Mapping, Node, Sequence
from trunkline.errors import ConfigError

MOST_VALUES = 200_000
"""Of one file, what aliases stand for counted at each of them. Ten thousand deployments have 130 000."""

_ROOT_KEY = re.compile(r"([A-Za-z_][\w.-]*):(?=\s|$)")


def documents_of(path: Path) -> list[Node]:
    """All documents of a YAML or JSON file, at least one. Raises ConfigError."""
    documents = parse_file(path)
    if not documents:
        raise ConfigError(f"{path}:1:1: is empty")
    _check_size(documents, path)
    return documents


def stanzas_of(path: Path) -> list[Node]:
    """The same, also of a file whose stanzas follow each other with nothing between them.

    That is no YAML, but documents show it: where a root key comes again its stanza is a document of its own.
    """
    try:
        return documents_of(path)
    except ConfigError as error:
        if "duplicate key" not in str(error) or path.suffix == ".json":
            raise
        lines = read_file(path).decode("utf-8-sig").splitlines(keepends=True)
        first = next((match[1] for line in lines if (match := _ROOT_KEY.match(line))), None)
        starts = [
            at for at, line in enumerate(lines) if (match := _ROOT_KEY.match(line)) and match[1] == first
        ]
        if len(starts) < 2:
            raise
    found: list[Node] = []
    for begin, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        found += parse_yaml("\n" * begin + "".join(lines[begin:end]), str(path))
    _check_size(found, path)
    return found


def root_of(path: Path) -> Node:
    """The one document of a file, which must be a mapping."""
    documents = documents_of(path)
    if len(documents) > 1:
        raise ConfigError(f"{documents[1].where}: expected one document, not {len(documents)}")
    if not isinstance(documents[0], Mapping):
        raise ConfigError(f"{documents[0].where}: expected keys and values")
    return documents[0]


def _check_size(documents: list[Node], path: Path) -> None:
    """Importers go through a value as often as there are aliases of it, and ten lines can make a billion of them."""
    known: dict[int, int] = {}
    if sum(values_in(document, known) for document in documents) > MOST_VALUES:
        text = f"more than {MOST_VALUES} values, those behind an alias counted at each place where it stands"
        raise ConfigError(f"{path}:1:1: {text}")


def values_in(node: Node, known: dict[int, int]) -> int:
    """How many values a node has with all below it. `known`: of nodes that were counted, which is done once."""
    found = known.get(id(node))
    if found is None:
        below: list[Node] = []
        if isinstance(node, Mapping):
            below = [entry.node for entry in node.items.values()]
        elif isinstance(node, Sequence):
            below = node.items
        found = known[id(node)] = 1 + sum(values_in(one, known) for one in below)
    return found
