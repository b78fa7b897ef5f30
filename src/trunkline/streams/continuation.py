"""A cut answer that another target goes on with: asked for the rest alone, by assistant prefill.

Owns the request for the rest (`prefill`), and reading the answer to it (`Continuation`). Does not own which targets
are declared able to do this, nor the other way, asking again from the start (splice.py), which follows a refusal.

How servers take a prefill: llama.cpp, Ollama, Anthropic and many templates go on with a last message of the assistant
("plain"); Mistral and DeepSeek want `prefix: true` in it ("prefix"); vLLM and SGLang want to be told by
`continue_final_message` ("continue_final_message"), and without it answer anew without a word. So an answer that
begins as the client's text does is held until it differs; if it repeats all of it, it is one from the start, and only
what comes behind is given out; if it differs after more than a few characters, it is another one from the start.
"""

from typing import Literal

import msgspec

from trunkline.errors import CONTENT_FILTER, Blame, Fault
from trunkline.streams.raw import raw_of
from trunkline.streams.splice import MORE_THAN_TEXT, Splice, value_of
from trunkline.streams.transcript import TEXT_FIELDS, Had

Style = Literal["plain", "prefix", "continue_final_message"]

MIN_CHARACTERS = 32
"""Of text that is gone on with: the rest of a shorter one may well begin as it does, and asking anew costs little."""

_LIMITS = ("max_tokens", "max_completion_tokens")
_TRUE, _FALSE = msgspec.Raw(b"true"), msgspec.Raw(b"false")
_MAX_HELD = 16  # characters; an answer that ends or differs within them is a rest that happens to begin like the whole

_decode_messages = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_message = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def prefill(
    fields: dict[str, msgspec.Raw], had: Had, style: Style = "plain"
) -> dict[str, msgspec.Raw] | None:
    """The request for the rest of an answer; None where there can be none. What is not changed stays as it is.

    The text becomes the last message, or the end of it if that is the assistant's already (a prefill of the client's
    own); the limit of tokens is lowered by what was spent.
    """
    text = had.texts.get("content", "")
    if len(text) < MIN_CHARACTERS or len(had.texts) > 1:
        return None  # thoughts cannot be put back
    try:
        messages = _decode_messages(fields.get("messages", b""))
        last = _decode_message(messages[-1]) if messages else {}
        if value_of(last, "role") != "assistant":
            last = {"role": raw_of("assistant"), "content": raw_of(text)}
            messages.append(_TRUE)  # its place
        elif isinstance(before := value_of(last, "content"), str) and not value_of(last, "tool_calls"):
            last["content"] = raw_of(before + text)
        else:
            return None
        limits = {name: value_of(fields, name) for name in _LIMITS}
    except (msgspec.DecodeError, RecursionError):
        return None
    if style == "prefix":
        last["prefix"] = _TRUE
    messages[-1] = raw_of(last)
    asked = fields | {"messages": raw_of(messages)}
    if style == "continue_final_message":
        asked |= {"add_generation_prompt": _FALSE, "continue_final_message": _TRUE}
    for name, limit in limits.items():
        if type(limit) is int:
            asked[name] = raw_of(max(limit - had.pieces, 1))
    return asked


def refused(fault: Fault) -> bool:
    """Whether a target may have refused the prefill, so that it should be asked from the start."""
    return fault.blame is Blame.CLIENT and fault.kind is not CONTENT_FILTER


class Continuation(Splice):
    """Joins the answer to `prefill` to what the client has. Fed and read as a `Splice` is."""

    __slots__ = ("_held", "_text")

    def __init__(self, had: Had) -> None:
        super().__init__(had)
        self._text = self._left.pop("content", "")  # "" when it is settled which of both the answer is
        self._held = ""

    @property
    def joined(self) -> bool:
        """Whether the answer is known to be the rest, or has come to where the first was cut."""
        return not self._text

    def _advance(self, delta: dict[str, msgspec.Raw], *, finished: bool) -> bool:
        text = self._text
        if not text:
            return True
        piece = value_of(delta, "content") or ""
        if type(piece) is not str or any(value_of(delta, field) for field in TEXT_FIELDS[1:]):
            self.diverged = True  # thoughts of an answer that was begun without
            return False
        ended = finished or any(value_of(delta, name) for name in MORE_THAN_TEXT)
        rest = self._held = self._held + piece
        if rest.startswith(text):
            half = len(text) // 2
            self.diverged = text.find(text[half:]) < half  # it repeats itself: so may the rest
            rest = rest[len(text) :]
        elif text.startswith(rest):
            if not ended:
                return False
            self.diverged = len(rest) > _MAX_HELD
        elif rest[: _MAX_HELD + 1] == text[: _MAX_HELD + 1]:
            self.diverged = True  # it began as the whole does for longer than a rest would by chance
        if self.diverged:
            return False
        self._text = ""
        if rest != piece:
            delta["content"] = raw_of(rest)
        return ended or bool(rest)
