"""Calls that wait for a place at backends that have as many calls as they may have (`max_concurrency`).

Owns who waits, in which order, who is woken when a place comes free, and who is refused at once. Does not own the
places: `BackendState.inflight` counts them, and whoever is woken takes one by beginning an attempt. No IO and no clock.

    full backends --- enter ---> stands in the queue of each that has room --- wake ---> stands nowhere
                         |                    |
                         v                    +--- leave (the client left), expired (its deadline passed)
                      refused

Each backend's queue is served in the order of arrival. A waiter may stand in several queues, and whichever place is
free first is offered to it. A place is offered until somebody takes it. One who does not take it says while it is woken
whether it waits on: who enters again then was woken in vain, keeps its place in the queues that it stood in and is not
refused, whatever is said to those who come now. All others have left.

Who would wait longer than its call may take is refused at once: an early 503 lets its client go elsewhere, a late 504
does not. The expected wait is the number of those who stand before it, times the average time for which a call holds
its place, divided by the places. Somebody who stands in several queues counts for a part in each, as only one of them
will serve it. While no call has ended yet nothing is known, and nobody is refused for it.
"""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import islice
from math import ceil, inf
from typing import Protocol

import msgspec

from trunkline.errors import NO_BACKEND, Fault
from trunkline.routing.target import BackendState

SMOOTHING = 0.1
"""Share of a new sample in the average time that a place is held: the last twenty calls or so decide."""
MAX_RETRY_AFTER = 120.0
"""Seconds; what the `openai` SDK still obeys, and what other local refusals say at most (DESIGN section 5)."""


class Waiter(Protocol):
    """A call that waits. Compared by identity."""

    def wake(self) -> None:
        """Look at once whether there is a place, and take it (`Target.begin`).

        Whether it did is told by the backend's own count. It waits no more unless it enters again, and must not raise.
        """
        ...

    def place_missed(self) -> None:
        """Its deadline passed."""
        ...


class _Queue:
    """What is known of one backend."""

    __slots__ = ("hold", "load", "offering", "samples", "waiters")

    def __init__(self) -> None:
        # Ordered, because taking the first of a plain dict again and again is slow.
        self.waiters: OrderedDict[Waiter, None] = OrderedDict()
        self.load = 0.0  # those who stand here, each counted for its share
        self.hold = 0.0  # seconds
        self.samples = 0
        self.offering = False

    def learn(self, held: float) -> None:
        """Take how long a call held its place."""
        self.samples += 1
        self.hold += (held - self.hold) * max(SMOOTHING, 1 / self.samples)

    def expected(self, limit: int) -> float:
        """Seconds that somebody who enters now waits."""
        return self.load * self.hold / max(limit, 1)


class _Standing(msgspec.Struct, frozen=True, gc=False):
    """Where one waiter stands, and until when. `share`: for which part it counts in each queue."""

    queues: tuple[_Queue, ...]
    share: float
    deadline: float


class WaitQueue:
    """All waiting calls of one event loop."""

    def __init__(self) -> None:
        self._queues: dict[BackendState, _Queue] = {}  # a backend that has become another one begins anew
        self._standing: dict[Waiter, _Standing] = {}
        self._woken: dict[Waiter, _Standing] = {}  # where those stood who are being woken
        self._earliest = inf  # no deadline is before it

    def __repr__(self) -> str:
        return f"<WaitQueue: {len(self._standing)} waiting>"

    def __len__(self) -> int:
        return len(self._standing)

    def waiting(self, backend: BackendState) -> int:
        """How many wait for a place at this backend."""
        queue = self._queues.get(backend)
        return 0 if queue is None else len(queue.waiters)

    def enter(
        self, waiter: Waiter, backends: Sequence[BackendState], now: float, deadline: float
    ) -> Fault | None:
        """Let a call wait for a place at any of these backends, which are all full; or say why it is not worth it.

        `deadline`: when its wait is over, in the time of `now`. Raises ValueError for no backend.
        """
        self.leave(waiter)
        before = self._woken.pop(waiter, None)
        if before is not None:
            self._stay(waiter, before, dict.fromkeys(map(self._queue, backends)), deadline)
            return None
        every = [(backend, self._queue(backend)) for backend in dict.fromkeys(backends)]
        expected = min(queue.expected(backend.limit) for backend, queue in every)
        room = [pair for pair in every if len(pair[1].waiters) < pair[0].max_queue]
        if not room:
            return _refused("as many calls as may wait for a backend (`max_queue`) do so already", expected)
        expected = min(queue.expected(backend.limit) for backend, queue in room)
        if now + expected > deadline:
            return _refused(
                "all backends are busy, and the wait for one is longer than the call may take", expected
            )
        self._stand(waiter, tuple(queue for _, queue in room), deadline)
        return None

    def left(self, backend: BackendState, held: float) -> None:
        """A call that held a place for `held` seconds has given it back (`Trial.end`): offer it to those who wait."""
        queue = self._queue(backend)
        queue.learn(held)
        if queue.waiters:
            self._offer(backend, queue)

    def offer(self, backend: BackendState) -> None:
        """There may be more places than there were: offer them to those who wait."""
        queue = self._queues.get(backend)
        if queue is not None and queue.waiters:
            self._offer(backend, queue)

    def leave(self, waiter: Waiter) -> None:
        """It waits no more, if it did."""
        standing = self._standing.pop(waiter, None)
        if standing is None:
            return
        for queue in standing.queues:
            del queue.waiters[waiter]
            queue.load = queue.load - standing.share if queue.waiters else 0.0

    def _stand(self, waiter: Waiter, queues: tuple[_Queue, ...], deadline: float) -> None:
        standing = _Standing(queues, 1 / len(queues), deadline)
        for queue in queues:
            queue.waiters[waiter] = None  # who is there already stays where it is
            queue.load += standing.share
        self._standing[waiter] = standing
        self._earliest = min(self._earliest, deadline)

    def _stay(self, waiter: Waiter, before: _Standing, queues: dict[_Queue, None], deadline: float) -> None:
        """It was woken in vain, and waits on."""
        for queue in before.queues:
            if queue not in queues:
                del queue.waiters[waiter]
        self._stand(waiter, tuple(queues), deadline)

    def _offer(self, backend: BackendState, queue: _Queue) -> None:
        if queue.offering:
            return  # a place that comes free while one is offered is seen by who offers
        queue.offering = True
        asked: set[Waiter] = set()
        number = 1  # more each time, so that a long queue that nobody leaves is not looked through for each of them
        try:
            while not backend.full:
                others = (one for one in queue.waiters if one not in asked and one in self._standing)
                found = list(islice(others, number))
                if not found:
                    break
                for waiter in found:
                    if backend.full:
                        break
                    standing = self._standing.get(waiter)
                    if standing is not None and queue in standing.queues:
                        asked.add(waiter)
                        self._wake(waiter, standing)
                number *= 2
        finally:
            queue.offering = False

    def _wake(self, waiter: Waiter, standing: _Standing) -> None:
        del self._standing[waiter]
        self._woken[waiter] = standing
        for queue in standing.queues:
            queue.load -= standing.share
        try:
            waiter.wake()
        finally:
            if self._woken.pop(waiter, None) is not None:
                for queue in standing.queues:
                    del queue.waiters[waiter]
        for queue in standing.queues:
            if not queue.waiters:
                queue.load = 0.0  # whatever rounding has left

    def expired(self, now: float) -> list[Waiter]:
        """Those whose deadline has passed: they wait no more."""
        if now < self._earliest:
            return []
        late = [waiter for waiter, standing in self._standing.items() if standing.deadline <= now]
        for waiter in late:
            self.leave(waiter)
        self._earliest = min((standing.deadline for standing in self._standing.values()), default=inf)
        return late

    def _queue(self, backend: BackendState) -> _Queue:
        queue = self._queues.get(backend)
        if queue is None:
            for one in [one for one, old in self._queues.items() if not (one.inflight or old.waiters)]:
                if one.name == backend.name:
                    del self._queues[one]  # what the backend was before
            queue = self._queues[backend] = _Queue()
        return queue


def _refused(message: str, expected: float) -> Fault:
    seconds = float(min(max(ceil(expected), 1.0), MAX_RETRY_AFTER))
    return Fault(NO_BACKEND, message, retry_after=seconds)
