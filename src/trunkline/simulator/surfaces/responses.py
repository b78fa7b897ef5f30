"""POST /responses: OpenAI's newer surface, whole or as its typed, numbered events."""

from collections.abc import Iterator
from typing import Any

import msgspec

from trunkline.simulator.answer import Answer, Event, Tag, json_answer, stream_answer
from trunkline.simulator.surfaces.base import CREATED, Ask, Message, encode, last_user_text
from trunkline.simulator.text import count


class ResponsesRequest(msgspec.Struct):
    """What is read of a request; other fields are accepted and ignored."""

    input: str | list[Message] = ""
    instructions: str | None = None
    stream: bool | None = None
    max_output_tokens: int | None = None


def answer(ask: Ask) -> Answer:
    """Answer one request."""
    call = ask.decode(ResponsesRequest)
    messages = [Message("user", call.input)] if isinstance(call.input, str) else call.input
    read = sum(count(message.text) for message in messages) + count(call.instructions or "")
    ask.check_window(read, call.max_output_tokens)
    pieces, cut = ask.reply(last_user_text(messages), call.max_output_tokens)
    usage: dict[str, Any] = {"input_tokens": read, "input_tokens_details": {"cached_tokens": 0}}
    usage |= {"output_tokens": len(pieces), "output_tokens_details": {"reasoning_tokens": 0}}
    usage["total_tokens"] = read + len(pieces)
    item_id = ask.id("msg_")
    final = _response(
        ask, call, "incomplete" if cut else "completed", [_item(item_id, "".join(pieces))], usage
    )
    if not call.stream:
        return json_answer(final)
    opened = _response(ask, call, "in_progress", [], None)
    return stream_answer(list(_events(item_id, pieces, opened, final)), "responses")


def _response(
    ask: Ask, call: ResponsesRequest, status: str, output: list[dict[str, Any]], usage: dict[str, Any] | None
) -> dict[str, Any]:
    return {
        "id": ask.id("resp_"),
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": call.instructions,
        "max_output_tokens": call.max_output_tokens,
        "metadata": {},
        "model": ask.model,
        "output": output,
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": usage,
    }


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _item(item_id: str, text: str | None) -> dict[str, Any]:
    """The message in the output; without a text it has only just begun."""
    begun = text is None
    content = [] if begun else [_part(text)]
    status = "in_progress" if begun else "completed"
    return {"id": item_id, "type": "message", "status": status, "role": "assistant", "content": content}


def _events(
    item_id: str, pieces: list[str], opened: dict[str, Any], final: dict[str, Any]
) -> Iterator[Event]:
    number = 0

    def event(name: str, tag: Tag = "content", **fields: Any) -> Event:
        nonlocal number
        value = {"type": name, "sequence_number": number} | fields
        number += 1
        return Event(encode(value), name, tag)

    text = "".join(pieces)
    place: dict[str, Any] = {"item_id": item_id, "output_index": 0, "content_index": 0}
    yield event("response.created", response=opened)
    yield event("response.in_progress", response=opened)
    yield event("response.output_item.added", output_index=0, item=_item(item_id, None))
    yield event("response.content_part.added", **place, part=_part(""))
    for piece in pieces:
        yield event("response.output_text.delta", **place, delta=piece, logprobs=[])
    yield event("response.output_text.done", **place, text=text, logprobs=[])
    yield event("response.content_part.done", **place, part=_part(text))
    yield event("response.output_item.done", output_index=0, item=_item(item_id, text))
    yield event(f"response.{final['status']}", "done", response=final)
