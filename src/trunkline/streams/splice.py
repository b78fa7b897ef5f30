"""A second answer joined to the part of the first that a client already has.

Owns whether that is possible for a request (`unfit`), and what of the second stream goes to the client (`Splice`).
Does not own what the client has (transcript.py), whether the second stream is whole (chat.py), nor which target is
asked, and when (engine).

How it works: text that the client has is dropped while it is the same, to the character; of a delta that goes beyond,
only the rest is left in it. At the first difference nothing more is given out, and `diverged` is set: text is never
doubled, replaced or lost. From then on events go as the upstream wrote them, but for the answer's id, created and
model, which stay the first stream's. finish_reason, usage and all else are the second's.
"""

from typing import Any

import msgspec

from trunkline.streams.raw import decode_object, decode_objects, decode_value, encode, raw_of
from trunkline.streams.transcript import IDENTITY, TEXT_FIELDS, Had
from trunkline.wire import sse
from trunkline.wire.openai import ABSENT, present
from trunkline.wire.sse import Event, EventSplitter, Fragment, parse_event

MAX_PROMPT = 8000
"""Tokens of a prompt that is sent a second time; DESIGN section 3. Not where the answer is bound to be the same."""

_DONE = b"[DONE]"
MORE_THAN_TEXT = ("tool_calls", "function_call", "audio", "reasoning_details")
"""Fields of a delta that cannot be compared."""


def unfit(surface: str, fields: dict[str, msgspec.Raw] | None, prompt_tokens: float) -> str:
    """Why the answer to a request could not be spliced; "" if it could.

    `surface`: as in `wire.values.Call`. `prompt_tokens`: an estimate.
    """
    if surface != "chat" or fields is None:
        return "only answers of chat/completions can be spliced"
    try:
        if value_of(fields, "n") not in (None, 1):
            return "more than one choice was asked for"
        if value_of(fields, "logprobs") or value_of(fields, "top_logprobs"):
            return "logprobs were asked for"
        if prompt_tokens > MAX_PROMPT and value_of(fields, "temperature") != 0:
            return f"the prompt is over {MAX_PROMPT} tokens, and the temperature is not 0"
    except (msgspec.DecodeError, RecursionError):
        return "a parameter cannot be read"
    return ""


def value_of(fields: dict[str, msgspec.Raw], name: str) -> Any:
    """The value of one field; None where it is absent."""
    raw = fields.get(name)
    return None if raw is None else decode_value(raw)


class Splice:
    """Feed it what an inspector gives of the second stream. `diverged`: cancel it, nothing of it follows."""

    __slots__ = ("_identity", "_left", "_role", "_splitter", "diverged")

    def __init__(self, had: Had) -> None:
        self._identity = had.identity
        self._role = had.role
        self._left = dict(had.texts)  # what the second has not repeated yet
        self._splitter = EventSplitter()
        self.diverged = False

    def __repr__(self) -> str:
        left = sum(map(len, self._left.values()))
        return f"<{type(self).__name__} {left} characters to repeat{', diverged' if self.diverged else ''}>"

    @property
    def joined(self) -> bool:
        """Whether the second stream has come to where the first was cut."""
        return not self._left

    def feed(self, data: bytes) -> bytes:
        """Take whole events of the second stream; give what goes to the client."""
        out: list[bytes] = []
        for raw in self._splitter.feed(data):
            if self.diverged:
                break
            out.append(self._piece(raw))
        return b"".join(out)

    def _piece(self, raw: bytes) -> bytes:
        if type(raw) is Fragment:
            return self._unknown(bytes(raw))
        event = parse_event(raw)
        if event is None:
            return raw
        if event.event == b"error":
            return raw
        if event.data == _DONE:
            return self._unknown(raw)
        try:
            return self._chunk(event, raw)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return self._unknown(raw)

    def _unknown(self, raw: bytes) -> bytes:
        """What cannot be compared: it goes on behind the seam, and is a difference before it."""
        self.diverged = not self.joined
        return b"" if self.diverged else raw

    def _chunk(self, event: Event, raw: bytes) -> bytes:
        fields = decode_object(event.data)
        if value_of(fields, "error") or "error" in (value_of(fields, "object"), value_of(fields, "type")):
            return raw  # the client must see it, wherever it comes
        choices = decode_objects(fields["choices"]) if present(fields.get("choices", ABSENT)) else []
        if not choices:
            return self._rendered(event, raw, fields) if self.joined else b""
        choice = choices[0]
        if len(choices) > 1 or value_of(choice, "index"):
            self.diverged = True  # the client reads one choice
            return b""
        delta = decode_object(choice["delta"]) if present(choice.get("delta", ABSENT)) else {}
        role = delta.pop("role", None) if self._role else None
        before = delta.copy()
        if not self._advance(delta, finished=bool(value_of(choice, "finish_reason"))):
            return b""
        if role is None and delta == before:
            return self._rendered(event, raw, fields)
        fields["choices"] = raw_of([choice | {"delta": raw_of(delta)}])
        return self._rendered(event, b"", fields)

    def _advance(self, delta: dict[str, msgspec.Raw], *, finished: bool) -> bool:
        """Take from a delta the text that the client has. False: the event adds nothing, or it is a difference."""
        if self.joined:
            return True
        beyond = finished or any(value_of(delta, name) for name in MORE_THAN_TEXT)
        for field in TEXT_FIELDS:
            text = value_of(delta, field)
            if not text:
                continue
            expected = self._left.get(field, "")
            if type(text) is not str or not (text.startswith(expected) or expected.startswith(text)):
                self.diverged = True
                return False
            rest = text[len(expected) :]
            delta[field] = raw_of(rest)
            beyond = beyond or bool(rest)
            if len(text) < len(expected):
                self._left[field] = expected[len(text) :]
            else:
                self._left.pop(field, None)
        self.diverged = beyond and not self.joined
        return beyond and self.joined

    def _rendered(self, event: Event, raw: bytes, fields: dict[str, msgspec.Raw]) -> bytes:
        """The event as the first stream would have told it; `raw` if there is one and nothing differs."""
        for name in IDENTITY:
            ours = self._identity.get(name)
            if fields.get(name) != ours:
                raw = b""
                if ours is None:
                    del fields[name]
                else:
                    fields[name] = ours
        return raw or sse.encode(encode(fields), event.event, event.id)
