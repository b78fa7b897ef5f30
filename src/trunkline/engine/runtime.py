"""What the calls on one event loop share: the config snapshot, backends with their pools, counters, records.

Owns building it from settings and taking it down. Does not own any call (exchange.py).
"""

import asyncio
import itertools
import os
import sys
import traceback
from collections import deque

from trunkline.config.addresses import is_loopback
from trunkline.config.model import Settings
from trunkline.engine.answer_head import naming_lines
from trunkline.engine.exchange import Exchange
from trunkline.engine.upstream import Upstream
from trunkline.errors import Fault
from trunkline.net.clock import Clock
from trunkline.net.dns import Resolver
from trunkline.policy.keys import Keyring
from trunkline.policy.record import UsageRecord
from trunkline.routing.plan import Plan
from trunkline.telemetry.metrics import Metrics
from trunkline.wire.values import Call

RECORDS = 10_000
"""Usage records kept in memory, newest last; about 8 MB."""

MAX_NAMINGS = 1024  # pairs of model and backend whose header lines are kept; clients make up models

# `first_token: auto`, DESIGN section 4.
AUTO_FIRST_TOKEN = 10.0
AUTO_LOCAL_FIRST_TOKEN = 120.0  # a local server may be loading the model
CHARS_PER_TOKEN = 4.0


class Runtime:
    """One event loop's engine."""

    def __init__(self, settings: Settings, loop: asyncio.AbstractEventLoop) -> None:
        self.settings = settings
        self.clock = Clock(loop)
        self.resolver = Resolver()
        self.keyring = Keyring(settings.keys)
        self.plan = Plan(settings.backends)
        self.upstreams = [Upstream(item, self.clock, self.resolver) for item in settings.backends]
        self.live: set[Exchange] = set()
        self.records: deque[UsageRecord] = deque(maxlen=RECORDS)
        self.metrics = Metrics(self.plan.model_names())
        self.draining = False
        expose = settings.server.expose
        self.exposes = is_loopback(settings.server.host) if expose is None else expose
        self._prefix = f"req_{os.urandom(5).hex()}".encode()
        self._counter = itertools.count(1)
        self._chosen: dict[tuple[int, ...], tuple[Upstream, ...]] = {}
        self._naming: dict[tuple[str, str], bytes] = {}
        self.clock.join(self._sweep)

    def __repr__(self) -> str:
        return f"<Runtime {len(self.upstreams)} backends, {len(self.live)} live calls>"

    def next_id(self) -> bytes:
        """A request id: unique to this process by its prefix, in order by its counter."""
        return b"%b%06x" % (self._prefix, next(self._counter))

    def candidates(self, model: str) -> tuple[Upstream, ...] | Fault:
        """The backends to try for a model, first one first."""
        chosen = self.plan.candidates(model)
        if isinstance(chosen, Fault):
            return chosen
        found = self._chosen.get(chosen)
        if found is None:
            found = self._chosen[chosen] = tuple(self.upstreams[index] for index in chosen)
        return found

    def naming(self, model: str, backend: str, attempts: int) -> bytes:
        """The header lines that say who answered; remembered for the usual case of one attempt."""
        if attempts != 1:
            return naming_lines(model, backend if self.exposes else None, attempts)
        lines = self._naming.get((model, backend))
        if lines is None:
            lines = naming_lines(model, backend if self.exposes else None, attempts)
            if len(self._naming) < MAX_NAMINGS:
                self._naming[model, backend] = lines
        return lines

    def first_token(self, upstream: Upstream, call: Call) -> float:
        """Seconds that a backend gets for the first content of a stream."""
        configured = upstream.settings.timeouts.first_token
        if configured != "auto":
            return configured
        seconds = AUTO_FIRST_TOKEN + len(call.body) / CHARS_PER_TOKEN / 1000
        return max(seconds, AUTO_LOCAL_FIRST_TOKEN) if upstream.local else seconds

    def observe(self, record: UsageRecord) -> None:
        """Keep the record of a finished call and count it."""
        self.records.append(record)
        self.metrics.observe(record)

    def observe_refusal(self, request_id: bytes, surface: str, key: str, model: str, fault: Fault) -> None:
        """Record a call that was refused before any backend was asked."""
        now = self.clock.read()
        self.observe(
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
        for exchange in list(self.live):
            exchange.on_drain_over()
        for upstream in self.upstreams:
            upstream.pool.close()
            upstream.probes.close()
        self.clock.stop()
        self.resolver.close()

    def _sweep(self, now: float) -> None:
        for exchange in list(self.live):
            try:
                exchange.sweep(now)
            except Exception as error:  # noqa: BLE001 # the others' deadlines must be seen to all the same
                exchange.broke(error)
