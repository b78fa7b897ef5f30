"""The gateway in this process, looked at from inside: its records, and what it must not have left over.

Owns what holds after any load, whatever it was. Does not own the load (callers.py).
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from tests.endurance.callers import Callers, asked
from tests.endurance.harness import PATIENCE
from trunkline.engine.runtime import Runtime
from trunkline.gateway.app import Gateway
from trunkline.policy.record import AttemptRecord, UsageRecord
from trunkline.simulator.state import Entry

# The request may have been lost on its way: nobody but the backend knows.
_LOST = frozenset(("reset", "stale_connection", "client_gone"))


class Upstream(Protocol):
    """What is asked of a simulator, or of what stands for several."""

    @property
    def open_connections(self) -> int: ...
    @property
    def in_flight(self) -> int: ...


async def keep(runtime: Runtime, records: list[UsageRecord]) -> None:
    """Take the records before the gateway forgets them."""
    while True:
        drain(runtime, records)
        await asyncio.sleep(0.05)


def drain(runtime: Runtime, records: list[UsageRecord]) -> None:
    """Take the records that there are."""
    kept = runtime.records
    records.extend(kept)
    kept.clear()


async def settled(running: Gateway, upstreams: Sequence[Upstream]) -> None:
    """Wait until nothing is under way and the kept connections have expired."""
    pools = [upstream.pool for upstream in running.runtime.upstreams]
    async with asyncio.timeout(PATIENCE):
        while (
            running.server.shared.connections
            or any(pool.open_count for pool in pools)
            or any(one.open_connections or one.in_flight for one in upstreams)
        ):
            await asyncio.sleep(0.05)


def assert_recorded(callers: Callers, records: list[UsageRecord], entries: list[Entry]) -> None:
    """Each call has one record, and each request that a backend has seen is an attempt in it."""
    by_id = {record.request_id: record for record in records}
    assert len(by_id) == len(records) <= len(callers.calls)
    seen = Counter(asked(entry.body) for entry in entries if entry.body)
    for call in callers.calls:
        if call.outcome == "left" and not call.request_id:
            continue
        record = by_id.pop(call.request_id)
        sent, lost = requests_of(record.attempts)
        assert sent - lost <= seen.pop(call.number, 0) <= sent, (call, record)
        if call.outcome != "left":
            assert (record.fault == "") == (call.outcome == "whole"), (call, record)
            assert record.status == (503 if call.outcome == "refused" else 200)
            assert [attempt.fault == "" for attempt in record.attempts[:-1]] == [False] * (
                len(record.attempts) - 1
            )
    # What is left is of those who left before they knew their call's id.
    both = [requests_of(record.attempts) for record in by_id.values()]
    sent, lost = (sum(pair[at] for pair in both) for at in (0, 1))
    assert sent - lost <= seen.total() <= sent


def requests_of(attempts: tuple[AttemptRecord, ...]) -> tuple[int, int]:
    """How many requests were sent, and how many of these may not have been seen by a backend."""
    sent = [attempt for attempt in attempts if attempt.sent]
    return len(sent), sum(not attempt.first_byte and attempt.fault in _LOST for attempt in sent)


def assert_nothing_left(runtime: Runtime) -> None:
    """No call, no place taken, nobody waits."""
    assert runtime.live == set()
    assert len(runtime.waiting) == 0
    for backend in runtime.board.backends.values():
        assert backend.inflight == 0
        assert [(one.inflight, one.waiting) for one in backend.targets] == [(0, 0)] * len(backend.targets)
    assert [(upstream.pool.open_count, upstream.pool.idle) for upstream in runtime.upstreams] == [
        (0, 0)
    ] * len(runtime.upstreams)
