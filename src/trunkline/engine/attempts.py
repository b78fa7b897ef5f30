"""One attempt of a call after the other: who is asked, over which connection, with which request.

Owns making an attempt and what the targets are told about it. Does not own the choice (routing/), what comes after an
attempt that failed (succession.py), what becomes of an answer nor the client (exchange.py).

The first attempt on an open connection is sent in the very callback that brought the request; only opening a
connection, a pause and a place in a queue await. A target against which nothing speaks and of which nothing is
counted is asked without more ado; every other attempt is a `Trial`.
"""

import asyncio
from typing import TYPE_CHECKING

from msgspec import structs

from trunkline.engine.deadlines import NEVER
from trunkline.engine.failover import Failover, Fields
from trunkline.engine.orders import Orders
from trunkline.engine.patience import first_token
from trunkline.engine.receiving import Receiving
from trunkline.engine.recording import attempt_record
from trunkline.engine.relay import Relay
from trunkline.engine.shaping import Sent, form_for, shape
from trunkline.engine.sink import Sink
from trunkline.engine.splicing import Splicing
from trunkline.engine.translating import Translating
from trunkline.engine.upload import Upload
from trunkline.errors import INVALID_REQUEST, POOL_FULL, RESET, STALE, UNFIT, Blame, Fault
from trunkline.net.dns import ConnectFailed
from trunkline.net.http1_client import ClientConnection
from trunkline.policy.record import AttemptRecord
from trunkline.routing.balancers.base import Candidate
from trunkline.routing.needs import Needs
from trunkline.routing.route import Pick, able
from trunkline.routing.target import Target, Trial
from trunkline.wire.values import Call

if TYPE_CHECKING:
    from trunkline.engine.choices import Choice
    from trunkline.engine.runtime import Runtime
    from trunkline.engine.upstream import Upstream

# A request of these without a body still says that it has none (RFC 9110 8.6).
_WITH_BODY = frozenset((b"POST", b"PUT", b"PATCH"))


class Attempts:
    """What a call knows of its attempts."""

    # Defaults stand on the class: a call sets what differs, or what every call reads.
    _target: Target
    _upstream: "Upstream"
    _trial: Trial | None = None
    _left: Trial | None = None  # the one that ended last, if its place has not been offered to others yet
    _probe = False  # the attempt that failed last was a half-open breaker's one
    _pick: Pick | None = None  # None: the plain one of its choice
    _failover: Failover | None = None
    _splicing: Splicing | None = None
    _relay: Relay | None = None
    _attempts: tuple[AttemptRecord, ...] = ()  # those that failed
    _fresh = False  # an idle connection was stale: replace it once
    _replaced = False
    _opening: asyncio.Task[None] | None = None
    _waits = False  # for a place, or for the end of a pause: no attempt is under way
    _authorization = b""  # the line of a token, where the backend wants one
    _renewed = False  # the backend refused a token: there was another
    _notes: tuple[str, ...] = ()  # what the present attempt's request was changed in
    _orders: Orders | None = None  # what the operator wants of the present attempt; None: nothing
    _streams: bool | None = None  # whether it was asked for a stream; None: as the client asked
    _said = b""  # the event in which the answer that the client has told of its own failure
    committed = False
    _over = False
    events_asked = False
    _first_token_at = NEVER

    # Set by exchange.py, at once with what is its own: a call of another `__init__` costs as much as all of them.
    _runtime: "Runtime"
    _sink: Sink
    _choice: "Choice"
    _needs: Needs | None
    call: Call
    _started: float
    _tried_at: float
    _upload: Upload | None
    """The rest of a request body that streams through."""

    _body_size: int

    # what succession.py and exchange.py do

    def _wait(self, nobody: Fault) -> None:
        raise NotImplementedError

    def _go_on(self, fault: Fault, relay: Relay | None) -> None:
        raise NotImplementedError

    def _finish(self, fault: Fault | None) -> None:
        raise NotImplementedError

    def broke(self, error: Exception) -> None:
        """The gateway itself failed."""
        raise NotImplementedError

    # who is asked

    def start(self) -> None:
        """Send the first attempt, at once if a connection is open."""
        choice = self._choice
        target = choice.target
        self._upstream = upstream = choice.upstream
        if target is None or not target.usable or target.counted:
            nobody = self._choose()
            if nobody is not None:
                self._wait(nobody)
            return
        self._target = target
        # The usual case of `_begin`, without a call.
        if (
            self._upload is None
            and upstream.oauth is None
            and (connection := upstream.pool.take()) is not None
        ):
            self._send(connection)
        else:
            self._begin()

    def _choose(self) -> Fault | None:
        """Turn to the one that routing picks and begin; a fault if it finds nobody."""
        runtime, choice = self._runtime, self._choice
        now = runtime.clock.now
        found = choice.route.first(runtime.rng, now, streamed=self.events_asked, needs=self._needs)
        if isinstance(found, Fault):
            return found
        self._pick = found
        candidate = found.candidate
        self._target = target = candidate.target
        # By place, because looking up one name of a thousand costs twice as much.
        self._upstream = choice.upstreams[target.backend.name] if found.tier else choice.own[candidate.place]
        if target.counted or not target.usable:
            self._trial = target.begin(now)
        self._begin()
        return None

    def _turn_to(self, pick: Pick) -> None:
        """The next attempt is made there, and takes its place there now."""
        self._pick = pick
        self._target = pick.candidate.target
        self._upstream = self._choice.upstreams[self._target.backend.name]
        self._fresh = self._replaced = self._renewed = False
        self._first_token_at = NEVER
        self._trial = self._target.begin(self._runtime.clock.now)

    def _begin(self) -> None:
        """Send, at once if a connection is open and nothing has to be had first."""
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

    # one attempt

    async def _open(self, pause: float = 0.0) -> None:
        """After a pause, get a connection to the present target and send."""
        clock = self._runtime.clock
        try:
            if pause:
                await asyncio.sleep(pause)
                clock.read()
                self._waits = False
                if not self._resumes():
                    return
            # A streamed body cannot be sent twice, so it is never sent on a connection that may be stale.
            fresh = self._fresh or self._upload is not None
            self._tried_at = clock.read()
            connection = await self._connect(fresh=fresh)
            self._opening = None
            clock.read()  # for what is timed from here on
            if isinstance(connection, Fault):
                self._note(connection, None)
                self._go_on(connection, None)
            else:
                self._send(connection)
        except Exception as error:  # noqa: BLE001 # a client must get its end, whatever went wrong
            self._opening = None
            self.broke(error)

    def _resumes(self) -> bool:
        raise NotImplementedError

    async def _connect(self, *, fresh: bool) -> ClientConnection | Fault:
        """A token, if the backend wants one, and a connection."""
        upstream = self._upstream
        authorization = await upstream.authorization()
        if isinstance(authorization, Fault):
            return authorization
        self._authorization = authorization
        if upstream.pool.exhausted and self._another(unexhausted=True):
            return Fault(POOL_FULL, f"all connections to `{upstream.name}` are in use")
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
        try:
            body = call.body
            dialect = None
            ordering = self._choice.ordering
            if ordering is not None:
                pick = self._pick
                self._orders = ordering.at(0 if pick is None else pick.tier, upstream.name, call.surface)
            if call.fields is not None or self._failover is not None or call.form:
                shaped = self._shaped()
                if isinstance(shaped, Fault):
                    upstream.pool.released(connection)
                    self._refuse(shaped)
                    return
                body, dialect = shaped.body, shaped.dialect
                self._notes, self._streams = shaped.notes, shaped.streams
            if upload is not None:
                length = upload.length
                if length >= 0:  # the name of a model may be longer there
                    length += len(body) - len(call.body)
            else:
                length = len(body)
                if not length and call.method not in _WITH_BODY:
                    length = None
            if dialect is None:
                head = upstream.head(call, length, self._authorization)
            else:
                head = upstream.native_head(call, dialect, len(body), self._authorization)
        except ValueError as error:
            connection.abort()
            self._refuse(Fault(INVALID_REQUEST, str(error)))
            return
        except Exception:
            connection.abort()  # it is nobody's yet
            raise
        if dialect is None:
            relay = Receiving(self, connection)  # type: ignore[arg-type] # exchange.py completes it
        else:
            model = self._target.model or call.model
            relay = Translating(self, connection, dialect, model)  # type: ignore[arg-type] # likewise
        self._relay = relay
        no_body = call.method == b"HEAD"
        if upload is None:
            connection.send(head, body, relay, no_body=no_body)
        else:
            upload.sent = True
            self._sink.pause_body(False)  # before anything is written: the upstream may not take it all
            connection.send(head, upload.frame(body), relay, no_body=no_body, partial=True)
            upload.begin(connection)
        self._tried_at = relay.sent_at
        if self.events_asked and self._streams is not False:
            self._await_content(relay)

    def _refuse(self, fault: Fault) -> None:
        """The request cannot be put to the present target: that is the client's answer, or another target is."""
        if self._attempts:
            fault = structs.replace(fault, kind=UNFIT)
        self._note(fault, None)
        self._go_on(fault, None)

    def _shaped(self) -> Sent | Fault:
        """The body for the present target and what was changed in it."""
        call, failover, splicing = self.call, self._failover, self._splicing
        if call.form:
            return Sent(form_for(call, self._target.model))
        fields: Fields | None = None
        ready = None
        if splicing is not None and splicing.fields is not None:
            fields, ready = splicing.fields, splicing.notes
        elif failover is not None:
            fields = failover.fields
        fields = fields or call.fields
        if fields is None:
            return Sent(call.body)
        limit = None if failover is None else failover.limit
        shaped = shape(
            self._upstream, call, fields, self._target.model, self._orders, limit=limit, ready=ready
        )
        if isinstance(shaped, Fault) or failover is None or not failover.note:
            return shaped
        return structs.replace(shaped, notes=(*shaped.notes, failover.note))

    def _await_content(self, relay: Relay) -> None:
        """A stream: set the time by which its first content is wanted, if there is somebody else to ask."""
        splicing = self._splicing
        if splicing is not None and splicing.joint is not None:
            relay.splice = splicing.joint
            if not self._sink.writable:
                relay.pause(True)
            splicing.until = relay.sent_at + first_token(self._upstream, self._target, self.call)
        elif not self._choice.route.alone:
            self._first_token_at = relay.sent_at + first_token(self._upstream, self._target, self.call)

    # what targets are told

    def _note(self, fault: Fault, relay: Relay | None) -> None:
        """Keep what the present attempt came to; one that went well is added by `record`."""
        now = self._runtime.clock.read()
        attempt = attempt_record(
            self._upstream.name,
            self._target.model,
            self._tried_at,
            relay,
            fault,
            now,
            self._fresh,
            self._notes,
            self.call,
            self._body_size,
        )
        self._attempts = (*self._attempts, attempt)
        # What its client does not finish says nothing about a target.
        target, upload = self._target, self._upload
        counts = upload is None or not upload.sent or upload.whole
        if self._trial is None:
            target.failed(fault, self._tried_at, now, counts=counts)
        else:
            self._end_trial(self._trial, fault, now, counts=counts)
        if fault.blame is Blame.BACKEND:
            self._runtime.complain(f"backend {self._upstream.name}", fault)

    def _went_well(self) -> None:
        """Tell the target that its answer was whole."""
        if self._trial is not None:
            self._end_trial(self._trial, None, self._runtime.clock.now)
        elif self._target.noted:
            self._target.succeeded(self._tried_at, self._runtime.clock.now)

    def _end_trial(self, trial: Trial, fault: Fault | None, now: float, *, counts: bool = True) -> None:
        self._trial = None
        self._probe = trial.probe
        trial.end(fault, now, counts=counts)
        if trial.target.backend.limit:
            self._left = trial

    def _free_place(self) -> None:
        """Offer the place that an attempt had, if this call does not go on using it."""
        trial, self._left = self._left, None
        if trial is not None:
            self._runtime.waiting.left(trial.target.backend, self._runtime.clock.now - trial.began)

    def _another(self, *, unexhausted: bool = False) -> bool:
        """Whether someone else could take over this call, with a connection to be had if `unexhausted`."""
        upstreams = self._choice.upstreams
        failover = self._failover
        allowed = None
        if failover is not None:
            allowed = failover.tries.allowed()
        elif self._needs is not None:
            allowed = able(self._needs)

        def could(candidate: Candidate) -> bool:
            if unexhausted and upstreams[candidate.target.backend.name].pool.exhausted:
                return False
            return allowed is None or allowed(candidate)

        return self._choice.route.another(self._target, self._runtime.clock.now, could)
