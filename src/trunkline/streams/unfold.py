"""A whole JSON answer as the events of a stream.

Owns which events there are of an answer of chat/completions and of completions: who speaks and the text, each tool
call, the end, what was used. Does not own the typed surfaces (unfold_typed.py), nor what the answer should be like
(whole.py).

Values go as they were written. Of a message, fields that are null are left out, since a delta tells what is added;
`content` and `refusal` are null in OpenAI's own streams too.
"""

from collections.abc import Iterable

import msgspec

from trunkline.streams.base import is_utf8
from trunkline.streams.raw import NULL, index_of, items_of, kind_of, object_of, quoted, raw_of
from trunkline.streams.unfold_typed import messages_events, responses_events
from trunkline.wire import sse
from trunkline.wire.openai import ABSENT, present

_SAME = ("id", "object", "created", "model", "system_fingerprint", "service_tier")
"""Fields that all chunks have."""
_DONE = sse.encode(b"[DONE]")

_Object = dict[str, msgspec.Raw]


def unfold(body: bytes, surface: str, *, include_usage: bool) -> bytes | None:
    """The events that tell what `body` says; None if it is no answer of the surface.

    `surface`: one of `wire.values.SSE_SURFACES`. `include_usage`: the client of chat/completions or completions asked
    for the chunk that tells what was used; the other surfaces always tell.
    """
    if not is_utf8(body):
        return None
    try:
        fields = object_of(
            msgspec.json.format(body, indent=-1)
        )  # a line end in an event begins another line of it
    except (msgspec.DecodeError, RecursionError):
        return None
    if surface == "responses":
        return _typed(responses_events(fields))
    if surface == "messages":
        return _typed(messages_events(fields))
    choices = [object_of(item) for item in items_of(fields.get("choices", ABSENT))]
    chat = surface == "chat"
    if not choices or not all(_answers(choice, chat=chat) for choice in choices):
        return None
    return _chunks(fields, choices, chat=chat, include_usage=include_usage)


def _typed(events: Iterable[tuple[str, _Object]] | None) -> bytes | None:
    if events is None:
        return None
    return b"".join(sse.encode(bytes(raw_of(fields)), name.encode()) for name, fields in events)


def _answers(choice: _Object, *, chat: bool) -> bool:
    """Whether a choice is one of the surface."""
    raw = choice.get("message" if chat else "text", ABSENT)
    return kind_of(raw) == (b"{" if chat else b'"')


def _chunks(fields: _Object, choices: list[_Object], *, chat: bool, include_usage: bool) -> bytes:
    same = {name: fields[name] for name in _SAME if name in fields}
    same["object"] = msgspec.Raw(b'"chat.completion.chunk"' if chat else b'"text_completion"')
    usage = fields.get("usage", ABSENT)
    unused = {"usage": NULL} if include_usage else {}
    more = {
        name: raw for name, raw in fields.items() if name not in _SAME and name not in ("choices", "usage")
    }
    numbered = [(_index(choice, place), choice) for place, choice in enumerate(choices)]
    events: list[bytes] = []
    for index, choice in sorted(numbered, key=lambda pair: pair[0]):
        for part in _deltas(choice) if chat else _texts(choice):
            chunk = same | {"choices": raw_of([{"index": index} | part])} | unused | more
            events.append(sse.encode(bytes(raw_of(chunk))))
            more = {}
    if include_usage and present(usage):
        events.append(sse.encode(bytes(raw_of(same | {"choices": raw_of([]), "usage": usage}))))
    return b"".join([*events, _DONE])


def _index(choice: _Object, place: int) -> int:
    index = index_of(choice.get("index", ABSENT))
    return place if index is None else index


def _deltas(choice: _Object) -> Iterable[_Object]:
    """What the chunks of one choice of chat/completions have, one after the other."""
    message = object_of(choice["message"])
    calls = items_of(message.pop("tool_calls", ABSENT))
    delta = {"role": message.pop("role", raw_of("assistant"))}
    delta |= {name: raw for name, raw in message.items() if name in ("content", "refusal") or present(raw)}
    logprobs = {"logprobs": choice["logprobs"]} if "logprobs" in choice else {}
    silent = dict.fromkeys(logprobs, NULL)
    if present(choice.get("logprobs", ABSENT)):
        # openai-python takes logprobs twice that are in the chunk which begins a choice (3.52, all but the first).
        yield {"delta": raw_of({"role": delta.pop("role")})} | silent | {"finish_reason": NULL}
    yield {"delta": raw_of(delta)} | logprobs | {"finish_reason": NULL}
    for place, call in enumerate(calls):
        if fields := object_of(call):
            yield (
                {"delta": raw_of({"tool_calls": [_call(fields, place)]})} | silent | {"finish_reason": NULL}
            )
    yield {"delta": raw_of({})} | silent | _end(choice, "message")


def _texts(choice: _Object) -> Iterable[_Object]:
    """As `_deltas`, of completions."""
    logprobs = {"logprobs": choice["logprobs"]} if "logprobs" in choice else {}
    yield {"text": choice["text"]} | logprobs | {"finish_reason": NULL}
    yield {"text": raw_of("")} | dict.fromkeys(logprobs, NULL) | _end(choice, "text")


def _end(choice: _Object, told: str) -> _Object:
    """What the last chunk of a choice says: why it ended, and all that is not known here."""
    end = {name: raw for name, raw in choice.items() if name not in ("index", "logprobs", told)}
    return {"finish_reason": NULL} | end


def _call(fields: _Object, place: int) -> _Object:
    """A tool call as its only delta. Its place is its index: some say 0 of each."""
    function = object_of(fields.get("function", ABSENT))
    call = {"index": raw_of(place)} | {name: raw for name, raw in fields.items() if name != "index"}
    if function:
        call.setdefault("type", raw_of("function"))
        arguments = function.get("arguments", ABSENT)
        function["arguments"] = quoted(arguments) if present(arguments) else raw_of("")
        call["function"] = raw_of(function)
    return call
