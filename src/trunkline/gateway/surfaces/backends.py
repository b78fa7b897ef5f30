"""What the admin port tells of backends: `/backends`, and the same as numbers for `/metrics`.

Owns both. Does not own the states (routing/target.py, routing/breaker.py) nor the counts (telemetry/metrics.py).
Durations are seconds from now, so that nobody has to know this process' clock.
"""

import msgspec

from trunkline.engine.runtime import Runtime
from trunkline.engine.upstream import Upstream
from trunkline.errors import KINDS, Blame
from trunkline.routing.breaker import Breaker, State
from trunkline.routing.target import BackendState, Target
from trunkline.telemetry.states import BackendNumbers, States

_AT_FAULT = frozenset((Blame.UPSTREAM, Blame.UPSTREAM_BUSY, Blame.BACKEND))
_LEVELS = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}
MAX_UNUSABLE = 200
"""Targets with something against them that metrics name: where any model passes, clients make up names."""


class BreakerTold(msgspec.Struct, frozen=True):
    """A breaker. `until`: seconds until an ejection is over, 0 if there is none; the rest in a row."""

    state: str
    until: float
    failures: int
    ejections: int


class WindowTold(msgspec.Struct, frozen=True):
    """A breaker's window, which opens with a failure. `left`: seconds."""

    calls: int
    failures: int
    left: float


class TargetTold(msgspec.Struct, frozen=True, kw_only=True):
    """A model at a backend. `why`: what speaks against asking it, "" nothing. Latencies in seconds, 0 unknown.

    Calls are None where nobody counts them: only strategies that watch loads, and limits, want that. `window` is None
    where nothing has failed lately, or the breaker is not closed.
    """

    model: str
    usable: bool
    why: str
    breaker: BreakerTold
    window: WindowTold | None
    in_flight: int | None
    before_content: int | None
    latency_stream: float
    latency_whole: float
    p95: float
    busy_for: float


class HealthTold(msgspec.Struct, frozen=True):
    """Active health checks. `seconds` since that is so (`for` in JSON), None from the beginning."""

    checked: bool
    up: bool
    seconds: float | None = msgspec.field(default=None, name="for")


class RatesTold(msgspec.Struct, frozen=True):
    """Attempts that are over, since the gateway started: `failed` by kind, the most frequent first.

    `failure_rate`: the share that failed by the upstream's or the backend's fault, not by the client's; 0 to 1.
    """

    attempts: int
    failed: dict[str, int]
    failure_rate: float


class RetryTold(msgspec.Struct, frozen=True):
    """How often one target is asked again."""

    max_retries: int
    backoff_base: float
    backoff_max: float
    retry_404: bool


class BackendTold(msgspec.Struct, frozen=True, kw_only=True):
    """One backend. `limit` and `max_queue` are 0 where there is no limit of calls; `pools`: connections."""

    name: str
    provider: str
    address: str
    state: str
    breaker: BreakerTold
    health: HealthTold
    rates: RatesTold
    in_flight: int
    limit: int
    waiting: int
    max_queue: int
    pools: dict[str, int]
    retry: RetryTold
    targets: tuple[TargetTold, ...]


class RetryBudgetTold(msgspec.Struct, frozen=True):
    """Repeats of all calls together. `left`: that could be made at once."""

    left: float
    taken: int
    refused: int


class BackendsTold(msgspec.Struct, frozen=True):
    """All of them, in the order written."""

    backends: tuple[BackendTold, ...]
    retry_budget: RetryBudgetTold
    waiting: int


def tell_backends(runtime: Runtime) -> BackendsTold:
    """The state of everything that can be asked, now."""
    now = runtime.clock.read()
    targets: dict[str, list[Target]] = {}
    for target in runtime.board.targets():
        targets.setdefault(target.backend.name, []).append(target)
    outcomes: dict[str, dict[str, int]] = {}
    for (backend, fault), count in runtime.metrics.attempts.items():
        outcomes.setdefault(backend, {})[fault] = count
    told = tuple(
        _backend(runtime, upstream, targets.get(upstream.name, []), outcomes.get(upstream.name, {}), now)
        for upstream in runtime.upstreams
    )
    retries = runtime.retries
    budget = RetryBudgetTold(round(retries.left(now, runtime.requests), 1), retries.taken, retries.refused)
    return BackendsTold(told, budget, len(runtime.waiting))


def _backend(
    runtime: Runtime, upstream: Upstream, targets: list[Target], outcomes: dict[str, int], now: float
) -> BackendTold:
    state = runtime.board.backends[upstream.name]
    policy = state.retry
    busy = upstream.pool.open_count - upstream.pool.idle
    return BackendTold(
        name=upstream.name,
        provider=upstream.settings.provider,
        address=upstream.base.address,
        state=_state(state, now),
        breaker=_breaker(state.breaker, now),
        health=HealthTold(
            upstream.settings.health.interval > 0,
            state.health.up,
            round(now - state.health.since, 1) if state.health.since else None,
        ),
        rates=_rates(outcomes),
        in_flight=max(state.inflight, busy),
        limit=state.limit,
        waiting=runtime.waiting.waiting(state),
        max_queue=state.max_queue if state.limit else 0,
        pools={"busy": busy, "idle": upstream.pool.idle, "own": upstream.probes.open_count},
        retry=RetryTold(policy.max_retries, policy.backoff_base, policy.backoff_max, policy.retry_404),
        targets=tuple(_target(target, now) for target in targets),
    )


def _rates(outcomes: dict[str, int]) -> RatesTold:
    """`outcomes`: attempts by the name of a fault's kind, "" those that went well."""
    attempts = sum(outcomes.values())
    failed = sorted(((kind, count) for kind, count in outcomes.items() if kind), key=lambda one: -one[1])
    to_blame = sum(count for kind, count in failed if KINDS[kind].blame in _AT_FAULT)
    return RatesTold(attempts, dict(failed), round(to_blame / attempts, 4) if attempts else 0.0)


def _state(state: BackendState, now: float) -> str:
    """One word for a backend."""
    if state.draining:
        return "draining"
    if not state.health.up:
        return "unhealthy"
    level = state.breaker.look(now)
    if level is not State.CLOSED:
        return "ejected" if level is State.OPEN else "half open"
    return "full" if state.full else "ok"


def _breaker(breaker: Breaker, now: float) -> BreakerTold:
    state = breaker.look(now)
    left = round(max(breaker.until - now, 0.0), 1) if state is State.OPEN else 0.0
    return BreakerTold(str(state), left, breaker.failures, 0 if state is State.CLOSED else breaker.ejections)


def _target(target: Target, now: float) -> TargetTold:
    why = target.why(now)
    window = target.breaker.window(now)
    return TargetTold(
        model=target.model,
        usable=target.usable,
        why=str(why or ""),
        breaker=_breaker(target.breaker, now),
        window=None if window is None else WindowTold(window[0], window[1], round(window[2], 1)),
        in_flight=target.inflight if target.counted else None,
        before_content=target.waiting if target.counted else None,
        latency_stream=round(target.latency[True].read(now), 4),
        latency_whole=round(target.latency[False].read(now), 4),
        p95=round(target.p95.p95(now), 4) if target.p95 is not None else 0.0,
        busy_for=round(max(target.busy_until - now, 0.0), 1),
    )


def states(runtime: Runtime) -> States:
    """The same as numbers."""
    now = runtime.clock.read()
    numbers = tuple(
        BackendNumbers(
            name,
            int(state.health.up and not state.draining),
            _LEVELS[state.breaker.look(now)],
            runtime.waiting.waiting(state),
        )
        for name, state in runtime.board.backends.items()
    )
    unusable: list[tuple[str, str, str]] = []
    for target in runtime.board.targets():
        why = None if target.usable else target.why(now)
        if why is not None and len(unusable) < MAX_UNUSABLE:
            unusable.append((target.backend.name, target.model, str(why)))
    retries = runtime.retries
    return States(numbers, tuple(unusable), retries.taken, retries.refused)
