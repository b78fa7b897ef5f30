"""POST /chat/completions: text or a tool call, whole or as a stream, n choices."""

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

import msgspec

from trunkline.simulator.answer import Answer, Refusal, json_answer, stream_answer
from trunkline.simulator.surfaces.base import CREATED, Ask, Message, encode, last_user_text
from trunkline.simulator.surfaces.chunks import Choice, Usage, chunk_events
from trunkline.simulator.text import count, digest, words

_FRAGMENT = 8  # characters of a tool call's arguments in one event: enough events to be worth testing


class StreamOptions(msgspec.Struct):
    """`stream_options`."""

    include_usage: bool = False


class Function(msgspec.Struct):
    """A function that a tool offers, or the one `tool_choice` names."""

    name: str
    parameters: dict[str, Any] = {}


class Tool(msgspec.Struct):
    """One tool, or a `tool_choice` that names one."""

    function: Function | None = None


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


class _Reply(msgspec.Struct):
    """One choice: text pieces, or the call of a tool."""

    pieces: list[str]
    finish: str
    tool: dict[str, Any] | None = None


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
    replies = [_reply(ask, call, question, choice) for choice in range(number)]
    base: dict[str, Any] = {"id": ask.id("chatcmpl-"), "object": "chat.completion.chunk"}
    base |= {"created": CREATED, "model": ask.model, "system_fingerprint": "fp_sim"}
    if call.stream:
        asked = call.stream_options is not None and call.stream_options.include_usage
        choices = _choices(replies)
        return stream_answer(
            list(chunk_events(base, choices, prompt_tokens, asked=asked, habit=ask.fault.usage))
        )
    usage = Usage(prompt_tokens).plus(sum(len(reply.pieces) for reply in replies))
    whole = [_message(index, reply) for index, reply in enumerate(replies)]
    body = base | {"object": "chat.completion", "choices": whole}
    return json_answer(body if ask.fault.usage == "never" else body | {"usage": usage})


def _reply(ask: Ask, call: ChatRequest, question: str, choice: int) -> _Reply:
    function = _forced_function(call)
    if function is None:
        pieces, cut = _text(ask, call, question, choice)
        return _Reply(pieces, "length" if cut else "stop")
    key = digest(ask.seed, ask.base, question, choice, function.name)
    text = encode(_arguments(function, key)).decode()
    fragments = [text[at : at + _FRAGMENT] for at in range(0, len(text), _FRAGMENT)]
    return _Reply(
        fragments, "tool_calls", {"id": f"call_{key[:24]}", "type": "function", "name": function.name}
    )


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


def _forced_function(call: ChatRequest) -> Function | None:
    """The function that the request insists on; without such an insistence the simulator answers with text."""
    offered = [tool.function for tool in call.tools or () if tool.function is not None]
    if isinstance(call.tool_choice, Tool) and call.tool_choice.function is not None:
        name = call.tool_choice.function.name
        found = next((function for function in offered if function.name == name), None)
        if found is None:
            raise Refusal(400, f"tool_choice names {name}, which tools does not have", param="tool_choice")
        return found
    if call.tool_choice != "required":
        return None
    if not offered:
        raise Refusal(400, "tool_choice is required, but there are no tools", param="tool_choice")
    return offered[0]


def _arguments(function: Function, key: str) -> dict[str, Any]:
    """A value for every property of the function's schema, by its type."""
    properties: dict[str, Any] = function.parameters.get("properties") or {}
    by_type: dict[str, Any] = {
        "integer": 1,
        "number": 1.5,
        "boolean": True,
        "array": [],
        "object": {},
        "null": None,
    }
    return {
        name: by_type.get(schema.get("type", "string"), words(digest(key, name), 1)[0].rstrip("."))
        for name, schema in properties.items()
    }


def _message(index: int, reply: _Reply) -> dict[str, Any]:
    text = "".join(reply.pieces)
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
    if reply.tool is not None:
        tool = {"id": reply.tool["id"], "type": "function"}
        tool |= {"function": {"name": reply.tool["name"], "arguments": text}}
        message = {"role": "assistant", "content": None, "tool_calls": [tool]}
    return {"index": index, "message": message, "logprobs": None, "finish_reason": reply.finish}


def _choices(replies: list[_Reply]) -> Iterator[Choice]:
    """All choices' chunks, interleaved as a server that decodes them side by side sends them."""
    for chunks in zip_longest(*(_deltas(index, reply) for index, reply in enumerate(replies))):
        yield from filter(None, chunks)


def _deltas(index: int, reply: _Reply) -> Iterator[Choice]:
    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}

    yield Choice(chunk({"role": "assistant", "content": None if reply.tool else ""}))
    if reply.tool is not None:
        opening = {"index": 0, "id": reply.tool["id"], "type": "function"}
        opening |= {"function": {"name": reply.tool["name"], "arguments": ""}}
        yield Choice(chunk({"tool_calls": [opening]}))
    for piece in reply.pieces:
        delta: dict[str, Any] = {"content": piece}
        if reply.tool is not None:
            delta = {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}
        yield Choice(chunk(delta), tokens=1)
    yield Choice(chunk({}, reply.finish), tag="finish")
