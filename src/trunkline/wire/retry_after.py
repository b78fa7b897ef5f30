"""When to try again, as upstreams say it in headers.

Sources: RFC 9110 10.2.3 (`Retry-After`: seconds or an HTTP date) and OpenAI's and Azure's `retry-after-ms`.
"""

MAX_SECONDS = 24 * 3600.0


def parse_retry_after(fields: dict[bytes, bytes]) -> float | None:
    """Seconds to wait, at most a day; None if the headers do not say. A date is not read yet: no clock here."""
    for name, unit in ((b"retry-after-ms", 0.001), (b"retry-after", 1.0)):
        value = fields.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) * unit
        except ValueError:
            continue
        if 0 <= seconds:
            return min(seconds, MAX_SECONDS)
    return None
