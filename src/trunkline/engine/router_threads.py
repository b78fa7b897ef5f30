"""A few threads for functions that may block, and may never return.

Owns running such functions beside the event loop, with an end for whoever waits. Does not own what they are for
(router.py). A thread cannot be stopped from outside: a function that does not return keeps its thread, and when all
threads are kept nothing more is begun. They are daemons: the threads of `concurrent.futures` are waited for when the
interpreter ends, so one function that hangs would keep the whole program from ending.
"""

import asyncio
import inspect
import threading
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any

MAX_THREADS = 4


def _nothing() -> None:
    """What an answered or abandoned job would do."""


class _Job:
    """One call of a function, whose result somebody on an event loop waits for until `deadline`."""

    __slots__ = ("deadline", "function", "future", "loop")

    def __init__(self, function: Callable[[], Any], deadline: float) -> None:
        self.function = function
        self.deadline = deadline
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()

    def run(self) -> None:
        """In the thread."""
        if self.future.done():
            return  # its time was over before it began
        result = self.function()
        try:
            self.loop.call_soon_threadsafe(self._deliver, result)
        except RuntimeError:
            _drop(result)  # the loop is closed

    def _deliver(self, result: Any) -> None:
        if self.future.done():
            _drop(result)
        else:
            self.future.set_result(result)


def _drop(result: Any) -> None:
    if inspect.iscoroutine(result):
        result.close()  # else Python warns that it was never awaited


class Threads:
    """At most `MAX_THREADS` threads, started when they are needed."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._jobs: deque[_Job] = deque()
        self._running: set[_Job] = set()
        self._idle = 0
        self._started = 0
        self._closed = False

    def __repr__(self) -> str:
        return f"<Threads: {self._started}, {len(self._running)} at work>"

    @property
    def stuck(self) -> bool:
        """Whether all of them are kept by functions for which nobody waits any more."""
        now = monotonic()
        with self._changed:
            return sum(job.deadline <= now for job in self._running) >= MAX_THREADS

    async def run(self, function: Callable[[], Any], seconds: float) -> Any:
        """Call a function, which must not raise; raises TimeoutError after so many seconds."""
        job = _Job(function, monotonic() + seconds)
        with self._changed:
            self._jobs.append(job)
            if self._idle >= len(self._jobs):
                self._changed.notify()
            elif self._started < MAX_THREADS:
                self._started += 1
                threading.Thread(target=self._work, name="trunkline-router", daemon=True).start()
        try:
            async with asyncio.timeout(seconds):
                return await job.future
        finally:
            job.function = _nothing  # it may have to stay in the queue, the request that it is about need not

    def close(self) -> None:
        """End the threads, those that are kept as soon as their functions return."""
        with self._changed:
            self._closed = True
            self._jobs.clear()
            self._changed.notify_all()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            job.run()
            with self._changed:
                self._running.discard(job)

    def _next(self) -> _Job | None:
        with self._changed:
            self._idle += 1
            while not self._jobs and not self._closed:
                self._changed.wait()
            self._idle -= 1
            if self._closed:
                self._started -= 1
                return None
            job = self._jobs.popleft()
            self._running.add(job)
            return job
