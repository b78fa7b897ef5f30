"""Server-sent events: raw events out of a byte stream, and the fields of one event; sans-IO.

Owns the WHATWG framing rules (https://html.spec.whatwg.org/multipage/server-sent-events.html): lines end with
CR, LF or CRLF in any mix, a blank line ends an event. Does not own what an event means: `streams/inspect.py`.

How it works: `EventSplitter` cuts the stream into the upstream's own bytes, event by event, so that an event
that needs no change is forwarded as it came; `parse_event` reads the fields of one of them. Joined output plus
what is pending is always the input, byte for byte. No byte is scanned twice, whatever the chunking.

One corner: when a chunk ends with the CR of a blank line, the event is given out at once (its client must not
wait for the next one); an LF that then follows is the first byte of the next piece, or a piece of its own if it
comes alone. A line end in front of an event means nothing, so it is never kept waiting.
"""

import re
from collections.abc import Iterator

import msgspec

# Possessive `\n?+`: a CRLF is one line end, never a CR and a blank line.
_BLANK_LINE = re.compile(rb"(?:\r\n?+|\n)(?:\r\n?+|\n)")
_LINE_ENDS = (b"\n", b"\r", b"\r\n")
_BOM = b"\xef\xbb\xbf"

LIMIT = 1024 * 1024
"""Bytes of one event that are kept to be inspected: ten times the largest tool-call event seen."""

DECODER_LIMIT = 16 * 1024 * 1024
"""Bytes of one event that `Decoder` keeps: its callers want the whole event (a base64 image is a few MiB)."""


class Event(msgspec.Struct, frozen=True, gc=False):
    """One event that carries data. `id` and `retry` are what this event set, not the stream's last ones."""

    data: bytes
    event: bytes | None = None
    id: bytes | None = None
    retry: int | None = None


class Fragment(bytes):
    """A part of an event over the limit: to be forwarded, not to be parsed."""


class EventSplitter:
    """Cuts a stream into raw events. One longer than `limit` comes out as `Fragment`s, as they arrive."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._last = b""  # while an oversize event passes through: the last byte given out
        self._busy = False  # something is buffered, or an oversize event passes through

    def __repr__(self) -> str:
        return f"<EventSplitter {len(self._buffer)} bytes pending{', oversize' if self._last else ''}>"

    @property
    def pending(self) -> bytes:
        """A copy of the bytes after the last whole event."""
        return bytes(self._buffer)

    @property
    def mid_event(self) -> bool:
        """Whether an event is unfinished: pending, or an oversize one that is partly given out."""
        return self._busy

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take the next bytes; give the whole events (each with its blank line) and oversize fragments."""
        if not self._busy:
            # The common case: one event per chunk, handed on as the same object.
            size = len(chunk)
            if chunk.find(b"\n\n") == size - 2 and 1 < size <= self._limit and b"\r" not in chunk:
                return [chunk]
            return self._cut(chunk, 0, [])
        if self._last:
            return self._pass_through(chunk)
        buffer = self._buffer
        held = len(buffer)
        buffer += chunk
        # A blank line may begin in the last byte held; if that is the LF of a CRLF, the LF alone serves too.
        match = _BLANK_LINE.search(buffer, held - 1)
        if match is None:
            return self._check_size()
        del buffer[match.end() :]
        first = self._piece(bytes(buffer))
        buffer.clear()
        return self._cut(chunk, match.end() - held, [first])

    def flush(self) -> bytes:
        """Give out what is pending (no whole event) and start anew."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        self._last = b""
        self._busy = False
        return rest

    def _cut(self, chunk: bytes, start: int, out: list[bytes]) -> list[bytes]:
        """Cut `chunk[start:]`, which begins at an event's start; keep the tail."""
        for end in _ends(chunk, start):
            out.append(self._piece(chunk[start:end]))
            start = end
        tail = chunk[start:]
        self._busy = bool(tail) and tail not in _LINE_ENDS
        if self._busy:
            self._buffer += tail
            return out + self._check_size()
        if tail:
            out.append(tail)
        return out

    def _piece(self, raw: bytes) -> bytes:
        return raw if len(raw) <= self._limit else Fragment(raw)

    def _check_size(self) -> list[bytes]:
        if len(self._buffer) <= self._limit:
            return []
        self._last = bytes(self._buffer[-1:])
        out: list[bytes] = [Fragment(self._buffer)]
        self._buffer.clear()
        return out

    def _pass_through(self, chunk: bytes) -> list[bytes]:
        match = _BLANK_LINE.search(self._last + chunk)
        if match is None:
            self._last = chunk[-1:] or self._last
            return [Fragment(chunk)] if chunk else []
        end = match.end() - 1
        self._last = b""
        return self._cut(chunk, end, [Fragment(chunk[:end])])


def _ends(chunk: bytes, start: int) -> Iterator[int]:
    """Where the events of `chunk` end."""
    if b"\r" in chunk:
        for match in _BLANK_LINE.finditer(chunk, start):
            yield match.end()
        return
    # `find` is ten times faster than the pattern, and CR is rare (JSON escapes it).
    while (start := chunk.find(b"\n\n", start) + 2) > 1:
        yield start


def parse_event(raw: bytes) -> Event | None:
    """Read one raw event. None if it carries no data: comments, an unknown field, `data:` alone.

    A byte order mark is tolerated in front of any event (the standard: of the first one).
    """
    # Nearly every event is one `data: ` line. The first LF is the blank line's, so there is one line only.
    size = len(raw)
    if raw.startswith(b"data: ") and raw.find(b"\n") == size - 2 and raw.endswith(b"\n") and b"\r" not in raw:
        return Event(raw[6:-2]) if size > 8 else None
    data: list[bytes] = []
    name = event_id = retry = None
    for line in raw.removeprefix(_BOM).splitlines():  # bytes.splitlines knows CR, LF and CRLF, nothing else
        field, _, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value or None
        elif field == b"id" and b"\0" not in value:
            event_id = value
        elif field == b"retry" and value.isdigit():
            retry = int(value[:18])  # 18 digits: int() of an endless run of digits is quadratic
    joined = b"\n".join(data)
    return Event(joined, name, event_id, retry) if joined else None


class Decoder:
    """Bytes to events. An event that is never ended, or longer than `limit`, is dropped."""

    def __init__(self, limit: int = DECODER_LIMIT) -> None:
        self._splitter = EventSplitter(limit)

    def feed(self, chunk: bytes) -> list[Event]:
        """Take the next bytes; give the events that are whole now."""
        pieces = self._splitter.feed(chunk)
        return [event for raw in pieces if type(raw) is bytes and (event := parse_event(raw)) is not None]

    def flush(self) -> list[Event]:
        """End of the stream: an event without its blank line does not count (WHATWG)."""
        self._splitter.flush()
        return []


def encode(data: bytes, event: bytes | None = None, id: bytes | None = None) -> bytes:
    """Render one event. Lines inside `data` become `data:` lines; ValueError for those in `event` or `id`."""
    if event is None and id is None and b"\n" not in data and b"\r" not in data:
        return b"data: %b\n\n" % data
    lines = [
        b"%b: %b\n" % (field, _one_line(value)) for field, value in ((b"event", event), (b"id", id)) if value
    ]
    text = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    lines += [b"data: %b\n" % line for line in text.split(b"\n")]
    return b"".join([*lines, b"\n"])


def comment(text: bytes) -> bytes:
    """Render a comment line. One line end only: it must not end an event; valid only between events."""
    return b": %b\n" % _one_line(text)


def _one_line(value: bytes) -> bytes:
    if b"\n" in value or b"\r" in value:
        raise ValueError("a line end in one line of an event")
    return value
