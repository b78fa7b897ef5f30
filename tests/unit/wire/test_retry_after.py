"""wire/retry_after.py: seconds, dates, buckets, fields and words; nonsense says nothing."""

import json
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.wire.retry_after import MAX_SECONDS, parse_retry_after, retry_after_in_text

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
        ({b"retry-after": b"2s"}, 2.0),
        ({b"retry-after": b"1m30s"}, 90.0),
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


def limits(**buckets: str) -> dict[bytes, bytes]:
    return {
        f"x-ratelimit-{name.replace('_', '-')}".encode(): value.encode() for name, value in buckets.items()
    }


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        (limits(reset="30"), 30.0),
        (limits(reset_requests="6m0s"), 360.0),
        (limits(reset_requests="20ms"), 0.02),
        (limits(reset_tokens="2m59.56s"), 179.56),
        (limits(reset_tokens="114h18m0s"), MAX_SECONDS),
        (limits(reset_requests_day="33011.382867", remaining_requests_day="0"), 33011.382867),
        (limits(reset_requests="Sun, 06 Nov 1994 08:49:47 GMT"), 10.0),
        (limits(reset="784111787"), 10.0),
        (limits(reset="784111787000000"), MAX_SECONDS),
        # only the empty bucket counts
        (
            limits(reset_requests="1s", remaining_requests="59", reset_tokens="6m0s", remaining_tokens="0"),
            360.0,
        ),
        (
            limits(reset_requests="6m0s", remaining_requests="59", reset_tokens="1s", remaining_tokens="0"),
            1.0,
        ),
        (
            limits(reset_requests="6m0s", remaining_requests="59", reset_tokens="1s", remaining_tokens="9"),
            None,
        ),
        (limits(reset_requests="2s", remaining_requests="0", reset_tokens="3s", remaining_tokens="0"), 3.0),
        (limits(reset_requests="6m", remaining_requests="7", reset_tokens="9s"), None),
        # nobody says which
        (limits(reset_requests="1s", reset_tokens="6m0s"), 360.0),
        (limits(reset_tokens="0", remaining_tokens="-1"), 0.0),
        (limits(reset_tokens="soon", remaining_tokens="0"), None),
        (limits(remaining_tokens="0"), None),
        (limits(reset="5s") | {b"retry-after": b"2"}, 2.0),
        ({b"ratelimit-reset": b"12", b"ratelimit-remaining": b"0"}, 12.0),
        ({b"x-ms-retry-after-ms": b"1500"}, 1.5),
        ({b"x-rate-limit-reset": b"12", b"x-rate-limit-remaining": b"0"}, 12.0),
        ({b"x-rate-limit-reset": b"12", b"x-rate-limit-remaining": b"3"}, None),
        # a bucket in one value
        ({b"ratelimit": b"limit=100, remaining=0, reset=5"}, 5.0),
        ({b"ratelimit": b"limit=100, remaining=7, reset=5"}, None),
        ({b"ratelimit": b'"default";r=0;t=5'}, 5.0),
        ({b"ratelimit": b'"minute";r=0;t=5, "day";r=40;t=900'}, 5.0),
        ({b"ratelimit": b"limit=100, remaining=0;t=5"}, 5.0),
        ({b"ratelimit": b'"default";r=0'}, None),
        ({b"ratelimit": b"soon"}, None),
        (
            {
                b"anthropic-ratelimit-tokens-reset": b"1994-11-06T08:50:37Z",
                b"anthropic-ratelimit-tokens-remaining": b"0",
                b"anthropic-ratelimit-requests-reset": b"1994-11-06T09:49:37Z",
                b"anthropic-ratelimit-requests-remaining": b"9",
            },
            60.0,
        ),
        (
            {
                b"anthropic-ratelimit-unified-5h-reset": b"784111787",
                b"anthropic-ratelimit-unified-5h-status": b"rejected",
                b"anthropic-ratelimit-unified-7d-reset": b"784999999",
                b"anthropic-ratelimit-unified-7d-status": b"allowed",
            },
            10.0,
        ),
    ],
)
def test_buckets(fields: dict[bytes, bytes], seconds: float | None) -> None:
    # The example moment lies before 10**9 seconds: moments are tested a billion seconds later.
    later = {
        name: value.replace(b"784111787", b"1784111787").replace(b"784999999", b"1784999999")
        for name, value in fields.items()
    }
    now = NOW if later == fields else NOW + 1e9
    found = parse_retry_after(later, now)
    assert found == seconds if seconds is None else found == pytest.approx(seconds)


def test_a_moment_needs_a_clock() -> None:
    assert parse_retry_after(limits(reset="1784111787")) is None
    assert parse_retry_after(limits(reset="1784111787000"), 1784111786.0) == 1.0
    assert parse_retry_after(limits(reset="1784111787"), 1784111790.0) == 0.0
    assert parse_retry_after({b"anthropic-ratelimit-tokens-reset": b"2026-07-15T10:36:27Z"}) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Rate limit reached. Please try again in 6.780999999s. Visit https://x.test", 6.780999999),
        ("Please try again in 6m0s.", 360.0),
        ("Please try again in 114h18m0s. Visit", MAX_SECONDS),
        ("Please retry after 12 seconds.", 12.0),
        ("Please retry after 86400 seconds. Please contact", MAX_SECONDS),
        ("try again in 20ms", 0.02),
        ("try again in 300 milliseconds", 0.3),
        ("Please retry in 47.434392449s.", 47.434392449),
        ("Please try again in 1 hour 5 minutes", 3900.0),
        ("Please try again in about 2 min", 120.0),
        ("resets in 1d", MAX_SECONDS),
        ("retry after 20", 20.0),
        ("Retry after: 20, or later", 20.0),
        ("please wait 5 seconds before trying again", 5.0),
        ("try again later; or wait 2s", 2.0),
        ("retry_after: 7", 7.0),
        ("Retry-After=7", 7.0),
        ("Please wait 10 more seconds.", 10.0),
        ("wait 10 more requests", None),
        ("retry_after_ms: 500", None),
        ("try again in 9 decades", None),
        ("wait for 3 requests", None),
        ("try again in x", None),
        ("Please try again later.", None),
        ("", None),
    ],
)
def test_words(text: str, seconds: float | None) -> None:
    assert retry_after_in_text(text) == pytest.approx(seconds)
    body = json.dumps({"error": {"message": text}}).encode()
    assert parse_retry_after({}, NOW, body) == pytest.approx(seconds)
    assert parse_retry_after({b"retry-after": b"1"}, NOW, body) == 1.0


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        ([{"error": {"details": [{"@type": "google.rpc.RetryInfo", "retryDelay": "30s"}]}}], 30.0),
        ({"error": {"message": "retry in 9s", "details": [{"retryDelay": "2.463586755s"}]}}, 2.463586755),
        (
            {
                "error": {
                    "metadata": {
                        "headers": {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1784111787000"}
                    }
                }
            },
            10.0,
        ),
        ({"error": {"message": "retry in 9s", "metadata": {"headers": {"Retry-After": 3}}}}, 3.0),
        ({"error": {"message": "retry in 9s", "metadata": {"headers": {"x": [], "y": "z"}}}}, 9.0),
        ({"error": {"message": "retry in 9s", "metadata": {"headers": 1}}}, 9.0),
        ({"error": "retry in 9s", "metadata": 1}, 9.0),
        ("metadata: retry in 9s", 9.0),
    ],
)
def test_fields_of_the_error(body: Any, seconds: float) -> None:
    assert parse_retry_after({}, 1784111777.0, json.dumps(body).encode()) == pytest.approx(seconds)


def test_broken_bodies() -> None:
    assert parse_retry_after({}, NOW, b'{"metadata": retry in 9s') == 9.0
    assert parse_retry_after({}, NOW, b"\xff") is None


@given(st.binary(max_size=200), st.binary(max_size=60), st.text("0123456789.msh d inretryafter", max_size=60))
def test_garbage_anywhere_never_raises(body: bytes, value: bytes, text: str) -> None:
    fields = {b"x-ratelimit-reset": value, b"x-ratelimit-remaining": value, b"ratelimit-reset": text.encode()}
    message = json.dumps(
        {"error": {"message": "try again in " + text, "metadata": {"headers": {"retry-after": text}}}}
    )
    for data in (body, message.encode()):
        for headers in (fields, {}):
            seconds = parse_retry_after(headers, NOW, data)
            assert seconds is None or 0 <= seconds <= MAX_SECONDS
