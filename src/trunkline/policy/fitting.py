"""Which of the operator's parameters belong into which requests.

Owns the names that only some operations know. Does not own whose requests they are laid over (engine/orders.py), other
names for the same thing (synonyms.py) nor what a provider does not take (providers/shape.py).

| requests | without |
|---|---|
| chat, completions | |
| responses, messages | what only chats have a name for |
| those that generate no text (embeddings, images, ...) | what is said to models that do |
| those of operations that are not known here | `stream` |

Everything that is not named here goes everywhere. The token limit has the name that the operation knows. A text for the
last user message is for chats alone.

Sources: the parameters of each operation in OpenAI's and Anthropic's API reference.
"""

from msgspec import structs

from trunkline.policy.overrides import Overrides
from trunkline.policy.synonyms import LIMITS, SYNONYMS, Fields
from trunkline.wire.values import SSE_SURFACES, UNLISTED

_LIMIT_OF = {"completions": "max_tokens", "messages": "max_tokens", "responses": "max_output_tokens"}
"""The only name of the token limit there; chats know two."""

_OF_CHATS = frozenset(
    (
        "audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs", "modalities", "n",
        "prediction", "presence_penalty", "reasoning_effort", "response_format", "seed", "stop", "stream_options",
        "verbosity", "web_search_options",
    )
)  # fmt: skip
"""What `/v1/responses` and `/v1/messages` refuse; theirs have other names (`reasoning`, `text`, `stop_sequences`)."""

# Not `n`, `seed`, `response_format`: images and speech have them too.
_OF_TEXT = SYNONYMS["max_tokens"].union(
    (
        "max_tokens", "temperature", "top_p", "top_k", "min_p", "typical_p", "repetition_penalty", "repeat_penalty",
        "presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs", "stop", "reasoning",
        "reasoning_effort", "think", "verbosity", "tools", "tool_choice", "parallel_tool_calls", "functions",
        "function_call", "stream", "stream_options",
    )
)  # fmt: skip

_STREAM = frozenset(("stream",))
_NONE = frozenset[str]()


def fitted(overrides: Overrides, surface: str) -> Overrides:
    """What of the overrides belongs into requests of a surface (`wire.values.Call`)."""
    out = _left_out(surface)
    limit = _LIMIT_OF.get(surface)

    def fit(fields: Fields) -> Fields:
        return {_named(name, limit): value for name, value in fields.items() if name not in out}

    return structs.replace(
        overrides,
        force=fit(overrides.force),
        fill=fit(overrides.fill),
        remove=overrides.remove - out,
        append=overrides.append if surface == "chat" else "",
        hidden=frozenset(_named(name, limit) for name in overrides.hidden),
    )


def _left_out(surface: str) -> frozenset[str]:
    if surface in UNLISTED:
        return _STREAM
    if surface not in SSE_SURFACES:
        return _OF_TEXT
    return _OF_CHATS if surface in ("responses", "messages") else _NONE


def _named(name: str, limit: str | None) -> str:
    return limit if limit is not None and name in LIMITS else name
