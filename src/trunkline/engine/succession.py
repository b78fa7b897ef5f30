"""What comes after an attempt that failed, or could not be begun: the same target again, another one, a place in a
queue, a second answer to go on with, or the end.

Owns turning the steps of routing/retry.py into attempts. Does not own the order of those steps, what they change in
the request (failover.py), where a cut stream is asked for again (splicing.py), nor making an attempt (attempts.py).
"""

import asyncio

from trunkline.engine.attempts import Attempts
from trunkline.engine.deadlines import NEVER
from trunkline.engine.failover import Failover
from trunkline.engine.patience import first_token
from trunkline.engine.relay import Relay
from trunkline.engine.splicing import Splicing
from trunkline.errors import MODEL_NOT_FOUND, NO_BACKEND, STALE, Blame, Fault
from trunkline.routing.balancers.base import Allowed
from trunkline.routing.faults import leads_on
from trunkline.routing.route import able
from trunkline.routing.target import LAST_RESORT, Reason
from trunkline.routing.tries import Fallback, GiveUp, Next, Retry, Wait
from trunkline.wire.values import UNLISTED

WAIT = NEVER
"""In place of the seconds before the next attempt: there is none until a place comes free."""

_SAFE = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"))
"""Methods that may be said twice (RFC 9110 9.2.2)."""
_NOT_NOW = LAST_RESORT | {Reason.FULL, Reason.DRAINING}


class Succession(Attempts):
    """The attempts of a call, one after the other."""

    def settled(self, relay: Relay, fault: Fault | None) -> None:
        """The present attempt is over; called by its relay."""
        try:
            if fault is not None:
                if self.committed and (self._splicing is None or self._splicing.cut is None):
                    self._said = relay.said
                self._note(fault, relay)
                self._go_on(fault, relay)
                return
            if self._splicing is not None:
                self._splicing.over(self._runtime, self.call)
            self._went_well()
            self._finish(None)
        except Exception as error:  # noqa: BLE001 # no other callback comes that could end the answer
            self.broke(error)

    def _go_on(self, fault: Fault, relay: Relay | None) -> None:
        """Begin what comes after an attempt that failed, or end the call."""
        pause = self._after(fault, relay)
        self._free_place()
        if pause is None:
            self._finish(self._last_word(fault))
            return
        self._leave(relay)
        if pause == WAIT:
            return
        self._waits = pause > 0
        self._opening = asyncio.get_running_loop().create_task(self._open(pause))

    def _leave(self, relay: Relay | None) -> None:
        """Another attempt is made."""
        raise NotImplementedError

    def _after(self, fault: Fault, relay: Relay | None) -> float | None:
        """Settle who is asked next, and take a place there; the seconds before that, None if the call is over."""
        if self._over:
            return None
        splicing = self._splicing
        if self.committed and splicing is None:
            return None
        # A stream that has begun is never asked for again like that: the client would read its beginning twice.
        began = self.committed and relay is not None and relay.is_event_stream
        if not began and self._repeats(fault):
            return 0.0
        if self._upload is not None and self._upload.sent:
            return None
        if splicing is not None:  # only then anything was sent
            return self._splice(splicing, fault, relay)
        if not leads_on(fault) or (relay is not None and self._is_done_once(fault)):
            return None
        failover = self._failing_over()
        step = failover.after(fault, self._runtime.clock.now, probe=self._probe)
        if isinstance(step, Wait):
            if self._queues(failover.tries.allowed(), fault):
                return WAIT
            step = failover.after(fault, self._runtime.clock.now, probe=self._probe, waits=False)
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

    def _is_done_once(self, fault: Fault) -> bool:
        """Whether the upstream may have done what nobody knows to be harmless twice: made a job, stored a file."""
        call = self.call
        undone = fault.blame is not Blame.UPSTREAM or fault.kind in (MODEL_NOT_FOUND, STALE)
        return call.surface in UNLISTED and call.method not in _SAFE and not undone

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

    def _resumes(self) -> bool:
        """After a pause: take a place at the same target. False: it cannot be asked now; the call went elsewhere."""
        runtime, target = self._runtime, self._target
        now = runtime.clock.now
        why = target.why(now)
        if why in _NOT_NOW:
            failover = self._failing_over()
            untried = failover.tries.allowed()
            self._awaited = lambda candidate: candidate.target is target or untried(candidate)
            self._opening = None
            before = failover.last or failover.tries.route.nobody(now)
            if self._take_over(failover) or self._queues(self._awaited, before):
                return False
            if why not in LAST_RESORT:
                self._finish(self._last_word(before))
                return False
            self._opening = asyncio.current_task()
        self._trial = target.begin(now)
        return True

    def _failing_over(self) -> Failover:
        failover = self._failover
        if failover is None:
            choice = self._choice
            failover = self._failover = Failover(
                self._runtime,
                self.call,
                choice.route,
                self._pick or choice.pick,
                streamed=self.events_asked,
                deadline=self._started + choice.total,
                needs=self._needs,
            )
        failover.orders = self._orders
        return failover

    def _last_word(self, fault: Fault) -> Fault:
        """The failure that the client is told of: the one that all others came from, where these say less."""
        splicing, failover = self._splicing, self._failover
        if splicing is not None and splicing.cut is not None:
            return splicing.cut
        return fault if failover is None else failover.last_word(fault)

    # places

    _awaited: Allowed | None = None  # whose places are waited for
    _before: Fault | None = None  # the failure that led into the queue
    _turned_away: Fault | None = None  # why there was no waiting

    def _wait(self, nobody: Fault) -> None:
        """Nobody can be asked now: wait for a place where all are full; as a last resort ask who is ejected; or end."""
        route = self._choice.route
        allowed = None if self._needs is None else able(self._needs)
        if self._queues(allowed, nobody):
            return
        pick = route.last_resort(self._runtime.clock.now, allowed)
        if pick is None:
            self._finish(self._turned_away or nobody)
            return
        self._turn_to(pick)
        self._begin()

    def _queues(self, allowed: Allowed | None, fault: Fault) -> bool:
        """Stand in the queues of the backends that are full, if there are any. `fault`: what else the client gets."""
        runtime = self._runtime
        now = runtime.clock.now
        candidates = [pick.candidate for pick in self._choice.route.candidates()]
        full = {
            candidate.target.backend
            for candidate in candidates
            if candidate.target.why(now) is Reason.FULL and (allowed is None or allowed(candidate))
        }
        self._turned_away = None
        if not full:
            return False
        deadline = self._started + self._choice.total
        self._turned_away = runtime.waiting.enter(self, list(full), now, deadline)
        if self._turned_away is not None:
            return False
        self._waits = True
        self._awaited, self._before = allowed, fault
        if self._upload is not None:
            self._sink.pause_body(True)
        return True

    def wake(self) -> None:
        """A place came free while this call waited for one: take it, or wait on."""
        self._waits = False
        if self._over:
            return
        runtime = self._runtime
        runtime.clock.read()
        try:
            if self._failover is None:
                nobody = self._choose()
                if nobody is not None:
                    self._wait(nobody)
            elif not self._take_over(self._failover):
                assert self._before is not None
                if not self._queues(self._awaited, self._before):
                    self._resort(self._failover, self._before)
        except Exception as error:  # noqa: BLE001 # it is another call's end that woke this one
            self.broke(error)

    def _take_over(self, failover: Failover) -> bool:
        """After a failed attempt: ask the one that has come free, or any other that can be asked."""
        runtime, tries = self._runtime, failover.tries
        now = runtime.clock.now
        pick = tries.route.sound(runtime.rng, now, streamed=self.events_asked, allowed=self._awaited)
        pick = pick or tries.route.busy(now, self._awaited)
        if pick is None:
            return False
        if pick.candidate.target is not tries.target:
            tries.move(pick)
        self._turn_to(pick)
        self._begin()
        return True

    def _resort(self, failover: Failover, before: Fault) -> None:
        """After a failed attempt and in vain in a queue: ask who is ejected, or end."""
        pick = failover.tries.route.last_resort(self._runtime.clock.now, self._awaited)
        if pick is None:
            self._finish(self._last_word(before))
            return
        failover.tries.move(pick)
        self._turn_to(pick)
        self._begin()

    def place_missed(self) -> None:
        """The time of this call ended while it waited for a place."""
        self._waits = False
        if self._attempts and self._before is not None:
            self._finish(self._last_word(self._before))
        else:
            self._finish(Fault(NO_BACKEND, "no place at a backend came free in time", retry_after=1.0))

    # a second answer

    def _splice(self, splicing: Splicing, fault: Fault, relay: Relay | None) -> float | None:
        """Have the answer that was cut off said again by another target, or by this one; None if that cannot be."""
        runtime = self._runtime
        splicing.over(runtime, self.call)
        failover = self._failing_over()
        if splicing.joint is None:
            if relay is None or relay.mid_event:
                splicing.cut, splicing.why = fault, "it was cut in the middle of an event"
                return None
            pick = splicing.begin(
                runtime, self.call, self._choice.upstreams, failover, fault, self._choice.ordering
            )
        else:
            pick = splicing.restart(failover, fault)
        if pick is None:
            return None
        self._turn_to(pick)
        self._notes = ()
        # From now on: getting a connection may take its time too.
        splicing.until = runtime.clock.now + first_token(self._upstream, self._target, self.call)
        return 0.0
