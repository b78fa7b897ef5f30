"""What the simulator says: answers and events as values, and errors in the shapes found in the wild.

Owns `Answer`, `Event`, `Refusal` and the error bodies. Does not own their bytes on the wire (`script.py`) nor what
is in a good answer (`surfaces/`).
"""

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

JSON = "application/json"
SSE = "text/event-stream; charset=utf-8"
NDJSON = "application/x-ndjson"

Dialect = Literal["openai", "responses", "anthropic", "ollama"]
"""How a surface phrases its errors."""

Tag = Literal["content", "finish", "usage", "done"]
"""What an event is there for. `done` is the last one of a stream: [DONE], response.completed, message_stop."""


class Event(msgspec.Struct, frozen=True, gc=False):
    """One server-sent event; `name` goes into its `event:` line, empty: none."""

    data: bytes
    name: str = ""
    tag: Tag = "content"

    def render(self, line_end: bytes = b"\n") -> bytes:
        """The event as bytes, with its blank line."""
        name = b"event: " + self.name.encode() + line_end if self.name else b""
        return name + b"data: " + self.data + line_end + line_end


class Line(Event, frozen=True, gc=False):
    """One line of JSON: what Ollama's streams are made of."""

    def render(self, line_end: bytes = b"\n") -> bytes:
        """The line as bytes."""
        return self.data + line_end


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One response before faults touch its bytes: a whole `body`, or `events`, or `filler` bytes of a pattern.

    `count` is the number of events, known before they are made.
    """

    status: int = 200
    content_type: str = JSON
    headers: list[tuple[str, str]] = []
    body: bytes = b""
    events: Iterable[Event] | None = None
    count: int = 0
    filler: int | None = None
    dialect: Dialect = "openai"


class Refusal(Exception):
    """The request is not served: `str()` is the message for the client."""

    def __init__(
        self, status: int, message: str, *, code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param


def json_answer(value: Any) -> Answer:
    """A 200 with a JSON body."""
    return Answer(body=msgspec.json.encode(value))


def stream_answer(events: list[Event], dialect: Dialect = "openai") -> Answer:
    """A 200 with an event stream."""
    return Answer(content_type=stream_type(dialect), events=events, count=len(events), dialect=dialect)


def stream_type(dialect: Dialect) -> str:
    """The content-type of its streams."""
    return NDJSON if dialect == "ollama" else SSE


_TYPES = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error"} | {
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}


def _openai(status: int, message: str, code: str | None, param: str | None) -> dict[str, Any]:
    kind = _TYPES.get(status, "server_error") if status in (401, 403, 429) else None
    kind = kind or ("invalid_request_error" if 400 <= status < 500 else "server_error")
    return {"message": message, "type": kind, "param": param, "code": code or _CODES.get(status)}


def _anthropic(status: int, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": _TYPES.get(status, "api_error"), "message": message}}


def error_answer(
    status: int,
    message: str,
    *,
    shape: str = "openai",
    code: str | None = None,
    param: str | None = None,
    headers: list[tuple[str, str]] | None = None,
) -> Answer:
    """An error in one of the shapes that upstreams use; each comment names one that does."""
    content_type, value = JSON, None
    match shape:
        case "string":  # Ollama, mlx_lm
            value = {"error": message}
        case "flat":  # older vLLM, SGLang
            value = {"object": "error"} | _openai(status, message, None, param) | {"code": status}
        case "detail":  # FastAPI
            value = {"detail": message}
        case "list":  # Gemini
            value = [{"error": {"code": status, "message": message, "status": "UNAVAILABLE"}}]
        case "anthropic":
            value = _anthropic(status, message)
        case "html":  # a proxy in front of the model server
            content_type = "text/html"
        case "text":  # uvicorn
            content_type = "text/plain; charset=utf-8"
        case "empty":
            content_type = ""
        case _:
            value = {"error": _openai(status, message, code, param)}
    plain = {"text/html": f"<html><body><h1>{status}</h1><p>{message}</p></body></html>\n", "": ""}
    body = msgspec.json.encode(value) if value is not None else plain.get(content_type, message).encode()
    return Answer(status=status, content_type=content_type, headers=headers or [], body=body)


def error_event(dialect: Dialect, message: str) -> Event:
    """An error inside a stream that began with 200."""
    match dialect:
        case "openai":
            return Event(msgspec.json.encode({"error": _openai(500, message, "upstream_error", None)}))
        case "responses":
            value = {
                "type": "error",
                "code": "server_error",
                "message": message,
                "param": None,
                "sequence_number": 0,
            }
            return Event(msgspec.json.encode(value), "error")
        case "anthropic":
            return Event(msgspec.json.encode(_anthropic(529, message)), "error")
        case "ollama":
            return Line(msgspec.json.encode({"error": message}))
