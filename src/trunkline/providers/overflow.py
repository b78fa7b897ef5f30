"""Context overflow: is an upstream's answer a refusal for length, and what are the numbers.

Owns the order in which an answer is looked at, and what is never an overflow. Does not own the known wordings
(`overflow_patterns.py`), the rule for unknown ones (`overflow_rule.py`), the extraction of messages
(`wire/error_body.py`), nor what is done about an overflow (routing, engine).

How it works: numbers in fields first; then the extracted message, and nothing else of the body, because bodies quote
what users wrote. Rates, quotas and moderation are left out before any wording is tried, unless a code says plainly
what it is. Overflows come with 400, 413, 422, 500 and inside 200 streams, so the status gates vague wordings only.
"""

import re
from collections.abc import Iterator
from typing import Any, cast

import msgspec

from trunkline.errors import Overflow
from trunkline.providers.overflow_patterns import CAPS, PATTERNS, number
from trunkline.providers.overflow_rule import judge
from trunkline.wire import sse
from trunkline.wire.error_body import MAX_BODY, MAX_MESSAGE, ErrorInfo, extract_message

__all__ = ["Overflow", "parse", "read"]

_CODES = re.compile(
    r"context_?(?:length|window)_?exceeded|context_exceeded|exceed_context_size|model_max_prompt_tokens_exceeded"
    r"|(?:prompt|input|context)_(?:is_)?too_long|ContextWindowExceeded|tokens_limit_reached",
    re.IGNORECASE,
)
# Numbers that providers have for it: Zhipu "prompt too long", MiniMax "token limit".
_NUMBERED = frozenset(("1261", "1039"))

# Rates and money, and what a model may not be asked: their messages have the same words and numbers.
_OTHER = re.compile(
    r"rate[ _-]?limit|too many requests|per[ _-]?(?:min|hour|day|sec|month)|/min\b|\b[rt]p[mdhs]\b|throttl|\bquota"
    r"|please wait|\bcredits?\b|monthly|can only afford|spending|\bbilling"
    r"|content[ _-]?(?:filter|polic|management)|safety system|moderation|api[ _-]?key|vocab|token id|out of range"
    r"|budget_tokens|thinking|output limit was reached|at least 1\b(?!, got -)|too small(?! for)|must have stream",
    re.IGNORECASE,
)
# Sizes of other things; harmless where the window itself is named.
_THINGS = re.compile(
    r"\bimages?\b|pixel|bytes?\b|\d ?[kmg]i?b\b|\bfiles?\b|upload|attachment|\baudio|\bvideo|\bpdf\b|\bpages?\b"
    r"|array too long|\btools?\b|\bfunctions?\[|\bstop\b|\bmetadata\b|\bheaders?\b|\burl\b|\burls\b",
    re.IGNORECASE,
)
_WINDOW = re.compile(r"context|max_model_len|sequence length|prompt (?:is )?too long", re.IGNORECASE)
# OpenAI's limit on characters; only that of the prompt itself can be mended by a shorter one.
_STRING = re.compile(r"string too long|expected a string with maximum length", re.IGNORECASE)
_PROMPT_STRING = re.compile(
    r"'(?:input|prompt|messages)(?:\[\d{1,9}\])?(?:\.content(?:\[\d{1,9}\]\.text)?)?'"
)

# What a server that checks its input repeats of it.
_ECHO = re.compile(r"""[,{] ?['"]input['"] ?:|\binput_value ?=|\binvalid value: ?['"]""", re.IGNORECASE)

_GATE = (400, 413, 422)
_MAX_COUNT = 10**12  # above it a number is garbage

# Where error objects are found inside each other, and where their words are.
_NESTS = (
    "error",
    "errors",
    "detail",
    "details",
    "metadata",
    "raw",
    "message",
    "response",
    "cause",
    "innererror",
)
_MAX_OBJECTS = 64
_MAX_DEPTH = 6
_MAX_EVENTS = 64


def parse(status: int, body: bytes) -> Overflow | None:
    """Read the numbers of a context overflow; None if the answer is anything else.

    `status` is the answer's (200: an error inside it, also as an event of a stream). Never raises. A model that only
    gives no answer as long as `max_tokens` asks has no overflow: `read` tells that too.
    """
    found = read(status, body)
    return None if found is None or found.too_long == "cap" else found


def read(status: int, body: bytes) -> Overflow | None:
    """Like `parse`, but also with `too_long` "cap": `max_tokens` is over the model's longest answer."""
    if len(body) > MAX_BODY and body.lstrip()[:1] in (b"{", b"["):
        return None  # cut JSON cannot be decoded, and as plain text it may quote what a user wrote
    objects = list(_objects(body[:MAX_BODY]))
    for fields in objects:
        if (found := _from_fields(fields)) is not None:
            return found
    info = extract_message(body)
    plain = any(_CODES.search(f"{fields.get('code')} {fields.get('type')}") for fields in objects)
    vague = plain or info.code in _NUMBERED or _effective(status, info) in _GATE
    for text in (info.message, *_more_words(objects)):
        found = _from_text(f"{info.code} {info.type}", text, plain=plain, vague=vague)
        if found is not None:
            return found
    return Overflow() if plain else None


def _effective(status: int, info: ErrorInfo) -> int:
    """The status of an error inside a 200 is its code; if that is no status, the request may be at fault."""
    if status >= 300:
        return status
    return (
        int(info.code) if info.code in ("413", "422", "429") or re.fullmatch("5[0-9]{2}", info.code) else 400
    )


def _from_text(named: str, text: str, *, plain: bool, vague: bool) -> Overflow | None:
    text = " ".join(text[:MAX_MESSAGE].split()).replace("\\u003e", ">").replace("\\u003c", "<")
    text = _ECHO.split(text, maxsplit=1)[0]
    plain = plain or bool(_CODES.search(text))
    if not plain and _OTHER.search(f"{named} {text}"):
        return None
    for row in PATTERNS:
        if (match := row.regex.search(text)) is not None:
            at_least = row.at_least or match.groupdict().get("least") is not None
            return _finish(_numbers(match), at_least=at_least)
    for row in CAPS:
        if match := row.regex.search(text):
            counts = _numbers(match)
            limit = counts.get("limit")
            if limit and text.startswith(" (exclusive)", match.end()):  # Vertex
                limit -= 1
            return Overflow(limit, output=counts.get("output"), too_long="cap")
    if _STRING.search(text):
        return Overflow() if _PROMPT_STRING.search(text) else None
    if not plain and _THINGS.search(text) and not _WINDOW.search(text):
        return None
    return judge(text, vague=vague) or (Overflow() if plain else None)


def _numbers(match: re.Match[str]) -> dict[str, int]:
    counts = {
        name: value
        for name, text in match.groupdict().items()
        if text and name != "least" and (value := number(text)) <= _MAX_COUNT
    }
    if "input2" in counts:
        counts["input"] = counts.get("input", 0) + counts.pop("input2")
    return counts


def _finish(counts: dict[str, int], *, at_least: bool) -> Overflow:
    """Complete what a known wording gives by arithmetic."""
    limit, output, total = counts.get("limit"), counts.get("output"), counts.get("total")
    given = counts.get("input")
    if given is None and total is not None:
        given = max(total - output, 0) if output is not None else total
    if total is None and given is not None and output is not None:
        total = given + output
    actual = total if total is not None else given
    excess = counts.get("excess")
    if excess is None and limit is not None and actual is not None:
        excess = max(actual - limit, 0)
    fits = given is not None and limit is not None and given < limit
    too_long = "output" if fits and output is not None and not at_least else "prompt"
    return Overflow(limit, given, output, total, excess, at_least, too_long)


def _from_fields(fields: dict[str, Any]) -> Overflow | None:
    """llama.cpp, and who follows it, put the numbers into fields of the error."""
    given, limit = fields.get("n_prompt_tokens"), fields.get("n_ctx")
    counts = {
        name: int(value)
        for name, value in (("input", given), ("limit", limit))
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= _MAX_COUNT
    }
    return _finish(counts, at_least=False) if len(counts) == 2 else None


def _more_words(objects: list[dict[str, Any]]) -> Iterator[str]:
    """Texts beside the message in which gateways put what the server behind them said."""
    for fields in objects:
        for name in ("detail", "details", "raw", "cause", "title", "reason", "description"):
            if isinstance(text := fields.get(name), str):
                yield text


def _objects(body: bytes) -> Iterator[dict[str, Any]]:
    """The error objects of a body: JSON, JSON inside its strings, or the events of a stream."""
    body = body.strip()
    texts = [body]
    if body.startswith((b"data:", b"event:", b":", b"id:")):
        texts = [event.data for event in sse.Decoder().feed(body + b"\n\n")[:_MAX_EVENTS]]
    left = _MAX_OBJECTS
    stack = [(value, 0) for text in reversed(texts) if (value := _decoded(text)) is not None]
    while stack and left:
        value, depth = stack.pop()
        left -= 1
        if isinstance(value, str):
            value = _decoded(value.encode("utf-8", "replace")) if value.lstrip()[:1] in ("{", "[") else None
        if depth > _MAX_DEPTH:
            continue
        if isinstance(value, list):
            stack += [(item, depth + 1) for item in cast("list[Any]", value)[:_MAX_OBJECTS]]
        elif isinstance(value, dict):
            fields = cast("dict[str, Any]", value)
            yield fields
            stack += [(fields[name], depth + 1) for name in reversed(_NESTS) if name in fields]


def _decoded(text: bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
