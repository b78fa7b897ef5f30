"""What an upstream's event stream says: one reader per surface, fed with bytes as they come.

Owns the questions that the relay asks of every stream: which bytes may go on now, did content begin, is it complete,
did it fail, what was used. Does not own when bytes are sent or held (engine/relay.py).

Each data event is decoded once. Whole events are given back as the upstream's own bytes; only a malformed event and
a usage chunk that nobody asked for are left out. An event over the splitter's limit passes undecoded and counts as
content. Completeness rules: DESIGN section 3.
"""

import re
from typing import Any

import msgspec

from trunkline.errors import CUT, EMPTY_STREAM, ERROR_IN_STREAM, INCOMPLETE, Fault
from trunkline.wire.chunked import SMALL_SIZES
from trunkline.wire.error_body import extract_message
from trunkline.wire.openai import ABSENT, decode_chunk, decode_typed_event, present
from trunkline.wire.sse import Event, EventSplitter, Fragment, parse_event

_decode_any = msgspec.json.Decoder(Any).decode
_DONE = b"[DONE]"


class StreamInspector:
    """The reader of a surface that has none of its own: whole events, undecoded; complete when the framing is.

    `content`: something a client sees was in the events given back. `events`: data events seen.
    `fault`: the upstream reported an error inside the stream; nothing is given back after it.
    """

    __slots__ = ("_splitter", "content", "events", "fault", "include_usage", "malformed", "terminal", "usage")

    def __init__(self, include_usage: bool = True) -> None:
        self._splitter = EventSplitter()
        self.include_usage = include_usage
        self.content = False
        self.terminal = False
        self.events = 0
        self.malformed = 0
        self.fault: Fault | None = None
        self.usage: msgspec.Raw = ABSENT

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.events} events, content={self.content}, terminal={self.terminal}>"

    @property
    def mid_event(self) -> bool:
        """Whether part of an oversize event was given back and its end has not come."""
        return self._splitter.mid_event and not self._splitter.pending

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; give those that may go on: whole events only."""
        out: list[bytes] = []
        for raw in self._splitter.feed(data):
            if self.fault is not None:
                break
            if type(raw) is Fragment:
                self.events += 1
                self.content = True
                out.append(bytes(raw))
                continue
            event = parse_event(raw)
            if event is None:
                out.append(raw)
                continue
            self.events += 1
            if event.event == b"error" and not self._is_typed():
                self.fault = _stream_fault(event.data)
            if self.fault is not None or self._inspect(event):
                out.append(raw)
        return out[0] if len(out) == 1 else b"".join(out)

    def end(self, *, framed: bool) -> Fault | None:
        """The body ended. `framed`: by its own framing, not just by the connection closing. None: complete."""
        if self.fault is not None:
            return self.fault
        if self.events == self.malformed:
            return Fault(EMPTY_STREAM, "the upstream's stream held no event")
        if self.mid_event:
            return Fault(CUT, "the upstream's stream ended inside an event")
        if not self._finished():
            return Fault(INCOMPLETE, "the upstream's stream ended before the answer was complete")
        if not framed and not self.terminal:
            return Fault(CUT, "the upstream closed the connection in the middle of its stream")
        return None

    def _is_typed(self) -> bool:
        """Whether errors are told by the event's own data (read in `_inspect`) rather than by its name."""
        return False

    def _inspect(self, event: Event) -> bool:
        """Read one event. False: it is not given back."""
        self.content = True
        return True

    def _finished(self) -> bool:
        return True


_MAX_LESSONS = 16
"""Times that a stream's frame is learned: one with a new random field in each event would never pay it back."""
_PLAIN = re.compile(rb"[^\"\\\x00-\x1f]*+")


class ChatInspector(StreamInspector):
    """chat/completions and completions: complete with `[DONE]` or a finish_reason for every choice seen.

    The events of a running stream differ in their text alone. So what stands around the text is learned from an event
    that was decoded (`frame`), and an event that has the same frame around plain text needs no decode (`repeats`):
    it is JSON because the first was, and says nothing new because the text is all that differs.
    """

    __slots__ = ("_lessons", "_open", "_seen", "frame")

    def __init__(self, include_usage: bool = True) -> None:
        super().__init__(include_usage)
        self._seen: set[int] = set()
        self._open: set[int] = set()
        self._lessons = 0
        self.frame: tuple[bytes, bytes] | None = None
        """What stands around the text of a content event, behind it with the CRLF of a chunk; None: decode the next."""

    def repeats(self, data: bytes) -> bool:
        """Whether `data`, read at the boundary of a chunk, is one chunk with one event that says nothing new.

        Chunk framing is judged here too, because this runs once per token and a call costs as much as the check.
        """
        frame = self.frame
        if frame is None:
            return False
        before, after = frame
        start = data.find(b"\r\n", 1, 6) + 2
        return (
            SMALL_SIZES.get(data[: start - 2]) == len(data) - start - 2
            and data.startswith(before, start)
            and data.endswith(after)
            and _PLAIN.fullmatch(data, start + len(before), len(data) - len(after)) is not None
            and (data.isascii() or _is_utf8(data))
        )

    def feed(self, data: bytes) -> bytes:
        """As in the base class; one whole one-line event, the common case, takes a short way."""
        if (
            data.startswith(b"data: {")
            and data.find(b"\n") == len(data) - 2
            and not self._splitter.mid_event
            and self.fault is None
            and data.endswith(b"\n\n")
            and b"\r" not in data
            and len(data) <= 65536
        ):
            self.events += 1
            return data if self._chunk(data[6:-2], data) else b""
        self.frame = None
        return super().feed(data)

    def _inspect(self, event: Event) -> bool:
        if event.data == _DONE:
            self.terminal = True
            return True
        return self._chunk(event.data, b"")

    def _chunk(self, payload: bytes, event: bytes) -> bool:
        """Read one chunk; `event`: the whole event around it, if it may be learned from."""
        try:
            chunk = decode_chunk(payload)
        except (msgspec.ValidationError, UnicodeError, RecursionError):
            return self._odd_shape(payload)
        except msgspec.DecodeError:
            self.malformed += 1
            return False
        if chunk.error or chunk.object == "error":
            self.fault = _stream_fault(payload)
            return True
        if chunk.usage is not ABSENT and present(chunk.usage):
            self.usage = chunk.usage
            if chunk.choices is not None and not chunk.choices and not self.include_usage:
                return False
        elif chunk.timings is not ABSENT and not present(self.usage):
            self.usage = chunk.timings
        for choice in chunk.choices or ():
            index = choice.index
            if index not in self._seen:
                self._seen.add(index)
                self._open.add(index)
            if choice.finish_reason is not None:
                self._open.discard(index)
                self.content = True
                self.terminal = not self._open
            elif (delta := choice.delta) is not None:
                if not self.content:
                    self.content = delta.has_content()
                if event and self._lessons < _MAX_LESSONS and type(delta.content) is str:
                    self._learn(event, delta.content.encode())
            elif choice.text:
                self.content = True
        return True

    def _learn(self, event: bytes, text: bytes) -> None:
        self._lessons += 1
        start = event.find(b'"content":"') + 11
        end = start + len(text)
        # Nothing is learned where the text needs escapes, or the key stands for something else too.
        if start > 10 and text and event[start : end + 1] == text + b'"' and event.count(b'"content":') == 1:
            self.frame = (event[:start], event[end:] + b"\r\n")

    def _odd_shape(self, payload: bytes) -> bool:
        """JSON whose fields have other types than the API's: passed on, and taken for content."""
        try:
            value = _decode_any(payload)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            self.malformed += 1
            return False
        if isinstance(value, dict) and value.get("error"):  # pyright: ignore[reportUnknownMemberType] # any JSON
            self.fault = _stream_fault(payload)
        self.content = True
        return True

    def _finished(self) -> bool:
        return self.terminal


class _TypedInspector(StreamInspector):
    """Surfaces whose events name their type in the data."""

    __slots__ = ()

    def _is_typed(self) -> bool:
        return True

    def _inspect(self, event: Event) -> bool:
        try:
            value = decode_typed_event(event.data)
        except msgspec.ValidationError:
            self.content = True
            return True
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            self.malformed += event.data != _DONE
            return event.data == _DONE
        if value.type == "error" or (not value.type and value.error):
            self.fault = _stream_fault(event.data)
            return True
        for holder in (value, value.response, value.message):
            if holder is not None and present(holder.usage):
                self.usage = holder.usage
        self._typed(value.type, event.data)
        return True

    def _typed(self, kind: str, payload: bytes) -> None:
        raise NotImplementedError

    def _finished(self) -> bool:
        return self.terminal


class ResponsesInspector(_TypedInspector):
    """/responses: complete with response.completed, response.incomplete or response.failed."""

    __slots__ = ()

    _PRELUDE = frozenset(
        (
            "response.created",
            "response.queued",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "keepalive",
        )
    )

    def _typed(self, kind: str, payload: bytes) -> None:
        if kind == "response.failed" and not self.content:
            self.fault = _stream_fault(payload)
        elif kind in ("response.completed", "response.incomplete", "response.failed"):
            self.terminal = self.content = True
        elif kind not in self._PRELUDE:
            self.content = True


class MessagesInspector(_TypedInspector):
    """/messages (Anthropic): complete with message_stop."""

    __slots__ = ()

    def _typed(self, kind: str, payload: bytes) -> None:
        if kind == "message_stop":
            self.terminal = self.content = True
        elif kind not in ("message_start", "ping", "content_block_start"):
            self.content = True


INSPECTORS: dict[str, type[StreamInspector]] = {
    "chat": ChatInspector,
    "completions": ChatInspector,
    "responses": ResponsesInspector,
    "messages": MessagesInspector,
}
"""The reader of each surface; others get `StreamInspector`."""


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _stream_fault(payload: bytes) -> Fault:
    info = extract_message(payload)
    return Fault(ERROR_IN_STREAM, f"the upstream reported an error in its stream: {info.message}")
