"""What one simulator remembers: the log, the counters, who waits for what.

Owns everything that outlives a request. Does not own connections' own state (`connection.py`). All of it is
bounded: the log drops its oldest entries, the counters of `times` and `rate` their oldest keys.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from trunkline.simulator.faults import Fault, parse
from trunkline.simulator.request import Request
from trunkline.simulator.text import digest

Outcome = Literal["in_flight", "answered", "reset", "closed", "client_closed", "rejected", "shutdown"]

DEFAULT_MODELS = ("sim-small", "sim-large", "sim-embed")
BODY_KEPT = 4096
"""Bytes of each request's body in the log: full bodies times the log's length would be gigabytes."""
OWN = "/__"
"""How the paths of the simulator's own pages begin."""
_COUNTERS = 10_000


class Entry(msgspec.Struct):
    """One request in the log. Times are seconds since the simulator started, None: has not happened.

    `sent` counts bytes given to the socket. `fault` is the spec as it was asked for, `applied` whether it struck.
    Outcomes: `in_flight`; `answered` (to the end); `reset` and `closed` (cut by a fault); `client_closed`;
    `rejected` (not HTTP; `error` says why); `shutdown` (the simulator was closed).
    """

    number: int
    connection: int
    method: str
    target: str
    headers: list[tuple[str, str]]
    received: float
    body_length: int = 0
    body: str = ""
    model: str | None = None
    fault: str | None = None
    applied: bool = False
    status: int | None = None
    sent: int = 0
    outcome: Outcome = "in_flight"
    finished: float | None = None
    client_closed: float | None = None
    error: str | None = None

    def header(self, name: str) -> str | None:
        """The first header of that name (lower-case), or None."""
        return next((value for key, value in self.headers if key.lower() == name), None)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a simulator is told when it starts."""

    seed: int = 0
    models: tuple[str, ...] = DEFAULT_MODELS
    api_key: str | None = None
    credential: str | None = None
    model_list: str = "openai"
    log_size: int = 10_000
    words: int | None = None


class State:
    """The memory of one simulator; used from its event loop only."""

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        self.settings = settings
        self.credential = settings.credential
        self.log: deque[Entry] = deque(maxlen=settings.log_size)
        self.total = 0
        self.in_flight = 0
        self.open_connections = 0
        self.connections_total = 0
        self._clock = clock
        self._started = clock()
        self._hits: dict[tuple[str, str], int] = {}
        self._switched: dict[str | None, str] = {}
        self._waiting: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    def now(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._started

    def reset(self) -> None:
        """Forget the log and what `times` and `rate` have counted."""
        self.log.clear()
        self._hits.clear()
        self.total = 0
        self.changed()

    def stats(self) -> dict[str, Any]:
        """The counters."""
        return {
            "open_connections": self.open_connections,
            "connections_total": self.connections_total,
            "in_flight": self.in_flight,
            "total": self.total,
            "logged": len(self.log),
        }

    def begin(self, request: Request, connection: int) -> Entry:
        """A request's head has arrived. The simulator's own pages get an entry too, numbered 0 and kept nowhere."""
        if request.path.startswith(OWN):
            return Entry(0, connection, request.method, request.target, request.headers, self.now())
        self.total += 1
        self.in_flight += 1
        entry = Entry(self.total, connection, request.method, request.target, request.headers, self.now())
        self.log.append(entry)
        self.changed()
        return entry

    def finish(self, entry: Entry, outcome: Outcome) -> None:
        """A request is over."""
        if entry.number == 0:
            return
        self.in_flight -= 1
        entry.outcome, entry.finished = outcome, self.now()
        if outcome == "client_closed":
            entry.client_closed = entry.finished
        self.changed()

    def connected(self) -> int:
        """A connection was opened: its number."""
        self.open_connections += 1
        self.connections_total += 1
        self.changed()
        return self.connections_total

    def disconnected(self) -> None:
        """A connection is gone."""
        self.open_connections -= 1
        self.changed()

    def set_fault(self, spec: str | None, model: str | None) -> None:
        """Switch a fault on for requests with exactly this model (None: for all), or off. Raises `SpecError`."""
        if spec is None:
            self._switched.pop(model, None)
            return
        parse(spec)
        self._switched[model] = spec
        self._hits = {key: hit for key, hit in self._hits.items() if key[1] != spec}

    def switched(self, model: str | None) -> str | None:
        """The fault that is switched on for a request; what is for its model wins over what is for all."""
        return self._switched.get(model, self._switched.get(None))

    def strikes(self, model: str, spec: str, fault: Fault) -> bool:
        """Whether the fault hits this request: it is among the first `times`, and the seeded dice of `rate` fall."""
        if fault.times is None and fault.rate is None:
            return True
        key = (model, spec)
        hit = self._hits.pop(key, 0) + 1
        self._hits[key] = hit  # put in anew: the dict stays in order of use
        if len(self._hits) > _COUNTERS:
            del self._hits[next(iter(self._hits))]
        if fault.times is not None and hit > fault.times:
            return False
        return fault.rate is None or int(digest(self.settings.seed, *key, hit)[:8], 16) < fault.rate * 2**32

    def changed(self) -> None:
        """Wake those whose condition has come true."""
        for check, future in self._waiting:
            if not future.done() and check():
                future.set_result(None)

    async def until(self, check: Callable[[], bool]) -> None:
        """Wait until the condition holds; it is asked whenever a request or connection begins or ends."""
        if check():
            return
        waiter = (check, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        try:
            await waiter[1]
        finally:
            self._waiting.remove(waiter)
