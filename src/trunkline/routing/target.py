"""What is known at run time of each backend, and of each target: a backend and a model there.

Owns whether a target may be asked now and, if not, why; and what the outcome of an attempt changes. Does not own the
choice among targets (balancers/, route.py), the meaning of a failure (faults.py) nor any IO.

`usable` is what the first look at a target reads: true while there is nothing at all to be said against it. Whatever
speaks against it makes it false, and `why` says later, with the time at hand, whether it still holds:

| reason | means | asked |
|---|---|---|
| slow | its 95th percentile is over the backend's limit | after the other targets of the model |
| busy | it refused for load, and the time that it named is not over | after everything else that is sound |
| ejected | its breaker, or its backend's, is open | when nothing else is left, oldest ejection first |
| probing | half open, and the one probe is under way | likewise |
| unhealthy | the backend's health checks fail | likewise |
| full | the backend has as many calls as it may have | when a place comes free |
| draining | the backend is being taken out of service | not at all |

An attempt is reported through its `Trial`. A target that is not `counted` (nobody compares loads there, and the
backend has no limit) can do without: then `succeeded` is called only while it is `noted`, and `failed` always.
"""

import enum

import msgspec

from trunkline.errors import Fault
from trunkline.routing.backend import CapabilitySettings
from trunkline.routing.breaker import Breaker, BreakerSettings, State
from trunkline.routing.changes import NOTHING, Change, Changes, Standing
from trunkline.routing.ewma import PeakEwma
from trunkline.routing.faults import row_of
from trunkline.routing.health import Health, HealthSettings
from trunkline.routing.percentile import P95Window

BUSY = 1.0
"""Seconds for which a target that refused for load, and named no time, is put last; doubled each time in a row."""
MAX_BUSY = 20.0
"""Seconds that those do not exceed; a time that the upstream names itself is believed."""
FAILURE_COST = 1.0
"""Seconds that a failed attempt counts as for `latency`, at least: quick refusals must not look like quick answers.
With more, a target that fails now and then would look worse than one that is really slow, which then got its calls."""
UNKNOWN = CapabilitySettings()


class Reason(enum.StrEnum):
    """Why a target is not asked like the others."""

    SLOW = "slow"
    BUSY = "busy"
    EJECTED = "ejected"
    PROBING = "probing"
    UNHEALTHY = "unhealthy"
    FULL = "full"
    DRAINING = "draining"


LAST_RESORT = frozenset((Reason.EJECTED, Reason.PROBING, Reason.UNHEALTHY))
"""With these a target is asked when nothing else is left."""


class RetryPolicy(msgspec.Struct, frozen=True, gc=False):
    """How often one target is asked the same again in one call, and after which pauses (seconds)."""

    max_retries: int = 2
    backoff_base: float = 1.5
    backoff_max: float = 10.0
    retry_404: bool = False
    """A model that is not found may be loading (Ollama)."""


class BackendState:
    """What all targets of one backend share. `limit`: calls at once, 0 for any number.

    `max_queue`: calls that may wait for one of these places (engine/waiting.py holds them).
    """

    __slots__ = (
        "breaker", "draining", "health", "inflight", "limit", "max_queue", "name", "retry", "targets",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        *,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        breaker: BreakerSettings = BreakerSettings(),  # noqa: B008 - frozen
        health: HealthSettings = HealthSettings(),  # noqa: B008 - frozen
        limit: int = 0,
        max_queue: int = 0,
    ) -> None:
        self.name = name
        self.retry = retry
        self.breaker = Breaker(breaker)
        self.health = Health(health)
        self.limit = limit
        self.max_queue = max_queue
        self.inflight = 0
        self.draining = False
        self.targets: list[Target] = []

    def __repr__(self) -> str:
        return f"<BackendState {self.name} {self.breaker.state}, {self.inflight} in flight>"

    @property
    def full(self) -> bool:
        """Whether it has as many calls as it may have."""
        return 0 < self.limit <= self.inflight

    def settle(self, now: float) -> None:
        """Something changed that concerns all targets."""
        for target in self.targets:
            target.settle(now)

    def drain(self, draining: bool, now: float) -> None:
        """Give it no more calls, or calls again."""
        self.draining = draining
        self.settle(now)

    def checked(self, good: bool, now: float) -> bool:
        """Take the answer of a health check; gives whether it changed anything."""
        changed = self.health.observe(good, now)
        if changed:
            self.settle(now)
        return changed


class Target:
    """A backend and a model there. `slow_above`: seconds of the 95th percentile, 0 for no limit.

    `changes`: where is written down what speaks against it.
    """

    __slots__ = (
        "_busy_row", "_busy_since", "_changes", "abilities", "backend", "breaker", "busy_until", "counted",
        "inflight", "latency", "model", "noted", "p95", "standing", "usable", "waiting",
    )  # fmt: skip

    def __init__(
        self,
        backend: BackendState,
        model: str,
        *,
        breaker: BreakerSettings = BreakerSettings(),  # noqa: B008 - frozen
        abilities: CapabilitySettings = UNKNOWN,
        slow_above: float = 0.0,
        changes: Changes | None = None,
    ) -> None:
        self.backend = backend
        self.model = model
        self._changes = Changes(1) if changes is None else changes
        self.standing = NOTHING
        """What speaks against it, for those who ask later; `why` is what decides."""
        self.breaker = Breaker(breaker)
        self.abilities = abilities
        self.p95 = P95Window(slow_above) if slow_above else None
        self.latency = (PeakEwma(), PeakEwma())
        """Seconds to the whole answer, and to a stream's first content: `latency[streamed]`."""
        self.inflight = 0
        self.waiting = 0
        """Those of the calls under way of which no content has come yet."""
        self.busy_until = 0.0
        self._busy_since = 0.0
        self._busy_row = 0
        self.counted = bool(slow_above or backend.limit)
        """Whether attempts must be reported through a `Trial`."""
        self.noted = False
        """Whether a success would change anything."""
        self.usable = True
        backend.targets.append(self)
        self.settle(0.0)

    def __repr__(self) -> str:
        usable = "usable" if self.usable else "not usable"
        return f"<Target {self.backend.name}/{self.model} {usable}, {self.inflight} in flight>"

    def why(self, now: float) -> Reason | None:
        """What speaks against asking it now."""
        if self.usable:
            return None
        backend = self.backend
        if backend.draining:
            return Reason.DRAINING
        if backend.full:
            return Reason.FULL
        if not backend.health.up:
            return Reason.UNHEALTHY
        for breaker in (backend.breaker, self.breaker):
            if not breaker.admits(now):
                return Reason.EJECTED if breaker.state is State.OPEN else Reason.PROBING
        if self.busy_until:
            if now < self.busy_until:
                return Reason.BUSY
            self.busy_until = 0.0
        slow = self.p95 is not None and self.p95.slow(now)
        self.settle(now)
        return Reason.SLOW if slow else None

    @property
    def out_since(self) -> float:
        """When what makes it a last resort began: the latest of the reasons there are."""
        backend = self.backend
        found = [
            breaker.ejected_at
            for breaker in (backend.breaker, self.breaker)
            if breaker.state is not State.CLOSED
        ]
        if not backend.health.up:
            found.append(backend.health.since)
        return max(found, default=0.0)

    @property
    def free_at(self) -> float:
        """When what makes it wait is over, as far as that is known."""
        breakers = (self.backend.breaker, self.breaker)
        return max(self.busy_until, *(one.until for one in breakers if one.state is State.OPEN), 0.0)

    def settle(self, now: float) -> None:
        """Find `usable` and `noted` anew."""
        backend, own = self.backend, self.breaker
        closed = backend.breaker.state is State.CLOSED and own.state is State.CLOSED
        sound = closed and backend.health.up and not backend.draining and not backend.full
        usable = sound and not self.busy_until and not (self.p95 is not None and self.p95.is_slow)
        if not (usable and self.usable):
            self._tell(NOTHING if usable else self._stands(), now)
        self.usable = usable
        self.noted = bool(self._busy_row or not backend.breaker.quiet or not own.quiet)

    def _stands(self) -> Standing:
        """What `why` would say, without looking at the time."""
        backend = self.backend
        if backend.draining:
            return Standing(Reason.DRAINING)
        if backend.full:
            return Standing(Reason.FULL)
        if not backend.health.up:
            return Standing(Reason.UNHEALTHY)
        for breaker in (backend.breaker, self.breaker):
            if breaker.state is not State.CLOSED:
                opened = breaker.state is State.OPEN
                return Standing(Reason.EJECTED, breaker.until) if opened else Standing(Reason.PROBING)
        return Standing(Reason.BUSY, self.busy_until) if self.busy_until else Standing(Reason.SLOW)

    def _tell(self, standing: Standing, now: float) -> None:
        if standing != self.standing:
            self._changes.note(Change(now, self.backend.name, self.model, self.standing))
            self.standing = standing

    def begin(self, now: float) -> "Trial":
        """An attempt begins."""
        self.inflight += 1
        self.waiting += 1
        backend = self.backend
        backend.inflight += 1
        probes: tuple[Breaker, ...] = ()
        if not self.usable:
            probes = tuple(breaker for breaker in (backend.breaker, self.breaker) if breaker.take_probe())
        if backend.limit and backend.full:
            backend.settle(now)
        return Trial(self, now, probes)

    def succeeded(self, began: float, now: float) -> None:
        """An attempt that began at `began` went well."""
        backend = self.backend
        if self._busy_row and began >= self._busy_since:
            self._busy_row = 0
            self.busy_until = 0.0
        self.breaker.success(began, now)
        if backend.breaker.quiet:
            self.settle(now)
        else:
            backend.breaker.success(began, now)
            backend.settle(now)

    def failed(self, fault: Fault, began: float, now: float, *, counts: bool = True) -> None:
        """An attempt that began at `began` ended with a fault. `counts` False: no breaker is told."""
        row = row_of(fault)
        if not counts:
            pass
        elif row.counts == "backend":
            self.backend.breaker.failure(began, now)
            self.backend.settle(now)
        elif row.counts:
            self.breaker.failure(began, now)
        if row.penalty:
            self._penalise(fault.retry_after, began, now)
        if row.counts or row.penalty:
            for latency in self.latency:
                latency.observe(max(FAILURE_COST, latency.read(now)), now)
            self.settle(now)

    def _penalise(self, retry_after: float | None, began: float, now: float) -> None:
        if not self._busy_row or began >= self._busy_since:  # not one of many that were refused together
            self._busy_row += 1
            self._busy_since = now
        seconds = (
            min(BUSY * 2.0 ** min(self._busy_row - 1, 10), MAX_BUSY) if retry_after is None else retry_after
        )
        self.busy_until = max(self.busy_until, now + seconds)


class Trial:
    """One attempt at a target, from its begin to its end, which is reported once."""

    __slots__ = ("_probes", "_waits", "began", "probe", "target")

    def __init__(self, target: Target, began: float, probes: tuple[Breaker, ...]) -> None:
        self.target = target
        self.began = began
        self._probes = probes
        self._waits = True
        self.probe = bool(probes)
        """Whether it is the one call that a half-open breaker lets through."""

    def __repr__(self) -> str:
        return f"<Trial at {self.target!r}{' as probe' if self.probe else ''}>"

    def committed(self, streamed: bool, now: float) -> None:
        """The first content came, or the whole answer: that is what latency means; and a probe has done its part."""
        target = self.target
        self._waits = False
        target.waiting -= 1
        seconds = now - self.began
        target.latency[streamed].observe(seconds, now)
        if target.p95 is not None:
            target.p95.observe(seconds, now)
            target.settle(now)
        if self._probes:
            target.succeeded(self.began, now)
            self._release()

    def end(self, fault: Fault | None, now: float, *, counts: bool = True) -> None:
        """It is over. `counts`: as in `Target.failed`."""
        target = self.target
        backend = target.backend
        was_full = backend.full
        target.inflight -= 1
        target.waiting -= self._waits
        backend.inflight -= 1
        if fault is not None:
            target.failed(fault, self.began, now, counts=counts)
        elif target.noted:
            target.succeeded(self.began, now)
        self._release()
        if was_full:
            backend.settle(now)

    def _release(self) -> None:
        for breaker in self._probes:
            breaker.release_probe()
        self._probes = ()
