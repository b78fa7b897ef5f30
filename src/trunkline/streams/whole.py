"""A whole JSON answer as the operator wants it.

Owns the thoughts in its choices and the name of its model. Does not own streams (rewrite.py) nor whether the answer is
one (engine/whole.py). What is not changed survives byte for byte, in its order.
"""

import msgspec

from trunkline.streams.answer import AnswerSettings
from trunkline.streams.editing import says
from trunkline.streams.raw import BAD_JSON, NULL, decode_object, decode_objects, decode_value, encode, raw_of
from trunkline.streams.thoughts import Thoughts, spells
from trunkline.wire.openai import ABSENT, Delta, present

_decode_message = msgspec.json.Decoder(Delta).decode


def rewrite_whole(body: bytes, surface: str, settings: AnswerSettings) -> tuple[bytes, bool]:
    """The body as it should be, and whether a choice of it had thoughts and no answer.

    What is no answer of chat/completions or completions keeps its thoughts; what is no JSON object is not touched.
    """
    try:
        fields = decode_object(body)
        only = False
        changed = bool(settings.model) and "model" in fields
        if changed:
            fields["model"] = raw_of(settings.model)
        thinks = settings.think is not None and settings.think.mode != "keep"
        if surface in ("chat", "completions") and (thinks or settings.reasoning != "keep"):
            choices = decode_objects(fields["choices"]) if present(fields.get("choices", ABSENT)) else []
            for choice in choices:
                edited, only_thoughts = _edit(choice, Thoughts(settings), chat=surface == "chat")
                changed = changed or edited
                only = only or only_thoughts
            if choices:
                fields["choices"] = raw_of(choices)
    except BAD_JSON:
        return body, False
    return (encode(fields) if changed else body), only


def _edit(choice: dict[str, msgspec.Raw], thoughts: Thoughts, *, chat: bool) -> tuple[bool, bool]:
    """Sort one choice; gives whether it changed and whether it had thoughts only."""
    if not chat:
        said = Delta(content=decode_value(choice["text"]) if "text" in choice else None)
        fields, name = choice, "text"
    elif present(choice.get("message", ABSENT)):
        said = _decode_message(choice["message"])
        fields, name = decode_object(choice["message"]), "content"
    else:
        return False, False
    edits = thoughts.sort(said, last=True)
    if "content" in edits:
        if "logprobs" in choice and not spells(edits["content"], said.content):
            choice["logprobs"] = NULL
        edits[name] = edits.pop("content")
    for key, value in edits.items():
        if value is None:
            del fields[key]
        else:
            fields[key] = raw_of(value)
    if edits and chat:
        choice["message"] = raw_of(fields)
    return bool(edits), thoughts.only and not says(fields.get("tool_calls", ABSENT))
