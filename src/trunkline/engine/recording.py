"""From what happened to its records.

Owns filling in `AttemptRecord` and `UsageRecord`. Does not own who reads them (runtime.py hands them on).
"""

from trunkline.engine.relay import Relay
from trunkline.errors import Fault
from trunkline.policy.record import AttemptRecord, UsageRecord
from trunkline.wire.values import Call


def attempt_record(
    backend: str,
    tried_at: float,
    relay: Relay | None,
    fault: Fault | None,
    now: float,
    *,
    stale_retry: bool,
    notes: tuple[str, ...],
) -> AttemptRecord:
    """The record of one attempt; without a relay it ended before anything was sent."""
    name = "" if fault is None else fault.kind.name
    if relay is None:
        return AttemptRecord(backend, tried_at, 0.0, 0.0, now, 0, name, stale_retry, 0, notes)
    return AttemptRecord(
        backend,
        tried_at,
        relay.sent_at,
        relay.first_byte_at,
        now,
        relay.status,
        name,
        stale_retry,
        relay.bytes_in + relay.forwarded,
        notes,
    )


def usage_record(
    call: Call,
    backend: str,
    attempts: tuple[AttemptRecord, ...],
    relay: Relay | None,
    fault: Fault | None,
    *,
    status: int,
    times: tuple[float, float, float],
    bytes_in: int,
    bytes_out: int,
) -> UsageRecord:
    """The record of one call. `times`: it came, the head of its answer was sent (0.0: never), it was over."""
    started, head_at, ended = times
    return UsageRecord(
        call.request_id.decode(),
        call.key,
        call.surface,
        call.model,
        call.stream,
        backend,
        attempts,
        None if relay is None else relay.usage(call.surface),
        status or (fault.http_status if fault is not None else 0),
        "" if fault is None else fault.kind.name,
        started,
        head_at,
        ended,
        bytes_in,
        bytes_out + (relay.forwarded if relay is not None else 0),
    )
