"""What the calls on one event loop share: the config snapshot, backends with their pools, counters, records.

Owns starting it, the swap of the config snapshot and taking it all down. Does not own the making of a snapshot
(snapshot.py) nor any call (exchange.py).
"""

import asyncio
import os
import random
import sys
import traceback
from collections import deque
from functools import partial

from trunkline.config.model import Settings
from trunkline.credentials.oauth2 import Tokens
from trunkline.engine.choices import Choice
from trunkline.engine.discovery import Discovery
from trunkline.engine.exchange import Exchange
from trunkline.engine.fetch import fetch
from trunkline.engine.origin import Origin
from trunkline.engine.recording import learn, with_estimates
from trunkline.engine.router import Router
from trunkline.engine.snapshot import Around, Snapshot, build
from trunkline.engine.waiting import WaitQueue
from trunkline.errors import Fault
from trunkline.net.clock import Clock
from trunkline.net.egress import Listening
from trunkline.policy.keys import Key
from trunkline.policy.record import UsageRecord
from trunkline.policy.tokens import TokenRates
from trunkline.routing.backend import CapabilitySettings
from trunkline.routing.retry_budget import RetryBudget
from trunkline.streams.divergence import Divergences
from trunkline.telemetry.metrics import Metrics

RECORDS = 1_000
"""Usage records kept in memory, newest last; about 800 KB, which stay in the processor's cache: with ten times as many
a call costs 1 us more."""

COMPLAIN_EVERY = 60.0
"""Seconds between two lines about the same trouble of a backend."""

MAX_UNRECORDED = 64
"""Calls that are over and not yet recorded. They are recorded together, at the next tick at the latest: the same work
in one go costs a third of what it costs between other things."""


class Runtime:
    """One event loop's engine."""

    def __init__(self, settings: Settings, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.clock = Clock(loop)
        self.listening: list[Listening] = []
        """Where this process listens: whoever opens a listener says so. Backends are not called there."""
        self.rng = random.Random()  # noqa: S311 - it chooses among servers
        self.requests = 0
        """Calls that have come so far."""
        self.retries = RetryBudget(self.clock.now)
        self.divergences = Divergences()
        self.rates = TokenRates()
        self.waiting = WaitQueue()
        self._complaints: dict[tuple[str, str], float] = {}
        self.live: set[Exchange] = set()
        self._unrecorded: list[Exchange] = []
        self._records: deque[UsageRecord] = deque(maxlen=RECORDS)
        self._origins: deque[Choice | Origin | None] = deque(maxlen=RECORDS)
        self.draining = False
        self._prefix = f"req_{os.urandom(5).hex()}".encode()
        self._started = False
        self._past_tokens: list[Tokens] = []
        self._past_routers: set[Router] = set()
        self._around = Around(
            clock=self.clock,
            listening=lambda: self.listening,
            abilities=self._abilities,
            slow_above=self._slow_above,
            price=lambda backend, model: self.discovery.catalog.price(self._places[backend], model),
            on_checked=self._checked,
            warn=self.warn,
        )
        self._take(build(settings, self._around))
        self._metrics = Metrics([*settings.models, *settings.shaping.groups, *self.plan.model_names()])
        self.discovery = Discovery(
            settings,
            [partial(fetch, upstream) for upstream in self.upstreams],
            self.plan,
            on_change=self._learned,
            warn=self.warn,
        )
        self.clock.join(self._sweep)

    def _take(self, snapshot: Snapshot) -> None:
        """Everything from one snapshot."""
        self._snapshot = snapshot
        self.settings = snapshot.settings
        self.ground = snapshot.ground
        self.tokens = snapshot.tokens
        self.keyring = snapshot.keyring
        self.plan = snapshot.plan
        self.upstreams = list(snapshot.upstreams.values())
        self._places = {name: index for index, name in enumerate(snapshot.upstreams)}
        self.board = board = snapshot.board
        for name in [name for name in board.backends if name not in snapshot.states]:
            board.leave(name)
        for name, state in snapshot.states.items():
            if board.backends.get(name) is not state:
                board.enter(state)
        board.adjust(snapshot.adjusted, self.settings.breaker, self.clock.now)
        self.choices = snapshot.choices
        self.guide = snapshot.guide
        self.router = snapshot.router
        self.leads = snapshot.leads
        """Whether what is in a request may lead it to another model than it names."""
        self.exposes = snapshot.exposes

    def start(self) -> None:
        """Begin to ask the backends: for their models, and whether they are well."""
        self._started = True
        self.discovery.start()
        for check in self._snapshot.checks.values():
            check.start()

    def prepare(self, settings: Settings) -> Snapshot:
        """Make what other settings need and what runs cannot be used for; changes nothing, so a thread may do it.

        Raises ConfigError if a file, URL or function of the settings cannot be used.
        """
        return build(settings, self._around, self._snapshot)

    def adopt(self, snapshot: Snapshot) -> None:
        """From now on calls run on a snapshot that was prepared; those under way keep the one they began with."""
        before = self._snapshot
        self._take(snapshot)
        self.discovery.reload(
            self.settings, [partial(fetch, upstream) for upstream in self.upstreams], self.plan, snapshot.same
        )
        self._metrics.know([*self.settings.models, *self.settings.shaping.groups, *self.plan.model_names()])
        self._learned()
        before.choices.forget()  # a request whose head came before finds nothing there and asks the new ones
        for name, check in before.checks.items():
            if snapshot.checks.get(name) is not check:
                check.stop()
        for name, check in snapshot.checks.items():
            if self._started and before.checks.get(name) is not check:
                check.start()
        for name, state in before.board.backends.items():
            if name not in snapshot.board.backends:
                # A call that is under way turns to others, if it has to turn.
                state.drain(True, self.clock.now)
        for name, upstream in before.upstreams.items():
            if name not in snapshot.same:
                upstream.pool.close()
                upstream.probes.close()
        for name in snapshot.adjusted:
            self.waiting.offer(snapshot.states[name])  # it may have more places
        if before.tokens is not snapshot.tokens:
            self._past_tokens.append(before.tokens)  # calls may wait for one
        if before.router is not None:
            self._past_routers.add(before.router)
            # By then each request that asked it has its answer.
            self._loop.call_later(before.settings.router_timeout + 1.0, self._forget_router, before.router)

    def _forget_router(self, router: Router) -> None:
        self._past_routers.discard(router)
        router.close()

    def __repr__(self) -> str:
        return f"<Runtime {len(self.upstreams)} backends, {len(self.live)} live calls>"

    def next_id(self) -> bytes:
        """A request id: unique to this process by its prefix, in order by its counter."""
        self.requests = count = self.requests + 1
        return b"%b%06x" % (self._prefix, count)

    @property
    def records(self) -> deque[UsageRecord]:
        """The records of finished calls, oldest first."""
        self._record()
        return self._records

    @property
    def origins(self) -> deque[Choice | Origin | None]:
        """How each of `records` came about; None: it was refused before anybody could be asked."""
        self._record()
        return self._origins

    @property
    def metrics(self) -> Metrics:
        """The counters, with all finished calls counted."""
        self._record()
        return self._metrics

    def _abilities(self, backend: str, model: str) -> CapabilitySettings:
        traits = self.discovery.catalog.traits(self._places[backend], model)
        return CapabilitySettings(
            context_window=traits.context_window,
            tools=traits.tools,
            vision=traits.vision,
            json_schema=traits.json_schema,
            reasoning=traits.reasoning,
        )

    def _slow_above(self, backend: str) -> float:
        return self._snapshot.upstreams[backend].settings.latency_p95_threshold_ms / 1000

    def _learned(self) -> None:
        """Backends were found to have other models, or models that can do other things."""
        for name in self.board.backends:
            self.board.learn(name)
        self.choices.forget()

    def choose(
        self, model: str, needs: str = "", pin: str = "", *, led: bool = False, key: Key | None = None
    ) -> Choice | Fault:
        """Who can be asked for a model. `needs`: the surface that they must speak beside chat completions; `pin`: the
        only backend that may be asked; `key`: the caller's, which may have wants of its own.
        """
        found = self.choices.find(model, needs, pin, led=led, key=key)
        if isinstance(found, Fault):
            self.discovery.nudge()  # the lists may be older than the model
        return found

    def finished(self, exchange: Exchange) -> None:
        """A call is over."""
        self.live.discard(exchange)
        unrecorded = self._unrecorded
        unrecorded.append(exchange)
        if len(unrecorded) >= MAX_UNRECORDED:
            self._record()

    def _record(self) -> None:
        """Keep the records of the calls that are over, and count them."""
        unrecorded, self._unrecorded = self._unrecorded, []
        record = None
        records, origins, observe = self._records, self._origins, self._metrics.observe
        for exchange in unrecorded:
            try:
                record = exchange.record()
                if record.usage is None or len(record.attempts) > 1:
                    record = with_estimates(record, self.rates)
                origin = exchange.origin()
                records.append(record)
                origins.append(origin)
                observe(record)
            except Exception as error:  # noqa: BLE001 # the others' records must be kept all the same
                self.alarm("a record", error)
        if record is not None:
            learn(record, self.rates)  # one of each batch is enough: most calls come in batches of many

    def observe_fallback(self, model: str) -> None:
        """Count a call that ended at this model instead of its own."""
        self._metrics.observe_fallback(model)

    def observe_splice(self, outcome: str) -> None:
        """Count a stream that was cut after its client had content."""
        self._metrics.observe_splice(outcome)

    def observe_refusal(self, request_id: bytes, surface: str, key: str, model: str, fault: Fault) -> None:
        """Record a call that was refused before any backend was asked."""
        self._record()  # the order of records is that of the ends
        now = self.clock.read()
        record = UsageRecord(
            request_id=request_id.decode(),
            key=key,
            surface=surface,
            model=model,
            streamed=False,
            backend="",
            attempts=(),
            usage=None,
            status=fault.http_status,
            fault=fault.kind.name,
            started=now,
            head_at=now,
            ended=now,
            bytes_in=0,
            bytes_out=0,
        )
        self._records.append(record)
        self._origins.append(None)
        self._metrics.observe(record)

    def alarm(self, where: str, error: BaseException) -> None:
        """A failure of the gateway itself: on standard error, with its traceback."""
        sys.stderr.write(f"trunkline: internal error in {where}\n")
        traceback.print_exception(error)

    def shut_down(self) -> None:
        """End what is still live, close the pools."""
        self.discovery.stop()
        for check in self._snapshot.checks.values():
            check.stop()
        for router in (self.router, *self._past_routers):
            if router is not None:
                router.close()
        for exchange in list(self.live):
            exchange.on_drain_over()
        for upstream in self.upstreams:
            upstream.pool.close()
            upstream.probes.close()
        self._record()
        for tokens in (self.tokens, *self._past_tokens):
            tokens.close()
        self.clock.stop()
        self.ground.resolver.close()

    def _checked(self, name: str, up: bool) -> None:
        sys.stderr.write(f"backend {name}: its health checks {'succeed again' if up else 'fail'}\n")

    def complain(self, about: str, fault: Fault) -> None:
        """Something is wrong that the operator should see to: a backend's credential, a router. Told once a minute."""
        now = self.clock.now
        told = self._complaints.get((about, fault.kind.name))
        if told is None or now - told > COMPLAIN_EVERY:
            self._complaints[about, fault.kind.name] = now
            words = "".join(char if char.isprintable() else " " for char in fault.message[:200])
            self.warn(f"{about}: {fault.kind.name}: {words}")

    def warn(self, text: str) -> None:
        """Tell the operator."""
        sys.stderr.write(f"warning: {text}\n")

    def _sweep(self, now: float) -> None:
        if self._unrecorded:
            self._record()
        for missed in self.waiting.expired(now):
            try:
                missed.place_missed()
            except Exception as error:  # noqa: BLE001 # as below
                self.alarm("a call that waited", error)
        for exchange in list(self.live):
            try:
                exchange.sweep(now)
            except Exception as error:  # noqa: BLE001 # the others' deadlines must be seen to all the same
                exchange.broke(error)
