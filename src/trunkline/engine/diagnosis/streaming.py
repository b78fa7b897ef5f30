"""One streamed answer, watched as it comes.

Owns asking for it and noting when its first event came and how it ended. Does not own what is asked nor what is made
of it (completion_steps.py), nor the rules of completeness (streams/inspect.py).
"""

import asyncio
from time import monotonic

import msgspec

from trunkline.engine.upstream import Upstream
from trunkline.errors import CONNECT_TIMEOUT, MALFORMED, RESET, Answer, Fault
from trunkline.net.dns import ConnectFailed
from trunkline.net.http1_client import ClientConnection, Receiver
from trunkline.providers.dialects import Dialect, Translation
from trunkline.streams.inspect import ChatInspector
from trunkline.wire.head import ResponseHead
from trunkline.wire.values import Call

MAX_STREAM = 1024 * 1024  # bytes; a tiny answer has some hundred per token


class Streamed(msgspec.Struct, frozen=True):
    """What came. `answer` has the body where it was no stream; `first`: seconds until the first event."""

    answer: Answer
    is_stream: bool
    fault: Fault | None
    first: float
    events: int


class _Watch(Receiver):
    """Receives one answer."""

    def __init__(self, connection: ClientConnection, translation: Translation | None) -> None:
        self.ended: asyncio.Future[Fault | None] = asyncio.get_running_loop().create_future()
        self.head: ResponseHead | None = None
        self.body = bytearray()
        self.inspector = ChatInspector()
        self.is_stream = False
        self.first = 0.0
        self.framed = True
        self._connection = connection
        self._translation = translation
        self._asked_at = monotonic()

    def on_head(self, head: ResponseHead, length: int) -> None:
        del length
        self.head = head
        wanted = b"text/event-stream" if self._translation is None else b"ndjson"
        self.is_stream = head.status == 200 and wanted in head.fields.get(b"content-type", b"").lower()

    def on_body(self, data: bytes) -> None:
        self.body += data
        if self.is_stream:
            self.inspector.feed(data if self._translation is None else self._translation.feed(data))
            if self.inspector.events and not self.first:
                self.first = monotonic() - self._asked_at
        if len(self.body) > MAX_STREAM:
            self._connection.abort()
            self._settle(Fault(MALFORMED, f"the answer is longer than {MAX_STREAM} bytes"))

    def on_end(self, framed: bool) -> None:
        self.framed = framed
        if self._translation is not None and self.is_stream and framed:
            self.inspector.feed(self._translation.end())
        self._settle(None)

    def on_fault(self, fault: Fault) -> None:
        self._settle(fault)

    def on_upstream_writable(self, writable: bool) -> None:
        """Nobody waits to write more."""

    def _settle(self, fault: Fault | None) -> None:
        if not self.ended.done():
            self.ended.set_result(fault)


async def stream(
    upstream: Upstream, call: Call, timeout: float, dialect: Dialect | None = None
) -> Streamed | Fault:
    """Ask, and watch the answer to its end, within `timeout` seconds; a fault if not even a head came."""
    watch: _Watch | None = None
    connection: ClientConnection | None = None
    try:
        async with asyncio.timeout(timeout):
            authorization = await upstream.authorization()
            if isinstance(authorization, Fault):
                return authorization
            connection = await upstream.probes.open(fresh=True)
            if connection.closed:
                return Fault(RESET, "the upstream closed the connection before the request was sent")
            connection.clock.read()
            if dialect is None:
                watch = _Watch(connection, None)
                head = upstream.head(call, len(call.body), authorization)
            else:
                watch = _Watch(connection, dialect.stream("", request_id="doctor", created=0))
                head = upstream.native_head(call, dialect, len(call.body), authorization)
            connection.send(head, call.body, watch)
            fault = await watch.ended
    except ConnectFailed as failed:
        return failed.fault
    except TimeoutError:
        fault = Fault(CONNECT_TIMEOUT, f"no end within {timeout:g} s")
    finally:
        if connection is not None and (watch is None or not watch.ended.done() or watch.ended.cancelled()):
            connection.abort()
    if watch is None or watch.head is None:
        return fault or Fault(RESET, "the upstream closed the connection without an answer")
    if fault is None and watch.is_stream:
        fault = watch.inspector.end(framed=watch.framed)
    answer = Answer(watch.head.status, watch.head.headers, bytes(watch.body))
    return Streamed(answer, watch.is_stream, fault, watch.first, watch.inspector.events)
