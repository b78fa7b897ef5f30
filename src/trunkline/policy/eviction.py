"""Which messages of a chat go when a prompt is too long by some tokens.

Owns the choice, over raw JSON: what stays, stays byte for byte. Does not own when messages may be evicted and how
many tokens have to go (overflow_recovery.py), nor the window.

What goes, oldest first, until enough is freed:
1. whole turns before the last user message: a user message up to the last answer before the next one, with the tool
   calls and results in between. A user message that nobody answered stays.
2. in the turn of the last user message: an assistant's tool calls together with their results, but for the most recent
   assistant message.
System and developer messages and the last user message stay always. A call and its results go together or not at all,
wherever they stand; so what goes is not contiguous.

Sizes are estimates: characters over characters per token, the latter measured on the prompt itself where the upstream
has counted it.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, cast

import msgspec

_MESSAGE = 3
"""Tokens around each message; https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken."""
_PART = 85
"""Tokens of a part that is no text: an image costs no less anywhere (OpenAI, detail low)."""
_LEAST, _MOST = 0.5, 10.0
"""Characters per token that a text can have; beyond that images or tools were counted, not text."""

_KEPT = ("system", "developer")
_RESULTS = ("tool", "function")

_encode = msgspec.json.encode
_decode = msgspec.json.Decoder(list[msgspec.Raw]).decode


class _Message(msgspec.Struct, gc=False):
    role: Any = None
    content: Any = None
    tool_calls: Any = None
    function_call: Any = None
    tool_call_id: Any = None


_decode_message = msgspec.json.Decoder(_Message).decode


class Eviction(msgspec.Struct, frozen=True, gc=False):
    """What is left of the messages, and what went.

    `ranges`: first and last index of what went, in the old list. `turns`: whole ones. `tokens`: what that freed, about.
    `enough`: as many as were wanted; with fewer a retry may fail again.
    """

    messages: msgspec.Raw
    ranges: tuple[tuple[int, int], ...]
    evicted: int
    turns: int
    tokens: int
    enough: bool


def evict(
    messages: msgspec.Raw, tokens: int, *, chars_per_token: float, prompt_tokens: int | None = None
) -> Eviction | None:
    """Free `tokens` of a request's `messages`; None where nothing can go.

    `prompt_tokens`: the upstream's own count of the whole prompt, if it told one; it wins over `chars_per_token`.
    """
    try:
        raws = _decode(messages)
        read = [_decode_message(raw) for raw in raws]
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    texts, parts = zip(*map(_size, read), strict=True) if read else ((), ())
    if prompt_tokens is not None:
        rest = prompt_tokens - _MESSAGE * len(read) - _PART * sum(parts)
        chars_per_token = min(max(sum(texts) / max(rest, 1), _LEAST), _MOST)
    gone: set[int] = set()
    freed = 0.0
    turns = 0
    for unit, whole in _units(read):
        if freed >= tokens:
            break
        unit -= gone
        gone |= unit
        turns += whole
        freed += sum(_MESSAGE + _PART * parts[index] + texts[index] / chars_per_token for index in unit)
    if not gone:
        return None
    left = [raw for index, raw in enumerate(raws) if index not in gone]
    return Eviction(
        msgspec.Raw(_encode(left)), _ranges(gone), len(gone), turns, int(freed), enough=freed >= tokens
    )


def render(evictions: Sequence[Eviction]) -> bytes:
    """The value of `x-trunkline-evicted`: what went in all rounds."""
    messages = sum(eviction.evicted for eviction in evictions)
    return b"messages=%d, turns=%d" % (messages, sum(eviction.turns for eviction in evictions))


def _units(messages: list[_Message]) -> Iterator[tuple[set[int], bool]]:
    """What can go together, in the order in which it goes, and whether it is a whole turn."""
    groups = _groups(messages)
    users = [index for index, message in enumerate(messages) if message.role == "user"]
    last = users[-1] if users else -1
    for start, following in pairwise(users):
        end = max((i for i in range(start, following) if messages[i].role == "assistant"), default=-1)
        if end < 0:
            continue
        unit = {i for i in range(start, end + 1) if messages[i].role not in _KEPT}
        unit = unit.union(*(groups[index] for index in unit if index in groups))
        if max(unit) < last:
            yield unit, True
    answers = [i for i in range(last + 1, len(messages)) if messages[i].role == "assistant"]
    for index in answers[:-1]:
        group = groups.get(index, ())
        if len(group) > 1:
            yield set(group), False


def _groups(messages: list[_Message]) -> dict[int, set[int]]:
    """A message with tool calls and their results, by the index of each of them."""
    groups: dict[int, set[int]] = {}
    callers: dict[str, int] = {}  # by the id of a call; the latest, since some servers count from 0 each time
    latest: int | None = None
    for index, message in enumerate(messages):
        if message.role == "assistant" and (message.tool_calls or message.function_call):
            latest = index
            groups[index] = {index}
            callers.update(dict.fromkeys(_call_ids(message.tool_calls), index))
        elif message.role in _RESULTS and latest is not None:
            key = message.tool_call_id
            caller = callers.get(key, latest) if type(key) is str else latest
            groups[caller].add(index)
            groups[index] = groups[caller]
    return groups


def _call_ids(calls: Any) -> Iterator[str]:
    for call in cast("list[Any]", calls) if isinstance(calls, list) else ():
        if isinstance(call, dict) and isinstance(name := cast("dict[str, Any]", call).get("id"), str):
            yield name


def _size(message: _Message) -> tuple[int, int]:
    """Characters of text, and parts that are none."""
    characters = parts = 0
    for calls in (message.tool_calls, message.function_call):
        if calls:
            characters += len(_encode(calls))
    content = message.content
    for part in cast("list[Any]", content) if isinstance(content, list) else (content,):
        text: Any = cast("dict[str, Any]", part).get("text") if isinstance(part, dict) else part
        if isinstance(text, str):
            characters += len(text)
        elif part is not None:
            parts += 1
    return characters, parts


def _ranges(indexes: set[int]) -> tuple[tuple[int, int], ...]:
    """Sorted runs of neighbours."""
    ranges: list[tuple[int, int]] = []
    for index in sorted(indexes):
        if ranges and ranges[-1][1] == index - 1:
            ranges[-1] = (ranges[-1][0], index)
        else:
            ranges.append((index, index))
    return tuple(ranges)
