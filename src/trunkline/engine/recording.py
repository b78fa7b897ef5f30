"""From what happened to its records.

Owns filling in `AttemptRecord` and `UsageRecord`, with an estimate of what was used where the upstream did not say, and
what is learned for that from those that did. Does not own who reads them (runtime.py hands them on) nor the arithmetic
of estimates (policy/tokens.py).
"""

from msgspec import structs

from trunkline.engine.relay import Relay
from trunkline.errors import Fault
from trunkline.policy.record import AttemptRecord, UsageRecord
from trunkline.policy.tokens import CHARS_PER_TOKEN, TokenRates
from trunkline.routing.faults import row_of
from trunkline.wire.usage import Usage
from trunkline.wire.values import Call

_COUNTED = frozenset(("chat", "completions", "embeddings"))
"""Surfaces whose bodies are mostly text that is charged by the token."""
_ENVELOPE = 400
"""Bytes of a JSON answer that are not its text: those of the servers that we know have 250 to 700."""
_EVENT = 50
"""Bytes of a stream per byte of its text: an event of 200 to 250 bytes brings a token, which has about 4."""


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
        relay.text_bytes,
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
        bytes_out + (relay.passed if relay is not None else 0),
        call.led,
    )


def with_estimates(record: UsageRecord, rates: TokenRates) -> UsageRecord:
    """The record, with an estimate for each attempt whose client got text that nobody counted."""
    if record.surface not in _COUNTED or not record.bytes_in or not record.attempts:
        return record
    attempts = [_estimated(one, record, rates) for one in record.attempts]
    return structs.replace(record, attempts=tuple(attempts), usage=attempts[-1].usage)


def learn(record: UsageRecord, rates: TokenRates) -> None:
    """Let what an upstream counted teach what to expect where none does.

    Only of calls with one attempt: for another one the request may have been made shorter.
    """
    usage = record.usage
    if (
        usage is None
        or usage.source == "estimated"
        or len(record.attempts) != 1
        or record.surface not in _COUNTED
    ):
        return
    last = record.attempts[0]
    model = last.model or record.model
    rates.observe(model, "prompt", record.bytes_in, usage.prompt_tokens)
    rates.observe(model, "completion", last.text_bytes, usage.completion_tokens)


def _estimated(one: AttemptRecord, record: UsageRecord, rates: TokenRates) -> AttemptRecord:
    if one.usage is not None or not 200 <= one.status < 300:
        return one
    if one.fault and not one.text_bytes:
        return one  # it failed before there was anything to pay for; what there may be is `maybe_billed`
    size = (
        0
        if record.surface == "embeddings"
        else completion_size(one.text_bytes, one.bytes_in, streamed=record.streamed)
    )
    model = one.model or record.model
    prompt = rates.estimate(model, "prompt", record.bytes_in)
    completion = rates.estimate(model, "completion", size)
    return structs.replace(one, usage=Usage(prompt, completion, source="estimated"))


def completion_size(text_bytes: int, bytes_in: int, *, streamed: bool) -> int:
    """About how many bytes of text an answer brought.

    Of one that is no stream only its length is known, and so it is of a stream that only calls tools.
    """
    if text_bytes:
        return text_bytes
    return bytes_in // _EVENT if streamed else max(bytes_in - _ENVELOPE, 0)
