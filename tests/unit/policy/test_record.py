"""policy/record.py: the record is a value, and an attempt that never got far is all zeros."""

import msgspec
import pytest

from trunkline.policy.record import AttemptRecord, UsageRecord
from trunkline.wire.usage import Usage


def test_a_record_is_a_frozen_value_that_travels_as_json() -> None:
    attempts = (
        AttemptRecord("a", 1.0, fault="connect", ended=1.5),
        AttemptRecord("b", 1.5, status=200, bytes_in=9),
    )
    record = UsageRecord(
        request_id="r1",
        key="team",
        surface="chat",
        model="m",
        streamed=True,
        backend="b",
        attempts=attempts,
        usage=Usage(3, 4),
        status=200,
        fault="",
        started=1.0,
        head_at=1.7,
        ended=2.0,
        bytes_in=10,
        bytes_out=20,
    )
    assert msgspec.json.decode(msgspec.json.encode(record), type=UsageRecord) == record
    with pytest.raises(AttributeError):
        record.status = 500  # type: ignore[misc] # that it cannot be set is the point


def test_what_never_happened_is_zero() -> None:
    attempt = AttemptRecord("a", 1.0)
    assert (attempt.sent, attempt.first_byte, attempt.ended, attempt.status) == (0.0, 0.0, 0.0, 0)
    assert (attempt.fault, attempt.stale_retry, attempt.bytes_in) == ("", False, 0)
