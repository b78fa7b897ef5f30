"""Token usage as upstreams report it: four dialects to one value, and that value as OpenAI's object.

Owns the field names of OpenAI (chat, completions, embeddings and /responses), Anthropic and llama.cpp (`timings`), and
what others add to OpenAI's: DeepSeek's cache hits, OpenRouter's cost and cache writes, Perplexity's sum of costs.
Does not own prices (policy/pricing.py), estimates (policy/tokens.py) nor where in a stream usage is found
(streams/inspect.py).

The dialect is told by the fields: gateways in front of models mix them. One decode into a struct of `Any` fields, so
that a null or nonsense in a detail loses that detail; nonsense in a main count makes the whole unusable (None), since
half a count recorded as truth is worse than an estimate.
"""

from typing import Annotated, Any, cast

import msgspec

_MOST = 10**12  # a count above this is garbage: it would empty every budget and overflow 64-bit sums
_Tokens = Annotated[int, msgspec.Meta(ge=0, le=_MOST)]
_MOST_DOLLARS = 1e6  # no call costs a million
_Dollars = Annotated[float, msgspec.Meta(ge=0, le=_MOST_DOLLARS)]


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens of one attempt.

    `prompt_tokens` counts the whole prompt, of it are `cached_tokens` (read from a cache), `cache_write_tokens` and
    `prompt_audio_tokens`; of `completion_tokens` are `reasoning_tokens` and `completion_audio_tokens`. `total_tokens`
    is what the upstream said, 0 if nothing. `cost`: dollars that the upstream said it charges, None if nothing.
    `source`: who counted: "upstream"; "timings", llama.cpp's measurements where it said nothing else; "estimated",
    nobody.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    source: str = "upstream"
    cache_write_tokens: int = 0
    prompt_audio_tokens: int = 0
    completion_audio_tokens: int = 0
    cost: float | None = None


class _Details(msgspec.Struct, gc=False):
    cached_tokens: Any = None
    reasoning_tokens: Any = None
    audio_tokens: Any = None
    cache_write_tokens: Any = None


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
    # OpenRouter, Perplexity
    cost: Any = None
    cost_usd: Any = None


class _PlainDetails(msgspec.Struct, gc=False):
    cached_tokens: _Tokens | None = None
    reasoning_tokens: _Tokens | None = None
    audio_tokens: _Tokens | None = None
    cache_write_tokens: _Tokens | None = None


class _Plain(msgspec.Struct, gc=False):
    """OpenAI's own form, which nearly everyone sends, with nothing odd in it: half the cost of `_Wire`."""

    prompt_tokens: _Tokens
    completion_tokens: _Tokens = 0
    total_tokens: _Tokens = 0
    prompt_tokens_details: _PlainDetails | None = None
    completion_tokens_details: _PlainDetails | None = None
    prompt_cache_hit_tokens: _Tokens | None = None
    cache_read_input_tokens: _Tokens | None = None
    cache_creation_input_tokens: _Tokens | None = None
    cost: _Dollars | None = None
    cost_usd: _Dollars | None = None


_decode = msgspec.json.Decoder(_Wire).decode
_decode_plain = msgspec.json.Decoder(_Plain).decode
_decode_details = msgspec.json.Decoder(_Details).decode
_encode = msgspec.json.Encoder().encode
_NO_DETAILS = _Details()
_NONSENSE = -10 * _MOST


def parse_usage(raw: bytes | msgspec.Raw, surface: str) -> Usage | None:
    """Read a `usage` (or llama.cpp `timings`) object of an answer. None if it is none or counts nothing."""
    try:
        plain = _decode_plain(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _parse_any(raw, surface)
    prompt, completion, total = plain.prompt_tokens, plain.completion_tokens, plain.total_tokens
    if prompt + completion == 0:
        return None
    cached = reasoning = written = heard = spoken = 0
    details = plain.prompt_tokens_details
    if details is not None:
        cached, written, heard = details.cached_tokens, details.cache_write_tokens, details.audio_tokens
    details = plain.completion_tokens_details
    if details is not None:
        reasoning, spoken = details.reasoning_tokens or 0, details.audio_tokens
        if reasoning and total == prompt + completion + reasoning:
            completion += reasoning
    cached = cached or plain.prompt_cache_hit_tokens or plain.cache_read_input_tokens or 0
    written = written or plain.cache_creation_input_tokens
    cost = plain.cost if plain.cost_usd is None else plain.cost_usd
    cached = cached if cached < prompt else prompt  # noqa: FURB136 # `min` costs more than all else here
    reasoning = reasoning if reasoning < completion else completion  # noqa: FURB136 # as above
    if cost is None and not (written or heard or spoken):
        return Usage(prompt, completion, total, cached, reasoning)
    return Usage(
        prompt,
        completion,
        total,
        cached,
        reasoning,
        "upstream",
        min(written or 0, prompt),
        min(heard or 0, prompt),
        min(spoken or 0, completion),
        cost,
    )


def _parse_any(raw: bytes | msgspec.Raw, surface: str) -> Usage | None:
    """As `parse_usage`, for every dialect and every oddity."""
    try:
        wire = _decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    source = "upstream"
    of_prompt = of_completion = _NO_DETAILS
    written = wire.cache_creation_input_tokens
    if wire.prompt_tokens is not None or wire.completion_tokens is not None:
        prompt, completion = _count(wire.prompt_tokens), _count(wire.completion_tokens)
        of_prompt, of_completion = (
            _detail(wire.prompt_tokens_details),
            _detail(wire.completion_tokens_details),
        )
        cached = of_prompt.cached_tokens or wire.prompt_cache_hit_tokens or wire.cache_read_input_tokens
    elif wire.input_tokens is not None or wire.output_tokens is not None:
        prompt, completion = _count(wire.input_tokens), _count(wire.output_tokens)
        of_prompt, of_completion = _detail(wire.input_tokens_details), _detail(wire.output_tokens_details)
        cached = of_prompt.cached_tokens
        if surface == "messages":
            # What was read from or written to the cache is counted beside input_tokens, not within.
            # https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching
            cached = _extra(wire.cache_read_input_tokens)
            prompt += cached + _extra(written)
    elif wire.prompt_n is not None or wire.predicted_n is not None:
        # llama.cpp: prompt_n is what had to be computed; what the cache held comes on top.
        source = "timings"
        cached = _extra(wire.cache_n)
        prompt, completion = _count(wire.prompt_n) + cached, _count(wire.predicted_n)
    else:
        return None
    if prompt < 0 or completion < 0 or prompt + completion == 0:
        return None
    total, reasoning = _extra(wire.total_tokens), _extra(of_completion.reasoning_tokens)
    if reasoning and total == prompt + completion + reasoning:
        # xAI counts reasoning beside the completion, everybody else within.
        # https://docs.x.ai/docs/key-information/consumption-and-rate-limits
        completion += reasoning
    return Usage(
        prompt,
        completion,
        total,
        min(_extra(cached), prompt),
        min(reasoning, completion),
        source,
        min(_extra(of_prompt.cache_write_tokens or written), prompt),
        min(_extra(of_prompt.audio_tokens), prompt),
        min(_extra(of_completion.audio_tokens), completion),
        _dollars(wire.cost if wire.cost_usd is None else wire.cost_usd),
    )


def merge(earlier: Usage | None, later: Usage | None) -> Usage | None:
    """Two reports of one stream: the later one counts (they are cumulative), the earlier fills what it leaves out.

    Anthropic counts the prompt in `message_start` and the completion in `message_delta`. What was measured (`timings`)
    never outdoes what was counted.
    """
    if earlier is None or later is None:
        return later or earlier
    if later.source == "timings" and earlier.source == "upstream":
        earlier, later = later, earlier
    return Usage(
        later.prompt_tokens or earlier.prompt_tokens,
        later.completion_tokens or earlier.completion_tokens,
        later.total_tokens or earlier.total_tokens,
        later.cached_tokens or earlier.cached_tokens,
        later.reasoning_tokens or earlier.reasoning_tokens,
        later.source,
        later.cache_write_tokens or earlier.cache_write_tokens,
        later.prompt_audio_tokens or earlier.prompt_audio_tokens,
        later.completion_audio_tokens or earlier.completion_audio_tokens,
        earlier.cost if later.cost is None else later.cost,
    )


def render_usage(usage: Usage) -> bytes:
    """The `usage` object of a chat completion, for a chunk that the upstream did not send: JSON.

    Details that are zero are left out: nobody may have counted them. An estimate says so (`"estimated": true`), which
    is no field of OpenAI's; its clients ignore what they do not know.
    """
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    of_prompt = {
        "cached_tokens": usage.cached_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "audio_tokens": usage.prompt_audio_tokens,
    }
    of_completion = {
        "reasoning_tokens": usage.reasoning_tokens,
        "audio_tokens": usage.completion_audio_tokens,
    }
    told: dict[str, object] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": usage.total_tokens or prompt + completion,
    }
    for name, details in (
        ("prompt_tokens_details", of_prompt),
        ("completion_tokens_details", of_completion),
    ):
        if found := {detail: count for detail, count in details.items() if count}:
            told[name] = found
    if usage.cost is not None:
        told["cost"] = usage.cost
    if usage.source == "estimated":
        told["estimated"] = True
    return _encode(told)


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


def _dollars(value: Any) -> float | None:
    """What was charged, of OpenRouter's number or Perplexity's object of parts with a sum; None for nonsense."""
    if isinstance(value, dict):
        value = cast("dict[str, Any]", value).get("total_cost")
    if type(value) not in (int, float) or not 0 <= value <= _MOST_DOLLARS:
        return None
    return float(value)
