"""Turns an answer and a fault into steps: bytes to write, pauses, and how the connection ends.

Owns HTTP/1.1 framing of answers and everything a fault does to bytes and time. Does not own sockets: a script is a
plain iterator, `connection.py` plays it. Nothing is held in memory that the answer does not hold already.

Positions (`after`, `stall_after`, `malformed_event`, `error_event`) count events of a stream, bytes of any other
body. What is due at a position happens before the next piece; what lies behind the end happens at the end, before
the last chunk.
"""

import enum
import gzip
import math
import zlib
from collections.abc import Callable, Generator, Iterator
from http import HTTPStatus

import msgspec

from trunkline.simulator.answer import Answer, Event, Line, error_event
from trunkline.simulator.faults import Fault

PIECE = 64 * 1024
_MERGE = 16 * 1024  # small writes are joined up to this size: a system call costs more than the copy
_PATTERN = bytes(range(256)) * (PIECE // 256 + 1)
_COMMENT = b": keep-alive"
_CUT_OFF = Event(
    b'{"id":"chatcmpl-cut","object":"chat.completion.chunk","choices":[{"delta":{"content":"cut o'
)
_CUT_OFF_LINE = Line(b'{"model":"cut","message":{"role":"assistant","content":"cut o')
_INTERIM = {
    100: b"HTTP/1.1 100 Continue\r\n\r\n",
    103: b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n",
}


class Pause(msgspec.Struct, frozen=True, gc=False):
    """Do nothing for some seconds (may be infinite). 0 lets the bytes written so far leave on their own."""

    seconds: float


class End(enum.Enum):
    """The connection ends here: cut by RST or FIN, or after a whole answer. Without one it stays open."""

    RESET = "reset"
    CLOSE = "close"
    LAST = "last"


Step = bytes | Pause | End


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What the request says about the form of its answer."""

    head_only: bool = False  # HEAD
    http10: bool = False  # the client does not understand chunks
    close: bool = False
    request_id: str = "sim-0"


def script(answer: Answer, fault: Fault, terms: Terms) -> Iterator[Step]:
    """All that happens on the wire for one answer."""
    if answer.events is None and fault.gzip and answer.filler is None:
        answer = msgspec.structs.replace(answer, body=gzip.compress(answer.body, mtime=0))
    steps = _Script(answer, fault, terms).steps()
    return _dripped(steps) if fault.drip else _merged(steps)


class _Script:
    """One answer being written: the framing that was chosen, and what is due when."""

    def __init__(self, answer: Answer, fault: Fault, terms: Terms) -> None:
        self._answer, self._fault, self._terms = answer, fault, terms
        self._line_end = b"\r\n" if fault.crlf else b"\n"
        self._bodiless = terms.head_only or answer.status in (204, 304)
        until_close = fault.http10 or fault.no_length or (terms.http10 and answer.events is not None)
        chunked = fault.chunked or fault.broken_chunk or answer.events is not None
        self._chunked = chunked and not until_close and fault.lying_length is None
        self._sized = not until_close and not self._chunked
        self._close = until_close or terms.close or fault.lying_length is not None
        self._deflate = zlib.compressobj(wbits=31) if fault.gzip and answer.events is not None else None

    def steps(self) -> Iterator[Step]:
        fault = self._fault
        if fault.interim is not None:
            yield _INTERIM[fault.interim]
            yield Pause(0)
        if fault.delay_head is not None:
            yield Pause(fault.delay_head)
        if fault.reset == "accept" or fault.close == "before_head":
            yield End.RESET if fault.reset else End.CLOSE
            return
        head = self._head()
        if fault.reset == "head" or fault.close == "head":
            yield head[: len(head) // 2]
            yield End.RESET if fault.reset else End.CLOSE
            return
        yield head
        if not self._bodiless:
            yield from self._body(self._frame, self._last)
        if self._close:
            yield End.LAST if self._fault.lying_length is None else End.CLOSE

    def _head(self) -> bytes:
        answer, fault = self._answer, self._fault
        try:
            reason = HTTPStatus(answer.status).phrase
        except ValueError:
            reason = "Status"
        lines = [f"HTTP/1.{0 if fault.http10 else 1} {answer.status} {reason}"]
        if answer.content_type:
            lines.append(f"content-type: {answer.content_type}")
        if answer.events is not None:
            lines.append("cache-control: no-cache")
        if fault.gzip:
            lines.append("content-encoding: gzip")
        if self._chunked:
            lines.append("transfer-encoding: chunked")
        elif self._sized and answer.status not in (204, 304):
            lines.append(f"content-length: {max(0, self._length() + (fault.lying_length or 0))}")
        if self._close:
            lines.append("connection: close")
        elif self._terms.http10:
            lines.append("connection: keep-alive")
        lines.extend(f"{name}: {value}" for name, value in answer.headers)
        if fault.header is not None:
            lines.append(fault.header)
        lines.append(f"x-request-id: {self._terms.request_id}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def _length(self) -> int:
        """The true length of the body. A stream has one only if a fault asks to lie about it: measure it dry."""
        if self._answer.events is None:
            return self._size()
        return sum(len(step) for step in self._body(_unframed, bytes) if isinstance(step, bytes))

    def _size(self) -> int:
        return len(self._answer.body) if self._answer.filler is None else self._answer.filler

    def _body(self, frame: Callable[[bytes], bytes], last: Callable[[], bytes]) -> Iterator[Step]:
        """The body with everything that is due in it."""
        fault, streaming, done = self._fault, self._answer.events is not None, 0
        due = self._due()
        for piece in self._events() if streaming else self._blocks([at for at, _ in due]):
            if (yield from self._act(due, done, frame)):
                break
            if done and fault.delay_chunk is not None:
                yield Pause(fault.delay_chunk)
            if done and streaming and fault.comments is not None:
                yield frame(self._comment())
            yield frame(piece)
            done += 1 if streaming else len(piece)
        else:
            yield from self._act(due, math.inf, frame)
        yield last()

    def _due(self) -> list[tuple[int, str]]:
        """What happens where: (position, action), in order. At one position the order is that of this list."""
        fault, streaming = self._fault, self._answer.events is not None
        half = (self._answer.count if streaming else self._size()) // 2
        after = half if fault.after is None else fault.after
        due: list[tuple[int, str]] = []
        if fault.malformed_event is not None and streaming:
            due.append((fault.malformed_event, "malformed"))
        if fault.stall is not None:
            due.append((after if fault.stall_after is None else fault.stall_after, "stall"))
        if fault.error_event is not None and streaming:
            due.append((fault.error_event, "error"))
        if fault.broken_chunk:
            due.append((after, "break"))
        if "body" in (fault.reset, fault.close):
            due.append((after, "end"))
        return sorted(due, key=lambda item: item[0])

    def _act(
        self, due: list[tuple[int, str]], done: float, frame: Callable[[bytes], bytes]
    ) -> Generator[Step, None, bool]:
        """Do what is due by now; true if the body is over. Nobody asks for the steps behind an `End`."""
        while due and due[0][0] <= done:
            match due.pop(0)[1]:
                case "malformed":
                    cut_off = _CUT_OFF_LINE if self._answer.dialect == "ollama" else _CUT_OFF
                    yield frame(cut_off.render(self._line_end))
                case "stall":
                    yield from self._stall(frame)
                case "error":
                    event = error_event(self._answer.dialect, "the simulator was asked to fail here")
                    yield frame(event.render(self._line_end))
                    return True
                case "break":
                    yield b"XYZ\r\n"
                    yield End.CLOSE
                case _:
                    yield End.RESET if self._fault.reset else End.CLOSE
        return False

    def _stall(self, frame: Callable[[bytes], bytes]) -> Iterator[Step]:
        left, interval = self._fault.stall or 0.0, self._fault.comments
        while interval and self._answer.events is not None and left > interval:
            yield Pause(interval)
            yield frame(self._comment())
            left -= interval
        yield Pause(left)

    def _events(self) -> Iterator[bytes]:
        fault = self._fault
        dropped = {tag for tag, drop in (("done", fault.no_done), ("finish", fault.no_finish)) if drop}
        for event in self._answer.events or ():
            if event.tag not in dropped:
                yield event.render(self._line_end)

    def _comment(self) -> bytes:
        if self._answer.dialect == "ollama":  # lines of JSON know no comments; empty lines mean nothing, too
            return self._line_end
        return _COMMENT + self._line_end * 2

    def _blocks(self, marks: list[int]) -> Iterator[bytes]:
        """A whole body in pieces that end exactly at the marks."""
        start, size = 0, self._size()
        while start < size:
            stop = min([start + PIECE, size, *(mark for mark in marks if mark > start)])
            if self._answer.filler is None:
                yield self._answer.body[start:stop]
            else:
                yield _PATTERN[start % 256 : start % 256 + stop - start]
            start = stop

    def _frame(self, data: bytes) -> bytes:
        if self._deflate is not None:
            data = self._deflate.compress(data) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return self._chunk(data)

    def _chunk(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if self._chunked and data else data

    def _last(self) -> bytes:
        """What ends a complete body."""
        tail = self._chunk(self._deflate.flush()) if self._deflate is not None else b""
        return tail + b"0\r\n\r\n" if self._chunked else tail


def _unframed(data: bytes) -> bytes:
    return data


def _dripped(steps: Iterator[Step]) -> Iterator[Step]:
    """Every byte a write of its own."""
    for step in steps:
        if isinstance(step, bytes):
            for byte in step:
                yield bytes((byte,))
                yield Pause(0)
        else:
            yield step


def _merged(steps: Iterator[Step]) -> Iterator[Step]:
    """Join neighbouring small writes."""
    pending = bytearray()
    for step in steps:
        if isinstance(step, bytes) and len(pending) + len(step) <= _MERGE:
            pending += step
            continue
        if pending:
            yield bytes(pending)
            pending.clear()
        yield step
    if pending:
        yield bytes(pending)
