"""POST /chat/completions: text or tool calls, thoughts before them if asked, whole or as a stream, n choices."""

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

import msgspec

from trunkline.simulator.answer import Answer, Refusal, json_answer, stream_answer
from trunkline.simulator.surfaces.base import CREATED, Ask, Message, last_user_text
from trunkline.simulator.surfaces.chunks import Choice, Usage, chunk_events
from trunkline.simulator.surfaces.tool_calls import Tool, ToolCall, tool_calls
from trunkline.simulator.text import count, digest, words

_THOUGHTS = 6  # words


class StreamOptions(msgspec.Struct):
    """`stream_options`."""

    include_usage: bool = False


class ChatRequest(msgspec.Struct):
    """What is read of a request; other fields are accepted and ignored."""

    messages: list[Message]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    tools: list[Tool] | None = None
    tool_choice: str | Tool | None = None


class Reply(msgspec.Struct):
    """One choice: thoughts, then text or calls of tools."""

    pieces: list[str]
    finish: str
    calls: list[ToolCall] = []
    thoughts: list[str] = []

    @property
    def tokens(self) -> int:
        """Pieces of all kinds."""
        return len(self.thoughts) + len(self.pieces) + sum(len(call.pieces) for call in self.calls)


def answer(ask: Ask) -> Answer:
    """Answer one chat request."""
    call = ask.decode(ChatRequest)
    if not call.messages:
        raise Refusal(400, "messages must not be empty", param="messages")
    number = 1 if call.n is None else call.n
    if not 1 <= number <= 128:
        raise Refusal(400, "n must be from 1 to 128", param="n")
    question = last_user_text(call.messages)
    prompt_tokens = sum(count(message.text) for message in call.messages)
    ask.check_window(prompt_tokens, _limit(call))
    replies = [reply_to(ask, call, question, choice) for choice in range(number)]
    base: dict[str, Any] = {"id": ask.id("chatcmpl-"), "object": "chat.completion.chunk"}
    base |= {"created": CREATED, "model": ask.model, "system_fingerprint": "fp_sim"}
    if call.stream:
        asked = call.stream_options is not None and call.stream_options.include_usage
        choices = _choices(replies, ask.fault.reasoning)
        return stream_answer(
            list(
                chunk_events(
                    base, choices, prompt_tokens, asked=asked, habit=ask.fault.usage, slips=ask.fault.sloppy
                )
            )
        )
    usage = Usage(prompt_tokens).plus(sum(reply.tokens for reply in replies))
    whole = [_message(index, reply, ask.fault.reasoning) for index, reply in enumerate(replies)]
    body = base | {"object": "chat.completion", "choices": whole}
    return json_answer(body if ask.fault.usage == "never" else body | {"usage": usage})


def reply_to(ask: Ask, call: ChatRequest, question: str, choice: int = 0) -> Reply:
    """One choice. Raises `Refusal`."""
    key = (ask.seed, ask.base, question, choice)
    calls = tool_calls(ask, call.messages, call.tools or [], call.tool_choice, *key)
    thoughts = words(digest(*key, "thoughts"), _THOUGHTS) if ask.fault.reasoning else []
    if calls:
        return Reply([], "tool_calls", calls, thoughts)
    pieces, cut = _text(ask, call, question, choice)
    return Reply(pieces, "length" if cut else "stop", thoughts=thoughts)


def _limit(call: ChatRequest) -> int | None:
    return call.max_tokens if call.max_completion_tokens is None else call.max_completion_tokens


def _text(ask: Ask, call: ChatRequest, question: str, choice: int) -> tuple[list[str], bool]:
    """The pieces of the reply, and whether its limit cut them; only the rest, if the model goes on with a prefill."""
    limit = _limit(call)
    reply = ask.reply(question, limit, choice)
    last = call.messages[-1]
    if last.role != "assistant" or ask.fault.prefill is None:
        return reply
    if ask.fault.prefill == "refuse":
        said = "Cannot continue a final message of the assistant"
        raise Refusal(400, said, code="invalid_prefill", param="messages")
    text = "".join(ask.reply(question, None, choice)[0])
    if not text.startswith(last.text):
        return reply
    first, *others = text.removeprefix(last.text).split(" ")
    pieces = [piece for piece in (first, *(f" {word}" for word in others)) if piece]
    return pieces[:limit], limit is not None and limit < len(pieces)


def _message(index: int, reply: Reply, field: str | None) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": "".join(reply.pieces), "refusal": None}
    if reply.calls:
        message = {"role": "assistant", "content": None}
        message["tool_calls"] = [call.whole() for call in reply.calls]
    if field is not None:
        message[field] = "".join(reply.thoughts)
    return {"index": index, "message": message, "logprobs": None, "finish_reason": reply.finish}


def _choices(replies: list[Reply], field: str | None) -> Iterator[Choice]:
    """All choices' chunks, interleaved as a server that decodes them side by side sends them."""
    for chunks in zip_longest(*(_deltas(index, reply, field) for index, reply in enumerate(replies))):
        yield from filter(None, chunks)


def _deltas(index: int, reply: Reply, field: str | None) -> Iterator[Choice]:
    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}

    yield Choice(chunk({"role": "assistant", "content": None if reply.calls or field else ""}))
    for thought in reply.thoughts:
        yield Choice(chunk({field or "": thought}), tokens=1)
    for number, call in enumerate(reply.calls):
        for place, delta in enumerate(call.deltas(number)):
            yield Choice(chunk({"tool_calls": [delta]}), tokens=min(place, 1))
    for piece in reply.pieces:
        yield Choice(chunk({"content": piece}), tokens=1)
    yield Choice(chunk({}, reply.finish), tag="finish")
