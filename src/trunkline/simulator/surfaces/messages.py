"""POST /messages: Anthropic's surface, whole or as its named events."""

from collections.abc import Iterator
from typing import Any

import msgspec

from trunkline.simulator.answer import Answer, Event, Refusal, Tag, json_answer, stream_answer
from trunkline.simulator.surfaces.base import Ask, Message, Part, encode, last_user_text
from trunkline.simulator.text import count


class MessagesRequest(msgspec.Struct):
    """What is read of a request; other fields are accepted and ignored."""

    messages: list[Message]
    max_tokens: int
    system: str | list[Part] | None = None
    stream: bool | None = None


def answer(ask: Ask) -> Answer:
    """Answer one request."""
    call = ask.decode(MessagesRequest)
    if not call.messages:
        raise Refusal(400, "messages: at least one message is required", param="messages")
    read = count(Message("system", call.system).text) + sum(count(message.text) for message in call.messages)
    ask.check_window(read, call.max_tokens)
    pieces, cut = ask.reply(last_user_text(call.messages), call.max_tokens)
    stop = "max_tokens" if cut else "end_turn"
    message: dict[str, Any] = {
        "id": ask.id("msg_"),
        "type": "message",
        "role": "assistant",
        "model": ask.model,
    }
    if call.stream:
        return stream_answer(list(_events(message, pieces, stop, read)), "anthropic")
    message |= {
        "content": [{"type": "text", "text": "".join(pieces)}],
        "stop_reason": stop,
        "stop_sequence": None,
    }
    return json_answer(message | {"usage": {"input_tokens": read, "output_tokens": len(pieces)}})


def _events(message: dict[str, Any], pieces: list[str], stop: str, read: int) -> Iterator[Event]:
    def event(name: str, tag: Tag = "content", **fields: Any) -> Event:
        return Event(encode({"type": name} | fields), name, tag)

    opened: dict[str, Any] = message | {"content": [], "stop_reason": None, "stop_sequence": None}
    yield event("message_start", message=opened | {"usage": {"input_tokens": read, "output_tokens": 1}})
    yield event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    yield event("ping")
    for piece in pieces:
        yield event("content_block_delta", index=0, delta={"type": "text_delta", "text": piece})
    yield event("content_block_stop", index=0)
    delta = {"stop_reason": stop, "stop_sequence": None}
    yield event("message_delta", "finish", delta=delta, usage={"output_tokens": len(pieces)})
    yield event("message_stop", "done")
