"""One coarse clock and one sweep per event loop.

Owns the 100 ms tick that checks every deadline (DESIGN section 3: no timer per call or chunk). What is due is decided
by those who join: the server's connections, the pools, the live exchanges.
"""

import asyncio
from collections.abc import Callable
from time import monotonic

TICK = 0.1
"""Seconds between two sweeps: deadlines are accurate to this."""


class Clock:
    """`now` is the time of the last tick or of the last `read()`: fresh to 100 ms, free to look at.

    Time is `time.monotonic`, in seconds: what a loop calls its time is exact to a millisecond only (uvloop).
    """

    __slots__ = ("_handle", "_loop", "_sweeps", "now")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._sweeps: list[Callable[[float], None]] = []
        self._handle: asyncio.TimerHandle | None = None
        self.now = monotonic()

    def read(self) -> float:
        """The time, exactly; seconds."""
        self.now = now = monotonic()
        return now

    def join(self, sweep: Callable[[float], None]) -> None:
        """Call `sweep(now)` at every tick from now on."""
        self._sweeps.append(sweep)
        if self._handle is None:
            self._handle = self._loop.call_later(TICK, self._tick)

    def leave(self, sweep: Callable[[float], None]) -> None:
        """Call it no more."""
        self._sweeps = [one for one in self._sweeps if one != sweep]

    def stop(self) -> None:
        """No more ticks."""
        self._sweeps.clear()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _tick(self) -> None:
        self._handle = self._loop.call_later(TICK, self._tick)
        now = self.read()
        for sweep in self._sweeps:
            sweep(now)
