"""A gateway as its file says, simulators behind it, and both sides of what happens: the caller's and the providers'.

`World.call` is the caller's side. `World.asked` is the providers': which requests each target has seen, in order.
Targets are told apart by the model's name with its fault, since all may stand on one simulator.
"""

import asyncio
import functools
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import uvloop

from tests.contract.gateway.harness import on_both_loops, scripted
from tests.contract.simulator.raw import PATIENCE
from tests.failover.caller import Told, call, request
from trunkline.config.load import load
from trunkline.config.model import Settings
from trunkline.gateway.app import Gateway
from trunkline.policy.record import UsageRecord
from trunkline.simulator.app import Simulator, start
from trunkline.simulator.state import Entry

__all__ = ["OK", "World", "named", "on_both_loops", "on_one_loop", "pair", "running", "scripted"]

OK = "sim-small"
"""The model of a healthy target."""


def named(spec: str = "", model: str = OK) -> str:
    """A model's name at the simulator, with a fault."""
    return f"{model}!{spec}" if spec else model


def on_one_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Turn an async test into one that is run on uvloop: waiting is the same on both loops, and takes its time."""

    @functools.wraps(test)
    def wrapper(**arguments: Any) -> None:
        async def scenario() -> None:
            async with asyncio.timeout(PATIENCE):
                await test(**arguments)

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(scenario())

    return wrapper


def pair(
    primary: str,
    fallback: str = "",
    *,
    model: str = OK,
    settings: str = "",
    backends: tuple[str, str] = ("sim", "sim"),
) -> str:
    """`models:` with one target and one fallback, each with a fault. `settings`: more of the primary, in flow style."""
    more = f", {settings}" if settings else ""
    return (
        "models:\n"
        f'  primary: {{targets: [{{backend: {backends[0]}, model: "{named(primary)}"}}], fallbacks: [ok]{more}}}\n'
        f'  ok: {{targets: [{{backend: {backends[1]}, model: "{named(fallback, model)}"}}]}}\n'
    )


class World:
    """A running gateway with the simulators behind it, by the names of their backends."""

    def __init__(self, gateway: Gateway, sims: dict[str, Simulator]) -> None:
        self.gateway = gateway
        self.sims = sims
        self.errors: list[str] = []

    @property
    def sim(self) -> Simulator:
        """The first."""
        return next(iter(self.sims.values()))

    @property
    def port(self) -> int:
        """The data port."""
        return self.gateway.server.port

    async def call(self, model: str = "primary", *, limit: float = 30.0, **fields: Any) -> Told:
        """One call through the gateway."""
        return await call(self.port, request(model, **fields), limit=limit)

    async def direct(self, model: str = OK, *, limit: float = 30.0, **fields: Any) -> Told:
        """The same call at the first simulator, without the gateway and left out of its log."""
        told = await call(self.sim.port, request(model, **fields), limit=limit)
        self.forget(model)
        return told

    def forget(self, model: str) -> None:
        """Take the last request for a model out of the first simulator's log."""
        log = self.sim._state.log
        log.remove(next(entry for entry in reversed(log) if entry.model == model))

    def asked(self, model: str, sim: str = "") -> list[Entry]:
        """The calls that a target has seen; `model`: with its fault. Ollama's /api/show is no call."""
        log = (self.sims[sim] if sim else self.sim).log
        return [
            entry
            for entry in log
            if entry.method == "POST" and entry.model == model and "/api/" not in entry.target
        ]

    def seen(self, *models: str) -> list[int]:
        """How many requests each of these models has seen at the first simulator."""
        return [len(self.asked(model)) for model in models]

    @property
    def record(self) -> UsageRecord:
        """The last call's."""
        return list(self.gateway.runtime.records)[-1]

    @property
    def faults(self) -> list[str]:
        """The fault of each attempt of the last call, "" for none."""
        return [attempt.fault for attempt in self.record.attempts]

    async def arrived(self, model: str, number: int = 1) -> None:
        """Wait until a target has seen so many requests."""
        while len(self.asked(model)) < number:
            await asyncio.sleep(0.005)

    async def quiet(self) -> None:
        """Wait until no call is live and no simulator has one in flight."""
        while self.gateway.runtime.live:
            await asyncio.sleep(0.005)
        for sim in self.sims.values():
            await sim.until(lambda sim=sim: sim.in_flight == 0)


def _load(folder: Path, text: str) -> Settings:
    file = folder / f"{len(list(folder.iterdir()))}.yaml"
    file.write_text(text, encoding="utf-8")
    return load(file, {}, {"server.port": 0, "admin.port": 0}).settings


@asynccontextmanager
async def running(
    folder: Path,
    models: str,
    *,
    backends: dict[str, str] | None = None,
    words: int = 20,
    more: str = "",
) -> AsyncGenerator[World]:
    """Start a gateway from a file. `backends`: names with their settings in flow style; a simulator stands behind
    each that has no url.

    Everything else is default, but for ports, which are free ones. At the end nothing may be left behind.
    """
    async with AsyncExitStack() as stack:
        sims: dict[str, Simulator] = {}
        lines = ["backends:"]
        for name, said in (backends or {"sim": ""}).items():
            if "url:" not in said:
                sims[name] = await stack.enter_async_context(await start(seed=7, words=words))
                said = ", ".join(filter(None, (f"url: {sims[name].url}", said)))
            lines.append(f"  - {{name: {name}, {said}}}")
        settings = _load(folder, "\n".join([*lines, models, more]))
        world = World(Gateway(settings), sims)
        loop = asyncio.get_running_loop()
        if loop.get_exception_handler() is None:  # else an outer world, or who runs several, listens
            loop.set_exception_handler(lambda _loop, context: world.errors.append(repr(context)))
        await world.gateway.start()
        try:
            yield world
        finally:
            await world.gateway.stop()
            for sim in sims.values():
                await sim.until(lambda sim=sim: sim.open_connections == 0)
    assert world.errors == []
    assert not world.gateway.runtime.live
    assert not world.gateway.server.shared.connections
    assert world.gateway.server.shared.buffered == 0
