"""wire/retry_after.py: seconds, milliseconds and dates; nonsense says nothing."""

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.wire.retry_after import MAX_SECONDS, parse_retry_after

NOW = 784111777.0  # Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({}, None),
        ({b"retry-after": b"0"}, 0.0),
        ({b"retry-after": b"2"}, 2.0),
        ({b"retry-after": b"007"}, 7.0),
        ({b"retry-after": b"1.5"}, 1.5),
        ({b"retry-after": b"3."}, 3.0),
        ({b"retry-after": b"999999999"}, MAX_SECONDS),
        ({b"retry-after-ms": b"250"}, 0.25),
        ({b"retry-after-ms": b"250.5"}, 0.2505),
        ({b"retry-after-ms": b"250", b"retry-after": b"9"}, 0.25),
        ({b"retry-after-ms": b"soon", b"retry-after": b"9"}, 9.0),
        ({b"retry-after-ms": b"Sun, 06 Nov 1994 08:49:47 GMT"}, None),
        *[
            ({b"retry-after": value}, None)
            for value in (
                b"",
                b"soon",
                b"-1",
                b"+5",
                b"1_0",
                b"inf",
                b"nan",
                b"1e3",
                b"0x5",
                b".5",
                b"5 s",
                b"\xb2",
            )
        ],
        ({b"retry-after": b"9" * 19}, None),
        ({b"retry-after": b"\xd9\xa5"}, None),
    ],
)
def test_numbers(fields: dict[bytes, bytes], seconds: float | None) -> None:
    assert parse_retry_after(fields) == seconds
    assert parse_retry_after(fields, NOW) == seconds


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        (b"Sun, 06 Nov 1994 08:49:47 GMT", 10.0),
        (b"Sunday, 06-Nov-94 08:49:47 GMT", 10.0),
        (b"Sun Nov  6 08:49:47 1994", 10.0),
        (b"Sun, 06 Nov 1994 08:49:47 -0000", 10.0),
        (b"Sun, 06 Nov 1994 08:49:27 GMT", 0.0),
        (b"Mon, 06 Nov 2094 08:49:37 GMT", MAX_SECONDS),
        (b"Sun, 06 Nov 1994 25:49:47 GMT", None),
        (b"Sun, 06 Foo 1994 08:49:47 GMT", None),
        (b"Sun, 06 Nov 1994 08:49:47 GMT" + b" " * 99, None),
        (b"Sun, 06 Nov 1994 08:49:47 GMT\xe4", None),
        (b"tomorrow", None),
    ],
)
def test_dates(date: bytes, seconds: float | None) -> None:
    assert parse_retry_after({b"retry-after": date}, NOW) == seconds
    assert parse_retry_after({b"retry-after": date}) is None


@given(st.integers(0, 2**32))
def test_any_http_date(at: int) -> None:
    date = formatdate(at, usegmt=True).encode()
    assert parse_retry_after({b"retry-after": date}, NOW) == min(max(at - NOW, 0.0), MAX_SECONDS)


@given(st.binary(max_size=70) | st.text("0123456789 :,-+SunNovGMTZ.\0", max_size=40).map(str.encode))
def test_garbage_never_raises(value: bytes) -> None:
    seconds = parse_retry_after({b"retry-after": value, b"retry-after-ms": value}, NOW)
    assert seconds is None or 0 <= seconds <= MAX_SECONDS
