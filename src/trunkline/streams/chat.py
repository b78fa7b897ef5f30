"""The streams of chat/completions and completions.

Owns what their chunks say: where content begins, when an answer is complete, what was used; and the short way, which
tells without a decode that a chunk says nothing new. Does not own what all streams have in common (base.py), nor what
the client gets of a chunk (rewrite.py).
"""

import re
from collections.abc import Callable
from functools import lru_cache

from trunkline.streams.base import StreamInspector, is_utf8, stream_fault
from trunkline.streams.lenient import read_chunk
from trunkline.streams.raw import BAD_JSON
from trunkline.streams.rewrite import Rewriter
from trunkline.wire import sse
from trunkline.wire.chunked import SIZE_LINES
from trunkline.wire.openai import ABSENT, Choice, Chunk, Delta, decode_chunk, present
from trunkline.wire.sse import Event

_DONE = b"[DONE]"
MAX_CHOICES = 1024
"""Choices of one answer; eight times what OpenAI lets anybody ask for. Each index is remembered."""
_MAX_LESSONS = 16
"""Frames in a row that are learned for nothing: one with a random field in each event would never pay it back."""
_NOT_PLAIN = rb"[\"\\\x00-\x1f%b]"  # and the first bytes of what may be a tag
_SIZES = len(SIZE_LINES)
_TEXT_KEYS = (b'"content":', b'"reasoning_content":', b'"reasoning":')


class ChatInspector(StreamInspector):
    """chat/completions and completions: complete with `[DONE]` or a finish_reason for every choice seen.

    Clients stop at `[DONE]`, so nothing goes on that comes behind it, nor is it looked at: an upstream could go on
    for ever with what no client reads.

    The events of a running stream differ in their text alone. So what stands around the text is learned from an event
    that was decoded (`frame`), and an event that has the same frame around plain text needs no decode (`repeats`):
    it is JSON because the first was, and says nothing new because the text is all that differs. What the client gets
    of it differs from what it got of the first in the text alone, as long as the choice is in the same `condition`.
    """

    __slots__ = (
        "_condition", "_learned", "_lessons", "_marks", "_not_plain", "_of", "_open", "_paid", "_read", "_repeated",
        "_rewriter", "_seen", "_tail", "frame", "keep", "keep_odd", "keep_told",
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self._rewriter: Rewriter | None = None
        self._condition = 0  # of the choice that was learned from
        self._of = 0  # which is this one
        self._marks = ""  # with which a tag of it may have begun
        self._not_plain = _not_plain("")
        self._seen: set[int] = set()
        self._open: set[int] = set()
        self._lessons = 0  # since something repeated
        self._read = self._repeated = 0  # bytes of text, in events that were decoded and in others
        self._paid = 0  # those that had repeated at the last lesson
        self._learned: tuple[bytes, bytes] | None = None
        self._tail = b""  # of the event that was learned from
        self.frame: tuple[bytes, bytes] | None = None
        """What stands around the text of a content event, behind it with the CRLF of a chunk; None: decode the next."""
        self.keep: Callable[[bytes], object] | None = None
        """Is given the text of each event that has nothing else and goes on as it is."""
        self.keep_odd: Callable[[bytes], object] | None = None
        """Where there is a `keep`: is given the data of the others that go on as they are."""
        self.keep_told: Callable[[bytes], object] | None = None
        """Likewise: is given what goes on in place of the rest, which may be several events."""

    def repeats(self, data: bytes) -> bool:
        """Whether `data`, read at the boundary of a chunk, is one chunk with one event that says nothing new.

        Chunk framing is judged here too, because this runs once per token and a call costs as much as the check.
        """
        frame = self.frame
        if frame is None:
            return False
        before, after = frame
        size = len(data)
        line = SIZE_LINES[size] if size < _SIZES else b""
        start = len(line)
        begin, end = start + len(before), size - len(after)
        if (
            start
            and data.startswith(line)
            and data.startswith(before, start)
            and data.endswith(after)
            and begin < end  # without a text there is nothing to take out: such an event goes on
            and self._not_plain(data, begin, end) is None
            and (data.isascii() or is_utf8(data))
        ):
            self._repeated += end - begin
            if self.keep is not None and self.way is None:
                self.keep(data[begin:end])
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
            out = self._chunk(data[6:-2], data, whole=True)
            if self.fault is not None:
                self.said, out = data, b""
        else:
            out = super().feed(data)
            # What was learned still holds, but only from where an event begins.
            self.frame = None if self._splitter.mid_event else self._learned
        # An event that goes on as it came has told the rewriter nothing.
        if out is not data and self._learned is not None and self._changed():
            self._learned = self.frame = None
        if self.fault is not None or self._done:
            self.frame = None  # nothing follows
        return out

    def rewrite(self, rewriter: Rewriter, held: bytes) -> bytes:
        """From now on the events of chunks go through `rewriter`, beginning with those that were given back before."""
        self._rewriter = rewriter
        self._learned = self.frame = None
        return rewriter.feed(held)

    def _changed(self) -> bool:
        rewriter = self._rewriter
        return rewriter is not None and (
            rewriter.condition(self._of) != self._condition or rewriter.marks(self._of) != self._marks
        )

    def _inspect(self, event: Event, raw: bytes) -> bytes:
        if event.data == _DONE:
            self._done = self.terminal = True
            return raw if self._rewriter is None else self._rewriter.done(raw)
        return self._chunk(event.data, raw)

    def _needed(self, event: Event) -> bool:
        # The role came first; what else says nothing is a server that lives: empty deltas while it thinks, or waits.
        return event.data == _DONE

    def _chunk(self, payload: bytes, raw: bytes, *, whole: bool = False) -> bytes:
        """Read one chunk, give what goes on of it. `raw`: the event around it; `whole`: it may be learned from."""
        try:
            chunk = decode_chunk(payload)
        except BAD_JSON:
            found = read_chunk(payload)
            if found is None:
                return self._unread(payload, raw)
            chunk, payload, same = found
            whole = False
            raw = raw if same else sse.encode(payload)
        if not payload.isascii() and not is_utf8(payload):  # the decoder does not look into what it skips
            self.malformed += 1
            return b""
        if chunk.error or chunk.object == "error":
            self.fault = stream_fault(payload)
            return raw
        choices = chunk.choices
        if chunk.timings is not ABSENT:
            if self.usage is self._earlier:  # no better report came yet
                self.usage = chunk.timings
            self._earlier = chunk.timings
        if chunk.usage is not ABSENT and present(chunk.usage):
            self.usage = chunk.usage
        learns: str | None = None
        for choice in choices or ():
            index = choice.index or 0
            if index not in self._seen:
                if len(self._seen) == MAX_CHOICES:
                    self.malformed += 1
                    return b""
                self._seen.add(index)
                self._open.add(index)
                self.terminal = False
            delta = choice.delta
            if delta is not None:
                self._count(delta)
            if choice.finish_reason:  # some write "" where there is none yet
                self._open.discard(index)
                self.content = True
                self.terminal = not self._open
            elif delta is not None:
                if not self.content:
                    self.content = delta.has_content()
                if (
                    whole
                    and type(delta.content) is str
                    and (self._lessons < _MAX_LESSONS or self._paid != self._repeated)
                ):
                    learned = self._learned
                    if learned is None or not (raw.startswith(learned[0]) and raw.endswith(self._tail)):
                        learns = delta.content
            elif choice.text:
                self.content = True
                self._read += _size(choice.text)
        rewriter = self._rewriter
        if rewriter is None or learns is None:
            out = raw if rewriter is None else rewriter.chunk(chunk, payload, raw)
            if self.keep_odd is not None:
                self._keep(choices, payload, raw, out)
            return out
        assert choices is not None
        index = choices[0].index or 0
        condition = rewriter.condition(index)
        marks = rewriter.marks(index) if condition else ""
        out = rewriter.chunk(chunk, payload, raw)
        if self.keep_odd is not None:
            self._keep(choices, payload, raw, out)
        # What becomes of a text with tags in it says nothing of others, whatever condition it leads to.
        text, not_plain = learns.encode(), _not_plain(marks)
        if condition and not_plain(text) is None and self._learn(raw, out, text, chunk):
            self._of, self._condition, self._marks, self._not_plain = index, condition, marks, not_plain
        return out

    def _unread(self, payload: bytes, raw: bytes) -> bytes:
        """A chunk that cannot be read as one; gives what goes on of it."""
        if not self._odd_shape(payload):
            return b""
        if self.keep_odd is not None:
            self.keep_odd(payload)
        self._passes()
        return raw

    def _count(self, delta: Delta) -> None:
        """Add up what a delta says."""
        if type(text := delta.content) is str:
            self._read += _size(text)
        if text := delta.reasoning_content or delta.reasoning:
            self._read += _size(text) if type(text) is str else 0
        if type(text := delta.refusal) is str:
            self._read += _size(text)

    def _oversize(self, beginning: bytes) -> None:
        if self.keep_odd is not None:
            self.keep_odd(beginning)
        self._passes()

    def _passes(self) -> None:
        """The client gets what the rewriter is not told of."""
        if self._rewriter is not None and self.content:
            self._rewriter.content = True

    def _keep(self, choices: list[Choice] | None, payload: bytes, raw: bytes, out: bytes) -> None:
        assert self.keep is not None
        assert self.keep_odd is not None
        if out is not raw:
            if out and self.keep_told is not None:
                self.keep_told(out)
            return
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

    def _learn(self, event: bytes, out: bytes, text: bytes, chunk: Chunk) -> bool:
        """Keep what stands around the text, if an event with another text there says nothing else that is new.

        `out`: what the client gets of the event. Gives whether it was kept.
        """
        if (
            self._paid != self._repeated
        ):  # this frame was worth it: `created` may change every second for hours
            self._paid, self._lessons = self._repeated, 0
        self._lessons += 1
        around = _around(event, text, _TEXT_KEYS[:1])
        if (
            around is not None
            # Counts and other choices say something each time.
            and (chunk.choices is not None and len(chunk.choices) == 1)
            and chunk.timings is ABSENT
            and not present(chunk.usage)
            # What else a delta says would stand in the frame, and `keep` and the rewriter would not be given it.
            and (delta := chunk.choices[0].delta) is not None
            and not delta.has_more()
        ):
            way = None if out is event else () if not out else _around(out, text, _TEXT_KEYS)
            if way is None and out is not event:
                return False
            self.way = way
            self._tail = around[1]
            self._learned = self.frame = (around[0], self._tail + b"\r\n")
            return True
        return False

    @property
    def text_bytes(self) -> int:
        return self._read + self._repeated

    def _told(self) -> int:
        return self.events - self._done

    @property
    def over(self) -> bool:
        """`[DONE]` came; after a finish_reason alone another choice may still begin."""
        return self._done

    def _finished(self) -> bool:
        return self.terminal


@lru_cache(maxsize=64)
def _not_plain(marks: str) -> Callable[..., re.Match[bytes] | None]:
    """What finds, in the bytes of a text, all that JSON escapes and the characters that may begin a tag."""
    firsts = sorted({mark.encode("utf-8", "surrogatepass")[:1] for mark in marks})
    return re.compile(_NOT_PLAIN % b"".join(map(re.escape, firsts))).search


def _size(text: str) -> int:
    """Bytes of a text: what repeats is counted by them."""
    return len(text) if text.isascii() else len(text.encode())


def _around(event: bytes, text: bytes, keys: tuple[bytes, ...]) -> tuple[bytes, bytes] | None:
    """What stands before and behind a text that is the value of one of the keys; None if it is not plain what is text.

    It is not where the text needs escapes, and where the key stands for something else too.
    """
    if not text:
        return None
    for key in keys:
        start = event.find(key + b'"') + len(key) + 1
        if start == len(key):
            start = event.find(key + b' "') + len(key) + 2  # as Python's json writes it
        end = start + len(text)
        if start > len(key) + 1 and event[start : end + 1] == text + b'"' and event.count(key) == 1:
            return event[:start], event[end:]
    return None
