"""POST /api/chat: Ollama's own form of chats, as lines of JSON unless `stream` is false; GET /api/version.

It says what /chat/completions says to the same question. Models and what is told of them: listing.py.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from trunkline.simulator.answer import Answer, Event, Line, Refusal, json_answer, stream_answer
from trunkline.simulator.surfaces.base import Ask, Message, encode, last_user_text
from trunkline.simulator.surfaces.chat import ChatRequest, Reply, reply_to
from trunkline.simulator.surfaces.tool_calls import Tool
from trunkline.simulator.text import count

_CREATED: Final = "2023-11-14T22:13:20Z"
_VERSION: Final = "0.12.0"


class Options(msgspec.Struct):
    """`options`; others are accepted and ignored."""

    num_predict: int | None = None


class NativeRequest(msgspec.Struct):
    """What is read of a request; other fields are accepted and ignored."""

    messages: list[Message]
    stream: bool | None = None
    options: Options | None = None
    tools: list[Tool] | None = None
    think: bool | str | None = None


def answer(ask: Ask) -> Answer:
    """Answer one chat request."""
    native = ask.decode(NativeRequest)
    limit = None if native.options is None else native.options.num_predict
    if limit is not None and limit < 0:  # -1: no limit, -2: until the window is full
        limit = None
    call = ChatRequest(native.messages, max_tokens=limit, tools=native.tools)
    if not call.messages:
        raise Refusal(400, "messages must not be empty")
    prompt_tokens = sum(count(message.text) for message in call.messages)
    ask.check_window(prompt_tokens, limit)
    reply = reply_to(ask, call, last_user_text(call.messages))
    if native.think is False:
        reply.thoughts = []
    counts = {} if ask.fault.usage == "never" else _counts(prompt_tokens, reply)
    if native.stream is not False:
        return stream_answer(list(_lines(ask, reply, counts)), "ollama")
    message: dict[str, Any] = {"role": "assistant", "content": "".join(reply.pieces)}
    if reply.thoughts:
        message["thinking"] = "".join(reply.thoughts)
    if reply.calls:
        message["tool_calls"] = _calls(reply)
    return json_answer(_object(ask, message, done_reason=_reason(reply)) | counts)


def version(_ask: Ask) -> Answer:
    """Which version answers."""
    return json_answer({"version": _VERSION})


def _lines(ask: Ask, reply: Reply, counts: dict[str, int]) -> Iterator[Event]:
    def line(**message: Any) -> Event:
        return Line(encode(_object(ask, {"role": "assistant", "content": ""} | message)))

    for thought in reply.thoughts:
        yield line(thinking=thought)
    if reply.calls:
        yield line(tool_calls=_calls(reply))
    for piece in reply.pieces:
        yield line(content=piece)
    last = _object(ask, {"role": "assistant", "content": ""}, done_reason=_reason(reply)) | counts
    yield Line(encode(last), tag="done")


def _object(ask: Ask, message: dict[str, Any], *, done_reason: str = "") -> dict[str, Any]:
    whole = {"model": ask.model, "created_at": _CREATED, "message": message, "done": bool(done_reason)}
    return whole | ({"done_reason": done_reason} if done_reason else {})


def _reason(reply: Reply) -> str:
    """Ollama's word: calls of tools are a stop."""
    return "length" if reply.finish == "length" else "stop"


def _calls(reply: Reply) -> list[dict[str, Any]]:
    return [
        {
            "id": call.id,
            "function": {
                "index": index,
                "name": call.name,
                "arguments": msgspec.json.decode("".join(call.pieces)),
            },
        }
        for index, call in enumerate(reply.calls)
    ]


def _counts(prompt_tokens: int, reply: Reply) -> dict[str, int]:
    return {
        "total_duration": 1,
        "load_duration": 1,
        "prompt_eval_count": prompt_tokens,
        "prompt_eval_duration": 1,
        "eval_count": reply.tokens,
        "eval_duration": 1,
    }
