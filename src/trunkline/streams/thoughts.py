"""Where the thoughts of one choice go: those in its text, and those that have a field of their own.

Owns sorting one delta (or one whole message, which is all deltas in one) into answer and thoughts. Does not own tags
(think.py), nor the events and bodies around it (rewrite.py, whole.py).

Thoughts are taken out of `content`, joined to those of `reasoning_content` or `reasoning`, and put where
`AnswerSettings.reasoning` wants them. Thoughts that are parts of a list (Mistral) count as in the text.
"""

from typing import Any, cast

import msgspec

from trunkline.streams.answer import AnswerSettings
from trunkline.streams.raw import NULL, items_of, object_of, raw_of, text_of
from trunkline.streams.think import Room, ThinkFilter, ThinkSettings
from trunkline.wire.openai import Delta

FIELDS = ("reasoning_content", "reasoning")
"""Where thoughts come as text: DeepSeek, vLLM, SGLang; OpenRouter, Ollama."""
_DETAILS = "reasoning_details"  # OpenRouter: the same once more, in parts


class Thoughts:
    """The thoughts of one choice, in the order of its deltas. `room`: that those of all choices share."""

    __slots__ = ("_said", "_splits", "_stripped", "_tags", "_where", "_wrapping", "filter")

    def __init__(self, settings: AnswerSettings, room: Room | None = None) -> None:
        think = settings.think
        filters = think is not None and think.mode != "keep"
        self.filter = ThinkFilter.of(think, room) if think is not None and filters else None
        self._splits = not filters or (think is not None and think.mode == "split")
        self._where = settings.reasoning
        self._tags = (think or ThinkSettings()).tags[0]
        self._wrapping = False
        self._stripped = self._said = False  # thoughts of a field of their own; any content

    def __repr__(self) -> str:
        return f"<Thoughts {self.filter!r} to {self._where}{', wrapping' if self._wrapping else ''}>"

    @property
    def condition(self) -> int:
        """A number: while it is the same and above 0, text without one of `marks` fares in the same way."""
        if self._wrapping:
            return 0
        thinks = self.filter
        if thinks is None or thinks.outside:
            return 1
        return 2 if thinks.inside else 0

    @property
    def marks(self) -> str:
        """Characters that may begin a tag."""
        return "" if self.filter is None else self.filter.marks

    @property
    def only(self) -> bool:
        """Whether there were thoughts, taken from the answer, and nothing else."""
        thinks = self.filter
        if thinks is not None and (thinks.any_answer or thinks.any_thoughts):
            return not thinks.any_answer
        return self._stripped and not self._said

    def sort(self, delta: Delta, *, last: bool) -> dict[str, Any]:
        """The changes of a delta: new values by key, None for keys that go. `last`: nothing follows.

        A `content` in parts is a list of raw ones, so that all but their text stays as it was written.
        """
        edits: dict[str, Any] = {}
        content, thoughts = self._filtered(delta.content, last=last)
        if self._where != "keep":
            content = self._moved(delta, content, thoughts, edits, last=last)
        elif thoughts:
            own = _own(delta)
            edits["reasoning" if own and own == delta.reasoning else "reasoning_content"] = own + thoughts
        if last and not content and self.only:
            content = ""  # said plainly: there is no answer
        if content is not delta.content and content != delta.content:
            edits["content"] = content
        return edits

    def _moved(self, delta: Delta, content: Any, thoughts: str, edits: dict[str, Any], *, last: bool) -> Any:
        """Add the changes of the fields that are thoughts; gives the content."""
        where = self._where
        own = _own(delta)
        for key in (*FIELDS, _DETAILS):
            value = getattr(delta, key)
            if (isinstance(value, str) and key != where) if where in FIELDS else value is not None:
                edits[key] = None
        if where == "strip":
            self._stripped = self._stripped or bool(own)
        elif where == "wrap":
            content = self._wrapped(content, own + thoughts, last=last or bool(delta.tool_calls))
        elif own + thoughts and getattr(delta, where) != own + thoughts:
            edits[where] = own + thoughts
        self._said = self._said or bool(content)
        return content

    def _filtered(self, content: Any, *, last: bool) -> tuple[Any, str]:
        """The answer in some content, and the thoughts in it that are to be placed."""
        thinks, answer, thoughts = self.filter, content, ""
        if isinstance(content, list) and content:
            answer, thoughts = self._parts(cast("list[msgspec.Raw]", content))
        elif thinks is not None and isinstance(content, str) and content:
            answer, thoughts = thinks.feed(content)
        if thinks is not None and last:
            rest, taken = thinks.flush()
            thoughts += taken
            answer = _joined(answer, rest) if rest else answer
        self._said = self._said or bool(answer)
        return answer, thoughts if self._splits else ""

    def _parts(self, parts: list[msgspec.Raw]) -> tuple[Any, str]:
        kept: list[msgspec.Raw] = []
        thoughts = ""
        for part in parts:
            fields = object_of(part)
            text = text_of(fields.get("text", NULL))
            if text_of(fields.get("type", NULL)) == "thinking":
                thoughts += _text_of(fields.get("thinking", NULL))
                self._stripped = self._stripped or self.filter is not None or self._where == "strip"
            elif self.filter is not None and text:
                answer, taken = self.filter.feed(text)
                thoughts += taken
                if answer:
                    kept.append(part if answer == text else raw_of(fields | {"text": raw_of(answer)}))
            else:
                kept.append(part)
        return kept or "", thoughts

    def _wrapped(self, content: Any, thoughts: str, *, last: bool) -> Any:
        """Content with the thoughts in tags before it."""
        start, end = self._tags[0], self._tags[1]
        before = ""
        if thoughts:
            before = thoughts if self._wrapping else start + thoughts
            self._wrapping = True
        if self._wrapping and (content or last):
            before += end
            self._wrapping = False
        return _joined(before, content) if before else content


def _own(delta: Delta) -> str:
    """The thoughts that have a field of their own."""
    return next((text for key in FIELDS if isinstance(text := getattr(delta, key), str) and text), "")


def spells(text: Any, old: Any) -> bool:
    """Whether logprobs of the old text are those of the new: what comes before it had its own, if any."""
    return isinstance(text, str) and isinstance(old, str) and text.endswith(old)


def _joined(before: Any, after: Any) -> Any:
    """Two contents, each text, parts or nothing, as one."""
    if not before or not after:
        return before or after
    if isinstance(before, str) and isinstance(after, str):
        return before + after
    first, second = (
        [raw_of({"type": "text", "text": one})] if isinstance(one, str) else one for one in (before, after)
    )
    return first + second


def _text_of(value: msgspec.Raw) -> str:
    """The text of a part that is a thought: text, or parts of text again."""
    texts = [object_of(part).get("text", NULL) for part in items_of(value)]
    return text_of(value) or "".join(map(text_of, texts))
