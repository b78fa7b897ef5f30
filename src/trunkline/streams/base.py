"""What every reader of an event stream does; alone it is the reader of surfaces that have none of their own.

Owns cutting the stream into events, what goes on of them, and the verdict at the end. Does not own what the events of
a surface mean (chat.py, typed.py), nor when bytes are sent or held (engine/relay.py).

Each data event is decoded once. Whole events are given back as the upstream's own bytes, or as the rewriter of their
surface wants them (rewrite.py); only a malformed event is left out. An event over the splitter's limit passes
undecoded and counts as content, unless it is nothing but a comment so far; of its type no more is known than its
first bytes say.
Completeness rules: DESIGN section 3.
"""

from typing import Any, cast

import msgspec

from trunkline.errors import CUT, EMPTY_STREAM, ERROR_IN_STREAM, INCOMPLETE, Answer, Fault
from trunkline.wire.error_body import extract_message
from trunkline.wire.openai import ABSENT
from trunkline.wire.sse import Event, EventSplitter, Fragment, parse_event
from trunkline.wire.usage import Usage, merge, parse_usage

_decode_any = msgspec.json.Decoder(Any).decode
_LEAST = len(b"data:x\n\n")
"""Bytes of the shortest event that has data: a flood of line ends need not be parsed."""


class StreamInspector:
    """The reader of a surface that has none of its own: whole events, undecoded; complete when the framing is.

    `content`: something a client sees was in the events given back. `events`: data events seen.
    `fault`: the upstream reported an error inside the stream, in the event `said`; nothing is given back from there on.
    `usage`: what it last said was used; `usage_value` is all that it said.
    """

    __slots__ = (
        "_done", "_earlier", "_half_ended", "_inside", "_skips", "_spares", "_splitter", "content", "events", "fault",
        "malformed", "said", "terminal", "usage", "way",
    )  # fmt: skip

    def __init__(self) -> None:
        self._splitter = EventSplitter()
        self.way: tuple[bytes, ...] | None = None
        """How what `repeats` goes on: None as it is, () not at all, else its text between these two."""
        self.content = False
        self.terminal = False
        self.events: int = 0
        self.malformed = 0
        self.fault: Fault | None = None
        self.said = b""
        self.usage: msgspec.Raw = ABSENT
        # What a later report of `usage` may leave out: Anthropic's message_start, llama.cpp's timings.
        self._earlier: msgspec.Raw = ABSENT
        self._inside = False  # an oversize event was begun and has not ended
        self._skips = False  # and it is a comment, as far as anybody can tell
        self._spares = False  # no more can be held: signs of life before content are left out
        self._done = False  # the stream said its last word: nothing that follows is looked at
        self._half_ended = False  # its CR came, and an LF may follow that belongs to it

    def __repr__(self) -> str:
        name = type(self).__name__
        return f"<{name} {self.events} events, content={self.content}, terminal={self.terminal}>"

    @property
    def text_bytes(self) -> int:
        """Of the answer and its thoughts, where the surface is read that far."""
        return 0

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
        if self.fault is not None:
            return b""
        if self._done:
            half_ended, self._half_ended = self._half_ended, False
            return b"\n" if half_ended and data.startswith(b"\n") else b""
        pieces = self._splitter.feed(data)
        if not pieces:
            return b""
        out: list[bytes] = []
        inside = self._inside  # whether the first piece goes on with an oversize event
        self._inside = type(pieces[-1]) is Fragment and self.mid_event
        for raw in pieces:
            if type(raw) is Fragment:
                if not inside:
                    self._skips = raw.startswith(b":") and not self.content
                    if not self._skips:
                        self.events += 1
                        self.content = True
                        self._oversize(raw)
                if not self._skips:
                    out.append(bytes(raw))
            elif len(raw) < _LEAST or (event := parse_event(raw)) is None:
                if not self._spares or self.content:
                    out.append(raw)
            else:
                self.events += 1
                if event.event == b"error":
                    self.fault = stream_fault(event.data)
                goes_on = self._inspect(event, raw) if self.fault is None else b""
                if self.fault is not None:
                    self.said = raw
                    break
                if goes_on and (not self._spares or self.content or self._needed(event)):
                    out.append(goes_on)
                if self._done:
                    self._half_ended = raw.endswith(b"\r")
                    self._splitter.flush()  # what else was read is no event that was cut
                    break
            inside = False
        return out[0] if len(out) == 1 else b"".join(out)

    def spare(self, out: bytes) -> bytes:
        """Of bytes given back before content: the events that a client must have. For when no more can be held.

        Comments and other signs of life carry nothing, and an upstream may send them for as long as it likes: from
        now on `feed` leaves them out itself, so that none is parsed twice.
        """
        self._spares = True
        pieces = EventSplitter().feed(out)
        return b"".join(
            [raw for raw in pieces if (event := parse_event(raw)) is not None and self._needed(event)]
        )

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

    def _inspect(self, event: Event, raw: bytes) -> bytes:
        """Read one event; give what goes on of it. `raw`: the whole of it."""
        self.content = True
        return raw

    def _needed(self, event: Event) -> bool:
        """Whether an event before content is more than a sign of life."""
        return True

    def _oversize(self, beginning: bytes) -> None:
        """Read what little is known of an event that passes undecoded."""

    def _odd_shape(self, payload: bytes) -> bool:
        """JSON whose fields have other types than the API's: passed on and taken for content, if it is no error."""
        try:
            value = _decode_any(payload)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            self.malformed += 1
            return False
        if _says_error(value):
            self.fault = stream_fault(payload)
        else:
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


def is_utf8(data: bytes) -> bool:
    """Whether bytes are text."""
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


def stream_fault(payload: bytes) -> Fault:
    """The fault that an error inside a stream is. `payload`: the data of its event, kept as its `answer`."""
    info = extract_message(payload)
    message = f"the upstream reported an error in its stream: {info.message}"
    return Fault(ERROR_IN_STREAM, message, answer=Answer(200, [], payload))
