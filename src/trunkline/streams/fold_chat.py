"""The chunks of chat/completions and completions as the one answer that they are.

Owns what becomes of each field of a chunk. Does not own reading events (fold.py), nor how pieces are joined
(pieces.py).

Of a delta, strings are parts of one, as OpenAI's SDKs take them; of what else is not known here the last counts.
Each chunk of Perplexity has the message so far beside its delta: it counts only where no delta says anything.
"""

from typing import Any, cast

import msgspec

from trunkline.streams.lenient import small
from trunkline.streams.pieces import Entries, Fields, Grown, Tally, rendered, weak
from trunkline.streams.raw import NULL, index_of, items_of, kind_of, object_of, quoted, values_of
from trunkline.streams.thoughts import FIELDS
from trunkline.streams.tool_calls import ToolCalls
from trunkline.wire.openai import ABSENT

_SAME = frozenset(("id", "created", "model", "system_fingerprint", "service_tier"))
"""Fields that are the same in all chunks."""
_LEFT_OUT = frozenset(("object", "obfuscation"))  # obfuscation: random text that hides how long a token is
_NAMES = frozenset(("id", "name", "type"))
"""Fields of a tool call, and of its function, that come once. Some servers repeat them."""
_TEXTS = frozenset(("arguments", "input", "data", "transcript"))
"""Fields of a delta's objects that grow."""
_CALLED = ("function", "custom")
_OBJECTS = frozenset(("function_call", "audio"))
_LISTS = frozenset(("annotations", "images"))
"""Fields of a delta whose lists add to what came before."""
_INSTEAD = ("tool_calls", "function_call", "refusal", "audio")
"""Where one of these is, there need be no text."""

_GROWING = ("text", *FIELDS)
"""Fields of a choice of completions whose pieces are one text."""

_ASSISTANT = msgspec.Raw(b'"assistant"')
_FUNCTION = msgspec.Raw(b'"function"')
_TEXT = msgspec.Raw(b'"text"')
_EMPTY = msgspec.Raw(b'""')


class ChatFold:
    """The answer so far. `completions`: the choices have a text instead of a message."""

    __slots__ = ("_choices", "_completions", "_tally", "_top")

    def __init__(self, tally: Tally, *, completions: bool = False) -> None:
        self._tally = tally
        self._completions = completions
        self._top = Fields(tally)
        self._choices: dict[int, _Choice] = {}

    def __repr__(self) -> str:
        return f"<ChatFold of {len(self._choices)} choices>"

    def read(self, name: str, fields: dict[str, msgspec.Raw]) -> None:
        """Take one chunk; the name of its event says nothing."""
        for field, raw in fields.items():
            if field == "choices":
                for place, item in enumerate(items_of(raw)):
                    self._choice(object_of(item), place)
            elif field in _SAME:
                self._top.first(field, raw)
            elif field not in _LEFT_OUT:
                self._top.last(field, raw)

    def answer(self) -> dict[str, Any] | None:
        """The whole answer; None if there was no chunk."""
        if not self._top.values and not self._choices:
            return None
        top: dict[str, Any] = rendered(self._top)
        usage = top.pop("usage", None)
        top["object"] = "text_completion" if self._completions else "chat.completion"
        top["choices"] = [self._choices[index].answer(index) for index in sorted(self._choices)]
        return top if usage is None else top | {"usage": usage}

    def _choice(self, fields: dict[str, msgspec.Raw], place: int) -> None:
        index = index_of(fields.pop("index", ABSENT))
        if index is None:
            index = place
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _Choice(self._tally, completions=self._completions)
        choice.read(fields)


class _Choice:
    """One choice so far."""

    __slots__ = ("_calls", "_completions", "_message", "_other")

    def __init__(self, tally: Tally, *, completions: bool) -> None:
        self._completions = completions
        self._message = Fields(tally)
        self._calls = _Calls(tally)
        self._other = Fields(tally)

    def __repr__(self) -> str:
        return f"<_Choice {self._message} {self._other}>"

    def read(self, fields: dict[str, msgspec.Raw]) -> None:
        """Take the choice of one chunk."""
        self._delta(object_of(fields.pop("delta", ABSENT)))
        for name, raw in fields.items():
            if name == "logprobs" and kind_of(raw) == b"{":
                logprobs = self._other.within(name)
                for field, value in object_of(raw).items():
                    logprobs.grow(field, value)
            elif name == "token_ids" or (name in _GROWING and self._completions):
                self._other.grow(name, raw)
            elif name != "message" or not self._told():
                self._other.last(name, raw)

    def answer(self, index: int) -> dict[str, Any]:
        """The choice as the whole answer has it."""
        other: dict[str, Any] = rendered(self._other)
        other.setdefault("finish_reason", NULL)
        if self._completions:
            return {"index": index, "text": other.pop("text", _EMPTY)} | other
        message = other.pop("message", NULL)
        if self._told() or weak(message):
            message = self._whole()
        return {"index": index, "message": message} | other

    def _told(self) -> bool:
        """Whether the deltas said more than who speaks."""
        message = self._message
        return len(self._calls) > 0 or any(message.says(name) for name in message.values if name != "role")

    def _whole(self) -> dict[str, Any]:
        held: dict[str, Any] = rendered(self._message)
        role, content = held.pop("role", _ASSISTANT), held.pop("content", _EMPTY)
        if self._calls:
            held["tool_calls"] = self._calls.answer()
        if not self._message.says("content"):
            instead = len(self._calls) > 0 or any(map(self._message.says, _INSTEAD))
            content = NULL if instead else _EMPTY
        return {"role": role, "content": content} | held

    def _delta(self, fields: dict[str, msgspec.Raw]) -> None:
        message = self._message
        for name, raw in fields.items():
            kind = kind_of(raw)
            if name == "role":
                message.first(name, raw)
            elif name == "content":
                self._content(raw, kind)
            elif name == "tool_calls":
                self._calls.add(raw)
            elif name == "reasoning_details" and kind == b"[":
                message.entries(name).add(items_of(raw))
            elif name in _OBJECTS and kind == b"{":
                _join(message.within(name), object_of(raw))
            elif kind == b'"' or name in _LISTS:
                message.grow(name, raw)
            else:
                message.last(name, raw)

    def _content(self, raw: msgspec.Raw, kind: bytes) -> None:
        """Text, or a list of parts; where both come, text is a part (Mistral thinks in parts and speaks in text)."""
        message = self._message
        held = message.values.get("content")
        if kind == b"[":
            parts = message.entries("content")
            if isinstance(held, Grown) and len(held):
                parts.put({"type": _TEXT, "text": held.raw()}, first=True)
            parts.add(items_of(raw))
        elif not isinstance(held, Entries):
            message.grow("content", raw)
        elif kind == b'"' and not weak(raw):
            held.put({"type": _TEXT, "text": raw}, first=True)


class _Calls:
    """The tool calls of one choice so far. Which of them a piece belongs to is told as for clients (tool_calls.py)."""

    __slots__ = ("_calls", "_mender", "_tally")

    def __init__(self, tally: Tally) -> None:
        self._calls: dict[int, Fields] = {}
        self._mender = ToolCalls("")
        self._tally = tally

    def __len__(self) -> int:
        return len(self._calls)

    def __repr__(self) -> str:
        return f"<_Calls {self._calls}>"

    def add(self, raw: msgspec.Raw) -> None:
        """Take the `tool_calls` of one delta."""
        deltas = values_of(raw) or values_of(small(bytes(raw)))
        edits = self._mender.mend(deltas) or [None] * len(deltas)
        for item, delta, edit in zip(items_of(raw), deltas, edits, strict=True):
            if not isinstance(delta, dict):
                continue
            fields = cast("dict[str, Any]", delta) if edit is None else edit.call
            index = cast("int", fields.get("index", cast("dict[str, Any]", delta).get("index")))
            call = self._calls.get(index)
            if call is None:
                call = self._calls[index] = Fields(self._tally)
            for name, value in object_of(item).items():
                if name in _CALLED and kind_of(value) == b"{":
                    _join(call.within(name), object_of(value))
                elif name in _NAMES:
                    call.first(name, value)
                elif name != "index":
                    call.last(name, value)

    def answer(self) -> list[dict[str, Any]]:
        """The calls as the whole answer has them."""
        return [self._whole(call) for call in self._calls.values()]

    def _whole(self, call: Fields) -> dict[str, Any]:
        held: dict[str, Any] = rendered(call)
        function = call.values.get("function")
        if isinstance(function, Fields):
            held.setdefault("type", _FUNCTION)
            if not function.says("arguments"):
                held["function"]["arguments"] = _EMPTY
        return held


def _join(held: Fields, fields: dict[str, msgspec.Raw]) -> None:
    """Take a piece of an object in a delta: of a function that is called, of audio."""
    for name, raw in fields.items():
        if name in _NAMES:
            held.first(name, raw)
        elif name not in _TEXTS or bytes(raw) == b"null":
            held.last(name, raw)
        else:
            held.grow(name, quoted(raw))
