"""A value of any kind, as it stands in a configuration -> the JSON that goes into requests.

Owns the kinds of unquoted scalars (YAML 1.2 core schema) and their spelling in JSON: digits are kept, however many.
Does not own where such values may stand (bind.py).
"""

import re

import msgspec

from trunkline.config.scalars import read_bool, read_int

_PREFIXED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"([-+]?)([0-9]*)(\.[0-9]*)?([eE][-+]?[0-9]+)?")
_NO_NUMBER = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_NULLS = frozenset(("", "~", "null", "Null", "NULL"))

_encode = msgspec.json.Encoder().encode


def json_of(text: str, *, plain: bool) -> bytes:
    """One scalar as JSON; `plain`: not quoted, so it may be a number, a truth value or null. Raises ValueError."""
    if not plain:
        return _string(text)
    if text in _NULLS:
        return b"null"
    truth = read_bool(text)
    if truth is not None:
        return b"true" if truth else b"false"
    if _NO_NUMBER.fullmatch(text):
        raise ValueError("is no number in JSON")
    if _PREFIXED.fullmatch(text) and (number := read_int(text)) is not None:
        return b"%d" % number
    return number_of(text) or _string(text)


def number_of(text: str) -> bytes:
    """The decimal number that text stands for, in the spelling of JSON; b"" if it stands for none."""
    match = _FLOAT.fullmatch(text)
    if match is None or not (match[2] or len(match[3] or "") > 1):
        return b""
    sign, whole, fraction, exponent = (part or "" for part in match.groups())
    if fraction == ".":
        fraction = ".0"
    return f"{'-' if sign == '-' else ''}{whole.lstrip('0') or '0'}{fraction}{exponent}".encode()


def _string(text: str) -> bytes:
    try:
        return _encode(text)
    except UnicodeEncodeError as error:
        raise ValueError("holds bytes that are not UTF-8") from error
