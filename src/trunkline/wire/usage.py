"""Token usage as upstreams report it: four dialects to one value.

Owns the field names of OpenAI (chat, completions, embeddings and /responses), Anthropic and llama.cpp (`timings`).
Does not own prices (policy/pricing.py) nor where in a stream usage is found (streams/inspect.py).

The dialect is told by the fields: gateways in front of models mix them. One decode into a struct of `Any` fields, so
that a null or nonsense in a detail loses that detail; nonsense in a main count makes the whole unusable (None), since
half a count recorded as truth is worse than an estimate.
"""

from typing import Annotated, Any

import msgspec

_MOST = 10**12  # a count above this is garbage: it would empty every budget and overflow 64-bit sums
_Tokens = Annotated[int, msgspec.Meta(ge=0, le=_MOST)]


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens of one attempt.

    `prompt_tokens` counts the whole prompt, `cached_tokens` of it included; `reasoning_tokens` are part of
    `completion_tokens`. `total_tokens` is what the upstream said, 0 if nothing. `source` "upstream": it counted.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    source: str = "upstream"


class _Details(msgspec.Struct, gc=False):
    cached_tokens: Any = None
    reasoning_tokens: Any = None


class _Wire(msgspec.Struct, gc=False):
    """Every field that counts tokens in some dialect."""

    prompt_tokens: Any = None
    completion_tokens: Any = None
    total_tokens: Any = None
    prompt_tokens_details: msgspec.Raw = msgspec.Raw()
    completion_tokens_details: msgspec.Raw = msgspec.Raw()
    # /responses and Anthropic
    input_tokens: Any = None
    output_tokens: Any = None
    input_tokens_details: msgspec.Raw = msgspec.Raw()
    output_tokens_details: msgspec.Raw = msgspec.Raw()
    cache_read_input_tokens: Any = None
    cache_creation_input_tokens: Any = None
    # DeepSeek
    prompt_cache_hit_tokens: Any = None
    # llama.cpp
    prompt_n: Any = None
    predicted_n: Any = None
    cache_n: Any = None


class _PlainDetails(msgspec.Struct, gc=False):
    cached_tokens: _Tokens | None = None
    reasoning_tokens: _Tokens | None = None


class _Plain(msgspec.Struct, gc=False):
    """OpenAI's own form, which nearly everyone sends, with nothing odd in it: half the cost of `_Wire`."""

    prompt_tokens: _Tokens
    completion_tokens: _Tokens = 0
    total_tokens: _Tokens = 0
    prompt_tokens_details: _PlainDetails | None = None
    completion_tokens_details: _PlainDetails | None = None
    prompt_cache_hit_tokens: _Tokens | None = None


_decode = msgspec.json.Decoder(_Wire).decode
_decode_plain = msgspec.json.Decoder(_Plain).decode
_decode_details = msgspec.json.Decoder(_Details).decode
_NO_DETAILS = _Details()
_NONSENSE = -10 * _MOST


def parse_usage(raw: bytes | msgspec.Raw, surface: str) -> Usage | None:
    """Read a `usage` (or llama.cpp `timings`) object of an answer. None if it is none or counts nothing."""
    try:
        plain = _decode_plain(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _parse_any(raw, surface)
    prompt, completion = plain.prompt_tokens, plain.completion_tokens
    if prompt + completion == 0:
        return None
    details = plain.prompt_tokens_details
    cached = (details.cached_tokens if details is not None else 0) or plain.prompt_cache_hit_tokens or 0
    details = plain.completion_tokens_details
    reasoning = (details.reasoning_tokens if details is not None else 0) or 0
    return Usage(prompt, completion, plain.total_tokens, min(cached, prompt), min(reasoning, completion))


def _parse_any(raw: bytes | msgspec.Raw, surface: str) -> Usage | None:
    """As `parse_usage`, for every dialect and every oddity."""
    try:
        wire = _decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    if wire.prompt_tokens is not None or wire.completion_tokens is not None:
        prompt, completion = _count(wire.prompt_tokens), _count(wire.completion_tokens)
        cached = _detail(wire.prompt_tokens_details).cached_tokens or wire.prompt_cache_hit_tokens
        reasoning = _detail(wire.completion_tokens_details).reasoning_tokens
    elif wire.input_tokens is not None or wire.output_tokens is not None:
        prompt, completion = _count(wire.input_tokens), _count(wire.output_tokens)
        cached = _detail(wire.input_tokens_details).cached_tokens
        reasoning = _detail(wire.output_tokens_details).reasoning_tokens
        if surface == "messages":
            # What was read from or written to the cache is counted beside input_tokens, not within.
            # https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching
            cached = _extra(wire.cache_read_input_tokens)
            prompt += cached + _extra(wire.cache_creation_input_tokens)
    elif wire.prompt_n is not None or wire.predicted_n is not None:
        # llama.cpp: prompt_n is what had to be computed; what the cache held comes on top.
        cached, reasoning = _extra(wire.cache_n), 0
        prompt, completion = _count(wire.prompt_n) + cached, _count(wire.predicted_n)
    else:
        return None
    if prompt < 0 or completion < 0 or prompt + completion == 0:
        return None
    total = _extra(wire.total_tokens)
    return Usage(prompt, completion, total, min(_extra(cached), prompt), min(_extra(reasoning), completion))


def merge(earlier: Usage | None, later: Usage | None) -> Usage | None:
    """Two reports of one stream: the later one counts (they are cumulative), the earlier fills what it leaves out.

    Anthropic counts the prompt in `message_start` and the completion in `message_delta`.
    """
    if earlier is None or later is None:
        return later or earlier
    return Usage(
        later.prompt_tokens or earlier.prompt_tokens,
        later.completion_tokens or earlier.completion_tokens,
        later.total_tokens or earlier.total_tokens,
        later.cached_tokens or earlier.cached_tokens,
        later.reasoning_tokens or earlier.reasoning_tokens,
        later.source,
    )


def _detail(raw: msgspec.Raw) -> _Details:
    if len(raw) <= 4:  # absent, null
        return _NO_DETAILS
    try:
        return _decode_details(raw)
    except msgspec.DecodeError:
        return _NO_DETAILS


def _extra(value: Any) -> int:
    """A count that may be missing or nonsense: 0 then."""
    return max(_count(value), 0)


def _count(value: Any) -> int:
    """A number of tokens; 0 for null; far below zero for nonsense, so that sums stay below zero too."""
    if value is None:
        return 0
    if type(value) is float and value.is_integer():  # some count through pandas
        value = int(value)
    return value if type(value) is int and 0 <= value <= _MOST else _NONSENSE
