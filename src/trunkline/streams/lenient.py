"""Chunks and bodies of upstreams whose JSON is not quite what it should be, read all the same.

Owns what is read leniently, and as what. Does not own what becomes of a chunk that cannot be read even so (chat.py).
Looked at only where the strict reader has failed.

Seen in the wild: half of a pair of surrogates, where a text of JavaScript was cut in the middle of an emoji; NaN and
Infinity, as Python's json writes them; numbers beyond what a double holds; an `index` that is text, null among the
choices, a finish_reason that is no text.
"""

import re

import msgspec

from trunkline.streams.raw import (
    BAD_JSON,
    NULL,
    decode_object,
    encode,
    index_of,
    items_of,
    kind_of,
    object_of,
    raw_of,
    text_of,
)
from trunkline.wire.openai import ABSENT, Chunk, decode_chunk, present

_STRING = rb'("(?:[^"\\]++|\\.)*+")'
_NAMES = re.compile(_STRING + rb"|-?Infinity|NaN", re.DOTALL)
_NUMBERS = re.compile(_STRING + rb"|-?[0-9][0-9.eE+-]*+", re.DOTALL)
_INDEX = re.compile("[0-9]{1,9}").fullmatch
_FITTING = re.compile(rb"-?[0-9.]{1,300}(?:[eE](?:[+]?0*[0-9]{1,2}|-[0-9]+))?").fullmatch
# A pair of surrogates, any other escape that is none, and (as group 1) half a pair.
_HEX = rb"[0-9a-fA-F]{2}"
_HALVES = re.compile(
    rb"\\u[dD][89abAB]%b\\u[dD][c-fC-F]%b|(\\u[dD][89a-fA-F]%b)|\\." % (_HEX, _HEX, _HEX), re.DOTALL
)


def valid(payload: bytes) -> bytes:
    """JSON in which half pairs are U+FFFD, as where half a pair is encoded, and names of numbers are null."""
    return _halves(_names(payload))


def small(payload: bytes) -> bytes:
    """JSON in which numbers that fit nowhere are 0; to be read, not to be told."""
    return _NUMBERS.sub(lambda found: found[1] or (found[0] if _FITTING(found[0]) else b"0"), payload)


def read_chunk(payload: bytes) -> tuple[Chunk, bytes, bool] | None:
    """A chunk, its payload as JSON, and whether that says the same as `payload` does; None if it cannot be read."""
    named = _names(payload)
    whole = _halves(named)
    try:
        shaped = _shaped(whole)
        return decode_chunk(small(shaped)), shaped, named == payload and shaped is whole
    except BAD_JSON:
        return None


def _names(payload: bytes) -> bytes:
    return _NAMES.sub(lambda found: found[1] or b"null", payload)


def _halves(payload: bytes) -> bytes:
    return _HALVES.sub(lambda found: b"\\ufffd" if found[1] else found[0], payload)


def _shaped(payload: bytes) -> bytes:
    """A chunk whose choices have the types of the API, where it can be told what they mean."""
    fields = decode_object(payload)
    items = items_of(fields.get("choices", NULL))
    choices = [choice for item in items if kind_of(item) == b"{" and (choice := object_of(item))]
    changed = [_reshape(choice) for choice in choices]
    if not any(changed) and len(choices) == len(items):
        return payload
    fields["choices"] = raw_of(choices)
    return encode(fields)


def _reshape(choice: dict[str, msgspec.Raw]) -> bool:
    """Change the fields of a choice that have another type; gives whether any had."""
    changed = False
    index = choice.get("index", ABSENT)
    if present(index) and index_of(index) is None:
        digits = text_of(index)
        choice["index"] = raw_of(int(digits) if _INDEX(digits) else 0)
        changed = True
    for name in ("finish_reason", "text"):
        value = choice.get(name, ABSENT)
        if present(value) and kind_of(value) != b'"':
            choice[name] = NULL
            changed = True
    return changed
