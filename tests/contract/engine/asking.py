"""A router around a function, for tests: its warnings, a clock for them, and the threads that it leaves."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Generator
from typing import Any

from trunkline.engine.router import Pinned, RequestView, Router

AMPLE = 20.0
"""Seconds for functions that answer: no test waits for them."""
SHORT = 0.05
"""For those that do not."""
VIEW = RequestView(model="auto", text="write code", key="team-a")


async def coroutine_with_text(text: Any) -> Any:
    await asyncio.sleep(0)
    return f"got {text}"


def giving_a_coroutine(text: Any) -> Any:
    return coroutine_with_text(text)


def giving(give: Callable[[], object]) -> list[Callable[[Any], Any]]:
    """A plain function and a coroutine function that give it."""

    def plain(view: Any) -> object:
        return give()

    async def later(view: Any) -> object:
        await asyncio.sleep(0)
        return give()

    return [plain, later]


class World:
    """A router, its warnings, a clock for them, and what it leaves behind."""

    def __init__(self, function: Callable[[Any], Any], timeout: float = AMPLE) -> None:
        self.now = 0.0
        self.warnings: list[str] = []
        self.router = Router(function, timeout, warn=self.warnings.append, name="m:f", time=lambda: self.now)

    async def choose(self, view: RequestView = VIEW) -> Pinned | str | None:
        return await self.router.choose(view)


def threads() -> int:
    return sum(thread.name == "trunkline-router" for thread in threading.enumerate())


async def no_threads() -> None:
    while threads():
        await asyncio.sleep(0.001)


@contextlib.contextmanager
def asking(function: Callable[[Any], Any], timeout: float = AMPLE) -> Generator[World]:
    world = World(function, timeout)
    try:
        yield world
    finally:
        world.router.close()
