"""Which values of a configuration's `params` and `defaults` are not told: they may be secrets.

Owns the words that names of secrets are known by, and the memory of what came from a variable or a file. Does not own
the reading of a configuration (config/bind.py) nor what is told (overrides.py).

Secrets belong into variables, so nothing that came from one is told, whatever it is called.
"""

from collections.abc import Iterator, Mapping
from typing import Any, cast

import msgspec

_WORDS = ("auth", "key", "token", "secret", "cookie", "pass", "cred", "sign")
_HARMLESS = ("tokens", "token_ids", "tokenize", "prompt_cache_key")
"""Parts of names that have one of these words for another reason."""

_decode = msgspec.json.Decoder(Any).decode


class Params(dict[str, msgspec.Raw]):
    """Fields as a configuration says them; `referenced`: those with a value, or part of it, from elsewhere."""

    __slots__ = ("referenced",)

    def __init__(self, fields: Mapping[str, msgspec.Raw], referenced: frozenset[str] = frozenset()) -> None:
        super().__init__(fields)
        self.referenced = referenced


def referenced(fields: dict[str, msgspec.Raw]) -> frozenset[str]:
    """Those whose value came from elsewhere; none where that is not known."""
    return fields.referenced if isinstance(fields, Params) else frozenset()


def names_secret(name: str) -> bool:
    """Whether something of this name is likely a secret."""
    name = name.lower()
    for part in _HARMLESS:
        name = name.replace(part, "")
    return any(word in name for word in _WORDS)


def holds_secret(name: str, value: msgspec.Raw) -> bool:
    """Whether a value, or a member of it at any depth, is called like a secret."""
    if names_secret(name):
        return True
    try:
        return bytes(value)[:1] in b"{[" and any(map(names_secret, _names(_decode(value))))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return True


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        yield from members
        for member in members.values():
            yield from _names(member)
    elif isinstance(value, list):
        for member in cast("list[Any]", value):
            yield from _names(member)
