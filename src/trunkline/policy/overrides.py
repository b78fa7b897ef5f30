"""What the operator changes in requests: values that are set, filled in or left out, and text for the last message.

Owns the value, the order of several levels and what they do to a request's fields. Does not own where they come from
(config/levels.py), for which calls they hold (engine/orders.py) nor what a provider takes (providers/shape.py).

A field that is set or removed is so whatever the client wrote; the more specific level wins. What is filled in is only
what the client left out, and gives way to both. This holds for a parameter under any of its names (synonyms.py): where
`max_tokens` is set, `max_completion_tokens` is removed. Within one level each name stands for itself. Values stay raw:
a request's other fields keep their bytes and order, new ones come last. Of `messages` only the one that text is added
to is written anew, as is an object of which a member is removed.
"""

from collections.abc import Iterable
from typing import Any, cast

import msgspec

from trunkline.policy.secrecy import holds_secret, referenced
from trunkline.policy.synonyms import Fields, names_in, others, without

NULL = b"null"

_MAX_SHOWN = 40  # characters of a value in a note

MAX_ITEMS = 100_000
"""Messages of a request, and parts of a message, that text can be added to."""


class _Object(msgspec.Struct, gc=False):
    """Any object, of which nothing is kept."""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_decode_objects = msgspec.json.Decoder(list[_Object]).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_object = msgspec.json.Decoder(Fields).decode


class Overrides(msgspec.Struct, frozen=True, gc=False):
    """What is changed; of a level that is not merged, `fill` with null cancels what less specific ones fill in.

    `append`: text for the last user message, "" none. `hidden`: names of fields whose values are not told.
    """

    force: dict[str, msgspec.Raw] = {}
    remove: frozenset[str] = frozenset()
    fill: dict[str, msgspec.Raw] = {}
    append: str = ""
    hidden: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.force or self.remove or self.fill or self.append)

    def apply(self, fields: Fields) -> tuple[Fields, tuple[str, ...]]:
        """The fields with everything done, and what was changed, in words; the same object if nothing was."""
        gone = self._gone()
        kept = without(fields, gone)
        changes: Fields = {}
        notes: list[str] = []
        for name, value in self.force.items():
            if name not in fields or bytes(fields[name]) != bytes(value):
                changes[name] = value
                notes.append(f"`{name}` set to {self._told(name, value)}")
        for name, value in (without(self.fill, others(names_in(fields))) if self.fill else {}).items():
            if name not in fields:
                changes[name] = value
                notes.append(f"`{name}` set to {self._told(name, value)}, because it was left out")
        free = {name: value for name, value in fields.items() if name not in self.force}
        notes += [f"removed `{name}`" for name in names_in(free) if name in gone]
        if self.append:
            messages = _with_text(fields.get("messages"), self.append)
            if messages is not None:
                changes["messages"] = messages
                notes.append("text added to the last user message")
        return (kept | changes, tuple(notes)) if notes else (fields, ())

    def _told(self, name: str, value: msgspec.Raw) -> str:
        hidden = name in self.hidden or holds_secret(name, value)
        return "a value that is not shown" if hidden else _shown(value)

    def _gone(self) -> frozenset[str]:
        """What no request has after this: what is removed, and other names for that and for what is set."""
        named = frozenset(names_in(self.force))
        return (self.remove | others(named | self.remove)) - named


def written(params: Fields, defaults: Fields, append: str = "") -> Overrides:
    """One level as a configuration says it: null in `params` removes a field."""
    return Overrides(
        {name: value for name, value in params.items() if bytes(value) != NULL},
        frozenset(name for name, value in params.items() if bytes(value) == NULL),
        defaults,
        append,
        referenced(params) | referenced(defaults),
    )


def laid(levels: Iterable[Overrides]) -> Overrides:
    """Several levels as one level, the least specific first."""
    force: Fields = {}
    remove = frozenset[str]()
    fill: Fields = {}
    append = ""
    hidden = frozenset[str]()
    for level in levels:
        force = without(force, level.remove | others({*names_in(level.force), *level.remove})) | level.force
        remove = (remove | level.remove) - level.force.keys()
        fill = without(fill, others(names_in(level.fill))) | level.fill
        append = level.append or append
        hidden |= level.hidden
    return Overrides(force, remove, fill, append, hidden)


def merge(levels: Iterable[Overrides]) -> Overrides:
    """All levels together, the least specific first: what there is to do."""
    found = laid(levels)
    decided = found.remove | frozenset(names_in(found.force))
    fill = {
        name: value
        for name, value in without(found.fill, decided | others(decided)).items()
        if bytes(value) != NULL
    }
    return msgspec.structs.replace(found, fill=fill)


def _shown(value: msgspec.Raw) -> str:
    text = bytes(value).decode(errors="replace")
    if len(text) > _MAX_SHOWN:
        text = f"{text[:_MAX_SHOWN]}..."
    return text if text.isprintable() else ascii(text)[1:-1]


def _with_text(raw: msgspec.Raw | None, text: str) -> msgspec.Raw | None:
    """`messages` with a text at the end of what the user said last; None where they are no list."""
    said = _encode({"role": "user", "content": text})
    if raw is None or bytes(raw) == NULL:
        return msgspec.Raw(b"[%b]" % said)
    messages = _items(raw)
    if messages is None:
        return None
    if not messages:
        return msgspec.Raw(b"[%b]" % said)
    inside = bytes(raw)[:-1].rstrip()
    tail = bytes(raw)[len(inside) :]
    last = _with_content(messages[-1], text)
    if last is None:
        return msgspec.Raw(b"%b,%b%b" % (inside, said, tail))
    return msgspec.Raw(inside[: len(inside) - len(messages[-1])] + last + tail)


def _items(raw: msgspec.Raw) -> list[msgspec.Raw] | None:
    """What a list holds; None if it is none, or holds more than any model server would take.

    A body of 32 MiB may be a list of 16 million numbers, and each item costs 90 bytes here. So where there may be too
    many, it is looked at first whether these are objects, and how many.
    """
    try:
        if bytes(raw).count(b",") > MAX_ITEMS and len(_decode_objects(raw)) > MAX_ITEMS:
            return None
        return _decode_list(raw)
    except (msgspec.DecodeError, RecursionError):
        return None


def _with_content(raw: msgspec.Raw, text: str) -> bytes | None:
    """A message of the user with more text; None for any other."""
    try:
        message = _decode_object(raw)
        if _read(message.get("role")) != "user":
            return None
        message["content"] = _more_content(message.get("content"), text)
    except (msgspec.DecodeError, RecursionError):
        return None
    return _encode(message)


def _more_content(content: msgspec.Raw | None, text: str) -> msgspec.Raw:
    first = bytes(content or b"")[:1]
    if content is not None and first == b'"':
        return _longer(content, text)
    if content is None or first != b"[":
        return msgspec.Raw(_encode(text))
    parts = _items(content)
    if parts is None:
        raise msgspec.DecodeError("no list of parts")
    for at in reversed(range(len(parts))):
        if bytes(parts[at])[:1] != b"{":
            continue
        part = _decode_object(parts[at])
        if _read(part.get("type")) == "text":
            old = part.get("text")
            is_text = old is not None and bytes(old)[:1] == b'"'
            part["text"] = _longer(cast("msgspec.Raw", old), text) if is_text else msgspec.Raw(_encode(text))
            parts[at] = msgspec.Raw(_encode(part))
            break
    else:
        parts.append(msgspec.Raw(_encode({"type": "text", "text": text})))
    return msgspec.Raw(_encode(parts))


def _longer(string: msgspec.Raw, text: str) -> msgspec.Raw:
    """A JSON string with more at its end; what is there keeps its escapes."""
    return msgspec.Raw(bytes(string)[:-1] + _encode(text)[1:])


def _read(raw: msgspec.Raw | None) -> Any:
    return None if raw is None else _decode(raw)
