"""What a client has been sent of a chat answer: collected as it goes out, read only when the stream is cut.

Owns collecting and the limits of it. Does not own what is done with the text (splice.py, continuation.py) nor the
reading of streams that are whole (chat.py).

Of events that add text to the answer's content and nothing else, the text alone is taken (`keep`, which is a list's
own `append`: it runs once per token); of others their data (`odd`), and those that went out with the commit as they
are (`events`). These are decoded when there are many of them or when somebody asks. So a long answer costs its text,
not ten times that, and what cannot be spliced anyway (a tool call, several choices, too much text) is not kept at all.
"""

from collections.abc import Callable
from typing import cast

import msgspec

from trunkline.wire.openai import Delta, decode_chunk
from trunkline.wire.sse import EventSplitter, Fragment, parse_event

MAX_CHARACTERS = 8000
"""Of text that a second answer is compared with; DESIGN section 3."""
MAX_RAW = 64 * 1024
"""Bytes of events that wait undecoded: about 250 of them, so that few answers are decoded twice."""
MAX_PIECES = 64
"""Pieces that wait unjoined: one costs 50 bytes, joined it costs its text."""

TEXT_FIELDS = ("content", "reasoning_content", "reasoning", "refusal")
"""Fields of a delta that are text and grow."""
IDENTITY = ("id", "created", "model")
"""Fields of a chunk that are the same in all chunks of an answer."""

_DONE = b"[DONE]"
_EMPTY = (b"", b"null", b'""', b"0")  # Azure's first chunk has an empty id and model, and created 0


class Had(msgspec.Struct, frozen=True, gc=False):
    """What a client has of an answer.

    `identity`: the first stream's id, created and model, as it wrote them. `role`: one was sent. `texts`: by field of
    the delta, those that are not empty. `pieces`: in how many events they came, which is about their tokens.
    """

    identity: dict[str, msgspec.Raw]
    role: bool
    texts: dict[str, str]
    pieces: int


class Transcript:
    """The text of one stream's only choice, with what stands around it.

    `unfit`: why no other answer can be joined to this one; "" if one can. It is certain after `settle`.
    """

    __slots__ = ("_count", "_identity", "_parts", "_pieces", "_raw", "_role", "_splitter", "keep", "unfit")

    def __init__(self) -> None:
        self._pieces: list[bytes | tuple[bytes] | list[bytes]] = []  # tuples: events; lists: data of one
        self._raw = 0
        self._splitter = EventSplitter()
        self._identity: dict[str, msgspec.Raw] = {}
        self._role = False
        self._parts: dict[str, list[bytes]] = {}
        self._count = 0
        self.unfit = ""
        self.keep: Callable[[bytes], object] = self._pieces.append
        """Take the plain text of an event of choice 0: UTF-8 that its JSON did not escape."""

    def __repr__(self) -> str:
        size = sum(len(part) for parts in self._parts.values() for part in parts)
        return (
            f"<Transcript of {size} bytes, {len(self._pieces)} pieces more{self.unfit and ', ' + self.unfit}>"
        )

    def events(self, data: bytes) -> None:
        """Take whole events that went out as they are."""
        if self.unfit:
            return
        self._pieces.append((data,))
        self._raw += len(data)
        if self._raw > MAX_RAW:
            self.settle()

    def odd(self, payload: bytes) -> None:
        """Take the data of an event that is more than text."""
        self._pieces.append([payload])
        self._raw += len(payload)
        if self._raw > MAX_RAW:
            self.settle()

    def look(self) -> None:
        """Bound what is held; called now and then (`keep` cannot)."""
        if self.unfit or len(self._pieces) > MAX_PIECES:
            self.settle()

    def settle(self) -> None:
        """Reduce what was taken to its text."""
        pieces = self._pieces.copy()
        self._pieces.clear()  # in place: `keep` is bound to it
        held, self._raw = self._raw, 0
        if self.unfit:
            return
        if not held and "content" in self._parts:  # no events among them
            self._parts["content"] += cast("list[bytes]", pieces)
            self._count += len(pieces)
            pieces.clear()
        for piece in pieces:
            if isinstance(piece, tuple):
                for raw in self._splitter.feed(piece[0]):
                    if type(raw) is Fragment:
                        self.unfit = "an event was too long to be read"
                    elif (event := parse_event(raw)) is not None:
                        self._read(event.data)
            elif isinstance(piece, list):
                self._read(piece[0])
            else:
                self._add("content", piece)
        length = 0
        for parts in self._parts.values():
            parts[:] = (text := b"".join(parts),)
            length += len(text.decode())
        if length > MAX_CHARACTERS:
            self.unfit = f"more than {MAX_CHARACTERS} characters were sent"
        if self.unfit:
            self._parts.clear()

    def read(self) -> Had | str:
        """What the client has; or why no other answer can be joined to it."""
        self.settle()
        texts = {field: parts[0].decode() for field, parts in self._parts.items()}
        return self.unfit or Had(self._identity, self._role, texts, self._count)

    def _read(self, payload: bytes) -> None:
        """Read the data of one event."""
        if payload == _DONE:
            self.unfit = "the answer was whole"
            return
        try:
            chunk = decode_chunk(payload)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            self.unfit = "an event was not like those of a chat"
            return
        if len(self._identity) < len(IDENTITY):
            for name in IDENTITY:
                value: msgspec.Raw = getattr(chunk, name)
                if bytes(value) not in _EMPTY:
                    self._identity.setdefault(name, msgspec.Raw(bytes(value)))
        if chunk.error or chunk.object == "error":
            self.unfit = "an error was sent"
        for choice in chunk.choices or ():
            delta = choice.delta
            if choice.index:
                self.unfit = "there is more than one choice"
            if delta is not None:
                self._role = self._role or bool(delta.role)
                self._take(delta)
            if choice.finish_reason:
                self.unfit = "the answer was whole"

    def _take(self, delta: Delta) -> None:
        if delta.tool_calls or delta.function_call:
            self.unfit = "a tool call was begun"
        if delta.audio or delta.reasoning_details:
            self.unfit = "the answer is more than text"
        for field, text in zip(
            TEXT_FIELDS, (delta.content, delta.reasoning_content, delta.reasoning, delta.refusal), strict=True
        ):
            if text is None:
                continue
            if type(text) is str:
                self._add(field, text.encode())
            elif text:
                self.unfit = "the answer is more than text"

    def _add(self, field: str, text: bytes) -> None:
        if text:
            self._count += 1
            self._parts.setdefault(field, []).append(text)
