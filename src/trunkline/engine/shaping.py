"""A request's body as one backend takes it.

Owns filling in a default model and applying the rules of the provider's row. Does not own those rules
(providers/shape.py) nor when a body is sent (exchange.py). Only calls that may need it get here.
"""

from typing import TYPE_CHECKING

import msgspec

from trunkline.errors import Fault
from trunkline.providers.shape import Shaped
from trunkline.wire.form import rename_model
from trunkline.wire.values import SSE_SURFACES, Call

if TYPE_CHECKING:
    from trunkline.engine.upstream import Upstream

_encode = msgspec.json.Encoder().encode


def shape(
    upstream: "Upstream", call: Call, fields: dict[str, msgspec.Raw], target_model: str
) -> tuple[bytes, tuple[str, ...]] | Fault:
    """The body to send and what was changed, in words; a fault where a change is not wanted (`strict_params`).

    `fields`: the request object, the client's own or one that was made smaller. `target_model`: its name there.
    """
    model = target_model or call.model or _default_model(upstream, call.surface)
    notes: tuple[str, ...] = ()
    edited = fields is not call.fields
    if model and model != call.model:
        fields = {**fields, "model": msgspec.Raw(_encode(model))}
        if not call.model:
            notes = (f"`model` is `{model}`, the default of {upstream.name}",)
        edited = True
    shaped = None if upstream.shaper is None else upstream.shaper.shape(fields, model, call.surface)
    if isinstance(shaped, Fault):
        return shaped
    if isinstance(shaped, Shaped):
        return _encode(shaped.fields), (*notes, *shaped.notes)
    return (_encode(fields) if edited else call.body), notes


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
