"""What a key may ask for: models, and a backend of the caller's choice.

Owns the refusals, as faults; a request is checked by them when it comes, and when it is asked what would happen to it.
Does not own keys and their globs (keys.py).
"""

from collections.abc import Callable, Container

import msgspec

from trunkline.errors import INVALID_REQUEST, MODEL_NOT_ALLOWED, Fault
from trunkline.policy.keys import Key
from trunkline.wire.call import ParsedBody

_AT = "@"


def pin_fault(key: Key, pin: str, backends: Container[str]) -> Fault | None:
    """Why a request may not choose its backend; `pin`: what `x-trunkline-backend` says, `backends`: their names."""
    if not key.pin:
        message = (
            f"the key `{key.name}` may not choose the backend (x-trunkline-backend); its `pin` is not set"
        )
        return Fault(MODEL_NOT_ALLOWED, message, code="backend_not_allowed")
    if pin not in backends:
        message = f"x-trunkline-backend: there is no backend `{pin[:100]}`"
        return Fault(INVALID_REQUEST, message, code="backend_not_found")
    return None


def may_use(key: Key, model: str, base: str) -> bool:
    """Whether a key may use a model; who may use one, `base`, may use its variants, `base@low`.

    A glob that names no variant is for models alone: `*-mini` is not meant to let everybody's `@as-mini` in.
    """
    if model == base or key.allows(base):
        return key.allows(base)
    named = tuple(glob for glob in key.models or () if _AT in glob)
    return msgspec.structs.replace(key, models=named).allows(model)


def body_fault(
    key: Key, parsed: ParsedBody, path_model: str, base: Callable[[str], str] = lambda name: name
) -> Fault | None:
    """Why a key may not send this; only those that are limited to some models may not send everything.

    `path_model`: the one that the path names (Azure's deployments), "" for none: it may be what the backend obeys.
    `base`: a name without its variants.
    """
    if key.models is None:
        return None
    if parsed.lists_models:
        message = f"the key `{key.name}` may not send lists of models (`models`, `fallbacks`)"
        return Fault(MODEL_NOT_ALLOWED, message, param="models")
    for model in filter(None, (path_model, parsed.model)):
        if not may_use(key, model, base(model)):
            message = f"the key `{key.name}` may not use the model `{model[:100]}`"
            return Fault(MODEL_NOT_ALLOWED, message, param="model")
    if parsed.model:
        return None
    message = f"the key `{key.name}` may not use requests that name no model"
    return Fault(MODEL_NOT_ALLOWED, message, param="model")
