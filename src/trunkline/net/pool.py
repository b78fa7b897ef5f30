"""The connections to one backend, on one event loop.

Owns keeping, expiring and sharing them: most recently used first, at most `limit` open, waiters served in the order
they came. One is replaced before it is gone where a fresh one is asked for: then `limit` + 1 are open for a moment.
Does not own how a connection is made (net/connector.py) nor what travels on it (net/http1_client.py).

The whole mutable state is: idle connections (oldest first), the number open, the waiters.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from trunkline.net.clock import Clock
from trunkline.net.dns import ConnectFailed
from trunkline.net.http1_client import ClientConnection
from trunkline.wire.head import ResponseHeads

IDLE_EXPIRY = 4.0
"""Seconds; DESIGN section 6. Below the 5 s after which the shortest-lived servers in use (uvicorn, llama.cpp) close."""


class Opener(Protocol):
    """What makes connections: net/connector.py."""

    async def connect(
        self, protocol_factory: Callable[[], ClientConnection]
    ) -> tuple[asyncio.Transport, ClientConnection]:
        """Open one; raises ConnectFailed."""
        ...


class Pool:
    """Connections to one backend. `take` is synchronous for the common case; `open` waits."""

    def __init__(self, connector: Opener, clock: Clock, limit: int, address: str = "the upstream") -> None:
        self.address = address
        self._connector = connector
        self._clock = clock
        self._limit = limit
        self._idle: deque[ClientConnection] = deque()
        self._open = 0
        self._waiters: deque[asyncio.Future[ClientConnection | None]] = deque()
        self._closed = False
        self.heads = ResponseHeads()
        clock.join(self.expire)

    def __repr__(self) -> str:
        return f"<Pool {self._open} open, {len(self._idle)} idle, {len(self._waiters)} waiting>"

    @property
    def idle(self) -> int:
        """Connections that wait for a request."""
        return len(self._idle)

    @property
    def open_count(self) -> int:
        """Connections open or being opened."""
        return self._open

    @property
    def exhausted(self) -> bool:
        """Whether a call would have to wait for a connection."""
        return not self._idle and self._open >= self._limit

    def take(self) -> ClientConnection | None:
        """The most recently used idle connection that is neither closed nor expired."""
        now = self._clock.now
        idle = self._idle
        while idle:
            connection = idle.pop()
            if now < connection.fresh_until and not connection.closed:
                return connection
            connection.abort()
        return None

    async def open(self, *, fresh: bool = False) -> ClientConnection:
        """An idle connection (unless `fresh`), or a new one, or the first that comes free; raises ConnectFailed."""
        if not fresh and (connection := self.take()) is not None:
            return connection
        if self._open >= self._limit and not (fresh and self._drop_idle()):
            if (connection := await self._wait(fresh=fresh)) is not None:
                return connection
        else:
            self._open += 1
        try:
            _, connection = await self._connector.connect(lambda: ClientConnection(self, self._clock))
        except BaseException:
            # A connection that was made just before does not count: a cancelled uvloop closes it without a word to
            # its protocol, asyncio with `lost`.
            self._freed()
            raise
        if connection.lost:  # the loop told the protocol before it woke us
            self._freed()
            raise ConnectFailed(connection.refusal())
        connection.counted = True
        return connection

    def released(self, connection: ClientConnection) -> None:
        """An answer ended well: hand the connection to the first waiter, or keep it."""
        if self._closed:
            connection.abort()
            return
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        keep = connection.idle_timeout
        connection.fresh_until = self._clock.now + (IDLE_EXPIRY if keep < 0 else keep)
        self._idle.append(connection)

    def lost(self, connection: ClientConnection) -> None:
        """A connection's transport is closed."""
        if not connection.counted:
            return
        try:
            self._idle.remove(connection)
        except ValueError:
            pass  # it was in use
        self._freed()

    def expire(self, now: float) -> None:
        """Close what has been idle too long; the oldest stand first."""
        while self._idle:
            connection = self._idle[0]
            if now < connection.fresh_until and not connection.closed:
                return
            self._idle.popleft()
            connection.abort()

    def close(self) -> None:
        """Close what is idle and keep nothing that is released later."""
        self._closed = True
        self._clock.leave(self.expire)
        while self._idle:
            self._idle.pop().abort()

    async def _wait(self, *, fresh: bool) -> ClientConnection | None:
        """The first connection that comes free; None: room to open one."""
        enqueue = self._waiters.append
        while True:
            waiter: asyncio.Future[ClientConnection | None] = asyncio.get_running_loop().create_future()
            enqueue(waiter)
            try:
                connection = await waiter
            except asyncio.CancelledError:
                if not waiter.cancelled():
                    self._give_back(waiter.result())
                elif waiter in self._waiters:
                    self._waiters.remove(waiter)
                raise
            if connection is None:
                return None
            if not connection.closed:
                if not fresh:
                    return connection
                connection.abort()
                self._open += 1
                return None
            # It was lost on its way here: so was the turn, which is taken again.
            if self._open < self._limit:
                self._open += 1
                return None
            enqueue = self._waiters.appendleft

    def _freed(self) -> None:
        """One connection less: the first waiter may open its own."""
        while self._waiters and self._open <= self._limit:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._open -= 1

    def _give_back(self, connection: ClientConnection | None) -> None:
        if connection is None:
            self._freed()
        elif not connection.closed:  # else `lost` counts it
            self.released(connection)

    def _drop_idle(self) -> bool:
        """Make room for a fresh connection by closing the oldest idle one."""
        if not self._idle:
            return False
        self._idle.popleft().abort()
        return True
