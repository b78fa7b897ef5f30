"""A whole JSON answer as the operator wants it.

Owns the thoughts in its choices and the name of its model. Does not own streams (rewrite.py) nor whether the answer is
one (engine/whole.py). What is not changed survives byte for byte, in its order.
"""

import msgspec

from trunkline.streams.answer import AnswerSettings
from trunkline.streams.editing import says
from trunkline.streams.lenient import small, valid
from trunkline.streams.raw import BAD_JSON, NULL, encode, items_of, kind_of, object_of, raw_of, text_of
from trunkline.streams.thoughts import Thoughts, spells
from trunkline.wire.openai import ABSENT, Delta

_decode_message = msgspec.json.Decoder(Delta).decode


def rewrite_whole(body: bytes, surface: str, settings: AnswerSettings) -> tuple[bytes, bool]:
    """The body as it should be, and whether a choice of it had thoughts and no answer.

    What is no answer of chat/completions or completions keeps its thoughts; what is no JSON object is not touched.
    """
    fields = object_of(body) or object_of(valid(body))
    only = False
    changed = bool(settings.model) and "model" in fields
    if changed:
        fields["model"] = raw_of(settings.model)
    thinks = settings.think is not None and settings.think.mode != "keep"
    if surface in ("chat", "completions") and (thinks or settings.reasoning != "keep"):
        choices = items_of(fields.get("choices", NULL))
        for at, item in enumerate(choices):
            choice = object_of(item)
            edited, only_thoughts = _edit(choice, Thoughts(settings), chat=surface == "chat")
            only = only or only_thoughts
            if edited:
                changed = True
                choices[at] = raw_of(choice)
        if choices:
            fields["choices"] = raw_of(choices)
    return (encode(fields) if changed else body), only


def _edit(choice: dict[str, msgspec.Raw], thoughts: Thoughts, *, chat: bool) -> tuple[bool, bool]:
    """Sort one choice; gives whether it changed and whether it had thoughts only."""
    if chat:
        fields, name = object_of(choice.get("message", NULL)), "content"
        said = _read(choice["message"]) if fields else Delta()
        if type(said.content) is list:
            said.content = items_of(fields["content"])
    else:
        fields, name = choice, "text"
        text = choice.get("text", ABSENT)
        said = Delta(content=text_of(text) if kind_of(text) == b'"' else None)
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


def _read(message: msgspec.Raw) -> Delta:
    """A message; nothing of one that is nested too deep."""
    try:
        return _decode_message(message)
    except BAD_JSON:
        pass
    try:
        return _decode_message(small(bytes(message)))
    except BAD_JSON:
        return Delta()
