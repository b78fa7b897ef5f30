"""Active health checks: each backend that has an interval is asked in the background whether it is well.

Owns when backends are asked, for what, and which answers are good. Does not own how many of them change a backend's
state (routing/health.py) nor what a backend that is down is still asked (routing/target.py). Off the hot path, so it
may await and use timers.

One task per backend asks, waits and asks again: never two questions to a backend at once, and one that hangs delays
no other. Questions go over the connections that the gateway keeps for its own questions, so calls do not wait for them.

What is asked for is `health.path`, else the path that the provider's row has for it. What the answers mean:

| answer | the backend is |
|---|---|
| 2xx | well |
| 401, 403 | not well: calls will be refused like the question (1) |
| 404, 405, 501 | not well; but well, with one warning, for a row's path that never gave 2xx (2) |
| any other status | not well: a busy server (429, 503) wants no calls now, a redirect leads where no call goes |
| none within `health.timeout` | not well; nor is it without a connection |

(1) Where the client's own credential is forwarded the question has none: there it is well.
(2) The server is up, it only has no such page. A page that was there and is gone is another matter: reverse proxies
answer 404 in place of servers that are away. And who names a path wants 2xx from it.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

from trunkline.engine.discovery import Ask
from trunkline.errors import Answer, ConfigError, Fault
from trunkline.net.url import join, parse_base_url
from trunkline.providers.registry import PROVIDERS, find
from trunkline.routing.backend import BackendSettings
from trunkline.routing.target import BackendState

JITTER = 0.1  # of the interval: backends that were asked together are soon asked apart
FIRST = 1.0  # seconds within which each is asked first, so that a thousand are not asked in one moment

_NO_PAGE = frozenset((404, 405, 501))
_NO_ENTRY = frozenset((401, 403))
_ANYWHERE = parse_base_url("http://localhost")


class Checked(NamedTuple):
    """One backend, as health checks see it."""

    settings: BackendSettings
    ask: Ask
    state: BackendState


class HealthChecks:
    """Asks the backends: `start`, then `stop`. One per event loop.

    `time`: the clock's; `on_change(name, up)` is told of each change of a backend's state; `warn` takes a line for
    people. Raises ConfigError for a `health.path` that is none.
    """

    def __init__(
        self,
        backends: Sequence[Checked],
        time: Callable[[], float],
        *,
        on_change: Callable[[str, bool], None],
        warn: Callable[[str], None],
    ) -> None:
        self._checks = [
            _Check(one, time, on_change, warn) for one in backends if one.settings.health.interval > 0
        ]
        self._tasks: list[asyncio.Task[None]] = []

    def __repr__(self) -> str:
        return f"<HealthChecks of {len(self._checks)} backends, {'on' if self._tasks else 'off'}>"

    def start(self) -> None:
        """Begin to ask."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(check.run()) for check in self._checks]

    def stop(self) -> None:
        """Ask no more."""
        for task in self._tasks:
            task.cancel()
        self._tasks = []


class _Check:
    """The questions to one backend."""

    def __init__(
        self,
        backend: Checked,
        time: Callable[[], float],
        on_change: Callable[[str, bool], None],
        warn: Callable[[str], None],
    ) -> None:
        self._settings, self._ask, self._state = backend
        row = find(self._settings.provider) or PROVIDERS["openai_compat"]
        own = self._settings.health.path
        self._path = row.health if own is None else _checked_path(self._settings.name, own)
        self._doubtful = own is None
        """Whether it is not known yet that the server has the page."""
        self._time = time
        self._on_change = on_change
        self._warn = warn
        self._warned: set[str] = set()

    async def run(self) -> None:
        """Ask until cancelled."""
        interval = self._settings.health.interval
        loop = asyncio.get_running_loop()
        await asyncio.sleep(random.uniform(0.0, min(interval, FIRST)))  # noqa: S311 # no secret
        while True:
            due = loop.time() + interval * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 # no secret
            try:
                await self._check()
            except Exception as error:  # noqa: BLE001 # a mistake of the gateway's says nothing about the backend
                self._warn_once(f"internal error: {type(error).__name__}")
            # An answer that took longer than the interval is followed by the next question at once.
            await asyncio.sleep(due - loop.time())

    async def _check(self) -> None:
        answer = await self._ask(
            self._path.encode(), self._settings.health.timeout, method=b"GET", headers=[], body=b""
        )
        good = self._is_good(answer)
        if self._state.checked(good, self._time()):
            self._on_change(self._settings.name, good)

    def _is_good(self, answer: Answer | Fault) -> bool:
        if isinstance(answer, Fault):
            return False
        if 200 <= answer.status < 300:
            self._doubtful = False
            return True
        if answer.status in _NO_PAGE and self._doubtful:
            self._warn_once(
                f"GET {self._path} was answered with status {answer.status}, so there is no such page; the server "
                "counts as well while it answers at all; set `health.path`"
            )
            return True
        return answer.status in _NO_ENTRY and self._settings.forward_authorization

    def _warn_once(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            self._warn(f"health check of backend {self._settings.name}: {text}")


def _checked_path(name: str, path: str) -> str:
    """The path as it can be asked for; raises ConfigError."""
    try:
        return join(_ANYWHERE, path).decode()
    except ValueError as error:
        raise ConfigError(f"backend {name}: `health.path`: {error}; write a path like /health") from error
