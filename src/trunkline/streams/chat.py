"""The streams of chat/completions and completions.

Owns what their chunks say: where content begins, when an answer is complete, what was used; and the short way, which
tells without a decode that a chunk says nothing new. Does not own what all streams have in common (base.py).
"""

import re
from collections.abc import Callable

import msgspec

from trunkline.streams.base import StreamInspector, is_utf8, stream_fault
from trunkline.wire.chunked import SIZE_LINES
from trunkline.wire.openai import ABSENT, Choice, Chunk, decode_chunk, present
from trunkline.wire.sse import Event

_DONE = b"[DONE]"
MAX_CHOICES = 1024
"""Choices of one answer; eight times what OpenAI lets anybody ask for. Each index is remembered."""
_MAX_LESSONS = 16
"""Frames in a row that are learned for nothing: one with a random field in each event would never pay it back."""
_NOT_PLAIN = re.compile(rb"[\"\\\x00-\x1f]").search


class ChatInspector(StreamInspector):
    """chat/completions and completions: complete with `[DONE]` or a finish_reason for every choice seen.

    Clients stop at `[DONE]`, so nothing goes on that comes behind it, nor is it looked at: an upstream could go on
    for ever with what no client reads.

    The events of a running stream differ in their text alone. So what stands around the text is learned from an event
    that was decoded (`frame`), and an event that has the same frame around plain text needs no decode (`repeats`):
    it is JSON because the first was, and says nothing new because the text is all that differs.
    """

    __slots__ = ("_learned", "_lessons", "_open", "_seen", "_tail", "frame", "keep", "keep_odd")

    def __init__(self, include_usage: bool = True) -> None:
        super().__init__(include_usage)
        self._seen: set[int | None] = set()
        self._open: set[int | None] = set()
        self._lessons = 0
        self._learned: tuple[bytes, bytes, int] | None = None
        self._tail = b""  # of the event that was learned from
        self.frame: tuple[bytes, bytes, int] | None = None
        """What stands around the text of a content event, behind it with the CRLF of a chunk, and the length of both;
        None: decode the next."""
        self.keep: Callable[[bytes], object] | None = None
        """Is given the text of each event that has nothing else."""
        self.keep_odd: Callable[[bytes], object] | None = None
        """Where there is a `keep`: is given the data of the others."""

    def repeats(self, data: bytes) -> bool:
        """Whether `data`, read at the boundary of a chunk, is one chunk with one event that says nothing new.

        Chunk framing is judged here too, because this runs once per token and a call costs as much as the check.
        """
        frame = self.frame
        if frame is None:
            return False
        before, after, around = frame
        size = len(data)
        line = SIZE_LINES[size] if size < len(SIZE_LINES) else b""
        start = len(line)
        if (
            start
            and data.startswith(line)
            and data.startswith(before, start)
            and data.endswith(after)
            and size >= start + around
            and _NOT_PLAIN(data, start + len(before), size - len(after)) is None
            and (data.isascii() or is_utf8(data))
        ):
            # This frame has paid for its lesson: `created` may change every second for hours.
            self._lessons = 0
            if self.keep is not None:
                self.keep(data[start + len(before) : size - len(after)])
            return True
        return False

    def feed(self, data: bytes) -> bytes:
        """As in the base class; one whole one-line event, the common case, takes a short way."""
        if (
            data.startswith(b"data: {")
            and not self._done
            and data.find(b"\n") == len(data) - 2
            and not self._splitter.mid_event
            and self.fault is None
            and data.endswith(b"\n\n")
            and b"\r" not in data
            and len(data) <= 65536
        ):
            self.events += 1
            out = data if self._chunk(data[6:-2], data) else b""
            if self.fault is not None:
                self.said, out = data, b""
        else:
            out = super().feed(data)
            # What was learned still holds, but only from where an event begins.
            self.frame = None if self._splitter.mid_event else self._learned
        if self.fault is not None or self._done:
            self.frame = None  # nothing follows
        return out

    def _inspect(self, event: Event) -> bool:
        if event.data == _DONE:
            self._done = self.terminal = True
            return True
        return self._chunk(event.data, b"")

    def _needed(self, event: Event) -> bool:
        # The role came first; what else says nothing is a server that lives: empty deltas while it thinks, or waits.
        return event.data == _DONE

    def _chunk(self, payload: bytes, event: bytes) -> bool:
        """Read one chunk; `event`: the whole event around it, if it may be learned from."""
        try:
            chunk = decode_chunk(payload)
        except (msgspec.ValidationError, UnicodeError, RecursionError):
            if self.keep_odd is not None:
                self.keep_odd(payload)
            return self._odd_shape(payload)
        except msgspec.DecodeError:
            self.malformed += 1
            return False
        if not payload.isascii() and not is_utf8(payload):  # the decoder does not look into what it skips
            self.malformed += 1
            return False
        if chunk.error or chunk.object == "error":
            self.fault = stream_fault(payload)
            return True
        choices = chunk.choices
        if chunk.timings is not ABSENT:
            if self.usage is self._earlier:  # no better report came yet
                self.usage = chunk.timings
            self._earlier = chunk.timings
        if chunk.usage is not ABSENT and present(chunk.usage):
            self.usage = chunk.usage
            if choices is not None and not choices and not self.include_usage:
                return False
        for choice in choices or ():
            index = choice.index
            if index not in self._seen:
                if len(self._seen) == MAX_CHOICES:
                    self.malformed += 1
                    return False
                self._seen.add(index)
                self._open.add(index)
                self.terminal = False
            if choice.finish_reason:  # some write "" where there is none yet
                self._open.discard(index)
                self.content = True
                self.terminal = not self._open
            elif (delta := choice.delta) is not None:
                if not self.content:
                    self.content = delta.has_content()
                if event and self._lessons < _MAX_LESSONS and type(delta.content) is str:
                    learned = self._learned
                    if learned is None or not (event.startswith(learned[0]) and event.endswith(self._tail)):
                        self._learn(event, delta.content.encode(), chunk)
            elif choice.text:
                self.content = True
        if self.keep_odd is not None:
            self._keep(choices, payload)
        return True

    def _oversize(self, beginning: bytes) -> None:
        if self.keep_odd is not None:
            self.keep_odd(beginning)

    def _keep(self, choices: list[Choice] | None, payload: bytes) -> None:
        assert self.keep is not None
        assert self.keep_odd is not None
        if choices is not None and len(choices) == 1:
            choice = choices[0]
            delta = choice.delta
            if (
                delta is not None
                and type(delta.content) is str
                and not (choice.index or choice.finish_reason)
                and not delta.has_more()
            ):
                self.keep(delta.content.encode())
                return
        self.keep_odd(payload)

    def _learn(self, event: bytes, text: bytes, chunk: Chunk) -> None:
        """Keep what stands around the text, if an event with another text there says nothing else that is new."""
        self._lessons += 1
        start = event.find(b'"content":"') + 11
        if start == 10:
            start = event.find(b'"content": "') + 12  # as Python's json writes it
        end = start + len(text)
        if (
            # Where the text needs escapes, or the key stands for something else too, it is not plain what is text.
            (
                start > 11
                and text
                and event[start : end + 1] == text + b'"'
                and event.count(b'"content":') == 1
            )
            # Counts and other choices say something each time.
            and (chunk.choices is not None and len(chunk.choices) == 1)
            and chunk.timings is ABSENT
            and not present(chunk.usage)
            # Text of another field would stand in the frame, and `keep` would not be given it.
            and (delta := chunk.choices[0].delta) is not None
            and not (delta.reasoning_content or delta.reasoning or delta.refusal)
        ):
            self._tail = event[end:]
            before, after = event[:start], self._tail + b"\r\n"
            self._learned = self.frame = (before, after, len(before) + len(after))

    def _told(self) -> int:
        return self.events - self._done

    @property
    def over(self) -> bool:
        """`[DONE]` came; after a finish_reason alone another choice may still begin."""
        return self._done

    def _finished(self) -> bool:
        return self.terminal
