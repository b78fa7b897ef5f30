"""Messages of a chat request as Ollama's `/api/chat` takes them.

Owns their translation. Does not own the request's other fields (ollama_request.py).

Ollama has one text for each message and a list of images beside it, so parts are taken apart: texts are joined by line
ends, images follow in their order. Arguments of tool calls are objects, not text; the result of a tool names the tool,
which OpenAI's names the call of. What would be lost silently (sound, files, images by URL, which Ollama never fetches)
is a Fault that names its place. Text that is plain content goes on byte for byte.

Shapes: https://github.com/ollama/ollama/blob/main/docs/api.md, `Message` in api/types.go.
"""

from typing import Any, cast

import msgspec

from trunkline.errors import INVALID_REQUEST, Fault
from trunkline.providers.ollama_line import UNREADABLE

Message = dict[str, Any]

_ABSENT = msgspec.Raw()
_ROLES = {"developer": "system", "function": "tool"}


class _Function(msgspec.Struct, gc=False):
    name: str
    arguments: msgspec.Raw = _ABSENT


class _ToolCall(msgspec.Struct, gc=False):
    function: _Function
    id: str | None = None


class _Message(msgspec.Struct, gc=False):
    role: str
    content: msgspec.Raw = _ABSENT
    name: str | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None
    tool_calls: list[_ToolCall] | None = None
    images: msgspec.Raw = _ABSENT
    # Vendors disagree about what these hold; only text is of use here.
    thinking: Any = None
    reasoning: Any = None
    reasoning_content: Any = None


class _Part(msgspec.Struct, gc=False):
    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: Any = None


_decode = msgspec.json.Decoder(list[_Message]).decode
_decode_parts = msgspec.json.Decoder(list[_Part]).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def native_messages(raw: msgspec.Raw) -> list[Message] | Fault:
    """Translate the value of `messages`."""
    try:
        messages = _decode(raw)
    except UNREADABLE as error:
        return Fault(INVALID_REQUEST, f"`messages`: {error}", param="messages")
    tools: dict[str, str] = {}  # of calls seen so far: id -> name; of equal ids the last one counts
    translated: list[Message] = []
    for index, message in enumerate(messages):
        made = _translated(message, f"messages[{index}]", tools)
        if isinstance(made, Fault):
            return made
        translated.append(made)
    return translated


def _translated(message: _Message, place: str, tools: dict[str, str]) -> Message | Fault:
    content = _content(message.content, f"{place}.content")
    if isinstance(content, Fault):
        return content
    text, images = content
    made: Message = {"role": _ROLES.get(message.role, message.role), "content": text}
    thoughts = (message.thinking, message.reasoning, message.reasoning_content)
    thought = next((text for text in thoughts if isinstance(text, str) and text), "")
    if thought:
        made["thinking"] = thought
    if images:
        made["images"] = images
    elif _present(message.images):  # already as Ollama has them
        made["images"] = message.images
    if message.tool_calls:
        calls = _tool_calls(message.tool_calls, f"{place}.tool_calls", tools)
        if isinstance(calls, Fault):
            return calls
        made["tool_calls"] = calls
    if made["role"] == "tool":
        name = message.tool_name or message.name or tools.get(message.tool_call_id or "")
        if name:
            made["tool_name"] = name
        if message.tool_call_id:
            made["tool_call_id"] = message.tool_call_id
    return made


def _tool_calls(calls: list[_ToolCall], place: str, tools: dict[str, str]) -> list[Message] | Fault:
    translated: list[Message] = []
    for index, call in enumerate(calls):
        arguments = _arguments(call.function.arguments)
        if arguments is None:
            where = f"{place}[{index}].function.arguments"
            return Fault(INVALID_REQUEST, f"`{where}` is no JSON object, which Ollama wants", param=where)
        made: Message = {"function": {"name": call.function.name, "arguments": arguments}}
        if call.id:
            made = {"id": call.id, **made}
            tools[call.id] = call.function.name
        translated.append(made)
    return translated


def _arguments(raw: msgspec.Raw) -> msgspec.Raw | None:
    """The object that the text holds; a tool without arguments is called with "" by some clients."""
    if not _present(raw):
        return msgspec.Raw(b"{}")
    try:
        held = bytes(raw)
        if held.startswith(b'"'):
            held = _decode_text(held).strip().encode() or b"{}"
        _decode_object(held)
    except UNREADABLE:
        return None
    return msgspec.Raw(held)


def _content(raw: msgspec.Raw, place: str) -> tuple[msgspec.Raw | str, list[str]] | Fault:
    """Text and images of a message."""
    held = bytes(raw)
    if held.startswith(b'"'):
        return raw, []
    if not _present(raw):
        return "", []
    try:
        parts = _decode_parts(held)
    except UNREADABLE as error:
        return Fault(INVALID_REQUEST, f"`{place}`: {error}", param=place)
    texts: list[str] = []
    images: list[str] = []
    for index, part in enumerate(parts):
        where = f"{place}[{index}]"
        if part.type in ("text", "refusal"):
            texts.append(part.text or part.refusal or "")
        elif part.type == "image_url":
            image = _image(part.image_url)
            if image is None:
                where = f"{where}.image_url"
                words = (
                    f"`{where}`: Ollama takes images as base64 (`data:image/png;base64,...`), it fetches none"
                )
                return Fault(INVALID_REQUEST, words, param=where)
            images.append(image)
        else:
            return Fault(
                INVALID_REQUEST, f"`{where}`: Ollama takes no parts of type {part.type!r}", param=where
            )
    return "\n".join(texts), images


def _image(value: Any) -> str | None:
    """The base64 of a data URL; None for any other URL."""
    url: Any = cast("dict[str, Any]", value).get("url") if isinstance(value, dict) else value
    if not isinstance(url, str):
        return None
    head, comma, data = url.partition(",")
    head = head.lower()
    return data if comma and head.startswith("data:") and head.endswith(";base64") else None


def _present(raw: msgspec.Raw) -> bool:
    return bytes(raw) not in (b"", b"null")
