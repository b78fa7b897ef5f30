"""What the operator changes in requests: values that are set, filled in or left out, and text for the last message.

Owns the value, the order of several levels and what they do to a request's fields. Does not own where they come from
(config/levels.py), for which calls they hold (engine/orders.py) nor what a provider takes (providers/shape.py).

A field that is set or removed is so whatever the client wrote; the more specific level wins. What is filled in is only
what the client left out, and gives way to both. Values stay raw: a request's other fields keep their bytes and order,
new ones come last. Of `messages` only the one that text is added to is written anew.
"""

from collections.abc import Iterable
from typing import Any, cast

import msgspec

Fields = dict[str, msgspec.Raw]
NULL = b"null"

_MAX_SHOWN = 40  # characters of a value in a note

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_object = msgspec.json.Decoder(Fields).decode


class Overrides(msgspec.Struct, frozen=True, gc=False):
    """What is changed; of a level that is not merged, `fill` with null cancels what less specific ones fill in.

    `append`: text for the last user message, "" none.
    """

    force: dict[str, msgspec.Raw] = {}
    remove: frozenset[str] = frozenset()
    fill: dict[str, msgspec.Raw] = {}
    append: str = ""

    def __bool__(self) -> bool:
        return bool(self.force or self.remove or self.fill or self.append)

    def apply(self, fields: Fields) -> tuple[Fields, tuple[str, ...]]:
        """The fields with everything done, and what was changed, in words; the same object if nothing was."""
        changes: Fields = {}
        notes: list[str] = []
        for name, value in self.force.items():
            if name not in fields or bytes(fields[name]) != bytes(value):
                changes[name] = value
                notes.append(f"`{name}` set to {_shown(value)}")
        for name, value in self.fill.items():
            if name not in fields:
                changes[name] = value
                notes.append(f"`{name}` set to {_shown(value)}, because it was left out")
        removed = [name for name in fields if name in self.remove]
        notes += [f"removed `{name}`" for name in removed]
        if self.append:
            messages = _with_text(fields.get("messages"), self.append)
            if messages is not None:
                changes["messages"] = messages
                notes.append("text added to the last user message")
        if not notes:
            return fields, ()
        changed = fields | changes
        for name in removed:
            del changed[name]
        return changed, tuple(notes)


def written(params: Fields, defaults: Fields, append: str = "") -> Overrides:
    """One level as a configuration says it: null in `params` removes a field."""
    return Overrides(
        {name: value for name, value in params.items() if bytes(value) != NULL},
        frozenset(name for name, value in params.items() if bytes(value) == NULL),
        defaults,
        append,
    )


def laid(levels: Iterable[Overrides]) -> Overrides:
    """Several levels as one level, the least specific first."""
    force: Fields = {}
    remove: set[str] = set()
    fill: Fields = {}
    append = ""
    for level in levels:
        for name in level.remove:
            force.pop(name, None)
        remove |= level.remove
        remove -= level.force.keys()
        force |= level.force
        fill |= level.fill
        append = level.append or append
    return Overrides(force, frozenset(remove), fill, append)


def merge(levels: Iterable[Overrides]) -> Overrides:
    """All levels together, the least specific first: what there is to do."""
    found = laid(levels)
    fill = {
        name: value
        for name, value in found.fill.items()
        if name not in found.force and name not in found.remove and bytes(value) != NULL
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
    try:
        messages = _decode_list(raw)
    except (msgspec.DecodeError, RecursionError):
        return None
    if not messages:
        return msgspec.Raw(b"[%b]" % said)
    inside = bytes(raw)[:-1].rstrip()
    tail = bytes(raw)[len(inside) :]
    last = _with_content(messages[-1], text)
    if last is None:
        return msgspec.Raw(b"%b,%b%b" % (inside, said, tail))
    return msgspec.Raw(inside[: len(inside) - len(messages[-1])] + last + tail)


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
    parts = _decode_list(content)
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
