"""Error bodies: a fault rendered in the client's dialect, and the message found in whatever an upstream sent.

Owns the OpenAI and Anthropic error shapes and their in-stream events, and the one extractor for foreign error
bodies; the body that takes the place of one that no SDK could read. Does not own which fault an answer is
(`routing/faults.py`) nor the numbers inside overflow messages (`providers/overflow.py`).

How the extractor works: the body is decoded, and known places are tried in a fixed order, from the most telling
(`error`) to the least (`message`, `detail`). JSON inside strings is followed where a family is known to nest it.
"""

import html
import re
from http import HTTPStatus
from typing import Any, Literal, cast

import msgspec

from trunkline.errors import REFUSED_BY_UPSTREAM, SERVER_ERROR, Answer, Fault
from trunkline.wire import sse

Dialect = Literal["openai", "anthropic"]

MAX_BODY = 1024 * 1024
"""Bytes of a body that are looked at: an error is a few hundred, HTML pages of gateways up to some 100 KB."""

MAX_MESSAGE = 8192
"""Characters of a message that are kept. LiteLLM nests whole bodies and stack traces in theirs."""

_STATUSES = frozenset(status.value for status in HTTPStatus)

_MAX_DEPTH = 6  # OpenRouter around Azure around OpenAI nests four objects

# https://docs.anthropic.com/en/api/errors; 503 is not theirs, and means the same as their 529.
_ANTHROPIC_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}

# What a page made for browsers says in one line; pages without either are not read further.
_MAX_PAGE = 16 * 1024  # bytes of a page in which its title is looked for
_HEADLINE = re.compile(rb"<(title|h1)(?: [^>]{0,200})?>([^<]{1,500})</", re.IGNORECASE)

# Where else a message is found, besides `error`, `message` and `detail`: FastAPI and KoboldCpp, SiliconFlow; Baidu;
# AWS; Apigee (Fireworks in 2023).
_OTHER_KEYS = ("msg", "error_msg", "error_message", "errorMessage", "Message", "fault", "faultstring")

_encode = msgspec.json.encode
_decode = msgspec.json.decode


class ErrorInfo(msgspec.Struct, frozen=True, gc=False):
    """What an error body says; "" for what it does not say. `code` is text also where it was a number."""

    message: str = ""
    code: str = ""
    type: str = ""


_NOTHING = ErrorInfo()


def dialect_of(surface: str) -> Dialect:
    """The shape by what the client called, never by the upstream."""
    return "anthropic" if surface.startswith("messages") else "openai"


def render(fault: Fault, dialect: Dialect, request_id: str = "") -> bytes:
    """Render the body of an error answer. `request_id` appears in Anthropic's shape only."""
    if dialect == "anthropic":
        return _encode(_anthropic(fault, request_id))
    return _encode({"error": _openai(fault)})


def sse_error(fault: Fault, surface: str, request_id: str = "") -> bytes:
    """Render the event that ends a stream of this surface ("chat", "responses", "messages", ...) with an error.

    No `[DONE]` follows it. A responses error has its fields at the top (the API's shape) and once more in `error`,
    which is what the openai SDK raises from.
    """
    if dialect_of(surface) == "anthropic":
        return sse.encode(_encode(_anthropic(fault, request_id)), b"error")
    error = _openai(fault)
    if surface == "responses":
        event = {"type": "error", "code": error["code"], "message": error["message"], "param": error["param"]}
        return sse.encode(_encode({**event, "sequence_number": 0, "error": error}), b"error")
    return sse.encode(_encode({"error": error}))


def extract_message(body: bytes) -> ErrorInfo:
    """Find message, code and type in an upstream's error body of any known shape (17 of them). Never raises.

    Empty for an empty body, an HTML page and JSON that holds no message. Plain text is its own message.
    """
    body = body[:MAX_BODY].strip()
    if body.startswith((b"data:", b"event:", b":")):
        events = sse.Decoder().feed(body + b"\n\n")
        return next((info for event in events if (info := _find_in_text(event.data)).message), _NOTHING)
    return _find_in_text(body)


def readable(answer: Answer, dialect: Dialect, request_id: str = "") -> bytes | None:
    """Give the body for the client in place of one that is not JSON (a page, plain text, nothing); None: it is JSON.

    JSON goes on unchanged whatever its shape. The message is the text, the page's title or the status.
    """
    try:
        _decode(answer.body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        pass
    else:
        return None
    status = answer.status
    fault = Fault(REFUSED_BY_UPSTREAM if status < 500 else SERVER_ERROR, _words(answer), status=status)
    return render(fault, dialect, request_id)


def _words(answer: Answer) -> str:
    text = extract_message(answer.body).message
    if not text and (found := _HEADLINE.search(answer.body[:_MAX_PAGE])) is not None:
        text = html.unescape(" ".join(found[2].decode("utf-8", "replace").split()))
    status = answer.status
    known = HTTPStatus(status).phrase if status in _STATUSES else ""
    return text or f"the upstream answered {status} {known}".rstrip()


def _openai(fault: Fault) -> dict[str, str | None]:
    return {
        "message": fault.message,
        "type": fault.kind.type,
        "param": fault.param,
        "code": fault.error_code or None,
    }


def _anthropic(fault: Fault, request_id: str) -> dict[str, Any]:
    status = fault.http_status
    kind = _ANTHROPIC_TYPES.get(status) or ("api_error" if status >= 500 else "invalid_request_error")
    return {
        "type": "error",
        "error": {"type": kind, "message": fault.message},
        "request_id": request_id or None,
    }


def _find_in_text(text: bytes) -> ErrorInfo:
    try:
        value = _decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        if text.startswith(b"<"):  # a page made for browsers
            return _NOTHING
        return ErrorInfo(text[: 4 * MAX_MESSAGE].decode("utf-8", "replace")[:MAX_MESSAGE])
    return _find(value, 0)


def _find(value: Any, depth: int) -> ErrorInfo:
    """Look for a message in decoded JSON."""
    if isinstance(value, str):
        # LiteLLM's text only contains JSON and stays whole; what begins with it is a body put into a string.
        nested = _find_nested(value, depth) if value.lstrip().startswith(("{", "[")) else _NOTHING
        return nested if nested.message else ErrorInfo(value[:MAX_MESSAGE])
    if depth < _MAX_DEPTH:
        if isinstance(value, list):  # Gemini's array; Azure's list of errors
            items = cast("list[Any]", value)
            return next((info for item in items if (info := _find(item, depth + 1)).message), _NOTHING)
        if isinstance(value, dict):
            return _find_in_object(cast("dict[str, Any]", value), depth + 1)
    return _NOTHING


def _find_nested(text: str, depth: int) -> ErrorInfo:
    """Look into text that may be JSON again."""
    try:
        return _find(_decode(text), depth + 1)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _NOTHING


def _find_in_object(value: dict[str, Any], depth: int) -> ErrorInfo:
    own = ErrorInfo("", _code(value), _text(value, "type", "error_type", "status"))
    metadata = value.get("metadata")
    if isinstance(metadata, dict):  # OpenRouter: its own message says only that the provider failed
        raw = _find(cast("dict[str, Any]", metadata).get("raw"), depth)
        if raw.message:
            return _with(raw, own)
    errors = value.get("errors")
    if isinstance(errors, list):  # Cloudflare, around the text of what runs behind it
        info = _with(_find(cast("list[Any]", errors), depth), own)
        inner = _find_nested(info.message[info.message.find("{") :], depth)
        return _with(inner, info) if inner.message else info
    detail = value.get("detail")
    if isinstance(detail, list):  # FastAPI names each wrong field
        found = [_find(_msg(item), depth).message for item in cast("list[Any]", detail)]
        return _with(ErrorInfo("; ".join(filter(None, found))[:MAX_MESSAGE]), own)
    for key in ("error", "message", "detail", "response", *_OTHER_KEYS):
        # "response" is the object of response.failed; as text it is what Ollama generated.
        info = (
            _find(value.get(key), depth)
            if key != "response" or isinstance(value.get(key), dict)
            else _NOTHING
        )
        if info.message:
            return _with(info, own)
    base = value.get("base_resp")
    if isinstance(base, dict):  # MiniMax; its code 0 means success
        code = _code(base := cast("dict[str, Any]", base))
        return _with(_find(base.get("status_msg"), depth), ErrorInfo("", code)) if code != "0" else _NOTHING
    return _NOTHING


def _msg(item: Any) -> Any:
    return cast("dict[str, Any]", item).get("msg") if isinstance(item, dict) else item


def _with(info: ErrorInfo, outer: ErrorInfo) -> ErrorInfo:
    """The inner finding, with code and type of the object around it where it has none."""
    return (
        ErrorInfo(info.message, info.code or outer.code, info.type or outer.type)
        if info.message
        else _NOTHING
    )


def _code(value: dict[str, Any]) -> str:
    for key in ("code", "status_code", "http_status_code", "error_code"):
        field = value.get(key)
        if isinstance(field, int) and not isinstance(field, bool):
            return str(field)
    return _text(value, "code", "error_code")


def _text(value: dict[str, Any], *keys: str) -> str:
    """The first of these fields that is text."""
    return next((field[:200] for key in keys if isinstance(field := value.get(key), str) and field), "")
