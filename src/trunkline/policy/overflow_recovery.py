"""What to do about a request that an upstream refused for its length, so that no request is sent twice at one size.

Owns the decision (`next_step`), how an answer's limit is lowered, and which windows are too small. Does not own the
numbers (providers/overflow.py), which messages go (eviction.py), nor the candidates (routing).

    the upstream says             steps, the first that is possible
    no answer that long (cap)     ask for a shorter answer
    no room for the answer        ask for a shorter answer; then as below
    the prompt is too long        the context_fallback; evict, if the route allows it; another fallback

At most `MAX_ROUNDS` times a target is asked again with less. No step leads to a window that is known not to be larger.
When no step is left the client gets the upstream's own refusal.
"""

from typing import Any

import msgspec

from trunkline.errors import Overflow

MAX_ROUNDS = 3
"""Times a request is made smaller in one call: each costs the client a round trip, and estimates get no better."""

_ANSWER = 256
"""Tokens that are freed for the answer where the request does not say how long it may be."""
_SHARE = (
    4  # of a prompt goes a quarter at a time, where nobody says how much is too much; nor is more room made
)

_LIMITS = {
    "chat": ("max_tokens", "max_completion_tokens"),
    "completions": ("max_tokens",),
    "messages": ("max_tokens",),
    "responses": ("max_output_tokens",),
}
"""The token limits of each surface; the first is added where there is none (providers/shape.py renames it)."""

_decode: Any = msgspec.json.Decoder(Any).decode


class Lower(msgspec.Struct, frozen=True, gc=False):
    """Ask the same target for an answer of at most `tokens`: see `lower_limit`."""

    tokens: int


class Evict(msgspec.Struct, frozen=True, gc=False):
    """Ask the same target with `tokens` less in the prompt. If nothing can go: ask again without `evict`."""

    tokens: int


class Larger(msgspec.Struct, frozen=True, gc=False):
    """Ask another model: `context_fallback`, or the fallbacks; whose window is not `too_small` for `than`."""

    than: int | None
    context_fallback: bool


class GiveUp(msgspec.Struct, frozen=True, gc=False):
    """The client gets the refusal; `reason` is for the decision record."""

    reason: str


Step = Lower | Evict | Larger | GiveUp


class Means(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a call has left. `rounds`: how often it was made smaller. The others: whether that is still to be tried."""

    rounds: int = 0
    context_fallback: bool = False
    evict: bool = False
    fallbacks: bool = False


def next_step(
    overflow: Overflow,
    fields: dict[str, msgspec.Raw],
    surface: str,
    means: Means,
    *,
    prompt_tokens: int,
    window: int | None = None,
) -> Step:
    """What to do about a refusal.

    `fields` and `surface`: of the request that was refused. `prompt_tokens`: an estimate of its prompt. `window`: of
    the target that refused it, if known; what the refusal says wins.
    """
    again = means.rounds < MAX_ROUNDS
    if overflow.too_long != "prompt":
        room = _room(overflow)
        if again and room is not None and lower_limit(fields, surface, room) is not None:
            return Lower(room)
        if overflow.too_long == "cap":
            return GiveUp("the model gives no answer that long, and a shorter one cannot be asked for")
    limit = window if overflow.limit is None else overflow.limit
    if means.context_fallback:
        return Larger(limit, context_fallback=True)
    if means.evict and again:
        return Evict(_excess(overflow, limit, _asked(fields, surface), prompt_tokens))
    if means.fallbacks:
        return Larger(limit, context_fallback=False)
    return GiveUp(
        f"it was made smaller {MAX_ROUNDS} times"
        if means.evict
        else "nothing larger, and nothing may be evicted"
    )


def lower_limit(fields: dict[str, msgspec.Raw], surface: str, tokens: int) -> dict[str, msgspec.Raw] | None:
    """The request with an answer of at most `tokens`; None where that would not make it smaller."""
    names = _LIMITS.get(surface, ())
    given = {name: value for name in names if (value := _number(fields, name)) is not None}
    if not names or (given and max(given.values()) <= tokens):
        return None
    raw = msgspec.Raw(b"%d" % tokens)
    return fields | ({name: raw for name, value in given.items() if value > tokens} or {names[0]: raw})


def too_small(window: int | None, than: int | None) -> str:
    """Why a model is not asked after one with the window `than` refused; "" if it may be: larger, or not known."""
    if window is None or than is None or window > than:
        return ""
    return f"its window of {window} tokens is not larger than {than}"


def _room(overflow: Overflow) -> int | None:
    """The longest answer there is room for; None if that is not known, or there is none."""
    limit, output = overflow.limit, overflow.output
    if overflow.too_long == "cap":
        room = limit
    elif limit is not None and overflow.input is not None:
        room = limit - overflow.input
    elif output is not None and overflow.excess:
        room = output - overflow.excess
    else:
        room = None
    return room if room is not None and room > 0 else None


def _excess(overflow: Overflow, limit: int | None, asked: int | None, prompt_tokens: int) -> int:
    """How many tokens of the prompt have to go; what the upstream counted wins over the estimate."""
    excess = overflow.excess or 0
    if not excess and limit is not None and overflow.input is not None:
        excess = max(overflow.input - limit, 0)
    if not excess or overflow.at_least:
        estimated = prompt_tokens - limit if limit is not None else 0
        excess = max(excess, estimated if estimated > 0 else prompt_tokens // _SHARE, 1)
    if overflow.output is None:  # the numbers are of the prompt alone
        answer = asked if asked is not None else _ANSWER
        excess += answer if limit is None else min(answer, limit // _SHARE)
    return excess


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
    return int(value) if type(value) in (int, float) else None
