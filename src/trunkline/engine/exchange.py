"""One call from its checked request to its record: which backend is asked, what the client gets, when it is over.

Owns the sequence of attempts and the state of a call. Does not own the bytes of an answer (relay.py), deadlines
(deadlines.py), the words of a failed end (ending.py), the order of backends (routing/plan.py) nor the verdict on a
failure (routing/faults.py).

Phases: RECEIVED -> TRYING -> COMMITTED -> DONE. The first attempt on an open connection is sent in the very callback
that brought the request; only opening a connection awaits. Faults before content was sent lead to the next candidate;
afterwards the stream ends with an in-band error, anything else without the end that its framing asks for.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from trunkline.engine.answer_head import answer_block, gateway_block
from trunkline.engine.deadlines import NEVER, Due, due
from trunkline.engine.ending import error_answer, may_say_error
from trunkline.engine.recording import attempt_record, usage_record
from trunkline.engine.relay import Relay
from trunkline.engine.shaping import shape
from trunkline.engine.sink import Sink
from trunkline.engine.upload import Upload
from trunkline.errors import (
    CLIENT_GONE,
    INTERNAL,
    INVALID_REQUEST,
    RESET,
    SHUTTING_DOWN,
    STALE,
    TOTAL_TIMEOUT,
    Fault,
)
from trunkline.net.dns import ConnectFailed
from trunkline.net.http1_client import ClientConnection
from trunkline.policy.record import AttemptRecord, UsageRecord
from trunkline.routing.faults import tries_next
from trunkline.wire.error_body import sse_error
from trunkline.wire.sse import comment
from trunkline.wire.values import SSE_SURFACES, Call

if TYPE_CHECKING:
    from trunkline.engine.runtime import Choice, Runtime

KEEP_ALIVE = comment(b"keep-alive")
_SSE_HEAD = (
    b"content-type: text/event-stream; charset=utf-8\r\n"
    b"cache-control: no-cache, no-transform\r\nx-accel-buffering: no\r\n"
)
SMALL_BODY = 4096
"""Bytes of a request body that may stay until the call is recorded, a moment later."""
# A request of these without a body still says that it has none (RFC 9110 8.6).
_WITH_BODY = frozenset((b"POST", b"PUT", b"PATCH"))


class Exchange:
    """The whole life of one call."""

    # Defaults stand on the class: a call sets what differs, or what every call reads.
    _index = 0  # which candidate is being tried
    _relay: Relay | None = None
    _attempts: tuple[AttemptRecord, ...] = ()  # those that failed
    _fresh = False  # an idle connection was stale: replace it once
    _replaced = False
    _opening: asyncio.Task[None] | None = None
    _authorization = b""  # the line of a token, where the backend wants one
    _renewed = False  # the backend refused a token: there was another
    _notes: tuple[str, ...] = ()  # what the present attempt's request was changed in
    committed = False
    _head_sent = False
    _over = False
    events_asked = False
    _head_at = 0.0
    _ended = 0.0
    _status = 0
    _bytes_out = 0
    _fault: Fault | None = None
    _first_token_at = NEVER
    _hold_at = NEVER

    def __init__(self, runtime: "Runtime", call: Call, sink: Sink, choice: "Choice") -> None:
        self._runtime = runtime
        self._sink = sink
        self._choice = choice
        self._upstream = choice.upstreams[0]
        self.call = call
        self._body_size = len(call.body)
        self._started = self._tried_at = now = runtime.clock.read()
        # The rest of a request body that streams through.
        self._upload = None if call.length is None else Upload(call.length)
        if call.stream and call.surface in SSE_SURFACES:
            self.events_asked = True
            self._hold_at = now + runtime.settings.server.hold_head

    def __repr__(self) -> str:
        attempt = len(self._attempts) + 1
        return f"<Exchange {self.call.request_id.decode()} attempt {attempt} committed={self.committed}>"

    def naming(self) -> bytes:
        """The header lines that say who answered."""
        if not self._attempts:
            return self._choice.naming
        attempts = len(self._attempts) + (self._fault is None)  # the present one is noted when it has failed
        return self._runtime.naming(self.call.model, self._upstream, attempts)

    @property
    def own_errors(self) -> bool:
        """Whether an upstream's error may be put in other words: not where all is forwarded as it is."""
        return not self._runtime.settings.passthrough

    @property
    def own_credential(self) -> bool:
        """Whether the present backend gets the gateway's credential, not the client's."""
        return self._upstream.own_credential

    def masked(self, body: bytes) -> bytes:
        """An upstream's error body without the credential it got: some quote the key that they refuse."""
        return self._upstream.mask(body)

    def timings(self) -> tuple[float, float]:
        """Seconds since the call came, and since the present attempt was sent."""
        now = self._runtime.clock.now
        return now - self._started, now - self._tried_at

    def start(self) -> None:
        """Send the first attempt, at once if a connection is open."""
        self._runtime.live.add(self)
        upstream = self._upstream
        if self._upload is not None:
            self._sink.pause_body(True)  # until there is a connection
        else:
            authorization = b"" if upstream.oauth is None else upstream.oauth.header(self._started)
            # None: a token has to be fetched.
            if authorization is not None and (connection := upstream.pool.take()) is not None:
                self._authorization = authorization
                self._send(connection)
                return
        self._opening = asyncio.get_running_loop().create_task(self._open())

    # attempts

    async def _open(self) -> None:
        """Get a connection to the present candidate, or to the next ones, and send."""
        try:
            while True:
                # A streamed body cannot be sent twice, so it is never sent on a connection that may be stale.
                fresh = self._fresh or self._upload is not None
                self._tried_at = self._runtime.clock.read()
                connection = await self._connect(fresh=fresh)
                if not isinstance(connection, Fault):
                    self._opening = None
                    self._runtime.clock.read()  # for what is timed from here on
                    self._send(connection)
                    return
                fault = connection
                self._note(fault, None)
                if not self._next(fault):
                    self._opening = None
                    self._finish(fault)
                    return
        except Exception as error:  # noqa: BLE001 # a client must get its end, whatever went wrong
            self._opening = None
            self.broke(error)

    async def _connect(self, *, fresh: bool) -> ClientConnection | Fault:
        """A token, if the backend wants one, and a connection."""
        upstream = self._upstream
        authorization = await upstream.authorization()
        if isinstance(authorization, Fault):
            return authorization
        self._authorization = authorization
        try:
            connection = await upstream.pool.open(fresh=fresh)
        except ConnectFailed as failed:
            return failed.fault
        if not connection.closed:
            return connection
        # It was lost between the moment it was had and this one.
        kind = STALE if connection.used else RESET
        return Fault(kind, "the upstream closed the connection before the request was sent")

    def _send(self, connection: ClientConnection) -> None:
        upstream = self._upstream
        call = self.call
        upload = self._upload
        body = call.body
        if call.fields is not None:
            shaped = shape(upstream, call, call.fields)
            if isinstance(shaped, Fault):
                upstream.pool.released(connection)
                self._note(shaped, None)
                self._finish(shaped)
                return
            body, self._notes = shaped
        if upload is not None:
            length = upload.length
        else:
            length = len(body)
            if not length and call.method not in _WITH_BODY:
                length = None
        try:
            head = upstream.head(call, length, self._authorization)
        except ValueError as error:
            connection.abort()
            fault = Fault(INVALID_REQUEST, str(error))
            self._note(fault, None)
            self._finish(fault)
            return
        except Exception:
            connection.abort()  # it is nobody's yet
            raise
        self._relay = relay = Relay(self, connection)
        no_body = call.method == b"HEAD"
        if upload is None:
            connection.send(head, body, relay, no_body=no_body)
        else:
            upload.sent = True
            self._sink.pause_body(False)  # before anything is written: the upstream may not take it all
            connection.send(head, upload.frame(body), relay, no_body=no_body, partial=True)
            upload.begin(connection)
        self._tried_at = relay.sent_at
        if self.events_asked and self._index + 1 < len(self._choice.upstreams):
            self._first_token_at = relay.sent_at + self._runtime.first_token(upstream, call)

    def settled(self, relay: Relay, fault: Fault | None) -> None:
        """The present attempt is over; called by its relay."""
        try:
            if fault is not None:
                self._note(fault, relay)
                if self._next(fault):
                    self._relay = None
                    self._opening = asyncio.get_running_loop().create_task(self._open())
                    return
            self._finish(fault)
        except Exception as error:  # noqa: BLE001 # no other callback comes that could end the answer
            self.broke(error)

    def _next(self, fault: Fault) -> bool:
        """Whether another attempt is made, and which: the same backend on a fresh connection, or the next one."""
        if self._over or self.committed:
            return False
        oauth = self._upstream.oauth
        renewed = False
        if oauth is not None and fault.http_status == 401 and not self._renewed:
            self._renewed = True
            renewed = oauth.invalidate(self._authorization)
        if self._upload is not None and self._upload.sent:
            return False
        if fault.kind is STALE and not self._replaced:
            self._replaced = self._fresh = True
            return True
        if renewed:
            return True
        if not tries_next(fault.kind) or self._index + 1 >= len(self._choice.upstreams):
            return False
        self._index += 1
        self._upstream = self._choice.upstreams[self._index]
        self._fresh = self._replaced = self._renewed = False
        self._notes = ()
        self._first_token_at = NEVER
        return True

    def _note(self, fault: Fault, relay: Relay | None) -> None:
        """Keep what the present attempt came to; one that went well is added by `record`."""
        now = self._runtime.clock.read()
        attempt = attempt_record(
            self._upstream.name,
            self._tried_at,
            relay,
            fault,
            now,
            stale_retry=self._fresh,
            notes=self._notes,
        )
        self._attempts = (*self._attempts, attempt)

    # the answer; called by the relay

    def commit(self, relay: Relay, length: int | None) -> None:
        """Content is about to be sent: no other backend from here on, so the request need not be kept."""
        self.committed = True
        self._drop_body()
        self._sink.release()
        if not self._head_sent:
            self._head_sent = True
            self._head_at = self._runtime.clock.read()
            assert relay.head is not None
            self._status = relay.status
            self._sink.head(relay.status, answer_block(self, relay.head, decoded=relay.decoded), length)
        if not self._sink.writable:  # an earlier answer on the same connection has not been read yet
            relay.pause(True)

    @property
    def promised(self) -> bool:
        """Whether the client was told to expect events before any backend had sent one."""
        return self._head_sent and not self.committed

    def _drop_body(self) -> None:
        """Nobody is asked again: the request's bytes are not kept for the record's sake."""
        self.call.body = b""
        self.call.fields = None

    def send(self, data: bytes) -> None:
        """Body bytes to the client."""
        self._bytes_out += len(data)
        self._sink.data(data)

    def framed(self) -> Callable[[bytes], None] | None:
        """Where chunks of the body may be written as they are."""
        return self._sink.framed()

    def deliver(self, relay: Relay, body: bytes) -> None:
        """A whole answer to the client, and with it the end of the call."""
        head = relay.head
        assert head is not None
        sink = self._sink
        runtime = self._runtime
        self._over = True
        if self._body_size > SMALL_BODY:
            self._drop_body()
        self._head_at = self._ended = runtime.clock.now
        self._status = status = relay.status
        self._bytes_out = len(body)
        block = answer_block(self, head, decoded=relay.decoded)
        if not body and self.call.method == b"HEAD" and status not in (204, 304):
            named = head.fields.get(b"content-length", b"")
            sink.head(status, block, int(named) if named.isdigit() and len(named) < 19 else None)
            sink.end()
        else:
            sink.respond(status, block, body)
        sink.done()
        runtime.finished(self)

    def pause_request(self, paused: bool) -> None:
        """The upstream stopped, or began again, to take the request body."""
        if self._upload is not None:
            self._sink.pause_body(paused)

    # the client; called by its connection

    whole = False

    def on_request(self, body: bytes, connection: object) -> None:
        """Never asked for: an exchange begins with its body, or the beginning of one."""

    def on_piece(self, data: bytes, last: bool, connection: object = None) -> None:
        """More of a streamed request body."""
        if self._upload is not None:
            self._upload.add(data, last=last)

    def on_writable(self, writable: bool) -> None:
        """The client stopped, or began again, to read: so does its upstream."""
        if self._relay is not None:
            self._relay.pause(not writable)

    def on_gone(self, fault: Fault) -> None:
        """The client left: the upstream is cut at once; what was used is still recorded."""
        self._cut(Fault(CLIENT_GONE, fault.message))

    def on_drain_over(self) -> None:
        """The gateway stops and cannot wait any longer."""
        self._cut(Fault(SHUTTING_DOWN, "the gateway is shutting down", retry_after=1.0))

    def broke(self, error: Exception) -> None:
        """The gateway itself failed while it served this call: no attempt goes on, the client gets an end."""
        self._runtime.alarm("exchange", error)
        if self._relay is not None:
            self._relay.abandon()
        if not self._over:
            self._finish(Fault(INTERNAL, "the gateway failed; see its log"))
        elif self in self._runtime.live:  # it failed at its very end
            self._runtime.live.discard(self)
            self._sink.fail()

    def _cut(self, fault: Fault) -> None:
        if self._over:
            return
        if self._opening is not None:
            self._opening.cancel()
            self._opening = None
            self._note(fault, None)
        elif self._relay is not None:
            self._relay.abandon()
            self._note(fault, self._relay)
        self._finish(fault)

    def sweep(self, now: float) -> None:
        """Called every 100 ms: deadlines."""
        if self._over:  # by what the sweep did to another
            return
        relay = self._relay
        if relay is not None:
            relay.look(now)
        verdict = due(
            now,
            relay,
            started=self._started,
            committed=self.committed,
            total_at=self._started + self._choice.upstreams[0].settings.timeouts.total,
            first_token_at=self._first_token_at,
            hold_at=self._hold_at,
            idle=self._upstream.settings.timeouts.idle,
        )
        if verdict is Due.NOTHING:
            return
        if verdict is Due.HOLD:
            self._show_life(now)
        elif verdict is Due.FINISH and relay is not None:
            relay.finish_early()
        elif isinstance(verdict, Fault):
            if relay is None or verdict.kind is TOTAL_TIMEOUT:
                self._cut(verdict)
            else:
                relay.fail(verdict)

    def _show_life(self, now: float) -> None:
        """Head commit without content: proxies in front of the gateway would give up."""
        self._hold_at = now + self._runtime.settings.server.hold_head
        if not self._head_sent:
            self._head_sent = True
            self._head_at = now
            self._status = 200
            self._sink.head(200, _SSE_HEAD + gateway_block(self, answered=False))
        self._sink.data(KEEP_ALIVE)

    # the end

    def _finish(self, fault: Fault | None) -> None:
        """Give the client its end, and write the record."""
        if self._over:
            return
        self._over = True
        self._drop_body()
        self._fault = fault
        self._ended = self._runtime.clock.now
        sink = self._sink
        if fault is None:
            sink.end()
            sink.done()
        elif fault.kind is CLIENT_GONE:
            pass
        elif not self._head_sent:
            self._head_at = self._ended
            self._status, block, body = error_answer(self, fault, self._relay)
            self._bytes_out += len(body)
            sink.respond(self._status, block, body)
            sink.done()
        elif may_say_error(self.call, self._relay, committed=self.committed):
            # An error event of the upstream's own has gone to the client with the content before it.
            if not (self.committed and self._relay is not None and self._relay.said_error):
                self.send(sse_error(fault, self.call.surface, self.call.request_id.decode()))
            sink.end()
            sink.done()
        else:
            sink.fail()
        self._runtime.finished(self)

    def record(self) -> UsageRecord:
        """What happened, when it is over: asked for once, a moment later, together with those of other calls."""
        relay, self._relay = self._relay, None  # each knows the other: one of the two ends that
        attempts, fault, call = self._attempts, self._fault, self.call
        name = self._upstream.name
        if fault is None:
            last = attempt_record(
                name,
                self._tried_at,
                relay,
                None,
                self._ended,
                stale_retry=self._fresh,
                notes=self._notes,
            )
            attempts = (*attempts, last)
        return usage_record(
            call,
            name,
            attempts,
            relay,
            fault,
            status=self._status,
            times=(self._started, self._head_at, self._ended),
            bytes_in=self._body_size + (self._upload.bytes_in if self._upload is not None else 0),
            bytes_out=self._bytes_out,
        )
