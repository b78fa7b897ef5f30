"""The shapes a file may have -> one shape: a root mapping with `backends` as a list.

Owns the forms that other systems' files come in: backend keys at the root, several documents, `config:` below
`type: openai_compatible`. Does not own key names within a backend (`backends.py`).
"""

import msgspec

from trunkline.config.bind import Report
from trunkline.config.model import OUTSIDE, BackendEntry, FileSettings, OutsideKeys
from trunkline.config.scalars import fields_of
from trunkline.config.tree import Entry, Mapping, Node, Scalar, Sequence, is_null

_GENERIC = frozenset({"openai_compatible", "openai_compat"})


def _known(cls: type) -> frozenset[str]:
    outside = OUTSIDE.get(cls, OutsideKeys({}))
    return frozenset(fields_of(cls)) | frozenset(outside.planned) | outside.no_effect


class Shape(msgspec.Struct, frozen=True):
    """A root mapping; `flat`: its backends stood at the root of documents of their own."""

    root: Mapping
    flat: bool


def collect(documents: list[Node], where: str, report: Report) -> Shape:
    """Bring all documents of a file into one root; `where` is the file's start."""
    items: dict[str, Entry] = {}
    stanzas: list[Node] = []
    for document in documents:
        if not isinstance(document, Mapping):
            report.error(document.where, "expected keys and values like `backends:`")
            continue
        own, stanza = _split(document)
        for key, entry in own.items():
            if key in items:
                report.error(entry.where, f"`{key}` stands in an earlier document already")
            items[key] = entry
        if stanza:
            stanzas.append(_unwrapped(Mapping(items=stanza, where=document.where), report))
    flat = bool(stanzas)
    if flat and "backends" in items:
        report.error(stanzas[0].where, "backend keys at the root beside `backends:`; move them into the list")
    elif flat:
        items["backends"] = Entry(
            where=stanzas[0].where, node=Sequence(items=stanzas, where=stanzas[0].where)
        )
    elif "backends" in items and isinstance(listed := items["backends"].node, Sequence):
        nodes = [_unwrapped(node, report) for node in listed.items]
        items["backends"] = Entry(
            where=items["backends"].where, node=Sequence(items=nodes, where=listed.where)
        )
    return Shape(Mapping(items=items, where=where), flat)


def _split(document: Mapping) -> tuple[dict[str, Entry], dict[str, Entry]]:
    """A document's keys: those of a file, and those of one backend at its root (if it has any)."""
    of_file, of_backend = _known(FileSettings), _known(BackendEntry) | {"config"}
    if not any(key in of_backend and key not in of_file for key in document.items):
        return document.items, {}
    own: dict[str, Entry] = {}
    stanza: dict[str, Entry] = {}
    for key, entry in document.items.items():
        # Both have `models`: a backend's is a list, the file's a mapping.
        shared = key in of_backend and not isinstance(entry.node, Mapping)
        (own if key in of_file and not shared else stanza)[key] = entry
    return own, stanza


def _unwrapped(node: Node, report: Report) -> Node:
    """A backend without `config:` around its keys, and without a `type` that says nothing beyond `provider`."""
    if not isinstance(node, Mapping):
        return node
    items = dict(node.items)
    config = items.get("config")
    if config is not None and isinstance(config.node, Mapping | Scalar):
        del items["config"]
        inner = {} if is_null(config.node) or isinstance(config.node, Scalar) else config.node.items
        if isinstance(config.node, Scalar) and not is_null(config.node):
            report.error(config.node.where, "config: expected keys and values, not a single value")
        _drop_generic_type(items)
        for key, entry in inner.items():
            if key in items:
                report.error(entry.where, f"`{key}` stands beside `config:` already")
            items[key] = entry
    if "provider" in items:
        _drop_generic_type(items)
    return Mapping(items=items, where=node.where)


def _drop_generic_type(items: dict[str, Entry]) -> None:
    entry = items.get("type")
    if entry is not None and isinstance(entry.node, Scalar) and entry.node.text in _GENERIC:
        del items["type"]
