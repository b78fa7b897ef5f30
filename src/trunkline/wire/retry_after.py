"""When to try again, as upstreams say it: in headers, in fields of the error, in its words.

Owns the reading of all of these into seconds. Does not own what is done with them.

Sources, in the order in which they are believed:

- `retry-after-ms` (OpenAI, Azure; Azure also `x-ms-retry-after-ms`), `retry-after` (RFC 9110 10.2.3: seconds, date;
  some write a duration, "2s");
- `...ratelimit...reset...` headers: seconds, a duration ("6m0s" of OpenAI, "2m59.56s" of Groq), a date (RFC 3339 of
  Anthropic) or a moment since 1970 (OpenRouter: milliseconds). Each bucket has its `remaining` beside it; a bucket
  that has something left did not refuse, so its reset says nothing. OpenRouter repeats them in `metadata.headers`;
- `ratelimit` with all of a bucket in one value: "limit=9, remaining=0, reset=5" of the IETF's older drafts,
  `"name";r=0;t=5` of the newer;
- Gemini's `retryDelay`;
- the words: "Please try again in 6m0s", "retry after 12 seconds", "retry_after: 7".
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, cast

import msgspec

from trunkline.wire.error_body import extract_message

MAX_SECONDS = 24 * 3600.0

# Some write fractions, which the RFC does not know. `float` alone would take "1_0", "inf" and "1e9" too.
_NUMBER = re.compile(rb"[0-9]{1,18}(?:\.[0-9]{0,18})?")
_LONGEST_DATE = 64

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_UNIT = r"ms|millisec(?:ond)?s?|s(?:ec(?:ond)?s?)?|m(?:in(?:ute)?s?)?|h(?:(?:ou)?rs?)?|d(?:ays?)?"
_PART = re.compile(rf"([0-9]{{1,12}}(?:\.[0-9]{{1,18}})?) ?(?:more )?({_UNIT})(?![a-z])", re.IGNORECASE)
_DURATION = re.compile(r"(?:[0-9]{1,12}(?:\.[0-9]{1,18})?(?:ms|s|m|h|d))+")
_PARTS = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,18})?)(ms|s|m|h|d)")
_PHRASE = re.compile(
    r"(?:try again|retry|retrying|wait|reset|resets|available)(?: again)?(?: your request)?"
    r"(?:[ _-](?:in|after|for))?(?:[:=] ?| )"
    r"(?:about |approximately |at least )?(?=[0-9])",
    re.IGNORECASE,
)
_BARE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,18})?) ?(?:[.,;)](?![0-9])|$)")

# From these on a number is a moment since 1970, in seconds or milliseconds; below it is a delay (30 years).
_EPOCH = 10.0**9
_EPOCH_MS = 10.0**11

_IN_ONE = re.compile(rb"(?:^|[,; ])(remaining|reset|r|t)=([0-9]{1,18})(?![0-9])")

_LONGEST_BODY = 64 * 1024  # such errors are a few KiB
_DELAY = re.compile(rb'"retryDelay" ?: ?"([0-9]{1,12}(?:\.[0-9]{1,18})?)s"')


def parse_retry_after(
    fields: dict[bytes, bytes], now: float | None = None, body: bytes = b""
) -> float | None:
    """Seconds to wait, at most a day; None if nobody says. Never raises.

    `fields`: headers, names in lower case. `now`: seconds since 1970; without it a date says nothing. A date in the
    past means at once. `body`: the error's body, for upstreams that say it there.
    """
    seconds = _from_header(fields, now)
    if seconds is None:
        seconds = _from_buckets(fields, now)
    if seconds is None and body:
        seconds = _from_body(body[:_LONGEST_BODY], now)
    return None if seconds is None else min(max(seconds, 0.0), MAX_SECONDS)


def retry_after_in_text(text: str) -> float | None:
    """Seconds to wait by the words of a message, at most a day; None if it does not say."""
    for phrase in _PHRASE.finditer(text):
        seconds, at, found = 0.0, phrase.end(), False
        while (part := _PART.match(text, at)) is not None:
            unit = part[2].lower()
            seconds += float(part[1]) * _UNITS["ms" if unit.startswith(("ms", "milli")) else unit[0]]
            at, found = part.end() + text.startswith(" ", part.end()), True
        if found:
            return min(seconds, MAX_SECONDS)
        if (bare := _BARE.match(text, phrase.end())) is not None:
            return min(float(bare[1]), MAX_SECONDS)
    return None


def _from_header(fields: dict[bytes, bytes], now: float | None) -> float | None:
    for name, unit in ((b"retry-after-ms", 0.001), (b"x-ms-retry-after-ms", 0.001), (b"retry-after", 1.0)):
        value = fields.get(name)
        if value is None:
            continue
        if _NUMBER.fullmatch(value):
            return float(value) * unit
        if name == b"retry-after":
            seconds = _duration(value)
            seconds = _moment(value, now) if seconds is None else seconds
            if seconds is not None:
                return seconds
    return None


def _from_buckets(fields: dict[bytes, bytes], now: float | None) -> float | None:
    """The longest wait of the buckets that are empty; of all, if none says what is left."""
    empty: list[float] = []
    unknown: list[float] = []
    told = False
    for name, value in fields.items():
        if name == b"ratelimit":
            for remaining, seconds in _in_one(value):
                told = True
                if remaining == 0:
                    empty.append(seconds)
            continue
        if b"reset" not in name or b"ratelimit" not in name.replace(b"rate-limit", b"ratelimit"):
            continue
        seconds = _reset(value, now)
        if seconds is None:
            continue
        remaining = fields.get(name.replace(b"reset", b"remaining"))
        status = fields.get(
            name.replace(b"reset", b"status")
        )  # Anthropic's subscriptions: allowed or rejected
        if remaining is not None and _NUMBER.fullmatch(remaining):
            told = True
            if float(remaining) == 0:
                empty.append(seconds)
        elif status is not None:
            told = True
            if status == b"rejected":
                empty.append(seconds)
        else:
            unknown.append(seconds)
    return max(empty or ([] if told else unknown), default=None)


def _in_one(value: bytes) -> Iterator[tuple[int, float]]:
    """What is left and the seconds until there is more, of each bucket that tells both."""
    for bucket in (value,) if b"reset=" in value else value.split(b","):
        told = {match[1][:3]: match[2] for match in _IN_ONE.finditer(bucket)}
        remaining, seconds = told.get(b"rem", told.get(b"r")), told.get(b"res", told.get(b"t"))
        if remaining is not None and seconds is not None:
            yield int(remaining), float(seconds)


def _reset(value: bytes, now: float | None) -> float | None:
    if _NUMBER.fullmatch(value):
        number = float(value)
        if number < _EPOCH:
            return number
        moment = number / 1000.0 if number >= _EPOCH_MS else number
        return None if now is None else moment - now
    seconds = _duration(value)
    return _moment(value, now) if seconds is None else seconds


def _duration(value: bytes) -> float | None:
    """Seconds of "6m0s"."""
    text = value.decode("latin-1")
    if len(text) > _LONGEST_DATE or _DURATION.fullmatch(text) is None:
        return None
    return sum(float(part[1]) * _UNITS[part[2]] for part in _PARTS.finditer(text))


def _moment(value: bytes, now: float | None) -> float | None:
    """Seconds from now until a date: an HTTP date in any of its three forms (RFC 9110 5.6.7), or RFC 3339."""
    if now is None or len(value) > _LONGEST_DATE:
        return None
    try:
        text = value.decode("ascii")
        moment = datetime.fromisoformat(text) if text[:4].isdigit() else parsedate_to_datetime(text)
        # A form without a zone (asctime) is meant as UTC.
        at = (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return max(at - now, 0.0)


def _from_body(body: bytes, now: float | None) -> float | None:
    if (delay := _DELAY.search(body)) is not None:
        return float(delay[1])
    if b"etadata" in body and (fields := _headers_inside(body)):
        seconds = _from_header(fields, now)
        seconds = _from_buckets(fields, now) if seconds is None else seconds
        if seconds is not None:
            return seconds
    return retry_after_in_text(extract_message(body).message)


def _headers_inside(body: bytes) -> dict[bytes, bytes]:
    """OpenRouter's `error.metadata.headers`, as headers."""
    value: Any = None
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {}
    for name in ("error", "metadata", "headers"):
        value = cast("dict[str, Any]", value).get(name) if isinstance(value, dict) else None
    items = cast("dict[str, Any]", value).items() if isinstance(value, dict) else ()
    return {
        name.lower().encode("utf-8", "replace"): str(item).encode("utf-8", "replace")
        for name, item in items
        if isinstance(item, (str, int, float))
    }
