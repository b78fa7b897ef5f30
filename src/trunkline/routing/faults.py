"""What an upstream's answer means, and what to do about a failure: one table.

Owns the reading of upstream statuses (`classify`) and the table below. Does not own the kinds themselves (errors.py)
nor the sequence of attempts (engine/exchange.py).

| kind | next backend |
|---|---|
| the client's own mistakes, content filters | no: another backend would say the same |
| model_missing, bad_credential | yes: the fault is this backend's |
| server_error, busy, error_in_200, error_in_stream | yes, until content was sent |
| dns, connect, tls, timeouts, reset, cut, malformed, empty or incomplete streams | yes, until content was sent |
| total_timeout, client_gone, shutting_down | no: there is no time, nobody, or no gateway left |
"""

import re

from trunkline import errors
from trunkline.errors import Answer, Fault, Kind
from trunkline.wire.error_body import extract_message

_NEXT: frozenset[Kind] = frozenset(
    kind
    for kind in errors.KINDS.values()
    if kind.blame not in (errors.Blame.CLIENT, errors.Blame.GATEWAY, errors.Blame.CANCELLED)
    and kind is not errors.TOTAL_TIMEOUT
)

# What the statuses alone do not tell; the wordings are those of OpenAI, Azure, vLLM, llama.cpp, Ollama, Together,
# OpenRouter, Gemini, xAI and LiteLLM. Read in `code` and message together.
_FILTERED = re.compile(
    r"content[ _-]?(?:filter|polic|management)|ResponsibleAIPolicyViolation|input was flagged|safety system",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(
    r"model_not_found|DeploymentNotFound|invalid model name|unknown model|no endpoints found"
    r"|\bmodel\b.{0,200}?(?:not found|does not exist)|endpoint for .{0,200}? is not running",
    re.IGNORECASE | re.DOTALL,
)
_NO_KEY = re.compile(
    r"(?:incorrect|invalid) api[ _]key|api[ _]key (?:is )?(?:not valid|invalid)", re.IGNORECASE
)


def tries_next(kind: Kind) -> bool:
    """Whether another backend may be asked after this failure, if the client has seen no content."""
    return kind in _NEXT


def classify(answer: Answer, retry_after: float | None, *, own_credential: bool) -> Fault:
    """Turn an upstream's error answer into a fault that carries it.

    `retry_after`: seconds. `own_credential`: the gateway's key was sent, so a 401 is not the client's fault.
    """
    status = answer.status
    if 300 <= status < 400:
        return Fault(
            errors.MALFORMED,
            f"the upstream answered {status}: redirects are not followed; configure the url it redirects to",
        )
    info = extract_message(answer.body)
    message = info.message or f"the upstream answered {status}"
    text = f"{info.code} {info.message}"
    if status in (400, 403) and _FILTERED.search(text):
        kind = errors.REFUSED_BY_UPSTREAM
    elif own_credential and (status in (401, 402, 403) or (status == 400 and _NO_KEY.search(text))):
        kind = errors.BAD_CREDENTIAL  # 402: the account behind it has no credit left
    elif (status == 404 and "model" in text.lower()) or (status in (400, 404) and _NO_MODEL.search(text)):
        kind = errors.MODEL_MISSING
    elif status in (429, 529) or (status == 503 and retry_after is not None):
        kind = errors.BUSY
    elif status >= 500 or status == 408:
        kind = errors.SERVER_ERROR
    else:
        kind = errors.REFUSED_BY_UPSTREAM
    return Fault(kind, message, status=status, retry_after=retry_after, answer=answer)
