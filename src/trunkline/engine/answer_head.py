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
_ENCODING = frozenset((b"content-encoding",))
# What an upstream says to the holder of its credential, who is the gateway and not its clients.
_ACCOUNT = frozenset(
    (
        b"set-cookie", b"openai-organization", b"strict-transport-security", b"www-authenticate", b"clear-site-data",
        b"x-accel-redirect", b"x-sendfile",
    )
)  # fmt: skip


def answer_block(exchange: "Exchange", head: ResponseHead | Answer, *, decoded: bool) -> bytes:
    """The header lines of an answer that comes from an upstream. `decoded`: its compression was undone."""
    own = exchange.own_credential
    if isinstance(head, Answer):
        return _passed(head.headers, own=own, decoded=decoded) + gateway_block(exchange)
    if head.memo is None:  # heads are remembered per backend, and so is whose credential it gets
        head.memo = [_passed(head.headers, own=own, decoded=flag) for flag in (False, True)]
    return head.memo[decoded] + gateway_block(exchange)


def gateway_block(exchange: "Exchange", *, answered: bool = True) -> bytes:
    """The header lines that the gateway adds to an answer. `answered` False: nobody has, so nobody is named."""
    call = exchange.call
    total, upstream = exchange.timings()
    return b"x-request-id: %b\r\nserver-timing: total;dur=%.1f, upstream;dur=%.1f\r\n%b%b" % (
        call.request_id,
        total * 1000,
        upstream * 1000,
        call.extra,
        exchange.naming() if answered else b"",
    )


def naming_lines(model: str, backend: str | None, attempts: int) -> bytes:
    """The lines that say who answered; `backend` None where a client may not know."""
    lines = b"x-trunkline-model: %b\r\n" % header_value(model) if model else b""
    if backend is not None:
        lines += b"x-trunkline-backend: %b\r\nx-trunkline-attempts: %d\r\n" % (backend.encode(), attempts)
    return lines


def _passed(headers: Headers, *, own: bool, decoded: bool) -> bytes:
    dropped = _DROPPED
    if own:
        dropped = dropped | _ACCOUNT
    if decoded:
        dropped = dropped | _ENCODING
    for name, value in headers:
        if name == b"connection" and value.lower() not in (b"keep-alive", b"close"):
            dropped = dropped | hop_by_hop(headers)
    return b"".join([b"%b: %b\r\n" % pair for pair in headers if pair[0] not in dropped])


def header_value(text: str) -> bytes:
    """Text from a client as a header value: what could end the line or is not ASCII becomes `?`."""
    if text.isascii() and text.isprintable():
        return text.encode()
    return "".join(char if " " <= char <= "~" else "?" for char in text).encode()
