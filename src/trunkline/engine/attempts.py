"""The attempts of one call: who is asked, over which connection, with which request, and who comes next.

Owns their sequence and what is told to the targets about them. Does not own the choice (routing/), the changes of a
request between two attempts (failover.py), what becomes of an answer nor the client (exchange.py).

The first attempt on an open connection is sent in the very callback that brought the request; only opening a
connection, a pause and a place in a queue await. A target against which nothing speaks and of which nothing is
counted is asked without more ado; every other attempt is a `Trial`.
"""

import asyncio
from typing import TYPE_CHECKING

from trunkline.engine.deadlines import NEVER
from trunkline.engine.failover import Failover, Fields
from trunkline.engine.patience import first_token
from trunkline.engine.recording import attempt_record
from trunkline.engine.relay import Relay
from trunkline.engine.shaping import form_for, shape
from trunkline.engine.sink import Sink
from trunkline.engine.splicing import Splicing
from trunkline.engine.upload import Upload
from trunkline.errors import INVALID_REQUEST, POOL_FULL, RESET, STALE, Fault
from trunkline.net.dns import ConnectFailed
from trunkline.net.http1_client import ClientConnection
from trunkline.policy.record import AttemptRecord
from trunkline.routing.faults import leads_on
from trunkline.routing.needs import Needs
from trunkline.routing.route import Pick
from trunkline.routing.target import Target, Trial
from trunkline.routing.tries import Fallback, GiveUp, Next, Retry
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

    # what exchange.py does

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
        if target is None or not target.usable:
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
        self._target = target = found.candidate.target
        self._upstream = choice.upstreams[target.backend.name]
        if target.counted or not target.usable:
            self._trial = target.begin(now)
        self._begin()
        return None

    def _wait(self, nobody: Fault) -> None:
        """Nobody can be asked now: wait for a place where all are full, else end the call."""
        backends = {pick.candidate.target.backend for pick in self._choice.route.candidates()}
        full = [backend for backend in backends if backend.full and not backend.draining]
        refused: Fault | None = nobody
        if full:
            self._waits = True
            runtime = self._runtime
            refused = runtime.waiting.enter(self, full, runtime.clock.now, self._started + self._choice.total)
        if refused is not None:
            self._waits = False
            self._finish(refused)

    def wake(self) -> None:
        """A place came free while this call waited for one: take it, or wait on."""
        self._waits = False
        if self._over:
            return
        self._runtime.clock.read()
        try:
            if (nobody := self._choose()) is not None:
                self._wait(nobody)
        except Exception as error:  # noqa: BLE001 # it is another call's end that woke this one
            self.broke(error)

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
        """Get a connection to the present target, or to the next ones, and send."""
        clock = self._runtime.clock
        try:
            while True:
                if pause:
                    self._waits = True
                    await asyncio.sleep(pause)
                    self._waits = False
                    self._trial = self._target.begin(clock.read())
                # A streamed body cannot be sent twice, so it is never sent on a connection that may be stale.
                fresh = self._fresh or self._upload is not None
                self._tried_at = clock.read()
                connection = await self._connect(fresh=fresh)
                if not isinstance(connection, Fault):
                    self._opening = None
                    clock.read()  # for what is timed from here on
                    self._send(connection)
                    return
                fault = connection
                self._note(fault, None)
                following = self._after(fault, None)
                if following is None:
                    self._opening = None
                    self._finish(self._last_word(fault))
                    return
                pause = following
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
        if upstream.pool.exhausted and self._choice.route.another(self._target, self._runtime.clock.now):
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
            if call.fields is not None or self._failover is not None or call.form:
                shaped = self._shaped()
                if isinstance(shaped, Fault):
                    upstream.pool.released(connection)
                    self._note(shaped, None)
                    self._finish(shaped)
                    return
                body, self._notes = shaped
            if upload is not None:
                length = upload.length
                if length >= 0:  # the name of a model may be longer there
                    length += len(body) - len(call.body)
            else:
                length = len(body)
                if not length and call.method not in _WITH_BODY:
                    length = None
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
        self._relay = relay = Relay(self, connection)  # type: ignore[arg-type] # exchange.py completes it
        no_body = call.method == b"HEAD"
        if upload is None:
            connection.send(head, body, relay, no_body=no_body)
        else:
            upload.sent = True
            self._sink.pause_body(False)  # before anything is written: the upstream may not take it all
            connection.send(head, upload.frame(body), relay, no_body=no_body, partial=True)
            upload.begin(connection)
        self._tried_at = relay.sent_at
        if self.events_asked:
            self._await_content(relay)

    def _shaped(self) -> tuple[bytes, tuple[str, ...]] | Fault:
        """The body for the present target and what was changed in it."""
        failover, splicing, fields = self._failover, self._splicing, self.call.fields
        if self.call.form:
            return form_for(self.call, self._target.model), ()
        edited: Fields | None = None
        if splicing is not None:
            edited = splicing.fields
        if edited is None and failover is not None:
            edited = failover.fields
        if edited is None and fields is None:
            return self.call.body, ()
        shaped = shape(self._upstream, self.call, edited or fields or {}, self._target.model)
        if isinstance(shaped, Fault) or failover is None or not failover.note:
            return shaped
        return shaped[0], (*shaped[1], failover.note)

    def _await_content(self, relay: Relay) -> None:
        """A stream: set the time by which its first content is wanted, if there is somebody else to ask."""
        splicing = self._splicing
        patience = first_token(self._upstream, self._target, self.call)
        if splicing is not None and splicing.joint is not None:
            relay.splice = splicing.joint
            splicing.until = relay.sent_at + patience
        elif not self._choice.route.alone:
            self._first_token_at = relay.sent_at + patience

    # what comes after it

    def settled(self, relay: Relay, fault: Fault | None) -> None:
        """The present attempt is over; called by its relay."""
        try:
            if fault is not None:
                if self.committed and not self._said:
                    self._said = relay.said
                self._note(fault, relay)
                pause = self._after(fault, relay)
                if pause is not None:
                    self._relay = None
                    self._opening = asyncio.get_running_loop().create_task(self._open(pause))
                    return
                self._finish(self._last_word(fault))
                return
            if self._splicing is not None:
                self._splicing.over(self._runtime, self.call)
            self._went_well()
            self._finish(None)
        except Exception as error:  # noqa: BLE001 # no other callback comes that could end the answer
            self.broke(error)

    def _after(self, fault: Fault, relay: Relay | None) -> float | None:
        """Settle who is asked next; the seconds before that, None if the call is over."""
        if self._over:
            return None
        splicing = self._splicing
        if self.committed and splicing is None:
            return None
        if self._repeats(fault):
            return 0.0
        if self._upload is not None and self._upload.sent:
            return None
        if splicing is not None and self.committed:
            return self._splice(splicing, fault, relay)
        if not leads_on(fault):
            return None
        failover = self._failing_over()
        step = failover.after(fault, self._runtime.clock.now, probe=self._probe)
        if isinstance(step, GiveUp):
            return None
        if isinstance(step, Next | Fallback):
            self._turn_to(step.pick)
            self._notes = ()
            return 0.0
        self._fresh = self._replaced = False
        self._first_token_at = NEVER
        if isinstance(step, Retry) and step.delay > 0:
            return step.delay
        self._trial = self._target.begin(self._runtime.clock.now)
        return 0.0

    def _repeats(self, fault: Fault) -> bool:
        """Whether the same target is asked again at once and without counting: its kept connection was stale, or its
        token had been replaced.
        """
        oauth = self._upstream.oauth
        renewed = False
        if oauth is not None and fault.http_status == 401 and not self._renewed:
            self._renewed = True
            renewed = oauth.invalidate(self._authorization)
        if self._upload is not None and self._upload.sent:
            return False
        if fault.kind is STALE and not self._replaced:
            self._replaced = self._fresh = renewed = True
        if renewed:
            self._trial = self._target.begin(self._runtime.clock.now)
        return renewed

    def _splice(self, splicing: Splicing, fault: Fault, relay: Relay | None) -> float | None:
        """Have the answer that was cut off said again by another target, or by this one; None if that cannot be."""
        failover = self._failing_over()
        splicing.over(self._runtime, self.call)
        if splicing.joint is None:
            if relay is None or relay.mid_event:
                return None
            pick = splicing.begin(self._runtime, self.call, self._choice.upstreams, failover.tries, fault)
        else:
            pick = splicing.restart(failover.tries, fault)
        if pick is None:
            return None
        self._turn_to(pick)
        self._notes = ()
        return 0.0

    def _last_word(self, fault: Fault) -> Fault:
        """The failure that the client is told of: of a splice that did not come off the one that led to it."""
        splicing = self._splicing
        return fault if splicing is None or splicing.cut is None else splicing.cut

    def _failing_over(self) -> Failover:
        failover = self._failover
        if failover is None:
            choice = self._choice
            pick = self._pick or choice.route.plain()
            assert pick is not None
            failover = self._failover = Failover(
                self._runtime,
                self.call,
                choice.route,
                pick,
                streamed=self.events_asked,
                deadline=self._started + choice.total,
                needs=self._needs,
            )
        return failover

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
        )
        self._attempts = (*self._attempts, attempt)
        if self._trial is None:
            self._target.failed(fault, self._tried_at, now)
        else:
            self._end_trial(self._trial, fault, now)

    def _went_well(self) -> None:
        """Tell the target that its answer was whole."""
        if self._trial is not None:
            self._end_trial(self._trial, None, self._runtime.clock.now)
        elif self._target.noted:
            self._target.succeeded(self._tried_at, self._runtime.clock.now)

    def _end_trial(self, trial: Trial, fault: Fault | None, now: float) -> None:
        self._trial = None
        self._probe = trial.probe
        trial.end(fault, now)
        backend = trial.target.backend
        if backend.limit:
            self._runtime.waiting.left(backend, now - trial.began)
