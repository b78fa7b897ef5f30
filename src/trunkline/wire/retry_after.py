"""When to try again, as upstreams say it in headers.

Sources: RFC 9110 10.2.3 (`Retry-After`: seconds or an HTTP date) and OpenAI's and Azure's `retry-after-ms`.
"""

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

MAX_SECONDS = 24 * 3600.0

# Some write fractions, which the RFC does not know. `float` alone would take "1_0", "inf" and "1e9" too.
_NUMBER = re.compile(rb"[0-9]{1,18}(?:\.[0-9]{0,18})?")
_LONGEST_DATE = 64


def parse_retry_after(fields: dict[bytes, bytes], now: float | None = None) -> float | None:
    """Seconds to wait, at most a day; None if the headers do not say.

    `now`: seconds since 1970; without it a date says nothing. A date in the past means at once.
    """
    for name, unit in ((b"retry-after-ms", 0.001), (b"retry-after", 1.0)):
        value = fields.get(name)
        if value is None:
            continue
        if _NUMBER.fullmatch(value):
            return min(float(value) * unit, MAX_SECONDS)
        if name == b"retry-after" and now is not None and (at := _date(value)) is not None:
            return min(max(at - now, 0.0), MAX_SECONDS)
    return None


def _date(value: bytes) -> float | None:
    """Seconds since 1970 of an HTTP date in any of its three forms (RFC 9110 5.6.7)."""
    if len(value) > _LONGEST_DATE:
        return None
    try:
        moment = parsedate_to_datetime(value.decode("ascii"))
        # A form without a zone (asctime) is meant as UTC.
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
