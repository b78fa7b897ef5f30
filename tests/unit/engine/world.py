"""What files of the engine read of a runtime, without calls, sockets and a running loop; tests move the time."""

import asyncio
from random import Random
from time import monotonic
from typing import Any

import msgspec

from trunkline.config.model import Settings
from trunkline.credentials.oauth2 import Tokens
from trunkline.engine.choices import Choices
from trunkline.engine.upstream import Upstream
from trunkline.engine.way import ground
from trunkline.net.clock import Clock
from trunkline.net.egress import EgressSettings
from trunkline.routing.backend import CapabilitySettings
from trunkline.routing.board import Board
from trunkline.routing.plan import Plan
from trunkline.routing.retry_budget import RetryBudget
from trunkline.routing.target import BackendState, RetryPolicy
from trunkline.streams.divergence import Divergences
from trunkline.wire.values import Call

NOW = 100.0


class World:
    """Backends called a, b, c ..., each given by its settings; `models` as in a file."""

    def __init__(
        self, *backends: dict[str, Any], models: dict[str, Any] | None = None, exposes: bool = True
    ) -> None:
        values = [
            {"name": name, "url": "http://h", "priority": at} | backend
            for at, (name, backend) in enumerate(zip("abcdef", backends or ({},), strict=False))
        ]
        self.settings = msgspec.convert({"backends": values, "models": models or {}}, Settings)
        # What the engine's files read of a runtime.
        self.rng = Random(1)
        self.requests = 0
        self.retries = RetryBudget(NOW)
        self.divergences = Divergences()
        self._loop = asyncio.new_event_loop()
        self.clock = Clock(self._loop)
        self.clock.now = NOW
        self._ground = ground(EgressSettings(), list)
        tokens = Tokens(monotonic)
        self.upstreams = {
            one.name: Upstream(one, self.clock, self._ground, tokens) for one in self.settings.backends
        }
        self.board = Board(abilities=self._abilities)
        for one in self.settings.backends:
            retry = RetryPolicy(one.max_retries, one.backoff_base, one.backoff_max)
            self.board.enter(BackendState(one.name, retry=retry, limit=one.max_concurrency or 0))
        self.plan = Plan(self.settings.backends)
        self.choices = Choices(
            self.settings,
            self.upstreams,
            self.plan,
            self.board,
            price=lambda backend, model: None,
            exposes=exposes,
        )

    @property
    def runtime(self) -> Any:
        """This, for who wants a runtime."""
        return self

    def close(self) -> None:
        for one in self.upstreams.values():
            one.pool.close()
            one.probes.close()
        self.clock.stop()
        self._ground.resolver.close()
        self._loop.close()

    def _abilities(self, backend: str, model: str) -> CapabilitySettings:
        return self.upstreams[backend].settings.capabilities.get(model, CapabilitySettings())


def call(surface: str = "chat", **fields: Any) -> Call:
    """A request as it was received."""
    body = msgspec.json.encode({"model": "m"} | fields)
    return Call(
        b"r1",
        surface,
        b"POST",
        b"/v1/x",
        [],
        body,
        "key",
        "m",
        bool(fields.get("stream")),
        True,
        None,
        b"",
        {},
    )


def user(*texts: str) -> list[dict[str, str]]:
    """A conversation that begins and ends with the user."""
    return [{"role": "assistant" if at % 2 else "user", "content": text} for at, text in enumerate(texts)]


def decoded(fields: dict[str, msgspec.Raw]) -> dict[str, Any]:
    return {name: msgspec.json.decode(value) for name, value in fields.items()}
