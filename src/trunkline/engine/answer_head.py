"""The header lines of an answer: the upstream's that may go on, and the gateway's own.

Owns which headers a client sees. Does not own status and framing (net/answer_writer.py).
"""

from typing import TYPE_CHECKING

from trunkline.errors import Answer
from trunkline.wire.head import Headers, ResponseHead, hop_by_hop

if TYPE_CHECKING:
    from trunkline.engine.exchange import Exchange

_DROPPED = frozenset(
    (
        # this hop's own: RFC 9110 7.6.1
        b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"te", b"trailer",
        b"transfer-encoding", b"upgrade", b"content-length",
        # an advertisement of another way to the upstream, not to us
        b"alt-svc",
        # what the gateway says itself
        b"x-request-id", b"server-timing", b"x-should-retry", b"x-trunkline-model", b"x-trunkline-backend",
        b"x-trunkline-attempts",
        # who may read an answer in a browser is the gateway's decision (server.cors_origins)
        b"access-control-allow-origin", b"access-control-allow-credentials", b"access-control-allow-methods",
        b"access-control-allow-headers", b"access-control-expose-headers", b"access-control-max-age",
    )
)  # fmt: skip
_DECODED = _DROPPED | {b"content-encoding"}


def answer_block(exchange: "Exchange", head: ResponseHead | Answer, *, decoded: bool) -> bytes:
    """The header lines of an answer that comes from an upstream. `decoded`: its compression was undone."""
    if isinstance(head, Answer):
        return _passed(head.headers, decoded=decoded) + gateway_block(exchange)
    if head.memo is None:
        head.memo = (_passed(head.headers, decoded=False), _passed(head.headers, decoded=True))
    return head.memo[decoded] + gateway_block(exchange)


def gateway_block(exchange: "Exchange") -> bytes:
    """The header lines that the gateway adds to every answer of a call."""
    call = exchange.call
    total, upstream = exchange.timings()
    return b"x-request-id: %b\r\nserver-timing: total;dur=%.1f, upstream;dur=%.1f\r\n%b%b" % (
        call.request_id,
        total * 1000,
        upstream * 1000,
        call.extra,
        exchange.naming(),
    )


def naming_lines(model: str, backend: str | None, attempts: int) -> bytes:
    """The lines that say who answered; `backend` None where a client may not know."""
    lines = b"x-trunkline-model: %b\r\n" % header_value(model) if model else b""
    if backend is not None:
        lines += b"x-trunkline-backend: %b\r\nx-trunkline-attempts: %d\r\n" % (backend.encode(), attempts)
    return lines


def _passed(headers: Headers, *, decoded: bool) -> bytes:
    dropped = _DECODED if decoded else _DROPPED
    for name, value in headers:
        if name == b"connection" and value.lower() not in (b"keep-alive", b"close"):
            dropped = dropped | hop_by_hop(headers)
    return b"".join([b"%b: %b\r\n" % pair for pair in headers if pair[0] not in dropped])


def header_value(text: str) -> bytes:
    """Text from a client as a header value: what could end the line or is not ASCII becomes `?`."""
    if text.isascii() and text.isprintable():
        return text.encode()
    return "".join(char if " " <= char <= "~" else "?" for char in text).encode()
