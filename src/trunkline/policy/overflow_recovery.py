"""How a request is made smaller after an upstream refused it for its length.

Owns how an answer's limit is lowered and how much of a prompt has to go. Does not own when which of the two is done
(routing/retry_overflow.py), the numbers (providers/overflow.py), nor which messages go (eviction.py).
"""

from typing import Any

import msgspec

from trunkline.errors import Overflow

_ANSWER = 256
"""Tokens that are freed for the answer where the request does not say how long it may be."""
_SHARE = 4
"""A quarter of a prompt goes at a time where nobody says how much is too much; nor is more of a window freed."""

_LIMITS = {
    "chat": ("max_tokens", "max_completion_tokens"),
    "completions": ("max_tokens",),
    "messages": ("max_tokens",),
    "responses": ("max_output_tokens",),
}
"""The token limits of each surface; the first is added where there is none (providers/shape.py renames it)."""

_decode: Any = msgspec.json.Decoder(Any).decode


def tokens_to_free(
    overflow: Overflow,
    fields: dict[str, msgspec.Raw],
    surface: str,
    *,
    prompt_tokens: int,
    window: int | None,
) -> int:
    """How many tokens of the prompt have to go, one at least; what the upstream counted wins over the estimate.

    `fields` and `surface`: of the request that was refused. `prompt_tokens`: an estimate of its prompt. `window`: of
    the target that refused it, if known; what the refusal says wins.
    """
    limit = window if overflow.limit is None else overflow.limit
    excess = overflow.excess or 0
    if not excess and limit is not None and overflow.input is not None:
        excess = max(overflow.input - limit, 0)
    if not excess or overflow.at_least:
        estimated = prompt_tokens - limit if limit is not None else 0
        excess = max(excess, estimated if estimated > 0 else prompt_tokens // _SHARE, 1)
    if overflow.output is None:  # the numbers are of the prompt alone
        asked = _asked(fields, surface)
        answer = _ANSWER if asked is None else asked
        excess += answer if limit is None else min(answer, limit // _SHARE)
    return excess


def lower_limit(fields: dict[str, msgspec.Raw], surface: str, tokens: int) -> dict[str, msgspec.Raw] | None:
    """The request with an answer of at most `tokens`; None where that would not make it smaller."""
    names = _LIMITS.get(surface, ())
    given = {name: value for name in names if (value := _number(fields, name)) is not None}
    if not names or (given and max(given.values()) <= tokens):
        return None
    raw = msgspec.Raw(b"%d" % tokens)
    return fields | ({name: raw for name, value in given.items() if value > tokens} or {names[0]: raw})


def _asked(fields: dict[str, msgspec.Raw], surface: str) -> int | None:
    """The longest answer that the request allows."""
    values = [_number(fields, name) for name in _LIMITS.get(surface, ())]
    return min((value for value in values if value is not None), default=None)


def _number(fields: dict[str, msgspec.Raw], name: str) -> int | None:
    raw = fields.get(name)
    if raw is None:
        return None
    try:
        value = _decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None
    return (
        int(value) if type(value) in (int, float) and value >= 0 else None
    )  # -1 asks llama.cpp for no limit
