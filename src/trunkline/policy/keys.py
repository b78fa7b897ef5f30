"""Who may call: static keys and what each of them may use.

Owns `keys:` settings and the lookup. A lookup is one dict access: Python's keyed string hash decides before any
byte comparison, so its timing tells nothing about how much of a guess was right.
"""

from fnmatch import fnmatchcase
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw

from trunkline.errors import INVALID_KEY, Fault
from trunkline.policy.overrides import Overrides, written


class KeySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One static key. Its repr does not show the secret."""

    name: Annotated[
        str, Meta(min_length=1, description="How records and metrics call it; never the key itself.")
    ]
    key: Annotated[
        str, Meta(min_length=1, description="The secret. Better: ${ENV_VARIABLE}.", extra={"secret": True})
    ]
    models: Annotated[
        list[str] | None, Meta(description="Models (globs) this key may use; omitted: all.")
    ] = None
    tags: Annotated[list[str], Meta(description="Words that rules can ask for (`key_tags`).")] = []
    pin: Annotated[
        bool, Meta(description="true: its calls may choose the backend (header `x-trunkline-backend`).")
    ] = False
    params: Annotated[
        dict[str, Raw],
        Meta(
            description="Fields of its requests that are set, whatever the client wrote and models say; null removes."
        ),
    ] = {}
    defaults: Annotated[
        dict[str, Raw], Meta(description="Fields that are filled in where the client left them out.")
    ] = {}

    def __repr__(self) -> str:
        return f"<KeySettings {self.name}>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """What rich shows in place of the repr (tracebacks with locals)."""
        return [("name", self.name)]


class Key(msgspec.Struct, frozen=True, gc=False):
    """A caller that was let in. `models` None: all; `pin`: it may choose the backend; `overrides` None: none."""

    name: str
    models: tuple[str, ...] | None = None
    tags: tuple[str, ...] = ()
    pin: bool = False
    overrides: Overrides | None = None

    def allows(self, model: str) -> bool:
        """Whether this key may use the model: exact name or glob, case-sensitive."""
        return self.models is None or any(model == glob or fnmatchcase(model, glob) for glob in self.models)


def key_of(item: KeySettings) -> Key:
    """The caller that a key lets in."""
    return Key(
        item.name,
        None if item.models is None else tuple(item.models),
        tuple(item.tags),
        item.pin,
        written(item.params, item.defaults) or None,
    )


ANONYMOUS = Key("anonymous", pin=True)
"""Who calls when the gateway has no keys: mostly who runs it."""


class Keyring:
    """All keys of one config snapshot. Without keys everyone is let in as `ANONYMOUS`."""

    def __init__(self, settings: list[KeySettings]) -> None:
        self._by_token = {item.key.encode(): key_of(item) for item in settings}

    def __repr__(self) -> str:
        return f"<Keyring of {len(self._by_token)}>"

    @property
    def open(self) -> bool:
        """True if no key is needed."""
        return not self._by_token

    def check(self, headers: dict[bytes, bytes]) -> Key | Fault:
        """Find the caller's key in `Authorization: Bearer`, `x-api-key` (Anthropic) or `api-key` (Azure)."""
        if not self._by_token:
            return ANONYMOUS
        token = headers.get(b"authorization")
        if token is not None:
            scheme, _, token = token.partition(b" ")
            if scheme.lower() != b"bearer":
                return Fault(INVALID_KEY, "the Authorization header must read `Bearer <key>`")
            token = token.strip()
        else:
            token = headers.get(b"x-api-key") or headers.get(b"api-key")
        if not token:
            return Fault(INVALID_KEY, "no key: send `Authorization: Bearer <key>`")
        key = self._by_token.get(token)
        return key if key is not None else Fault(INVALID_KEY, "wrong key")
