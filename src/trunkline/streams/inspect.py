"""What an upstream's event stream says: one reader per surface, fed with bytes as they come.

Owns the questions that the relay asks of every stream: which bytes may go on now, did content begin, is it complete,
did it fail, what was used. Does not own when bytes are sent or held (engine/relay.py).

Each data event is decoded once. Whole events are given back as the upstream's own bytes; only a malformed event and
a usage chunk that nobody asked for are left out. An event over the splitter's limit passes undecoded and counts as
content; of its type no more is known than its first bytes say. Completeness rules: DESIGN section 3.
"""

import re
from typing import Any, cast

import msgspec

from trunkline.errors import CUT, EMPTY_STREAM, ERROR_IN_STREAM, INCOMPLETE, Fault
from trunkline.wire.chunked import SIZE_LINES
from trunkline.wire.error_body import extract_message
from trunkline.wire.openai import (
    ABSENT,
    Chunk,
    Message,
    Response,
    decode_chunk,
    decode_typed_event,
    present,
)
from trunkline.wire.sse import Event, EventSplitter, Fragment, parse_event
from trunkline.wire.usage import Usage, merge, parse_usage

_decode_any = msgspec.json.Decoder(Any).decode
_DONE = b"[DONE]"


class StreamInspector:
    """The reader of a surface that has none of its own: whole events, undecoded; complete when the framing is.

    `content`: something a client sees was in the events given back. `events`: data events seen.
    `fault`: the upstream reported an error inside the stream; nothing is given back after it.
    `usage`: what it last said was used; `usage_value` is all that it said.
    """

    __slots__ = (
        "_earlier", "_inside", "_splitter", "content", "events", "fault", "include_usage", "malformed", "terminal",
        "usage",
    )  # fmt: skip

    def __init__(self, include_usage: bool = True) -> None:
        self._splitter = EventSplitter()
        self.include_usage = include_usage
        self.content = False
        self.terminal = False
        self.events: int = 0
        self.malformed = 0
        self.fault: Fault | None = None
        self.usage: msgspec.Raw = ABSENT
        # What a later report of `usage` may leave out: Anthropic's message_start, llama.cpp's timings.
        self._earlier: msgspec.Raw = ABSENT
        self._inside = False  # an oversize event was begun and has not ended

    def __repr__(self) -> str:
        name = type(self).__name__
        return f"<{name} {self.events} events, content={self.content}, terminal={self.terminal}>"

    @property
    def mid_event(self) -> bool:
        """Whether part of an oversize event was given back and its end has not come."""
        return self._splitter.mid_event and not self._splitter.pending

    def usage_value(self, surface: str) -> Usage | None:
        """What was used, of all the reports in the stream; None if it said nothing. `surface`: of the call."""
        last = None if self.usage is ABSENT else parse_usage(self.usage, surface)
        if self._earlier is ABSENT or self._earlier is self.usage:
            return last
        return merge(parse_usage(self._earlier, surface), last)

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; give those that may go on: whole events only."""
        pieces = self._splitter.feed(data)
        if not pieces or self.fault is not None:
            return b""
        out: list[bytes] = []
        inside = self._inside  # whether the first piece goes on with an oversize event
        self._inside = type(pieces[-1]) is Fragment and self.mid_event
        for raw in pieces:
            if type(raw) is Fragment:
                if not inside:
                    self.events += 1
                    self.content = True
                    self._oversize(raw)
                out.append(bytes(raw))
            elif (event := parse_event(raw)) is None:
                out.append(raw)
            else:
                self.events += 1
                if event.event == b"error":
                    self.fault = _stream_fault(event.data)
                if self.fault is not None or self._inspect(event):
                    out.append(raw)
                if self.fault is not None:
                    break
            inside = False
        return out[0] if len(out) == 1 else b"".join(out)

    def end(self, *, framed: bool) -> Fault | None:
        """The body ended. `framed`: by its own framing, not just by the connection closing. None: complete."""
        if self.fault is not None:
            return self.fault
        if self._told() == self.malformed:
            return Fault(EMPTY_STREAM, "the upstream's stream held no event")
        if self.mid_event:
            return Fault(CUT, "the upstream's stream ended inside an event")
        if not self._finished():
            return Fault(INCOMPLETE, "the upstream's stream ended before the answer was complete")
        if not framed and not self.terminal:
            return Fault(CUT, "the upstream closed the connection in the middle of its stream")
        return None

    def _inspect(self, event: Event) -> bool:
        """Read one event. False: it is not given back."""
        self.content = True
        return True

    def _oversize(self, beginning: bytes) -> None:
        """Read what little is known of an event that passes undecoded."""

    def _odd_shape(self, payload: bytes) -> bool:
        """JSON whose fields have other types than the API's: passed on, and taken for content."""
        try:
            value = _decode_any(payload)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            self.malformed += 1
            return False
        if _says_error(value):
            self.fault = _stream_fault(payload)
        self.content = True
        return True

    def _told(self) -> int:
        """Events that are more than the mark of an end."""
        return self.events

    @property
    def over(self) -> bool:
        """Whether the stream said that nothing more will come, so that its framing adds nothing."""
        return self.terminal

    def _finished(self) -> bool:
        return True


_MAX_LESSONS = 16
"""Frames in a row that are learned for nothing: one with a random field in each event would never pay it back."""
_NOT_PLAIN = re.compile(rb"[\"\\\x00-\x1f]").search


class ChatInspector(StreamInspector):
    """chat/completions and completions: complete with `[DONE]` or a finish_reason for every choice seen.

    The events of a running stream differ in their text alone. So what stands around the text is learned from an event
    that was decoded (`frame`), and an event that has the same frame around plain text needs no decode (`repeats`):
    it is JSON because the first was, and says nothing new because the text is all that differs.
    """

    __slots__ = ("_done", "_learned", "_lessons", "_open", "_seen", "_tail", "frame")

    def __init__(self, include_usage: bool = True) -> None:
        super().__init__(include_usage)
        self._seen: set[int | None] = set()
        self._open: set[int | None] = set()
        self._done = False
        self._lessons = 0
        self._learned: tuple[bytes, bytes, int] | None = None
        self._tail = b""  # of the event that was learned from
        self.frame: tuple[bytes, bytes, int] | None = None
        """What stands around the text of a content event, behind it with the CRLF of a chunk, and the length of both;
        None: decode the next."""

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
            and (data.isascii() or _is_utf8(data))
        ):
            # This frame has paid for its lesson: `created` may change every second for hours.
            self._lessons = 0
            return True
        return False

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
            out = data if self._chunk(data[6:-2], data) else b""
        else:
            out = super().feed(data)
            # What was learned still holds, but only from where an event begins.
            self.frame = None if self._splitter.mid_event else self._learned
        if self.fault is not None:
            self.frame = None  # nothing follows a fault
        return out

    def _inspect(self, event: Event) -> bool:
        if event.data == _DONE:
            self._done = self.terminal = True
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
        if not payload.isascii() and not _is_utf8(payload):  # the decoder does not look into what it skips
            self.malformed += 1
            return False
        if chunk.error or chunk.object == "error":
            self.fault = _stream_fault(payload)
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
                self._seen.add(index)
                self._open.add(index)
                self.terminal = self._done
            if choice.finish_reason:  # some write "" where there is none yet
                self._open.discard(index)
                self.content = True
                self.terminal = self._done or not self._open
            elif (delta := choice.delta) is not None:
                if not self.content:
                    self.content = delta.has_content()
                if event and self._lessons < _MAX_LESSONS and type(delta.content) is str:
                    learned = self._learned
                    if learned is None or not (event.startswith(learned[0]) and event.endswith(self._tail)):
                        self._learn(event, delta.content.encode(), chunk)
            elif choice.text:
                self.content = True
        return True

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


_EVENT_TYPE = re.compile(rb"(?:event: ?([\w.]+)\r?\n|data: ?\{\"type\": ?\"([\w.]+)\")")


class _TypedInspector(StreamInspector):
    """Surfaces whose events name their type in the data."""

    __slots__ = ()

    _PRELUDE: frozenset[str] = frozenset()
    """Types that show a client nothing yet."""
    _TERMINAL: frozenset[str] = frozenset()
    """Types that end an answer."""

    def _inspect(self, event: Event) -> bool:
        payload = event.data
        if payload == _DONE:
            return True
        try:
            value = decode_typed_event(payload)
        except msgspec.ValidationError:
            return self._odd_shape(payload)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            self.malformed += 1
            return False
        if not payload.isascii() and not _is_utf8(payload):
            self.malformed += 1
            return False
        kind = value.type
        if kind == "error" or (not kind and value.error) or (kind == "response.failed" and not self.content):
            self.fault = _stream_fault(payload)
            return True
        if isinstance(value.message, Message) and present(value.message.usage):
            self.usage = self._earlier = value.message.usage
        elif isinstance(value.response, Response) and present(value.response.usage):
            self.usage = value.response.usage
        elif present(value.usage):
            self.usage = value.usage
        if kind in self._TERMINAL:
            self.terminal = self.content = True
        elif kind not in self._PRELUDE:
            self.content = True
        return True

    def _oversize(self, beginning: bytes) -> None:
        # The last event of /responses holds the whole answer, which is over the limit if that has images.
        named = _EVENT_TYPE.match(beginning)
        if named is not None and (named[1] or named[2]).decode("ascii") in self._TERMINAL:
            self.terminal = True

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
    _TERMINAL = frozenset(("response.completed", "response.incomplete", "response.failed"))


class MessagesInspector(_TypedInspector):
    """/messages (Anthropic): complete with message_stop."""

    __slots__ = ()

    _PRELUDE = frozenset(("message_start", "ping", "content_block_start"))
    _TERMINAL = frozenset(("message_stop",))


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


def _says_error(value: Any) -> bool:
    """Whether decoded JSON is an error in one of the forms that the inspectors know."""
    if not isinstance(value, dict):
        return False
    fields = cast("dict[str, Any]", value)
    return bool(fields.get("error")) or fields.get("object") == "error" or fields.get("type") == "error"


def _stream_fault(payload: bytes) -> Fault:
    info = extract_message(payload)
    return Fault(ERROR_IN_STREAM, f"the upstream reported an error in its stream: {info.message}")
