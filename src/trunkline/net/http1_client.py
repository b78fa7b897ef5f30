"""One HTTP/1.1 connection to an upstream: a request out, an answer pushed in.

Owns the protocol on an open transport: writing requests, cutting answers into head, body and end, back-pressure,
and the blame for a loss. Does not own opening and keeping connections (net/pool.py), nor what an answer means to whom
it is given (net/receiver.py).

Body bytes go to the receiver in the callback that read them: no task, queue or timer. The loop reads a
socket many times in a row as long as it finds it full, 256 KiB each time, and chunks of a byte and empty events cost a
microsecond each: so after a large read the socket waits for the next turn, and what is parsed of it for several.
Whatever is left when an answer ends, or comes without a request, poisons the connection: it is closed, never reused.
"""

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable
from typing import cast

from trunkline.errors import CUT, MALFORMED, RESET, STALE, Fault
from trunkline.net.clock import Clock
from trunkline.net.receiver import Owner, Receiver
from trunkline.net.tls import tls_fault
from trunkline.wire.chunked import ChunkedDecoder, FramingError
from trunkline.wire.head import CHUNKED, UNTIL_CLOSE, ResponseHead

MAX_HEAD = 64 * 1024
MAX_INTERIM = 16  # 1xx answers before the real one; more is an upstream that plays
STALE_WINDOW = 0.25  # seconds; DESIGN section 6: later closes are ordinary resets
TURN = 64 * 1024
"""Bytes of one connection that are parsed in one turn of the loop; nearly every read is smaller."""
WRITE_HIGH, WRITE_LOW = 64 * 1024, 16 * 1024  # bytes; DESIGN section 3

_IDLE, _HEAD, _LENGTH, _CHUNKS, _CLOSE = range(5)
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 seconds


class ClientConnection(asyncio.Protocol):
    """One connection; at most one request at a time."""

    __slots__ = (
        "_buffer", "_decoder", "_interim", "_keep", "_kept", "_left", "_no_body", "_owner", "_partial", "_paused",
        "_phase", "_receiver", "_resting", "_transport", "_why_lost", "_writable", "answered", "clock", "counted",
        "forward", "forwarded", "fresh_until", "idle_timeout", "repeats", "sent_at", "turn", "used",
    )  # fmt: skip

    def __init__(self, owner: Owner, clock: Clock) -> None:
        # per connection
        self._owner = owner
        self.clock = clock
        self._transport: asyncio.Transport | None = None
        self._why_lost: Exception | None = None
        self.counted = False  # among the open ones of its pool
        self.used = 0
        self.fresh_until = 0.0  # when it is idle: how long it may be used again
        self._kept = b""  # of a large read, for later turns of the loop; the transport is paused meanwhile
        self._resting = False  # until the next turn of the loop, which goes on reading
        self.idle_timeout = -1.0  # what the upstream's Keep-Alive header allows; below 0: it said nothing
        # per request
        self._receiver: Receiver | None = None
        self._phase = _IDLE
        self._buffer = b""
        self._decoder = ChunkedDecoder(lenient_space=True)
        self._left = 0
        self._keep = False
        self._no_body = False
        self._partial = False  # the request body is not all written
        self._interim = 0
        self._paused = False
        self._writable = True
        # The short way of most reads of a stream: a whole chunk of which `repeats` says that nobody needs to look
        # at it goes to `forward` as it is. `forwarded` counts such bytes.
        self.repeats: Callable[[bytes], bool] | None = None
        self.forward: Callable[[bytes], None] = _nowhere
        self.forwarded = 0
        self.answered = False  # a byte of the answer came
        self.sent_at = 0.0
        self.turn = TURN
        """Bytes of an answer that are worked on in one turn of the loop; for the present answer alone."""

    def __repr__(self) -> str:
        phase = ("idle", "head", "body", "chunks", "until close")[self._phase]
        return f"<ClientConnection {phase}, request {self.used}>"

    @property
    def closed(self) -> bool:
        """Whether it can no longer be used."""
        return self._transport is None or self._transport.is_closing()

    @property
    def lost(self) -> bool:
        """Whether its transport is gone."""
        return self._transport is None

    def refusal(self) -> Fault:
        """What it means that the connection was lost before a byte of an answer came."""
        if isinstance(
            self._why_lost, ssl.SSLError
        ):  # TLS 1.3: a client certificate is refused after the handshake
            return tls_fault(self._owner.address, self._why_lost)
        return Fault(RESET, "the upstream closed the connection without an answer")

    def send(
        self, head: bytes, body: bytes, receiver: Receiver, *, no_body: bool = False, partial: bool = False
    ) -> None:
        """Write a request. `no_body`: HEAD. `partial`: more of the request body follows by `write`."""
        transport = self._transport
        assert transport is not None, "send on a connection that is not open"
        self._receiver = receiver
        self._phase = _HEAD
        self._no_body = no_body
        self._partial = partial
        self.answered = False
        self.used += 1
        self.sent_at = self.clock.now
        if len(body) <= WRITE_HIGH:
            transport.write(head + body)
        else:
            transport.write(head)
            transport.write(body)

    def write(self, data: bytes, *, last: bool) -> None:
        """More of a streamed request body, framed by the caller."""
        self._partial = not last
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def pause(self, paused: bool) -> None:
        """Stop or go on reading the answer: back-pressure from the client."""
        if self._transport is None or self._transport.is_closing():
            return
        self._paused = paused
        if paused:
            self._transport.pause_reading()
        elif self._kept:
            self._rest()
        elif not self._resting:
            self._transport.resume_reading()

    def abort(self) -> None:
        """Close at once, unsent bytes dropped; the receiver hears nothing more."""
        self._receiver = None
        self._kept = b""
        self.repeats = None
        transport = self._transport
        if transport is not None:
            if not self._writable and not transport.is_closing():
                # The upstream does not read: a FIN would wait behind what the kernel holds, for as long as it likes.
                transport.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE
                )
            transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(WRITE_HIGH, WRITE_LOW)

    def data_received(self, data: bytes) -> None:
        self.answered = True
        phase = self._phase
        if phase == _CHUNKS:
            decoder = self._decoder
            repeats = self.repeats
            if repeats is not None and decoder.at_boundary and repeats(data):
                self.forwarded += len(data)
                self.forward(data)
                return
            if repeats is not None and decoder.at_boundary and len(data) <= self.turn:
                data = self._forward_some(data, repeats)
                if not data:
                    return
            if len(data) > self.turn:
                data = self._begin_large(data)
            try:
                pieces = decoder.feed(data)
            except FramingError as error:
                self._malformed(f"the upstream's answer cannot be read: {error}")
                return
            receiver = self._receiver
            if receiver is not None and pieces:
                receiver.on_body(pieces[0] if len(pieces) == 1 else b"".join(pieces))
            if decoder.done:
                self._end(decoder.rest)
        elif phase == _LENGTH:
            self._counted(data)
        elif phase == _CLOSE:
            if len(data) > self.turn:
                data = self._begin_large(data)
            if self._receiver is not None:
                self._receiver.on_body(data)
        elif phase == _HEAD:
            self._head(data)
        else:  # an answer without a request: nothing this peer says can be trusted
            self.abort()

    def _forward_some(self, data: bytes, repeats: Callable[[bytes], bool]) -> bytes:
        """Of several chunks in one read, forward those that repeat up to the first that does not; give the rest."""
        begin = 0
        while (line := data.find(b"\r\n", begin, begin + 8)) > 0:
            try:
                end = line + 4 + int(data[begin:line], 16)
            except ValueError:
                break
            # One chunk alone was looked at already. What `int` lets pass beside a size, `repeats` does not.
            if end > len(data) or (not begin and end == len(data)) or not repeats(chunk := data[begin:end]):
                break
            self.forwarded += len(chunk)
            self.forward(chunk)
            begin = end
        return data[begin:]

    def eof_received(self) -> bool:
        return False  # the transport closes; connection_lost settles the rest

    def connection_lost(self, exc: Exception | None) -> None:
        while kept := self._kept:  # it came before the loss
            self._kept = kept[self.turn :]
            self.data_received(kept[: self.turn])
        receiver, self._receiver = self._receiver, None
        phase, self._phase = self._phase, _IDLE
        self._transport = None
        self._why_lost = exc
        self._owner.lost(self)
        if receiver is None:
            return
        if phase == _CLOSE and exc is None:
            receiver.on_end(False)
        elif self.answered:
            where = "in its head" if phase == _HEAD else "in the middle of its answer"
            receiver.on_fault(Fault(CUT, f"the upstream closed the connection {where}"))
        elif self.used > 1 and (not self._writable or self.clock.read() - self.sent_at <= STALE_WINDOW):
            receiver.on_fault(Fault(STALE, "the upstream had closed the idle connection"))
        else:
            receiver.on_fault(self.refusal())

    def pause_writing(self) -> None:
        self._writable = False
        if self._receiver is not None:
            self._receiver.on_upstream_writable(False)

    def resume_writing(self) -> None:
        self._writable = True
        if self._receiver is not None:
            self._receiver.on_upstream_writable(True)

    # large reads

    def _begin_large(self, data: bytes) -> bytes:
        """What of a large read belongs to this turn of the loop; the rest waits, and so does the socket."""
        transport = self._transport
        if transport is not None and not transport.is_closing():
            transport.pause_reading()
            self._rest()
            if self._phase == _CHUNKS or (self._receiver is not None and self._receiver.is_event_stream):
                data, self._kept = data[: self.turn], data[self.turn :]
        return data

    def _rest(self) -> None:
        if not self._resting:
            self._resting = True
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        """The next part of a large read; after the last the socket, which may be paused for another reason by now."""
        self._resting = False
        transport = self._transport
        if self._paused or transport is None or transport.is_closing():
            return
        if kept := self._kept:
            self._rest()
            self._kept = kept[self.turn :]
            self.data_received(kept[: self.turn])
        else:
            transport.resume_reading()

    # the answer

    def _head(self, data: bytes) -> None:
        held = self._buffer
        if held:
            data = held + data
            self._buffer = b""
        end = data.find(b"\r\n\r\n", max(0, len(held) - 3)) + 4
        if not 3 < end <= MAX_HEAD:
            if end == 3 and len(data) <= MAX_HEAD:
                self._buffer = data
            else:
                self._malformed(f"the upstream's response head is over {MAX_HEAD} bytes")
            return
        read = self._owner.heads.read(data[:end], no_body=self._no_body)
        if isinstance(read, str):
            self._malformed(f"the upstream's answer cannot be read: {read}")
            return
        head, length = read
        rest = data[end:]
        if head.status < 200:
            self._interim += 1
            if head.status == 101 or self._interim > MAX_INTERIM:
                self._malformed("the upstream sent an interim answer that was not asked for")
            elif rest:
                self._head(rest)
        else:
            self._body(head, length, rest)

    def _body(self, head: ResponseHead, length: int, rest: bytes) -> None:
        self._keep = head.keep_alive
        self._interim = 0
        self.forwarded = 0
        self.turn = TURN
        if (hint := head.fields.get(b"keep-alive")) is not None:
            self.idle_timeout = _keep_alive_timeout(hint)
        receiver = self._receiver
        if length == len(rest) and receiver is not None and receiver.takes_whole:
            self._receiver = None
            self._phase = _IDLE
            receiver.on_answer(head, rest)
            self._over(b"")
            return
        if length == CHUNKED:
            self._phase = _CHUNKS
            self._decoder = ChunkedDecoder(lenient_space=True)
        elif length == UNTIL_CLOSE:
            self._phase = _CLOSE
        else:
            self._phase = _LENGTH
            self._left = length
        if receiver is None:
            return
        receiver.on_head(head, length)
        if length == 0:
            self._end(rest)
        elif rest:
            self.data_received(rest)

    def _counted(self, data: bytes) -> None:
        if len(data) > self.turn:
            data = self._begin_large(data)
        left = self._left - len(data)
        rest = b""
        if left < 0:
            data, rest = data[:left], data[left:]
            left = 0
        self._left = left
        if self._receiver is not None:
            self._receiver.on_body(data)
        if not left:
            self._end(rest)

    def _end(self, rest: bytes) -> None:
        receiver, self._receiver = self._receiver, None
        self._phase = _IDLE
        if receiver is None:  # aborted from inside a callback
            return
        self._over(rest)
        receiver.on_end(True)

    def _over(self, rest: bytes) -> None:
        """An answer is complete: back to the pool, unless something speaks against another request."""
        self.repeats = None  # the next answer on this connection is another client's
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._keep and not rest and not self._kept and not self._partial and self._writable:
            if self._paused:  # for the client of this answer; the next one must get its own
                self.pause(False)
            self._owner.released(self)
        else:
            self.abort()

    def _malformed(self, message: str) -> None:
        receiver = self._receiver
        self.abort()
        if receiver is not None:
            receiver.on_fault(Fault(MALFORMED, message))


def _nowhere(data: bytes) -> None:
    """Stands where no answer is being forwarded."""
    raise AssertionError(f"{len(data)} bytes with nowhere to go")


def _keep_alive_timeout(hint: bytes) -> float:
    """Seconds that `Keep-Alive: timeout=N` promises, less one for the way; below 0 if it names none."""
    for part in hint.lower().split(b","):
        name, _, value = part.strip().partition(b"=")
        if name == b"timeout" and value.isdigit() and len(value) < 7:
            return max(0.0, int(value) - 1.0)
    return -1.0
