"""Failures: as values inside Trunkline, as exceptions at its edges.

Owns `Kind` (one row per way in which a call can fail: whose fault it is and how a client sees it),
`Fault` (one failure), `Overflow` (the numbers of a refusal for length) and the exceptions. Does not own what to do
about a failure (`routing/faults.py`) nor how numbers are found in a message (`providers/overflow.py`).

Exceptions:

- TrunklineError
  - ConfigError        the settings are wrong; carries file, line and column
"""

import enum
from typing import Any, Literal

import msgspec


class TrunklineError(Exception):
    """Base class of all exceptions that Trunkline raises on purpose."""


class ConfigError(TrunklineError):
    """A setting is wrong. `str()` reads `file:line:column: what is wrong; how to fix it`."""


class Blame(enum.StrEnum):
    """Whose fault a failure is (DESIGN section 6)."""

    CLIENT = "client"
    UPSTREAM = "upstream"
    UPSTREAM_BUSY = "upstream_busy"
    BACKEND = "backend"
    GATEWAY = "gateway"
    CANCELLED = "cancelled"


class Kind(msgspec.Struct, frozen=True, gc=False):
    """One way to fail: its name, who is to blame, and the default status, code and type a client gets."""

    name: str
    blame: Blame
    status: int
    code: str
    type: str


class Answer(msgspec.Struct, frozen=True, gc=False):
    """An upstream's whole answer, kept so that a client can be given it unchanged."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Overflow(msgspec.Struct, frozen=True, gc=False):
    """What an upstream says when a request is too long for it, in tokens; None for what it does not say.

    `limit` is the window, or what the prompt alone may have where the upstream names that. `input` is the prompt,
    `output` the answer's length that was asked for, `total` both; where a message gives one undivided number, it is
    `total` and `input`. `excess` is what is over the limit. `at_least`: the upstream stopped counting, so the true
    numbers are not below these.

    `too_long` tells what a smaller request needs. "prompt": less input, or a larger window. "output": the prompt
    fits, and `limit - input` tokens are left for the answer. "cap": the window is not the matter, the model gives no
    answer longer than `limit`.
    """

    limit: int | None = None
    input: int | None = None
    output: int | None = None
    total: int | None = None
    excess: int | None = None
    at_least: bool = False
    too_long: Literal["prompt", "output", "cap"] = "prompt"

    @property
    def room(self) -> int | None:
        """The longest answer that would fit beside this prompt; None if nobody said, or there is no room for any."""
        if self.too_long == "cap":
            room = self.limit
        elif self.too_long == "prompt":
            room = None
        elif self.limit is not None and self.input is not None:
            room = self.limit - self.input
        elif self.output is not None and self.excess:
            room = self.output - self.excess
        else:
            room = None
        return room if room is not None and room > 0 else None


_BUSY_STATUSES = frozenset((0, 400, 403, 425, 429, 498, 529))


class Fault(msgspec.Struct, frozen=True, gc=False):
    """One failure as a value.

    `status` and `code` are 0 and "" where the kind's own apply. `retry_after` is in seconds.
    `answer` is the upstream's own answer when there was one: it is what the client gets in the end.
    `overflow` is there if the request was too long.
    """

    kind: Kind
    message: str
    status: int = 0
    code: str = ""
    param: str | None = None
    retry_after: float | None = None
    answer: Answer | None = None
    overflow: Overflow | None = None

    @property
    def blame(self) -> Blame:
        """Whose fault it is: the kind's own, but a 5xx that does not say until when counts as a broken upstream.

        Of the kinds that mean "busy" only those are that come as 429 or 529, or name a time (DESIGN section 6).
        """
        if (
            self.kind is UPSTREAM_OVERLOADED
            and self.status not in _BUSY_STATUSES
            and self.retry_after is None
        ):
            return Blame.UPSTREAM
        return self.kind.blame

    @property
    def http_status(self) -> int:
        """The status for the client."""
        return self.status or self.kind.status

    @property
    def error_code(self) -> str:
        """The `code` field of the error body."""
        return self.code or self.kind.code


def _row(name: str, blame: Blame, status: int, code: str, type_: str) -> Kind:
    return Kind(name, blame, status, code, type_)


_C, _U, _B, _BUSY = Blame.CLIENT, Blame.UPSTREAM, Blame.BACKEND, Blame.UPSTREAM_BUSY
_INVALID, _API = "invalid_request_error", "api_error"

# The client's own mistakes, found by the gateway.
INVALID_JSON = _row("invalid_json", _C, 400, "invalid_json", _INVALID)
INVALID_REQUEST = _row("invalid_request", _C, 400, "invalid_request", _INVALID)
BAD_FRAMING = _row("bad_framing", _C, 400, "invalid_request", _INVALID)
INVALID_KEY = _row("invalid_key", _C, 401, "invalid_api_key", "authentication_error")
MODEL_NOT_ALLOWED = _row("model_not_allowed", _C, 403, "model_not_allowed", "permission_error")
ORIGIN_NOT_ALLOWED = _row("origin_not_allowed", _C, 403, "origin_not_allowed", "permission_error")
MODEL_UNKNOWN = _row("model_unknown", _C, 404, "model_not_found", _INVALID)
NOT_FOUND = _row("not_found", _C, 404, "not_found", _INVALID)
METHOD_NOT_ALLOWED = _row("method_not_allowed", _C, 405, "method_not_allowed", _INVALID)
SLOW_REQUEST = _row("slow_request", _C, 408, "request_timeout", _INVALID)
BODY_TOO_LARGE = _row("body_too_large", _C, 413, "request_too_large", _INVALID)
HEAD_TOO_LARGE = _row("head_too_large", _C, 431, "request_too_large", _INVALID)

# What an upstream answered.
CONTEXT_OVERFLOW = _row("context_overflow", _C, 400, "context_length_exceeded", _INVALID)
MAX_TOKENS_TOO_LARGE = _row("max_tokens_too_large", _C, 400, "invalid_request", _INVALID)
CONTENT_FILTER = _row("content_filter", _C, 400, "content_filter", _INVALID)
REFUSED_BY_UPSTREAM = _row("refused_by_upstream", _C, 400, "invalid_request", _INVALID)
MODEL_NOT_FOUND = _row("model_not_found", _U, 404, "model_not_found", _INVALID)
AUTH = _row("auth", _B, 401, "upstream_error", _API)
PERMISSION = _row("permission", _B, 403, "upstream_error", _API)
QUOTA = _row("quota", _B, 429, "insufficient_quota", "insufficient_quota")
RATE_LIMIT = _row("rate_limit", _BUSY, 429, "rate_limit_exceeded", "rate_limit_error")
UPSTREAM_OVERLOADED = _row("overloaded", _BUSY, 503, "overloaded", _API)
SERVER_ERROR = _row("server_error", _U, 502, "upstream_error", _API)
UPSTREAM_TIMEOUT = _row("timeout", _U, 504, "upstream_timeout", "timeout_error")
ERROR_IN_STREAM = _row("error_in_stream", _U, 502, "upstream_error", _API)
ERROR_IN_200 = _row("error_in_200", _U, 502, "upstream_error", _API)

# What happened on the way to an upstream or back.
DNS = _row("dns", _B, 502, "upstream_error", _API)
EGRESS = _row("egress", _B, 502, "upstream_error", _API)
CONNECT = _row("connect", _B, 502, "upstream_error", _API)
PROXY = _row("proxy", _B, 502, "upstream_error", _API)
TLS = _row("tls", _B, 502, "upstream_error", _API)
CONNECT_TIMEOUT = _row("connect_timeout", _B, 504, "upstream_timeout", "timeout_error")
FIRST_TOKEN_TIMEOUT = _row("first_token_timeout", _U, 504, "upstream_timeout", "timeout_error")
IDLE_TIMEOUT = _row("idle_timeout", _U, 504, "upstream_timeout", "timeout_error")
TOTAL_TIMEOUT = _row("total_timeout", _U, 504, "upstream_timeout", "timeout_error")
STALE = _row("stale_connection", _U, 502, "upstream_error", _API)
RESET = _row("reset", _U, 502, "upstream_error", _API)
CUT = _row("cut", _U, 502, "upstream_error", _API)
INCOMPLETE = _row("incomplete_stream", _U, 502, "upstream_error", _API)
EMPTY_STREAM = _row("empty_stream", _U, 502, "upstream_error", _API)
MALFORMED = _row("malformed", _U, 502, "upstream_error", _API)
DIVERGED = _row("diverged", _U, 502, "upstream_error", _API)
UNFIT = _row("unfit", _C, 400, "invalid_request", _INVALID)
POOL_FULL = _row("pool_full", _BUSY, 503, "overloaded", _API)

# The gateway itself.
NO_BACKEND = _row("no_backend", Blame.GATEWAY, 503, "no_backend", _API)
OVERLOADED = _row("gateway_full", Blame.GATEWAY, 503, "overloaded", _API)
SHUTTING_DOWN = _row("shutting_down", Blame.GATEWAY, 503, "overloaded", _API)
INTERNAL = _row("internal", Blame.GATEWAY, 500, "internal_error", _API)
CLIENT_GONE = _row("client_gone", Blame.CANCELLED, 499, "client_gone", _INVALID)

KINDS: dict[str, Kind] = {
    value.name: value for value in dict[str, Any](globals()).values() if isinstance(value, Kind)
}
