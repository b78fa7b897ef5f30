"""JSON values that come in pieces, joined as they are written: no value is decoded but to find what is in it.

Owns how two pieces of one value become one. Does not own which fields of an answer there are (fold_chat.py,
fold_typed.py).

What the gateway has no reason to understand is kept as its own bytes: big integers, floats and escapes come out as
they came in. The text of a JSON string is what stands between its quotes, so two strings are joined by joining that;
lists likewise. So an answer costs its text, and no more than that is copied when a piece is added.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from trunkline.streams.raw import items_of, kind_of, object_of
from trunkline.wire.openai import ABSENT

COST = 512
"""Bytes that an object costs besides what is in it: dictionary, keys, headers of its values."""

_WEAK = frozenset((b"null", b'""', b"[]", b"{}"))
"""Values that say nothing: a later chunk's do not undo what an earlier one said (Azure's content_filter_results)."""
_WEAK_FIRST = _WEAK | {b"0"}  # Azure's first chunk has an empty id and model, and created 0

_SPACE = b" \t\r\n"
_PIECED = frozenset((b'"text"', b'"thinking"', b'"reasoning.text"', b'"reasoning.summary"'))
_TEXTS = frozenset(("text", "thinking", "summary"))


class Tally:
    """Bytes held by all pieces of one answer."""

    __slots__ = ("size",)

    def __init__(self) -> None:
        self.size = 0

    def __repr__(self) -> str:
        return f"<Tally of {self.size} bytes>"


class Grown:
    """A string or a list that grows."""

    __slots__ = ("_body", "_tally", "opening")

    def __init__(self, value: bytes, tally: Tally) -> None:
        self.opening = value[:1]
        self._body = bytearray()
        self._tally = tally
        self.add(value)

    def __len__(self) -> int:
        return len(self._body)

    def __repr__(self) -> str:
        return f"<Grown {self.opening.decode()} of {len(self)} bytes>"

    def add(self, value: bytes) -> None:
        """Take another of the same kind."""
        before = len(self._body)
        if self.opening == b'"':
            self._body += value[1:-1]
        elif items := value[1:-1].strip(_SPACE):
            if before:
                self._body += b","
            self._body += items
        self._tally.size += len(self._body) - before

    def raw(self) -> msgspec.Raw:
        """The value as JSON."""
        return msgspec.Raw(b"%b%b%b" % (self.opening, self._body, b'"' if self.opening == b'"' else b"]"))


class Fields:
    """An object whose fields come in pieces. Their order is that in which they were seen first."""

    __slots__ = ("_tally", "values")

    def __init__(self, tally: Tally) -> None:
        self.values: dict[str, Value] = {}
        self._tally = tally
        tally.size += COST

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        return f"<Fields {', '.join(self.values)}>"

    def first(self, name: str, raw: msgspec.Raw) -> None:
        """Take a field that is the same in all pieces: the first that says something counts."""
        held = self.values.get(name)
        if held is None or (isinstance(held, msgspec.Raw) and bytes(held) in _WEAK_FIRST):
            self.last(name, raw)

    def last(self, name: str, raw: msgspec.Raw) -> None:
        """Take a field of which the last that says something counts."""
        value = bytes(raw)
        held = self.values.get(name)
        if held is not None and value in _WEAK:
            return
        self._tally.size += len(value) - (len(held) if isinstance(held, msgspec.Raw) else -len(name))
        self.values[name] = msgspec.Raw(value)  # a copy: what a decoder gives holds its whole event

    def grow(self, name: str, raw: msgspec.Raw) -> None:
        """Take a field whose strings, and lists, are parts of one; of anything else the last counts."""
        value = bytes(raw)
        opening = value[:1]
        held = self.values.get(name)
        if isinstance(held, Grown) and held.opening == opening:
            held.add(value)
        elif opening in (b'"', b"[") and (held is None or weak(held)):
            self._tally.size += len(name)
            self.values[name] = Grown(value, self._tally)
        else:
            self.last(name, raw)

    def within(self, name: str) -> "Fields":
        """The object that a field is, made if there is none."""
        held = self.values.get(name)
        if not isinstance(held, Fields):
            held = self.values[name] = Fields(self._tally)
        return held

    def entries(self, name: str) -> "Entries":
        """The list of objects that a field is, made if there is none."""
        held = self.values.get(name)
        if not isinstance(held, Entries):
            held = self.values[name] = Entries(self._tally)
        return held

    def says(self, name: str) -> bool:
        """Whether a field is there and says something."""
        held = self.values.get(name)
        return held is not None and not weak(held)


class Entries:
    """A list of objects, each of which may come in pieces: `reasoning_details`, content that is a list of parts.

    A piece belongs to the entry of its type and `index`. Without an index it goes on with the entry before it if that
    has the same type and came in an earlier delta: what comes in one delta is apart. Only texts and thoughts are cut
    to pieces; others (`reasoning.encrypted`, an image) are entries of their own. The rules are those of OpenRouter's
    own SDK, with the index that its streams have: a signature is of one block, and comes behind its text.
    """

    __slots__ = ("_known", "_last", "_tally", "fields")

    def __init__(self, tally: Tally) -> None:
        self.fields: list[Fields] = []
        self._known: dict[tuple[bytes, bytes], Fields] = {}
        self._last = b""  # type of the last entry, if it has no index
        self._tally = tally

    def __len__(self) -> int:
        return len(self.fields)

    def __repr__(self) -> str:
        return f"<Entries {self.fields}>"

    def add(self, items: Iterable[msgspec.Raw]) -> None:
        """Take what one delta has."""
        for place, item in enumerate(items):
            if fields := object_of(item):
                self.put(fields, first=place == 0)

    def put(self, fields: dict[str, msgspec.Raw], *, first: bool) -> None:
        """Take one entry or a piece of it. `first`: of its delta."""
        entry = self._entry(
            bytes(fields.get("type", ABSENT)), bytes(fields.get("index", ABSENT)), first=first
        )
        for name, raw in fields.items():
            if name not in _TEXTS:
                entry.last(name, raw)
            elif kind_of(raw) == b"[":  # Mistral's thoughts are parts within a part
                entry.entries(name).add(items_of(raw))
            else:
                entry.grow(name, raw)

    def _entry(self, kind: bytes, index: bytes, *, first: bool) -> Fields:
        indexed = index not in (b"", b"null")
        entry = None
        if kind in _PIECED:
            if indexed:
                entry = self._known.get((kind, index))
            elif first and self._last == kind:
                entry = self.fields[-1]
        if entry is None:
            entry = Fields(self._tally)
            self.fields.append(entry)
            self._known[kind, index] = entry
            self._last = b"" if indexed else kind
        return entry


Value = msgspec.Raw | Grown | Fields | Entries


def weak(value: Value) -> bool:
    """Whether a value says nothing: null, or an empty string, list or object."""
    return bytes(value) in _WEAK if isinstance(value, msgspec.Raw) else len(value) == 0


def rendered(value: Value) -> Any:
    """A value, ready to be encoded."""
    if isinstance(value, Fields):
        return {name: rendered(held) for name, held in value.values.items()}
    if isinstance(value, Entries):
        return [rendered(entry) for entry in value.fields]
    return value.raw() if isinstance(value, Grown) else value
