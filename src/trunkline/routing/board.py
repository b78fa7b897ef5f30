"""The run-time state of all backends and targets on one event loop, by name: it outlives routes and snapshots.

Owns who is there, that the number stays bounded (where any model passes, clients make up names), and what becomes of a
state when the settings change under it. Does not own what the states mean (target.py).
"""

from collections.abc import Callable, Mapping

import msgspec

from trunkline.routing.backend import CapabilitySettings
from trunkline.routing.breaker import Breaker, BreakerSettings, State
from trunkline.routing.changes import Changes
from trunkline.routing.percentile import P95Window
from trunkline.routing.target import UNKNOWN, BackendState, Target

MAX_TARGETS = 8192
"""About 1.5 KB each."""


def _unknown(_backend: str, _model: str) -> CapabilitySettings:
    return UNKNOWN


def _no_limit(_backend: str) -> float:
    return 0.0


class Adjusted(msgspec.Struct, frozen=True, kw_only=True):
    """A backend that stays and is dealt with in another way: `like` a state that begins so. What begins anew with it is
    its `health`, its and its targets' `breaker`, and the window that tells whether they are `slow`; never its calls.
    """

    like: BackendState
    health: bool = False
    breaker: bool = False
    slow: bool = False


class Board:
    """States by backend, and by backend and model.

    `abilities` tells what is known of a model at a backend; `slow_above` the seconds of its 95th percentile, 0 none.
    """

    def __init__(
        self,
        *,
        breaker: BreakerSettings = BreakerSettings(),  # noqa: B008 - frozen
        abilities: Callable[[str, str], CapabilitySettings] = _unknown,
        slow_above: Callable[[str], float] = _no_limit,
    ) -> None:
        self.backends: dict[str, BackendState] = {}
        self.changes = Changes()
        self._targets: dict[tuple[str, str], Target] = {}
        self._breaker = breaker
        self._abilities = abilities
        self._slow_above = slow_above

    def __repr__(self) -> str:
        return f"<Board {len(self.backends)} backends, {len(self._targets)} targets>"

    @property
    def crowded(self) -> bool:
        """Whether it is time to `forget`."""
        return len(self._targets) >= MAX_TARGETS

    def enter(self, backend: BackendState) -> None:
        """A new backend, or one that has changed: what was known of its targets is forgotten."""
        self.backends[backend.name] = backend
        for pair in [pair for pair in self._targets if pair[0] == backend.name]:
            del self._targets[pair]

    def adjust(self, backends: Mapping[str, Adjusted], breaker: BreakerSettings, now: float) -> None:
        """Backends stay under other settings, with the calls that they have; whoever waits has to be told."""
        self._breaker = breaker
        for name, adjusted in backends.items():
            self._adjust(self.backends[name], adjusted, now)

    def _adjust(self, backend: BackendState, adjusted: Adjusted, now: float) -> None:
        like = adjusted.like
        backend.retry, backend.limit, backend.max_queue = like.retry, like.limit, like.max_queue
        if adjusted.health:
            backend.health = like.health
        if adjusted.breaker:
            backend.breaker = like.breaker
        slow_above = self._slow_above(backend.name)
        for target in backend.targets:
            if adjusted.breaker:
                target.breaker = Breaker(self._breaker)
            if adjusted.slow:
                target.p95 = P95Window(slow_above) if slow_above else None
            target.counted = bool(slow_above or backend.limit)  # routes that compare loads are made anew
        backend.settle(now)

    def leave(self, name: str) -> None:
        """A backend is gone."""
        self.enter(self.backends[name])
        del self.backends[name]

    def target(self, backend: str, model: str) -> Target:
        """The state of a target; raises KeyError for a backend that is not there."""
        found = self._targets.get((backend, model))
        if found is None:
            found = self._targets[backend, model] = Target(
                self.backends[backend],
                model,
                breaker=self._breaker,
                abilities=self._abilities(backend, model),
                slow_above=self._slow_above(backend),
                changes=self.changes,
            )
        return found

    def against(self, moment: float) -> Callable[[Target], str] | None:
        """What tells of a target what spoke against it at a moment that is past, "" nothing; None: it is not known."""
        before = self.changes.before(moment)
        if before is None:
            return None
        return lambda target: before.get((target.backend.name, target.model), target.standing).at(moment)

    def learn(self, backend: str) -> None:
        """What is known of a backend's models has changed; routes must be made anew afterwards."""
        for target in self.backends[backend].targets:
            target.abilities = self._abilities(backend, target.model)

    def forget(self) -> None:
        """Drop targets of which nothing is to be remembered; routes must be made anew afterwards."""
        for pair, target in list(self._targets.items()):
            if not target.inflight and target.breaker.state is State.CLOSED and not target.busy_until:
                del self._targets[pair]
        for backend in self.backends.values():
            backend.targets[:] = [
                target for target in backend.targets if (backend.name, target.model) in self._targets
            ]

    def targets(self) -> list[Target]:
        """All of them, for those who want to know."""
        return list(self._targets.values())
