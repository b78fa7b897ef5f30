"""gateway/beside.py: work in threads that nobody waits for."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from trunkline.gateway import beside as module
from trunkline.gateway.beside import Beside


def on_a_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def wrapper() -> None:
        asyncio.run(asyncio.wait_for(test(), 20))

    return wrapper


async def over(beside: Beside) -> None:
    while beside.at_work:
        await asyncio.sleep(0.001)


@on_a_loop
async def test_what_work_gives_or_raises_is_for_who_asked() -> None:
    beside = Beside("test")
    assert await beside.do(threading.get_ident) != threading.get_ident()
    assert await beside.do(lambda: None) is None
    with pytest.raises(ZeroDivisionError):
        await beside.do(lambda: 1 / 0)
    assert repr(beside) == "<Beside test: 0 at work>"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError])
def test_what_would_end_the_loop_does_not(kind: type[BaseException]) -> None:
    def work() -> None:
        raise kind("odd")

    async def scenario() -> None:
        with pytest.raises(RuntimeError, match=f"{kind.__name__}: odd"):
            await Beside("test").do(work)

    asyncio.run(scenario())


@on_a_loop
async def test_what_hangs_can_be_left_but_not_without_end() -> None:
    beside, free = Beside("test"), threading.Event()
    for _ in range(module.MAX_THREADS):
        future = beside.do(free.wait)
        future.cancel()
    with pytest.raises(RuntimeError, match="only a restart ends them"):
        beside.do(free.wait)
    assert beside.at_work == module.MAX_THREADS
    free.set()
    await over(beside)
    assert await beside.do(free.wait)


def test_the_end_of_the_loop_waits_for_nothing() -> None:
    beside, free = Beside("test"), threading.Event()

    async def scenario() -> None:
        beside.do(free.wait)

    asyncio.run(scenario())
    assert beside.at_work == 1
    threads = [thread for thread in threading.enumerate() if thread.name == "trunkline-test"]
    assert [thread.daemon for thread in threads] == [True]
    free.set()
    for thread in threads:
        thread.join(20)
    assert beside.at_work == 0
