"""JSON values as they are written: read as far as needed, so that all else survives byte for byte.

Owns reading one level of a value and writing one. Does not own what is read or changed (editing.py, pieces.py).
"""

from typing import Any

import msgspec

NULL = msgspec.Raw(b"null")
BAD_JSON = (msgspec.DecodeError, UnicodeError, RecursionError)
"""What the strict readers raise."""

encode = msgspec.json.Encoder().encode
decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
decode_objects = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode
decode_value: Any = msgspec.json.Decoder(Any).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_values = msgspec.json.Decoder(list[Any]).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_index = msgspec.json.Decoder(int).decode


def raw_of(value: Any) -> msgspec.Raw:
    """A value as JSON."""
    return msgspec.Raw(encode(value))


def kind_of(raw: msgspec.Raw) -> bytes:
    """The first byte of a value: its type."""
    return bytes(raw)[:1]


def object_of(raw: bytes | msgspec.Raw) -> dict[str, msgspec.Raw]:
    """The fields of a JSON object; none if it is no object."""
    try:
        return decode_object(raw)
    except BAD_JSON:
        return {}


def items_of(raw: bytes | msgspec.Raw) -> list[msgspec.Raw]:
    """The items of a JSON list; none if it is no list."""
    try:
        return _decode_items(raw)
    except BAD_JSON:
        return []


def values_of(raw: bytes | msgspec.Raw) -> list[Any]:
    """The items of a JSON list, decoded; none if it is no list."""
    try:
        return _decode_values(raw)
    except BAD_JSON:
        return []


def text_of(raw: bytes | msgspec.Raw) -> str:
    """The text of a JSON string; "" if it is no string."""
    try:
        return _decode_text(raw)
    except BAD_JSON:
        return ""


def index_of(raw: bytes | msgspec.Raw) -> int | None:
    """The value of a JSON integer; None if it is no integer."""
    try:
        return _decode_index(raw)
    except BAD_JSON:
        return None


def quoted(raw: msgspec.Raw) -> msgspec.Raw:
    """A value that has to be text as a JSON string: `arguments` that are no string but the object itself."""
    value = bytes(raw)
    return raw if value[:1] == b'"' else msgspec.Raw(encode(value.decode(errors="replace")))
