"""From what happened to its records.

Owns filling in `AttemptRecord` and `UsageRecord`. Does not own who reads them (runtime.py hands them on).
"""

from trunkline.engine.relay import Relay
from trunkline.errors import Fault
from trunkline.policy.record import AttemptRecord, UsageRecord
from trunkline.routing.faults import row_of
from trunkline.wire.values import Call

CHARS_PER_TOKEN = 4
"""Of English text; an estimate until somebody counts."""


def attempt_record(
    backend: str,
    model: str,
    tried_at: float,
    relay: Relay | None,
    fault: Fault | None,
    now: float,
    stale_retry: bool,
    notes: tuple[str, ...],
    call: Call,
    body_size: int,
) -> AttemptRecord:
    """The record of one attempt; without a relay it ended before anything was sent.

    Arguments without their names: with them a call costs half as much again.
    """
    name = "" if fault is None else fault.kind.name
    if relay is None:
        return AttemptRecord(backend, tried_at, 0.0, 0.0, now, 0, name, stale_retry, 0, notes, model)
    usage = relay.usage(call.surface)
    maybe_billed = 0
    if fault is not None and usage is None and row_of(fault).billed:
        maybe_billed = max(body_size // CHARS_PER_TOKEN, 1)
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
        model,
        usage,
        maybe_billed,
    )


def usage_record(
    call: Call,
    attempts: tuple[AttemptRecord, ...],
    relay: Relay | None,
    fault: Fault | None,
    status: int,
    started: float,
    head_at: float,
    ended: float,
    bytes_in: int,
    bytes_out: int,
) -> UsageRecord:
    """The record of one call. `head_at`: when the head of its answer was sent, 0.0 never."""
    last = attempts[-1] if attempts else None
    return UsageRecord(
        call.request_id.decode(),
        call.key,
        call.surface,
        call.model,
        call.stream,
        last.backend if last is not None else "",
        attempts,
        last.usage if last is not None else None,
        status or (fault.http_status if fault is not None else 0),
        "" if fault is None else fault.kind.name,
        started,
        head_at,
        ended,
        bytes_in,
        bytes_out + (relay.forwarded if relay is not None else 0),
        call.led,
    )
