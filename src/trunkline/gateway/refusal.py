"""Answers that refuse a request before any backend is asked."""

from typing import Protocol

from trunkline.errors import Fault
from trunkline.wire.error_body import dialect_of, render


class _Sink(Protocol):
    def respond(self, status: int, block: bytes, body: bytes) -> None: ...
    def done(self) -> None: ...


def refusal_block(fault: Fault, request_id: bytes, extra: bytes) -> bytes:
    """The header lines of a refusal. SDKs retry 408, 409, 429 and 5xx unless told (openai-python, `x-should-retry`)."""
    block = b"content-type: application/json\r\nx-request-id: %b\r\n%b" % (request_id, extra)
    if fault.retry_after is not None:
        return block + b"retry-after: %d\r\nx-should-retry: true\r\n" % max(1, round(fault.retry_after))
    return block + b"x-should-retry: false\r\n"


def send_refusal(sink: _Sink, fault: Fault, surface: str, request_id: bytes, extra: bytes) -> None:
    """Answer a request whose body was taken, and be through with it."""
    body = render(fault, dialect_of(surface), request_id.decode())
    sink.respond(fault.http_status, refusal_block(fault, request_id, extra), body)
    sink.done()
