"""One client connection: bytes in, scripts played, bytes out.

Owns the socket's side: order of pipelined answers, backpressure, noticing that the client has left, FIN and RST.
Does not own parsing (`request.py`) nor what is answered (`dispatch.py`).

A connection without a request in work has no task. Its socket is read at all times, so that a client's FIN is seen
in the middle of a stream or stall; FIN means gone, as it does for the model servers simulated here.
"""

import asyncio
import math
import socket
import struct
from collections import deque
from collections.abc import Iterator
from typing import cast

from trunkline.simulator.dispatch import steps_for, too_early
from trunkline.simulator.request import BadRequest, Request, RequestReader
from trunkline.simulator.script import End, Pause, Step
from trunkline.simulator.state import BODY_KEPT, Entry, Outcome, State

HIGH_WATER = 64 * 1024
_YIELD_EVERY = 256 * 1024  # bytes written before other connections get their turn
_MAX_WAITING = 1000  # pipelined requests; a client that sends more without reading is cut
_RESET_GAP = 0.005  # seconds in which the peer can read what was sent before its socket reports the reset
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connection(asyncio.Protocol):
    """The protocol of one accepted connection."""

    _transport: asyncio.Transport
    _number: int

    def __init__(self, state: State, everyone: set["Connection"]) -> None:
        self._state = state
        self._everyone = everyone
        self._loop = asyncio.get_running_loop()
        self._reader = RequestReader()
        self._arriving: tuple[Entry, Request] | None = None  # its body is not complete
        self._queue: deque[tuple[Entry, Request] | BadRequest] = deque()
        self._answering: Entry | None = None
        self._task: asyncio.Task[None] | None = None
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._deaf = False  # nothing that arrives is read any more
        self._ending: Outcome = "client_closed"  # what a loss of the connection means

    def __repr__(self) -> str:
        return f"<Connection {self._number}: answering {self._answering}, {len(self._queue)} waiting>"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER)
        self._transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._number = self._state.connected()
        self._everyone.add(self)

    def data_received(self, data: bytes) -> None:
        """Parse, and start answering if nothing is being answered."""
        if self._deaf:
            return
        try:
            for request in self._reader.feed(data):
                self._take(request)
        except BadRequest as bad:
            self._deaf = True
            self._reject(bad)
        if self._arriving is not None:
            entry, request = self._arriving
            entry.body_length = len(request.body)
        if len(self._queue) > _MAX_WAITING:
            self._transport.abort()
        elif self._queue and self._task is None:
            self._task = self._loop.create_task(self._run())
            self._task.add_done_callback(self._ran)

    def _take(self, request: Request) -> None:
        if not request.complete:
            self._arriving = (self._state.begin(request, self._number), request)
            idle = self._task is None and not self._queue  # else the 100 would stand before another's answer
            if idle and (request.header("expect") or "").lower() == "100-continue":
                self._transport.write(_CONTINUE)
        elif self._arriving is not None:
            entry, self._arriving = self._arriving[0], None
            entry.body_length = len(request.body)
            entry.body = request.body[:BODY_KEPT].decode(errors="replace")
            self._queue.append((entry, request))

    def _reject(self, bad: BadRequest) -> None:
        """Log what is not a request, or is one no longer, and answer it in its turn."""
        if self._arriving is None:
            entry = self._state.begin(Request("", "", 1, [], bytearray()), self._number)
        else:
            entry, self._arriving = self._arriving[0], None
        entry.status, entry.error = bad.status, str(bad)
        self._state.finish(entry, "rejected")
        self._queue.append(bad)

    async def _run(self) -> None:
        """Answer what is waiting, in order."""
        while self._queue and not self._transport.is_closing():
            item = self._queue.popleft()
            if isinstance(item, BadRequest):
                self._transport.write(too_early(item.status, str(item)))
                self._transport.close()
                return
            self._answering, request = item
            end = await self._play(steps_for(self._state, request, self._answering), self._answering)
            if end is End.RESET:
                await self._flushed()
            entry, self._answering = self._answering, None
            match end:
                case None:
                    self._state.finish(entry, "answered")
                case End.LAST:
                    self._state.finish(entry, "answered")
                    self._finish()
                case End.CLOSE:
                    self._state.finish(entry, "closed")
                    self._finish()
                case End.RESET:
                    self._state.finish(entry, "reset")
                    self._reset()

    async def _play(self, steps: Iterator[Step], entry: Entry) -> End | None:
        """Do the steps; None if the connection stays open."""
        unyielded = 0
        for step in steps:
            if isinstance(step, bytes):
                self._transport.write(step)
                entry.sent += len(step)
                unyielded += len(step)
                if not self._may_write.is_set():
                    await self._may_write.wait()
                if unyielded >= _YIELD_EVERY:
                    unyielded = 0
                    await asyncio.sleep(0)
            elif isinstance(step, Pause):
                await (
                    self._loop.create_future() if step.seconds == math.inf else asyncio.sleep(step.seconds)
                )
            else:
                return step
        return None

    def _finish(self) -> None:
        """FIN behind what was written. Requests that wait behind this one are not answered."""
        self._deaf = True
        self._transport.close()

    def _reset(self) -> None:
        self._deaf = True
        linger = struct.pack("ii", 1, 0)  # on, 0 seconds: close() sends RST
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._transport.abort()

    async def _flushed(self) -> None:
        """Wait until everything written has left: a reset drops what has not."""
        while self._transport.get_write_buffer_size():  # noqa: ASYNC110  (transports do not report this)
            await asyncio.sleep(_RESET_GAP)
        await asyncio.sleep(_RESET_GAP)

    def _ran(self, task: asyncio.Task[None]) -> None:
        """The task has ended: by itself, with the connection, or by a bug, which must not leave a client waiting."""
        self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self._transport.abort()
            self._loop.call_exception_handler({"message": "simulator", "exception": error, "protocol": self})
        elif self._queue and not self._transport.is_closing():
            self.data_received(b"")  # a request arrived after the task's last look

    def pause_writing(self) -> None:
        """The client does not read."""
        self._may_write.clear()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._may_write.set()

    def eof_received(self) -> bool:
        """The client has left, or has half-closed, which is taken for the same."""
        if self._busy():
            self._transport.abort()  # closing would first wait for a client that does not read
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop at once and settle all requests that are not over."""
        if self._task is not None:
            self._task.cancel()
        waiting = [item[0] for item in self._queue if not isinstance(item, BadRequest)]
        arriving = self._arriving[0] if self._arriving is not None else None
        for entry in (self._answering, *waiting, arriving):
            if entry is not None:
                self._state.finish(entry, self._ending)
        self._answering, self._arriving = None, None
        self._queue.clear()
        self._everyone.discard(self)
        self._state.disconnected()

    def _busy(self) -> bool:
        return self._answering is not None or bool(self._queue) or self._arriving is not None

    def shut(self) -> asyncio.Task[None] | None:
        """The simulator is closing: end now. Returns the task that is being cancelled, to be waited for."""
        self._ending = "shutdown"
        self._transport.abort()
        return self._task
