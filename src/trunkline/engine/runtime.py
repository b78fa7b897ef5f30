"""What the calls on one event loop share: the config snapshot, backends with their pools, counters, records.

Owns building it from settings and taking it down. Does not own any call (exchange.py).
"""

import asyncio
import itertools
import os
import sys
import traceback
from collections import deque
from functools import partial
from time import monotonic

import msgspec

from trunkline.config.addresses import is_loopback
from trunkline.config.model import Settings
from trunkline.credentials.oauth2 import Tokens
from trunkline.engine.answer_head import naming_lines
from trunkline.engine.discovery import Discovery
from trunkline.engine.exchange import Exchange
from trunkline.engine.fetch import fetch
from trunkline.engine.upstream import Upstream
from trunkline.engine.way import ground
from trunkline.errors import INVALID_REQUEST, ConfigError, Fault
from trunkline.net.clock import Clock
from trunkline.net.egress import Listening
from trunkline.policy.keys import Keyring
from trunkline.policy.record import UsageRecord
from trunkline.routing.backend import BackendSettings
from trunkline.routing.plan import Plan
from trunkline.telemetry.metrics import Metrics
from trunkline.wire.values import Call

RECORDS = 1_000
"""Usage records kept in memory, newest last; about 800 KB, which stay in the processor's cache: with ten times as many
a call costs 1 us more."""

MAX_CHOICES = 4096  # models whose candidates are kept; clients make up models

MAX_UNRECORDED = 64
"""Calls that are over and not yet recorded. They are recorded together, at the next tick at the latest: the same work
in one go costs a third of what it costs between other things."""

# `first_token: auto`, DESIGN section 4.
AUTO_FIRST_TOKEN = 10.0
AUTO_LOCAL_FIRST_TOKEN = 120.0  # a local server may be loading the model
CHARS_PER_TOKEN = 4.0


class Choice(msgspec.Struct, frozen=True, gc=False):
    """Who is asked for one model, first one first; `naming`: the header lines that name the first one.

    `touched`: fields of a request that one of them may want changed; `fills`: one may fill in the model.
    """

    upstreams: tuple[Upstream, ...]
    naming: bytes
    touched: frozenset[str]
    fills: bool


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
        self.live: set[Exchange] = set()
        self._unrecorded: list[Exchange] = []
        self._records: deque[UsageRecord] = deque(maxlen=RECORDS)
        self._metrics = Metrics(self.plan.model_names())
        self.draining = False
        expose = settings.server.expose
        self.exposes = is_loopback(settings.server.host) if expose is None else expose
        self._prefix = f"req_{os.urandom(5).hex()}".encode()
        self._counter = itertools.count(1)
        self._choices: dict[str, dict[str, Choice]] = {}
        self.discovery = Discovery(
            settings,
            [partial(fetch, upstream) for upstream in self.upstreams],
            self.plan,
            on_change=self._forget_choices,
            warn=self._warn,
        )
        self.clock.join(self._sweep)

    def __repr__(self) -> str:
        return f"<Runtime {len(self.upstreams)} backends, {len(self.live)} live calls>"

    def next_id(self) -> bytes:
        """A request id: unique to this process by its prefix, in order by its counter."""
        return b"%b%06x" % (self._prefix, next(self._counter))

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

    def _forget_choices(self) -> None:
        """Backends were found to have other models."""
        for known in self._choices.values():  # whoever looks into one of them holds it
            known.clear()

    def choices(self, needs: str = "") -> dict[str, Choice]:
        """What `choose` has found, by model: to be looked at first."""
        return self._choices.setdefault(needs, {})

    def choose(self, model: str, needs: str = "") -> Choice | Fault:
        """The backends to try for a model. `needs`: the surface that they must speak beside chat completions."""
        chosen = self.plan.candidates(model)
        if isinstance(chosen, Fault):
            self.discovery.nudge()  # the lists may be older than the model
            return chosen
        upstreams = tuple(self.upstreams[index] for index in chosen)
        able = tuple(upstream for upstream in upstreams if not needs or upstream.speaks(needs))
        if not able:
            what = f"the model `{model[:100]}`" if model else "this gateway"
            message = f"no backend of {what} speaks /v1/{needs}; use /v1/chat/completions"
            return Fault(INVALID_REQUEST, message, code="unsupported_endpoint")
        choice = Choice(
            able,
            self.naming(model, able[0], 1),
            frozenset[str]().union(*(upstream.touched(model) for upstream in able)),
            not model and any(upstream.fills for upstream in able),
        )
        known = self.choices(needs)
        if len(known) >= MAX_CHOICES:
            known.clear()
        known[model] = choice
        return choice

    def naming(self, model: str, upstream: Upstream, attempts: int) -> bytes:
        """The header lines that say who answered."""
        return naming_lines(model, upstream.name if self.exposes else None, attempts)

    def first_token(self, upstream: Upstream, call: Call) -> float:
        """Seconds that a backend gets for the first content of a stream."""
        configured = upstream.settings.timeouts.first_token
        if configured != "auto":
            return configured
        seconds = AUTO_FIRST_TOKEN + len(call.body) / CHARS_PER_TOKEN / 1000
        return max(seconds, AUTO_LOCAL_FIRST_TOKEN) if upstream.local else seconds

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
        for exchange in list(self.live):
            exchange.on_drain_over()
        for upstream in self.upstreams:
            upstream.pool.close()
            upstream.probes.close()
        self._record()
        self.tokens.close()
        self.clock.stop()
        self.ground.resolver.close()

    def _warn(self, text: str) -> None:
        sys.stderr.write(f"warning: {text}\n")

    def _sweep(self, now: float) -> None:
        if self._unrecorded:
            self._record()
        for exchange in list(self.live):
            try:
                exchange.sweep(now)
            except Exception as error:  # noqa: BLE001 # the others' deadlines must be seen to all the same
                exchange.broke(error)
