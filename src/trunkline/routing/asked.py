"""What a request asks, as far as rules and capabilities want to know: its last user text, tools, images, a schema.

Owns the reading of request bodies for that, of every surface that has text. Made only for models that have rules or
targets that differ in what they can do; all other requests are never read so far.

    surface                  the text                                  images
    chat, messages           the last message of the user              parts image_url, image, input_image
    responses                `input`: a text, or its last user item    likewise
    completions              `prompt`                                  -
    embeddings, rerank, ...  `input`, `query`                          -

Parts of a message that are text are joined by line breaks. What is not of the expected form is no text; nothing
raises. Tool results and thoughts are not what the user said.
"""

from collections.abc import Mapping
from typing import Any, cast

import msgspec

_IMAGES = frozenset(("image_url", "image", "input_image"))
_TEXTS = frozenset(("text", "input_text"))
MAX_READ = 1024 * 1024
"""Bytes of a conversation that are read; more would hold up the event loop, and what is last in it is no question."""
_IMAGE_MARKS = (b'"image_url"', b'"input_image"', b'"type":"image"', b'"type": "image"')
_PLAIN = ("prompt", "query", "input")
_Object = dict[str, Any]


class Asked(msgspec.Struct, frozen=True, gc=False):
    """What a request asks. `text`: of the user, last; "" beyond `MAX_READ`, where `size` says how much there is."""

    text: str = ""
    tools: bool = False
    images: bool = False
    json_schema: bool = False
    size: int = 0

    @property
    def length(self) -> int:
        """Characters of the text, about as many as there are bytes where it was too long to be read."""
        return self.size or len(self.text)


def read_asked(fields: Mapping[str, msgspec.Raw]) -> Asked:
    """Read the fields of a request object."""
    raw = fields.get("messages") or fields.get("input") or msgspec.Raw()
    if len(raw) > MAX_READ:
        body = bytes(raw)
        images = any(mark in body for mark in _IMAGE_MARKS)
        return Asked("", brings_tools(fields), images, wants_schema(fields), len(body))
    messages = _value(fields, "messages")
    if messages is None:
        messages = _value(fields, "input")
    text, images = "", False
    if isinstance(messages, list):
        for item in cast("list[Any]", messages):
            if isinstance(item, str):  # a list of texts to embed
                text = item
            elif isinstance(item, dict):
                message = cast("_Object", item)
                images = images or _has_image(message.get("content"))
                if message.get("role") == "user" and (said := _text(message.get("content"))):
                    text = said
    if not text:
        text = next(filter(None, (_text(_value(fields, name)) for name in _PLAIN)), "")
    return Asked(text, brings_tools(fields), images, wants_schema(fields))


def brings_tools(fields: Mapping[str, msgspec.Raw]) -> bool:
    """Whether a request object has tools."""
    return any(bool(_value(fields, name)) for name in ("tools", "functions"))


def _value(fields: Mapping[str, msgspec.Raw], name: str) -> Any:
    raw = fields.get(name)
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = [_part_text(part) for part in cast("list[Any]", content)]
    return "\n".join(part for part in parts if part)


def _part_text(part: Any) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        return ""
    fields = cast("_Object", part)
    text, kind = fields.get("text"), fields.get("type")
    return text if isinstance(text, str) and isinstance(kind, str) and kind in _TEXTS else ""


def _has_image(content: Any) -> bool:
    if not isinstance(content, list):
        return False
    parts = [cast("_Object", part) for part in cast("list[Any]", content) if isinstance(part, dict)]
    kinds = [part.get("type") for part in parts]
    return any(isinstance(kind, str) and kind in _IMAGES for kind in kinds)


def wants_schema(fields: Mapping[str, msgspec.Raw]) -> bool:
    """Whether the answer must follow a JSON schema.

    `response_format` of chat/completions, `text.format` of responses, `output_format` of messages.
    """
    text = _value(fields, "text")
    inside = cast("_Object", text).get("format") if isinstance(text, dict) else None
    for found in (_value(fields, "response_format"), inside, _value(fields, "output_format")):
        if isinstance(found, dict) and cast("_Object", found).get("type") == "json_schema":
            return True
    return False
