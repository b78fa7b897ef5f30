"""What is kept of one call: the record that every observer reads.

Owns the two values; metrics, traces, logs and the ledger consume them and nothing else, so no logic logs or counts.
All times are seconds of one monotonic clock; 0.0 means that it never came to that.
"""

import msgspec

from trunkline.wire.usage import Usage


class AttemptRecord(msgspec.Struct, frozen=True, gc=False):
    """One try at one backend."""

    backend: str
    started: float
    """When the attempt began: before the connection was had."""
    sent: float = 0.0
    """When the request was wholly written."""
    first_byte: float = 0.0
    """When the first byte of the answer came."""
    ended: float = 0.0
    status: int = 0
    """Of the upstream's answer; 0 without one."""
    fault: str = ""
    """Name of the fault's kind; "" if it went well."""
    stale_retry: bool = False
    """It replaced an attempt on a kept connection that the upstream had closed."""
    bytes_in: int = 0
    """Body bytes received from the upstream."""
    notes: tuple[str, ...] = ()
    """What the request was changed in for this backend: parameters left out or renamed, a default model."""
    model: str = ""
    """Its name there."""
    usage: Usage | None = None
    """What was used, as the upstream said it or, where it did not, estimated (`source`); None: nobody knows."""
    maybe_billed: int = 0
    """Estimated tokens of the prompt, where the upstream may charge for a failed attempt and did not say; 0: none.
    Where `usage` is an estimate too they are no further ones."""
    text_bytes: int = 0
    """About how many bytes of text a stream brought, thoughts included; 0 where the answer was no stream."""


class UsageRecord(msgspec.Struct, frozen=True, gc=False):
    """One call from the client's head to the last byte, made once, when it is over."""

    request_id: str
    key: str
    """Name of the key, never the key."""
    surface: str
    model: str
    """The public name that the client asked for."""
    streamed: bool
    backend: str
    """The one asked last, whose answer the client got if there was one; "" if none was asked."""
    attempts: tuple[AttemptRecord, ...]
    usage: Usage | None
    """That of the last attempt; None: nobody knows. What all of them used is the sum over `attempts`."""
    status: int
    """What the client got; 499 if it left before."""
    fault: str
    """Name of the final fault's kind; "" if it went well."""
    started: float
    head_at: float
    """When status and headers were sent to the client."""
    ended: float
    bytes_in: int
    """Body bytes received from the client."""
    bytes_out: int
    """Body bytes sent to the client."""
    led: str = ""
    """What led it to another model than it named: `rules[0]`, `router`; "" nothing."""
