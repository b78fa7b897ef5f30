"""What of a request a provider does not take: which fields are left out, which go by another name.

Owns the rules of parameters (`Shaper`, made once per backend). Does not own the request's bytes (wire/call.py) nor
values: they stay raw, so what is not dropped goes upstream byte for byte and in its order. Only chat completions and
legacy completions are shaped; other surfaces have other fields.

The usual request has nothing to shape and costs one `isdisjoint`. Where fields of messages are refused, one search in
their bytes comes before any decode.
"""

from fnmatch import fnmatchcase

import msgspec

from trunkline.errors import INVALID_REQUEST, Fault
from trunkline.providers.base import OPENAI_STRICT, Profile

_decode_messages = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode
_OLD, _NEW = "max_tokens", "max_completion_tokens"


class Shaped(msgspec.Struct, frozen=True, gc=False):
    """A request's fields as the provider takes them; `notes` say what was changed, for the decision record."""

    fields: dict[str, msgspec.Raw]
    notes: tuple[str, ...]


class Shaper(msgspec.Struct, frozen=True, kw_only=True):
    """One backend's rules.

    `touches`: fields of a chat request that may need something done; `refuses`: those that are left out;
    `refuses_for`, `in_messages` and `renames`: as in `Profile`. `limit_name`: the one name of the token limit, if one
    is configured; else models that begin with one of `newer` take `max_completion_tokens`, and of the others those
    that begin with one of `older` take `max_tokens`.
    """

    provider: str
    touches: frozenset[str]
    refuses: frozenset[str]
    refuses_for: tuple[tuple[str, frozenset[str]], ...]
    in_messages: dict[str, tuple[str, ...]]
    renames: dict[str, str]
    limit_name: str | None
    newer: tuple[str, ...]
    older: tuple[str, ...]
    deployment: str
    strict: bool

    def shape(self, fields: dict[str, msgspec.Raw], model: str, surface: str) -> Shaped | Fault | None:
        """Shape one request for `model`; None where nothing is to be done, a Fault where that is not wanted.

        `surface`: as in `wire.values.Call`.
        """
        chat = surface == "chat"
        if chat:
            if self.touches.isdisjoint(fields):
                return None
        elif surface != "completions" or (
            self.refuses.isdisjoint(fields) and self.renames.keys().isdisjoint(fields)
        ):
            return None
        refuses = self._refuses(model) if chat else self.refuses
        limit = self._limit(model) if chat else None
        limits = [] if limit is None else [name for name in (_OLD, _NEW) if name in fields and name != limit]
        dropped = [name for name in fields if name in refuses]
        messages, lost = _without(fields.get("messages"), self.in_messages if chat else {})
        renames = [name for name in self.renames if name in fields]
        if not dropped and not limits and not renames and messages is None:
            return None
        if self.strict:
            # null asks for nothing, so nothing is lost with it.
            asked = [name for name in dropped if bytes(fields[name]) != b"null"] + lost
            if asked:
                return self._fault(asked)
        notes = [f"dropped `{name}`: {self.provider} does not take it" for name in dropped + lost]
        shaped = {name: value for name, value in fields.items() if name not in refuses}
        if messages is not None:
            shaped["messages"] = messages
        if limits:
            assert limit is not None
            shaped = _renamed(shaped, limits, limit, notes)
        for name in renames:
            shaped = _renamed(shaped, [name], self.renames[name], notes)
        return Shaped(shaped, tuple(notes))

    def touched(self, model: str) -> frozenset[str]:
        """The fields of which one must be in a chat request for `model` for `shape` to change it."""
        limit = self._limit(model)
        fields = self._refuses(model).union(self.renames, ("messages",) if self.in_messages else ())
        return fields if limit is None else fields | {_OLD, _NEW} - {limit}

    def _refuses(self, model: str) -> frozenset[str]:
        own = next((fields for glob, fields in self.refuses_for if fnmatchcase(model, glob)), None)
        return self.refuses | own if own else self.refuses

    def _limit(self, model: str) -> str | None:
        """The name that the token limit must have; None: whatever it has."""
        if self.limit_name is not None:
            return self.limit_name
        model = model.removeprefix("ft:")  # a fine-tuned one is called after its base
        if model.startswith(self.newer) or self.deployment.startswith(self.newer):
            return _NEW
        return _OLD if model.startswith(self.older) else None

    def _fault(self, asked: list[str]) -> Fault:
        names = ", ".join(f"`{name}`" for name in asked)
        return Fault(
            INVALID_REQUEST,
            f"{self.provider} does not take {names}, and `strict_params` forbids to leave "
            f"{'it' if len(asked) == 1 else 'them'} out",
            param=asked[0],
        )


def _renamed(
    fields: dict[str, msgspec.Raw], old: list[str], limit: str, notes: list[str]
) -> dict[str, msgspec.Raw]:
    """The fields with one of several names for a thing, in the place of the first; one of the right name wins."""
    source = limit if limit in fields else old[0]
    shaped: dict[str, msgspec.Raw] = {}
    for name, value in fields.items():
        if name == source:
            shaped[limit] = value
        elif name not in old:
            shaped[name] = value
    if source != limit:
        notes.append(f"`{source}` is sent as `{limit}`")
    notes += [f"dropped `{name}`: `{source}` is there too" for name in old if name != source]
    return shaped


def _without(
    raw: msgspec.Raw | None, refused: dict[str, tuple[str, ...]]
) -> tuple[msgspec.Raw | None, list[str]]:
    """Messages without the fields that are refused in them, and which those were; None: there is nothing to leave out.

    A value of another shape is left for the provider to judge. null asks for nothing, and is left out in silence.
    """
    held = b"" if raw is None else bytes(raw)
    if not any(f'"{name}"'.encode() in held for name in refused):
        return None, []
    try:
        messages = _decode_messages(held)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None, []
    found: list[str] = []
    changed = False
    for message in messages:
        role = bytes(message.get("role", b""))
        for name, roles in refused.items():
            if name in message and role not in [f'"{role}"'.encode() for role in roles]:
                changed = True
                place = f"messages[].{name}"
                if bytes(message.pop(name)) != b"null" and place not in found:
                    found.append(place)
    return (msgspec.Raw(msgspec.json.encode(messages)), found) if changed else (None, [])


def shaper(
    row: Profile,
    *,
    strict_params: bool = False,
    openai_strict: bool | None = None,
    max_tokens_param_name: str | None = None,
    deployment_name: str | None = None,
    api_version: str | None = None,
) -> Shaper | None:
    """The rules of a row under the settings of a backend; None if there are none.

    `openai_strict` adds (or, false, takes away) what OpenAI's own API refuses.
    """
    refuses = row.refuses if row.takes_stream_options(api_version) else row.refuses | {"stream_options"}
    if openai_strict is not None:
        refuses = refuses | OPENAI_STRICT if openai_strict else refuses - OPENAI_STRICT
    newer = _beginnings(row.max_completion_tokens_for)
    older = _beginnings(row.max_tokens_for)
    if max_tokens_param_name is not None:
        limits = frozenset((_OLD, _NEW)) - {max_tokens_param_name}
    else:
        limits = frozenset(((_OLD,) if newer else ()) + ((_NEW,) if older else ()))
    touches = refuses.union(limits, row.renames, *(fields for _, fields in row.refuses_for))
    if row.refuses_in_messages:
        touches |= {"messages"}
    if not touches:
        return None
    return Shaper(
        provider=row.name,
        touches=touches,
        refuses=refuses,
        refuses_for=row.refuses_for,
        in_messages=row.refuses_in_messages,
        renames=row.renames,
        limit_name=max_tokens_param_name,
        newer=newer,
        older=older,
        deployment=deployment_name or "",
        strict=strict_params,
    )


def _beginnings(patterns: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(pattern.removesuffix("*") for pattern in patterns)
