"""The header lines of an answer: the upstream's that may go on, and the gateway's own.

Owns which headers a client sees, and what the engine reads in an upstream's head. Does not own status and framing
(net/answer_writer.py). What one head says holds for every answer that has the same head, so it is worked out once and
kept with the head (`Derived`).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from trunkline.errors import Answer
from trunkline.wire.head import Headers, ResponseHead, hop_by_hop

if TYPE_CHECKING:
    from trunkline.engine.delivery import Delivery

_DROPPED = frozenset(
    (
        # this hop's own: RFC 9110 7.6.1
        b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"te", b"trailer",
        b"transfer-encoding", b"upgrade", b"content-length",
        # an advertisement of another way to the upstream, not to us
        b"alt-svc",
        # what the gateway says itself
        b"x-request-id", b"server-timing", b"x-should-retry", b"x-trunkline-model", b"x-trunkline-backend",
        b"x-trunkline-attempts", b"x-trunkline-note",
        # who may read an answer in a browser is the gateway's decision (server.cors_origins)
        b"access-control-allow-origin", b"access-control-allow-credentials", b"access-control-allow-methods",
        b"access-control-allow-headers", b"access-control-expose-headers", b"access-control-max-age",
    )
)  # fmt: skip
_ENCODING = frozenset((b"content-encoding",))
_TYPE = frozenset((b"content-type", b"cache-control", b"x-accel-buffering"))
# What an upstream says to the holder of its credential, who is the gateway and not its clients.
_ACCOUNT = frozenset(
    (
        b"set-cookie", b"openai-organization", b"strict-transport-security", b"www-authenticate", b"clear-site-data",
        b"x-accel-redirect", b"x-sendfile",
    )
)  # fmt: skip

_DROPPED_OF_OURS = _DROPPED | _ACCOUNT

JSON, EVENTS, OTHER = range(3)
_KINDS = {b"application/json": JSON, b"text/event-stream": EVENTS}

# Rendered once: a float's formatting costs more than everything else in these lines.
_MOST_TENTHS = 2000
_TENTHS = tuple(b"%d.%d" % divmod(tenths, 10) for tenths in range(_MOST_TENTHS))
"""Milliseconds with one decimal, by their tenths."""


class Derived(msgspec.Struct, frozen=True, gc=False):
    """What an upstream's head says to the engine.

    `kind`: JSON, EVENTS or OTHER, by its content-type. `coding`: its content-encoding, if it has one. `plain`: a
    success with uncompressed JSON. `passed`: the header lines that go on.
    """

    kind: int
    coding: bytes | None
    plain: bool
    passed: bytes


def derive(head: ResponseHead, *, own: bool, masked: Callable[[bytes], bytes]) -> Derived:
    """Read a head, or remember what was read. `own`: the backend has the gateway's credential (always or never)."""
    if head.memo is None:  # heads are remembered per backend, and so is whose credential it gets
        kind = _KINDS.get(head.fields.get(b"content-type", b"").partition(b";")[0].strip().lower(), OTHER)
        coding = head.fields.get(b"content-encoding")
        if coding is not None and coding.lower() == b"identity":
            coding = None
        head.memo = Derived(
            kind,
            coding,
            kind == JSON and coding is None and 200 <= head.status < 300 and head.status != 204,
            masked(_passed(head.headers, own=own, decoded=False)),
        )
    return head.memo


def answer_block(
    exchange: "Delivery", head: ResponseHead | Answer, *, decoded: bool, retyped: bytes = b""
) -> bytes:
    """The header lines of an answer that comes from an upstream.

    `decoded`: its compression was undone. `retyped`: the lines in place of its content-type, if it got another form.
    """
    if decoded or retyped or isinstance(head, Answer):
        passed = _passed(head.headers, own=exchange.own_credential, decoded=decoded, retyped=bool(retyped))
        return gateway_block(exchange, retyped + exchange.masked(passed))
    derived = head.memo or derive(head, own=exchange.own_credential, masked=exchange.masked)
    return gateway_block(exchange, derived.passed)


def gateway_block(exchange: "Delivery", passed: bytes = b"", *, answered: bool = True) -> bytes:
    """The lines that the gateway adds, after those of the upstream. `answered` False: nobody has, nobody is named."""
    call = exchange.call
    total, upstream = exchange.timings()
    total_tenths, upstream_tenths = int(total * 10_000), int(upstream * 10_000)
    return b"%bx-request-id: %b\r\nserver-timing: total;dur=%b, upstream;dur=%b\r\n%b%b" % (
        passed,
        call.request_id,
        # The one of the whole call is the longer one.
        _TENTHS[total_tenths] if total_tenths < _MOST_TENTHS else b"%.1f" % (total * 1000),
        _TENTHS[upstream_tenths] if total_tenths < _MOST_TENTHS else b"%.1f" % (upstream * 1000),
        call.extra,
        exchange.naming() if answered else b"",
    )


def naming_lines(model: str, backend: str | None, attempts: int) -> bytes:
    """The lines that say who answered; `backend` None where a client may not know."""
    lines = b"x-trunkline-model: %b\r\n" % header_value(model) if model else b""
    if backend is not None:
        lines += b"x-trunkline-backend: %b\r\nx-trunkline-attempts: %d\r\n" % (backend.encode(), attempts)
    return lines


def _passed(headers: Headers, *, own: bool, decoded: bool, retyped: bool = False) -> bytes:
    dropped = _DROPPED_OF_OURS if own else _DROPPED
    if retyped:
        dropped = dropped | _TYPE
    if decoded:
        dropped = dropped | _ENCODING
    named = [value for name, value in headers if name == b"connection"]
    if named and named != [b"keep-alive"] and named != [b"close"]:
        dropped = dropped | hop_by_hop(headers)
    return b"".join([b"%b: %b\r\n" % pair for pair in headers if pair[0] not in dropped])


def header_value(text: str) -> bytes:
    """Text from a client as a header value: what could end the line or is not ASCII becomes `?`."""
    if text.isascii() and text.isprintable():
        return text.encode()
    return "".join(char if " " <= char <= "~" else "?" for char in text).encode()
