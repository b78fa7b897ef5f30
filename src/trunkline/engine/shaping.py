"""A request's body as one backend takes it.

Owns the order of what is changed: the operator's overrides, a limit that failover lowered, the model's name, the
question for usage, the rules of the provider's row, or its dialect. Does not own overrides (policy/overrides.py),
which of them hold (orders.py), the provider's rules (providers/shape.py) and dialect (providers/dialects.py), nor when
a body is sent (attempts.py). Only calls that may need it get here.
"""

from typing import TYPE_CHECKING

import msgspec

from trunkline.engine.orders import Orders
from trunkline.errors import Fault
from trunkline.policy.overflow_recovery import lower_limit
from trunkline.policy.overrides import Overrides
from trunkline.policy.synonyms import LIMITS, Fields
from trunkline.providers.dialects import Dialect
from trunkline.providers.shape import Shaped
from trunkline.wire.form import rename_model
from trunkline.wire.values import SSE_SURFACES, Call

if TYPE_CHECKING:
    from trunkline.engine.upstream import Upstream

COUNTED = frozenset(("chat", "completions"))
"""Surfaces whose streams tell what was used when they are asked to."""

_OPTIONS = "stream_options"
_USAGE = msgspec.Raw(b'{"include_usage":true}')
_USAGE_END = b',"stream_options":{"include_usage":true}}'
_TRUE = msgspec.Raw(b"true")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Fields).decode


class Sent(msgspec.Struct, frozen=True, gc=False):
    """What is sent. `notes`: what was changed, in words. `streams`: whether a stream is asked for; None: as the client
    did. `dialect`: the API in which it is asked for, if it is not the client's own.
    """

    body: bytes
    notes: tuple[str, ...] = ()
    streams: bool | None = None
    dialect: Dialect | None = None


def asks_usage(upstream: "Upstream") -> bool:
    """Whether a backend is asked what its streams use: where that is a field it knows, and the account is ours."""
    shaper = upstream.shaper
    return upstream.own_credential and (shaper is None or _OPTIONS not in shaper.refuses)


def shape(
    upstream: "Upstream",
    call: Call,
    fields: Fields,
    target_model: str,
    orders: Orders | None = None,
    *,
    limit: int | None = None,
    ready: tuple[str, ...] | None = None,
) -> Sent | Fault:
    """What to send, or a fault where a change is not wanted (`strict_params`).

    `fields`: the request object, the client's own or one that was made smaller. `ready`: the operator's wants are in
    it already, and this is what they changed. `target_model`: its name there. `limit`: tokens that the answer may have
    at most.
    """
    surface, streams = call.surface, None
    changed, notes, own_options = fields, (), False
    overrides = None if orders is None else orders.overrides
    if overrides is not None:
        changed, notes = overrides.apply(fields) if ready is None else (fields, ready)
        own_options = _OPTIONS in overrides.force or _OPTIONS in overrides.remove
        if surface in SSE_SURFACES:
            streams = bytes(changed.get("stream", b"")) == b"true"
            # Servers refuse it without a stream. Where the client made that mistake alone, it stays the client's.
            if not streams and _OPTIONS in changed and (call.stream or own_options or _OPTIONS not in fields):
                changed = {name: value for name, value in changed.items() if name != _OPTIONS}
                if _OPTIONS in fields:
                    notes = (*notes, f"removed `{_OPTIONS}`: it is of streams")
    if limit is not None:
        changed = lower_limit(changed, surface, limit) or changed
    if overrides is not None:
        notes = _as_sent(notes, overrides, changed)
    model = target_model or call.model or _default_model(upstream, surface)
    if model and model != call.model:
        changed = {**changed, "model": msgspec.Raw(_encode(model))}
        if not call.model:
            whose = "" if target_model else f", the default of {upstream.name}"
            notes = (*notes, f"`model` is `{model}`{whose}")
    if upstream.dialect is not None and surface == "chat":
        said = upstream.dialect.asked(changed)
        if said or upstream.native:
            return _natively(upstream, upstream.dialect, changed, said, notes, streams)
    asks = (
        surface in COUNTED
        and (call.stream if streams is None else streams)
        and not (call.include_usage or own_options)
        and asks_usage(upstream)
    )
    if asks and (changed is not call.fields or _OPTIONS in changed):
        changed, asks = _with_usage(changed), False
    shaped = None if upstream.shaper is None else upstream.shaper.shape(changed, model, surface)
    if isinstance(shaped, Fault):
        return shaped
    if isinstance(shaped, Shaped):
        changed, notes = shaped.fields, (*notes, *shaped.notes)
        if asks:
            changed = _with_usage(changed)
    elif changed is call.fields:  # the usual case: nothing but the question is added to the bytes there are
        return Sent(call.body[:-1] + _USAGE_END if asks else call.body, notes, streams)
    return Sent(_encode(changed), notes, streams)


def _natively(
    upstream: "Upstream",
    dialect: Dialect,
    fields: Fields,
    said: list[str],
    notes: tuple[str, ...],
    streams: bool | None,
) -> Sent | Fault:
    """The request in the backend's dialect, which tells what was used unasked. `said`: what only that can ask for."""
    shaped = dialect.request(fields, strict=upstream.settings.strict_params)
    if isinstance(shaped, Fault):
        return shaped
    why = f"because of {', '.join(f'`{name}`' for name in said)}" if said else "as `native` says"
    return Sent(
        _encode(shaped.fields), (*notes, f"sent to {dialect.path} {why}", *shaped.notes), streams, dialect
    )


def _as_sent(notes: tuple[str, ...], overrides: Overrides, fields: Fields) -> tuple[str, ...]:
    """The notes without what was not left at that: a limit that was lowered since, a field that was removed again."""
    for name, value in (overrides.fill | overrides.force).items():
        found = fields.get(name)
        if found is None or bytes(found) != bytes(value):
            begin = f"`{name}` set to "
            kept = f"{begin}{bytes(found).decode()}, which is lower" if name in LIMITS and found else ""
            notes = tuple(filter(None, (kept if note.startswith(begin) else note for note in notes)))
    return notes


def form_for(call: Call, target_model: str) -> bytes:
    """A form, or its beginning, with the model's name as the target has it. Raises ValueError if it cannot be there."""
    if not target_model or target_model == call.model:
        return call.body
    return rename_model(call.body, call.form, target_model)


def _default_model(upstream: "Upstream", surface: str) -> str:
    settings = upstream.settings
    if surface == "embeddings":
        return settings.default_embedding_model or ""
    return settings.default_model or "" if surface in SSE_SURFACES else ""


def _with_usage(fields: Fields) -> Fields:
    """The request with the question what its stream uses; other options of its stream stay as they are."""
    raw = fields.get(_OPTIONS)
    if raw is None or bytes(raw) == b"null":
        return {**fields, _OPTIONS: _USAGE}
    try:
        options = _decode(raw)
    except msgspec.DecodeError:  # the upstream's to judge
        return fields
    return {**fields, _OPTIONS: msgspec.Raw(_encode({**options, "include_usage": _TRUE}))}
