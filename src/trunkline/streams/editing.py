"""Choices of chunks as they were written, and the changes that are made in them.

Owns changing fields of a JSON object while all others survive byte for byte, and what counts as saying something.
Does not own which changes are made (rewrite.py).
"""

from typing import Any

import msgspec

from trunkline.streams.raw import NULL, decode_object, decode_objects, items_of, raw_of
from trunkline.streams.tool_calls import CallEdit, mended
from trunkline.wire.openai import ABSENT, present

_NOTHING = frozenset((b"", b"null", b'""', b"[]", b"{}"))


class ChoiceEdit(msgspec.Struct, gc=False):
    """Changes of one choice of a chunk.

    `first`: the client knew nothing of this choice. `delta`: new values by key, None for keys that go. `choice`: new
    values by key. `respelt`: some of its text is not there any more. `calls`: changes of its tool calls.
    """

    first: bool
    delta: dict[str, Any]
    choice: dict[str, Any]
    respelt: bool = False
    calls: list[CallEdit | None] | None = None

    @property
    def changes(self) -> bool:
        """Whether there are any."""
        return bool(self.delta or self.choice or self.calls)


def says(raw: msgspec.Raw) -> bool:
    """Whether a value is more than nothing."""
    return bytes(raw) not in _NOTHING


def apply(choice: dict[str, msgspec.Raw], edit: ChoiceEdit) -> bool:
    """Make the changes of one choice; gives whether something of it vanished."""
    vanished = False
    if edit.delta or edit.calls:
        delta = _delta(choice)
        if edit.calls:
            delta["tool_calls"] = mended(delta["tool_calls"], edit.calls)
        for key, value in edit.delta.items():
            vanished = vanished or (not value and says(delta.get(key, ABSENT)))
            if value is None:
                delta.pop(key, None)
            else:
                delta[key] = raw_of(value)
        choice["delta"] = raw_of(delta)
    for key, value in edit.choice.items():
        vanished = vanished or (not value and key != "index" and says(choice.get(key, ABSENT)))
        choice[key] = raw_of(value)
    if edit.respelt and "logprobs" in choice:
        choice["logprobs"] = NULL  # they spell the text as it was
    return vanished


def choice_says(choice: dict[str, msgspec.Raw], *, first: bool) -> bool:
    """Whether a choice of a chunk says anything. Its role counts if the client had none (`first`)."""
    return any(says(value) for key, value in _delta(choice).items() if first or key != "role") or any(
        says(value) for key, value in choice.items() if key not in ("index", "delta")
    )


def parts_of(payload: bytes, at: int) -> list[msgspec.Raw]:
    """The parts of the content of a delta, as they were written. `at`: which choice of the chunk has it."""
    choice = decode_objects(decode_object(payload)["choices"])[at]
    return items_of(decode_object(choice["delta"])["content"])


def _delta(choice: dict[str, msgspec.Raw]) -> dict[str, msgspec.Raw]:
    raw = choice.get("delta", ABSENT)
    return decode_object(raw) if present(raw) else {}
