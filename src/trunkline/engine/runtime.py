"""What the calls on one event loop share: the config snapshot, backends with their pools, counters, records.

Owns building it from settings and taking it down. Does not own any call (exchange.py).
"""

import asyncio
import os
import random
import sys
import traceback
from collections import deque
from functools import partial
from pathlib import Path
from time import monotonic

from trunkline.config.addresses import is_loopback
from trunkline.config.model import Settings
from trunkline.credentials.oauth2 import Tokens
from trunkline.engine.choices import Choice, Choices
from trunkline.engine.discovery import Discovery
from trunkline.engine.exchange import Exchange
from trunkline.engine.fetch import fetch
from trunkline.engine.guide import Guide
from trunkline.engine.health_checks import Checked, HealthChecks
from trunkline.engine.router import Router, load_router
from trunkline.engine.upstream import Upstream
from trunkline.engine.waiting import WaitQueue
from trunkline.engine.way import ground
from trunkline.errors import ConfigError, Fault
from trunkline.net.clock import Clock
from trunkline.net.egress import Listening
from trunkline.policy.keys import Keyring
from trunkline.policy.record import UsageRecord
from trunkline.routing.backend import BackendSettings, CapabilitySettings
from trunkline.routing.board import Board
from trunkline.routing.breaker import BreakerSettings
from trunkline.routing.plan import Plan
from trunkline.routing.retry_budget import RetryBudget
from trunkline.routing.target import BackendState, RetryPolicy
from trunkline.streams.divergence import Divergences
from trunkline.telemetry.metrics import Metrics

RECORDS = 1_000
"""Usage records kept in memory, newest last; about 800 KB, which stay in the processor's cache: with ten times as many
a call costs 1 us more."""

MAX_UNRECORDED = 64
"""Calls that are over and not yet recorded. They are recorded together, at the next tick at the latest: the same work
in one go costs a third of what it costs between other things."""


class Runtime:
    """One event loop's engine."""

    def __init__(self, settings: Settings, loop: asyncio.AbstractEventLoop) -> None:
        self.settings = settings
        self.clock = Clock(loop)
        self.listening: list[Listening] = []
        """Where this process listens: whoever opens a listener says so. Backends are not called there."""
        self.ground = ground(settings.egress, lambda: self.listening)
        self.tokens = Tokens(monotonic)
        self.keyring = Keyring(settings.keys)
        self.plan = Plan(settings.backends)
        self.upstreams = [self._upstream(item) for item in settings.backends]
        self.rng = random.Random()  # noqa: S311 - it chooses among servers
        self.requests = 0
        """Calls that have come so far."""
        self.retries = RetryBudget(self.clock.now)
        self.divergences = Divergences()
        self.waiting = WaitQueue()
        self.live: set[Exchange] = set()
        self._unrecorded: list[Exchange] = []
        self._records: deque[UsageRecord] = deque(maxlen=RECORDS)
        self._metrics = Metrics([*settings.models, *self.plan.model_names()])
        self.draining = False
        expose = settings.server.expose
        self.exposes = is_loopback(settings.server.host) if expose is None else expose
        self._prefix = f"req_{os.urandom(5).hex()}".encode()
        self.discovery = Discovery(
            settings,
            [partial(fetch, upstream) for upstream in self.upstreams],
            self.plan,
            on_change=self._learned,
            warn=self.warn,
        )
        self.board = self._board()
        self.choices = Choices(
            settings,
            {upstream.name: upstream for upstream in self.upstreams},
            self.plan,
            self.board,
            exposes=self.exposes,
        )
        self.health_checks = HealthChecks(
            [
                Checked(upstream.settings, partial(fetch, upstream), self.board.backends[upstream.name])
                for upstream in self.upstreams
            ],
            monotonic,
            on_change=self._checked,
            warn=self.warn,
        )
        self.guide = Guide(settings.rules)
        self.router = self._router()
        self.leads = bool(settings.rules) or self.router is not None
        """Whether what is in a request may lead it to another model than it names."""
        self.clock.join(self._sweep)

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
    def metrics(self) -> Metrics:
        """The counters, with all finished calls counted."""
        self._record()
        return self._metrics

    def _upstream(self, settings: BackendSettings) -> Upstream:
        try:
            return Upstream(settings, self.clock, self.ground, self.tokens)
        except ConfigError as error:
            raise ConfigError(f"backend {settings.name}: {error}") from error

    def _board(self) -> Board:
        places = {backend.name: index for index, backend in enumerate(self.settings.backends)}
        backends = {backend.name: backend for backend in self.settings.backends}
        breaker = self.settings.breaker
        board = Board(
            breaker=breaker,
            abilities=lambda backend, model: self._abilities(places[backend], model),
            slow_above=lambda backend: backends[backend].latency_p95_threshold_ms / 1000,
        )
        for backend in self.settings.backends:
            board.enter(backend_state(backend, breaker))
        return board

    def _router(self) -> Router | None:
        spec = self.settings.router
        if spec is None:
            return None
        directory = self.settings.config_dir
        function = load_router(spec, None if directory is None else Path(directory))
        return Router(function, self.settings.router_timeout, warn=self.warn, name=spec)

    def _abilities(self, index: int, model: str) -> CapabilitySettings:
        traits = self.discovery.catalog.traits(index, model)
        return CapabilitySettings(
            context_window=traits.context_window,
            tools=traits.tools,
            vision=traits.vision,
            json_schema=traits.json_schema,
            reasoning=traits.reasoning,
        )

    def _learned(self) -> None:
        """Backends were found to have other models, or models that can do other things."""
        for name in self.board.backends:
            self.board.learn(name)
        self.choices.forget()

    def choose(self, model: str, needs: str = "", pin: str = "") -> Choice | Fault:
        """Who can be asked for a model. `needs`: the surface that they must speak beside chat completions; `pin`: the
        only backend that may be asked.
        """
        found = self.choices.find(model, needs, pin)
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
        for exchange in unrecorded:
            try:
                self._observe(exchange.record())
            except Exception as error:  # noqa: BLE001 # the others' records must be kept all the same
                self.alarm("a record", error)

    def _observe(self, record: UsageRecord) -> None:
        self._records.append(record)
        self._metrics.observe(record)

    def observe_refusal(self, request_id: bytes, surface: str, key: str, model: str, fault: Fault) -> None:
        """Record a call that was refused before any backend was asked."""
        self._record()  # the order of records is that of the ends
        now = self.clock.read()
        self._observe(
            UsageRecord(
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
        )

    def alarm(self, where: str, error: BaseException) -> None:
        """A failure of the gateway itself: on standard error, with its traceback."""
        sys.stderr.write(f"trunkline: internal error in {where}\n")
        traceback.print_exception(error)

    def shut_down(self) -> None:
        """End what is still live, close the pools."""
        self.discovery.stop()
        self.health_checks.stop()
        if self.router is not None:
            self.router.close()
        for exchange in list(self.live):
            exchange.on_drain_over()
        for upstream in self.upstreams:
            upstream.pool.close()
            upstream.probes.close()
        self._record()
        self.tokens.close()
        self.clock.stop()
        self.ground.resolver.close()

    def _checked(self, name: str, up: bool) -> None:
        sys.stderr.write(f"backend {name}: its health checks {'succeed again' if up else 'fail'}\n")

    def warn(self, text: str) -> None:
        """Tell the operator."""
        sys.stderr.write(f"warning: {text}\n")

    def _sweep(self, now: float) -> None:
        if self._unrecorded:
            self._record()
        for exchange in list(self.live):
            try:
                exchange.sweep(now)
            except Exception as error:  # noqa: BLE001 # the others' deadlines must be seen to all the same
                exchange.broke(error)


def backend_state(settings: BackendSettings, breaker: BreakerSettings) -> BackendState:
    """What is known at run time of a backend, at its beginning."""
    retry_404 = settings.provider == "ollama" if settings.retry_404 is None else settings.retry_404
    return BackendState(
        settings.name,
        retry=RetryPolicy(settings.max_retries, settings.backoff_base, settings.backoff_max, retry_404),
        breaker=breaker,
        health=settings.health,
        limit=settings.max_concurrency or 0,
        max_queue=settings.max_queue,
    )
