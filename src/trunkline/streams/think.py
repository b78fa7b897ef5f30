"""Thoughts among the text of an answer: `<think>...</think>` blocks, told from the answer as the text comes.

Owns the settings of `think:`, what a block is, and two readers that agree: `ThinkFilter` for a text in pieces, and
`split_thoughts` for a whole one, the slow and obvious twin that tests hold the filter to. Does not own how tags are
found (tags.py), nor where the text stands in an event and what becomes of the thoughts (rewrite.py).

Which tags may come next is all that a place in the text means: start tags outside of blocks, one end tag inside.
With `implicit_open` a text begins undecided, and both kinds may come. What may be the beginning of a tag waits for the
next piece, less than MAX_TAG characters. Only `implicit_open` and `unclosed: leak` hold back whole passages, and none
longer than MAX_HELD.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, Self

import msgspec
from msgspec import Meta

from trunkline.streams.tags import MAX_TAG, Tags, tags_of, wrong_tags
from trunkline.streams.trimming import Trim, dropped

MAX_HELD = 1 << 20
"""Characters of a passage that is held back until it is known what it is."""

MAX_ROOM = 1 << 25
"""What all choices of an answer hold back together, about in bytes: eight whole passages, or a few in tiny pieces."""
_PIECE = 64  # bytes that a piece costs besides its characters

Mode = Literal["keep", "strip", "split"]
Unclosed = Literal["drop", "leak"]
Kind = Literal["answer", "tag", "thought", "trimmed"]


class ThinkSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What becomes of thoughts that a model writes into its answer."""

    mode: Annotated[
        Mode,
        Meta(
            description="keep: the text is not touched. strip: blocks of thoughts are removed from it. "
            "split: they are moved to a field of their own, `reasoning_content` or the one that `reasoning` names."
        ),
    ] = "strip"
    tags: Annotated[
        list[list[str]],
        Meta(
            description="Pairs of start and end tag, `[[<think>, </think>], ...]`. Any text, compared exactly; a block "
            "ends with the first end tag of the pair that began it, blocks do not nest. Where several start tags "
            "begin at one place, the longest wins. Default: <think> and </think>."
        ),
    ] = msgspec.field(default_factory=lambda: [["<think>", "</think>"]])
    attributes: Annotated[
        bool,
        Meta(
            description='Whether `<think lang="en">` begins a block too, for start tags that end in `>`: blank space '
            f"behind the name and no more than {MAX_TAG} characters in all. `<think/>` is text."
        ),
    ] = True
    implicit_open: Annotated[
        bool,
        Meta(
            description="Whether what stands before the first end tag is thoughts if no block began before it, for "
            "models whose prompt ends in the start tag. The answer is held back until that is known; after "
            "1,048,576 characters without a tag it is taken for an answer."
        ),
    ] = False
    unclosed: Annotated[
        Unclosed,
        Meta(
            description="What a block without an end tag is. drop: thoughts. leak: answer, its start tag included, "
            "given out at the end; of 1,048,576 characters and more it is thoughts again."
        ),
    ] = "drop"
    trim: Annotated[
        bool,
        Meta(
            description="Whether blanks behind a block are dropped: all up to the first visible character of the "
            "answer; behind a block further down only blank lines after its own line."
        ),
    ] = False


def problems(settings: ThinkSettings) -> str:
    """What is wrong with settings beyond their types, "" if nothing is."""
    return wrong_tags(settings.tags)


class Room:
    """What the filters of one answer hold back, together."""

    __slots__ = ("used",)

    def __init__(self) -> None:
        self.used = 0

    def __repr__(self) -> str:
        return f"<Room, {self.used} of {MAX_ROOM} used>"


class ThinkFilter:
    """Tells thoughts from answer in a text that comes in pieces. Mode `keep` finds none, the others the same.

    `tags` (several pairs) wins over `start` and `end`. Raises ValueError for tags that cannot work.

    True after each call:
        outside: A text without any of `marks` is answer as it is, and the filter need not be told of it. No block is
            open, nothing is held back, no blanks are being trimmed, and visible answer was given out before.
        inside: A text without any of `marks` is thoughts, and the filter need not be told of it. A block is open and
            nothing is held back.
        marks: The characters with which the tags begin that may come next.
        any_thoughts: Something was taken out of the answer.
        any_answer: Visible answer was given out; without it and with thoughts, the text was only thoughts.
    """

    __slots__ = (
        *("outside", "inside", "marks", "any_thoughts", "any_answer"),
        *("_opening", "_leaks", "_trim", "_next", "_in_block"),
        *("_rest", "_holding", "_held", "_size", "_room", "_taken", "_answer", "_thoughts"),
    )

    def __init__(
        self,
        start: str = "<think>",
        end: str = "</think>",
        mode: Mode = "strip",
        *,
        tags: Sequence[Sequence[str]] | None = None,
        attributes: bool = True,
        implicit_open: bool = False,
        unclosed: Unclosed = "drop",
        trim: bool = False,
        room: Room | None = None,
    ) -> None:
        self._opening, undecided = _tags(((start, end),) if tags is None else tags, mode, attributes)
        self._leaks = unclosed == "leak"
        self._trim = Trim() if trim else None
        self.any_thoughts = self.any_answer = self._in_block = False
        self._rest = ""  # what may be the beginning of a tag
        self._holding = implicit_open and mode != "keep"
        self._held = (
            [""] if self._holding else []
        )  # the start tag, "" if none came, and the passage behind it
        self._size = 0  # of what is held
        self._room = room or Room()
        self._taken = 0  # of it, by what is held here
        self._next = undecided if self._holding else self._opening
        self._answer: list[str] = []
        self._thoughts: list[str] = []
        self._note_state()

    @classmethod
    def of(cls, settings: ThinkSettings, room: Room | None = None) -> Self:
        """The filter that settings describe. `room`: that it shares with those of other choices."""
        return cls(
            mode=settings.mode,
            tags=settings.tags,
            attributes=settings.attributes,
            implicit_open=settings.implicit_open,
            unclosed=settings.unclosed,
            trim=settings.trim,
            room=room,
        )

    def __repr__(self) -> str:
        return f"<ThinkFilter {'in' if self._in_block else 'out'}side, next {self._next!r}>"

    def feed(self, text: str) -> tuple[str, str]:
        """The answer and the thoughts that are certain now."""
        if self.outside:
            for mark in self.marks:
                if mark in text:
                    break
            else:
                return text, ""
        elif self.inside and self.marks not in text:
            return "", text
        return self._advance(text, final=False)

    def flush(self) -> tuple[str, str]:
        """The rest of both, at the end of the text."""
        return self._advance("", final=True)

    def _advance(self, text: str, *, final: bool) -> tuple[str, str]:
        text = self._rest + text
        at = 0
        while True:
            stop, tag = self._next.find(text, at, final=final)
            self._take(text[at:stop])
            at = stop
            if self._holding and (self._size >= MAX_HELD or self._room.used >= MAX_ROOM):
                self._let_go()
            elif tag is None:
                break
            else:
                at = tag.end()
                self._cross(tag.group(), self._next.after(tag))
        self._rest = text[at:]
        if final:
            self._end_answer()
        self._note_state()
        certain = "".join(self._answer), "".join(self._thoughts)
        self._answer.clear()
        self._thoughts.clear()
        return certain

    def _take(self, text: str) -> None:
        """A text without a tag."""
        if self._holding:
            self._held.append(text)
            self._size += len(text)
            self._taken += len(text) + _PIECE
            self._room.used += len(text) + _PIECE
        elif self._in_block:
            self._thoughts.append(text)
        else:
            self._give(text)

    def _cross(self, tag: str, following: Tags | None) -> None:
        """From one side of a tag to the other."""
        if following is None:
            self._thoughts += self._passage()[1:]
            self._in_block = False
            self._next = self._opening
            if self._trim:
                self._trim.begin(visible=self.any_answer)
        else:
            self._end_answer()
            self._in_block, self._holding = True, self._leaks
            self._held, self._size = [tag] if self._leaks else [], len(tag)
            self._next = following
        self.any_thoughts = self.any_thoughts or not self._holding

    def _passage(self) -> list[str]:
        """What was held back, its start tag first. It is known now what it is."""
        passage, self._held = self._held, []
        self._holding = False
        self._room.used -= self._taken
        self._taken = 0
        return passage

    def _let_go(self) -> None:
        """So much was held that it is taken for what it seems to be: thoughts in a block, answer outside."""
        if self._in_block:
            self.any_thoughts = True
            self._thoughts += self._passage()[1:]
        else:
            self._next = self._opening
            self._give("".join(self._passage()))

    def _end_answer(self) -> None:
        """All that is held back is answer: a block begins, or the text is over."""
        self._give("".join(self._passage()))
        if self._trim:
            self._give(self._trim.end())

    def _give(self, text: str) -> None:
        if self._trim and self._trim.active:
            text = self._trim.keep(text)
        if text:
            self._answer.append(text)
            self.any_answer = self.any_answer or not text.isspace()

    def _note_state(self) -> None:
        settled = not (self._rest or self._holding or (self._trim and self._trim.active))
        self.inside = settled and self._in_block
        self.outside = settled and self.any_answer and not self._in_block
        self.marks = self._next.first


def pieces(text: str, settings: ThinkSettings) -> list[tuple[Kind, str]]:
    """A whole text cut into what its parts are; joined they are the text again."""
    return [(kind, part) for kind, part in _pieces(text, settings) if part]


def split_thoughts(text: str, settings: ThinkSettings) -> tuple[str, str]:
    """The answer and the thoughts of a whole text."""
    parts = pieces(text, settings)
    answer = "".join(part for kind, part in parts if kind == "answer")
    return answer, "".join(part for kind, part in parts if kind == "thought")


def _pieces(text: str, settings: ThinkSettings) -> Iterator[tuple[Kind, str]]:
    opening, undecided = _tags(settings.tags, settings.mode, settings.attributes)
    at = 0
    visible = False
    if settings.implicit_open:
        stop, tag = undecided.find(text, 0, final=True)
        if tag is not None and undecided.after(tag) is None and stop < MAX_HELD:
            yield "thought", text[:stop]
            yield "tag", tag.group()
            at = tag.end()
    while True:
        stop, tag = opening.find(text, at, final=True)
        answer = text[at:stop]
        if settings.trim and at:
            begin, end = dropped(answer, visible=visible)
            yield "answer", answer[:begin]
            yield "trimmed", answer[begin:end]
            answer = answer[end:]
        yield "answer", answer
        visible = visible or bool(answer.strip())
        closing = None if tag is None else opening.after(tag)
        if tag is None or closing is None:
            return
        stop, end_tag = closing.find(text, tag.end(), final=True)
        if end_tag is None and settings.unclosed == "leak" and len(text) - tag.start() < MAX_HELD:
            yield "answer", text[tag.start() :]
            return
        yield "tag", tag.group()
        yield "thought", text[tag.end() : stop]
        if end_tag is None:
            return
        yield "tag", end_tag.group()
        at = end_tag.end()


def _tags(pairs: Sequence[Sequence[str]], mode: Mode, attributes: bool) -> tuple[Tags, Tags]:
    return tags_of(() if mode == "keep" else tuple(map(tuple, pairs)), attributes=attributes)
