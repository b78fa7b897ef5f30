"""What an upstream's answer means, and what to do about a failure: one table.

Owns the reading of upstream statuses (`classify`) and the table below. Does not own the kinds themselves (errors.py)
nor the sequence of attempts (engine/exchange.py).

| kind | next backend |
|---|---|
| the client's own mistakes | no: another backend would say the same |
| model_missing, bad_credential | yes: the fault is this backend's |
| server_error, busy, error_in_200, error_in_stream | yes, until content was sent |
| dns, connect, tls, timeouts, reset, cut, malformed, empty or incomplete streams | yes, until content was sent |
| total_timeout, client_gone, shutting_down | no: there is no time, nobody, or no gateway left |
"""

from trunkline import errors
from trunkline.errors import Answer, Fault, Kind
from trunkline.wire.error_body import extract_message

_NEXT: frozenset[Kind] = frozenset(
    kind
    for kind in errors.KINDS.values()
    if kind.blame not in (errors.Blame.CLIENT, errors.Blame.GATEWAY, errors.Blame.CANCELLED)
    and kind is not errors.TOTAL_TIMEOUT
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
    if status in (401, 403) and own_credential:
        kind = errors.BAD_CREDENTIAL
    elif status == 404 and "model" in f"{info.code} {message}".lower():
        kind = errors.MODEL_MISSING
    elif status in (429, 529) or (status == 503 and retry_after is not None):
        kind = errors.BUSY
    elif status >= 500 or status == 408:
        kind = errors.SERVER_ERROR
    else:
        kind = errors.REFUSED_BY_UPSTREAM
    return Fault(kind, message, status=status, retry_after=retry_after, answer=answer)
