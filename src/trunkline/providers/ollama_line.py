"""One object of an answer of Ollama's `/api/chat`, as far as it can be read.

Owns the shapes of what is used of it and their reading. Does not own where lines end, nor what becomes of them
(ollama_answer.py).

What has another type than Ollama's is left out alone, so that nothing else of its line is lost with it: a client is
shown the whole text of an answer whose counts are nonsense. All that is as it should be is read at once; only where
that fails the object is read again, field by field.

Shapes: docs/api.md and `ChatResponse` in api/types.go of ollama/ollama.
"""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

UNREADABLE = (msgspec.DecodeError, UnicodeError, RecursionError)
"""What `read` raises where there is no JSON object."""

Count = Annotated[int, Meta(ge=0, le=10**12)]
"""Tokens; more are garbage, as in wire/usage.py."""


class Function(msgspec.Struct, gc=False):
    """What a call calls; "" where its name cannot be read, as in calls of OpenAI's API that lack it."""

    name: str = ""
    arguments: Raw = Raw()


class ToolCall(msgspec.Struct, gc=False):
    """One call of a message."""

    function: Function
    id: str | None = None


class Message(msgspec.Struct, gc=False):
    """What the model said. `content` UNSET: something, but no text."""

    content: str | UnsetType | None = None
    thinking: str | None = None
    tool_calls: list[ToolCall] | None = None


class Line(msgspec.Struct, gc=False):
    """One object of a stream, or the whole answer. Counts that are not there were not counted."""

    model: str = ""
    message: Message | None = None
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: Count | None = None
    eval_count: Count | None = None
    logprobs: list[Raw] | None = None
    error: Any = None


_Fields = dict[str, Raw]
_NULL = Raw(b"null")
_NOTHING: _Fields = {}
_decode = msgspec.json.Decoder(Line).decode
_decode_fields = msgspec.json.Decoder(_Fields).decode


def read(text: str) -> Line:
    """Read one object. Raises one of UNREADABLE where there is none."""
    try:
        return _decode(text)
    except msgspec.ValidationError:
        return _line(_decode_fields(text))


def _line(fields: _Fields) -> Line:
    get = fields.get
    counts = [_as(Count | None, get("prompt_eval_count")), _as(Count | None, get("eval_count"))]
    if UNSET in counts:  # half of what was counted would be taken for all of it
        counts = [None, None]
    message: _Fields = _as(_Fields, get("message")) or _NOTHING
    return Line(
        model=_as(str, get("model")) or "",
        message=_message(message),
        done=_as(bool, get("done")) or False,
        done_reason=_as(str, get("done_reason")) or None,
        prompt_eval_count=counts[0],
        eval_count=counts[1],
        logprobs=_as(list[Raw], get("logprobs")) or None,
        error=_as(Any, get("error")),
    )


def _message(fields: _Fields) -> Message:
    items: list[Raw] = _as(list[Raw], fields.get("tool_calls")) or []
    calls = [_call(item) for item in items]
    return Message(
        content=_as(str | None, fields.get("content")),
        thinking=_as(str, fields.get("thinking")) or None,
        tool_calls=[call for call in calls if call is not None],
    )


def _call(raw: Raw) -> ToolCall | None:
    """One item of `tool_calls`; None where it calls no function."""
    fields: _Fields = _as(_Fields, raw) or _NOTHING
    function: _Fields | UnsetType = _as(_Fields, fields.get("function"))
    if isinstance(function, UnsetType):
        return None
    name, arguments = _as(str, function.get("name")) or "", function.get("arguments", Raw())
    return ToolCall(function=Function(name, arguments), id=_as(str, fields.get("id")) or None)


def _as(kind: Any, raw: Raw | None) -> Any:
    """A value as that type, null if there is none; UNSET if it is of another type."""
    try:
        return msgspec.json.decode(_NULL if raw is None else raw, type=kind)
    except msgspec.ValidationError:
        return UNSET
