"""Work that may take for ever, done beside the event loop in threads that nobody waits for.

Owns the threads and their number. Does not own how long somebody waits for what they give (reload.py).

The threads of asyncio's own executor are joined when the loop ends: one that hangs would hold the whole process.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

Result = TypeVar("Result")

MAX_THREADS = 8
"""Those of one `Beside`. A thread that hangs cannot be ended, so no more are begun when all of them do."""


class Beside:
    """Does work in threads of its own, of which the process does not wait for any."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._threads: set[threading.Thread] = set()

    def __repr__(self) -> str:
        return f"<Beside {self._name}: {self.at_work} at work>"

    @property
    def at_work(self) -> int:
        """How many threads have not come back, those included whose caller has given up."""
        return len(self._threads)

    def do(self, work: Callable[[], Result]) -> asyncio.Future[Result]:
        """Begin it; the result, or the exception, is for the event loop that runs now.

        Raises RuntimeError if all threads are at work.
        """
        if self.at_work >= MAX_THREADS:
            raise RuntimeError(f"{MAX_THREADS} threads hang; only a restart ends them")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()

        def tell(result: Result | None, error: Exception | None) -> None:
            if future.done():
                return  # nobody waits any more
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type] # there is one where there is no error

        def run() -> None:
            result: Result | None = None
            error: Exception | None = None
            try:
                result = work()
            except Exception as raised:  # noqa: BLE001 # it is the caller's
                error = raised
            except BaseException as raised:  # noqa: BLE001 # that would end the event loop
                error = RuntimeError(f"{type(raised).__name__}: {raised}")
            self._threads.discard(thread)
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(tell, result, error)

        thread = threading.Thread(target=run, name=f"trunkline-{self._name}", daemon=True)
        self._threads.add(thread)
        thread.start()
        return future
