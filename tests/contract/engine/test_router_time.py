"""engine/router.py, router_threads.py: functions that block, never return or come too late, on both loops."""

import asyncio
import contextlib
import threading
import time
from typing import Any

from tests.contract.engine.asking import (
    AMPLE,
    SHORT,
    World,
    asking,
    coroutine_with_text,
    giving_a_coroutine,
    no_threads,
    threads,
)
from tests.contract.gateway.harness import on_both_loops
from trunkline.engine.router import MAX_OVERDUE
from trunkline.engine.router_threads import MAX_THREADS


@on_both_loops
async def test_functions_that_block_hold_up_neither_the_loop_nor_each_other() -> None:
    barrier = threading.Barrier(MAX_THREADS)

    def choose(view: Any) -> object:
        barrier.wait(AMPLE)  # all of them are there at once
        return "m"

    with asking(choose) as world:
        found = await asyncio.gather(*(world.choose() for _ in range(4 * MAX_THREADS)))
        assert found == ["m"] * 4 * MAX_THREADS
        assert threads() == MAX_THREADS
        # A thread whose answer is there may not have said yet that it waits for the next question.
        while repr(world.router) != "<Router m:f <Threads: 4, 0 at work>, 0 overdue>":
            await asyncio.sleep(0.001)
    await no_threads()


@on_both_loops
async def test_one_after_the_other_needs_one_thread() -> None:
    seen: set[int] = set()

    def choose(view: Any) -> object:
        seen.add(threading.get_ident())
        return "m"

    with asking(choose) as world:
        for _ in range(20):
            assert await world.choose() == "m"
            while "0 at work" not in repr(world.router):  # the thread waits again
                await asyncio.sleep(0.001)
        assert len(seen) <= 2
    await no_threads()


@on_both_loops
async def test_a_function_that_does_not_return_keeps_four_threads_at_most_and_is_then_not_asked() -> None:
    begun = 0
    over = threading.Event()

    def choose(view: Any) -> object:
        nonlocal begun
        begun += 1
        over.wait()
        return "m"

    with asking(choose, SHORT) as world:
        try:
            found = await asyncio.gather(*(world.choose() for _ in range(10)))
            assert found == [None] * 10
            assert (begun, threads()) == (MAX_THREADS, MAX_THREADS)
            assert [line.split("; ")[0] for line in world.warnings] == [
                "router m:f gave no answer within 0.05 s (`router_timeout`)"
            ]
            # Not one of these is begun or waited for.
            world.router._timeout = AMPLE  # the test would not end if these waited
            skipped = [await world.choose() for _ in range(100)]
            assert skipped == [None] * 100
            assert begun == MAX_THREADS
            assert "is not asked, because earlier calls of it do not return" in world.warnings[-1]
        finally:
            over.set()
        # Functions that return after all give their threads back; those that waited in line are not begun any more.
        while world.router._threads.stuck:
            await asyncio.sleep(0.001)
        assert await world.choose() == "m"
        assert begun == MAX_THREADS + 1
    await no_threads()


@on_both_loops
async def test_a_coroutine_that_does_not_return_is_cancelled() -> None:
    ended: list[str] = []

    async def choose(view: Any) -> object:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("cancelled")

    with asking(choose, SHORT) as world:
        assert await world.choose() is None
        assert "gave no answer within 0.05 s" in world.warnings[0]
        while world.router._overdue:
            await asyncio.sleep(0)
        assert ended == ["cancelled"]


@on_both_loops
async def test_coroutines_that_go_on_when_cancelled_are_limited_too() -> None:
    over = asyncio.Event()
    begun = 0

    async def choose(view: Any) -> object:
        nonlocal begun
        begun += 1
        while not over.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await over.wait()
        return "m"

    with asking(choose, SHORT) as world:
        found = await asyncio.gather(*(world.choose() for _ in range(MAX_OVERDUE + 5)))
        assert found == [None] * (MAX_OVERDUE + 5)
        assert begun == MAX_OVERDUE + 5
        assert await world.choose() is None
        assert begun == MAX_OVERDUE + 5
        assert "is not asked" in world.warnings[-1]
        over.set()
        while world.router._overdue:
            await asyncio.sleep(0)
        assert await world.choose() == "m"


@on_both_loops
async def test_a_client_that_leaves_ends_the_waiting_and_leaves_nothing_behind() -> None:
    over = threading.Event()

    def choose(view: Any) -> object:
        over.wait()
        return coroutine_with_text("late")  # nobody awaits it, and no warning says so

    async def choose_later(view: Any) -> object:
        await asyncio.sleep(3600)

    for function in (choose, choose_later, giving_a_coroutine):
        for rounds in range(4):  # in each phase of a call
            with asking(function) as world:
                call = asyncio.get_running_loop().create_task(world.choose())
                for _ in range(rounds):
                    await asyncio.sleep(0)
                call.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await call
                over.set()
            await no_threads()
            over.clear()
            while world.router._overdue:
                await asyncio.sleep(0)
            assert world.warnings == []


@on_both_loops
async def test_a_coroutine_that_comes_too_late_is_not_awaited_and_python_does_not_complain() -> None:
    begun, over = threading.Event(), threading.Event()

    def choose(view: Any) -> object:
        begun.set()
        over.wait()
        return coroutine_with_text("late")

    with asking(choose) as world:
        call = asyncio.get_running_loop().create_task(world.choose())
        while not begun.is_set():
            await asyncio.sleep(0.001)
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await call
        over.set()
        while world.router._threads._running:
            await asyncio.sleep(0.001)
        assert world.warnings == []
    await no_threads()


def test_a_loop_that_is_closed_is_no_harm() -> None:
    over = threading.Event()

    def choose(view: Any) -> object:
        over.wait()
        return coroutine_with_text("late")

    async def ask() -> World:
        world = World(choose, SHORT)
        assert await world.choose() is None
        return world

    world = asyncio.run(ask())
    world.router.close()
    over.set()
    while threads():
        time.sleep(0.001)
    assert "0 at work" in repr(world.router)


@on_both_loops
async def test_after_its_end_nothing_is_begun() -> None:
    begun = 0

    def choose(view: Any) -> object:
        nonlocal begun
        begun += 1

    with asking(choose, SHORT) as world:
        pass
    assert await world.choose() is None
    await no_threads()
    assert begun == 0
