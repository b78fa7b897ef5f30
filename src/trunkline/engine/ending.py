"""The end of an answer that went wrong.

Owns what a client is told: an ordinary error answer, or an error event in a stream it is reading. Does not own when
that is (exchange.py).
"""

from typing import TYPE_CHECKING

from msgspec import structs

from trunkline.engine.answer_head import answer_block, gateway_block
from trunkline.engine.relay import Relay
from trunkline.errors import ERROR_IN_STREAM, Fault
from trunkline.wire.error_body import dialect_of, readable, render
from trunkline.wire.values import SSE_SURFACES, Call

# What describes a body that is not sent.
_OF_BODY = frozenset((b"content-type", b"content-encoding", b"content-language", b"etag", b"last-modified"))

if TYPE_CHECKING:
    from trunkline.engine.exchange import Exchange


def error_answer(exchange: "Exchange", fault: Fault, relay: Relay | None) -> tuple[int, bytes, bytes]:
    """Status, header lines and body for a client that was sent nothing: the upstream's own if there are any."""
    answer = fault.answer
    call = exchange.call
    if answer is not None:
        status, body = answer.status, answer.body
        wrapped = None
        if 400 <= status < 500 and exchange.own_errors and call.method != b"HEAD":
            wrapped = readable(answer, dialect_of(call.surface), call.request_id.decode())
        if wrapped is None:
            block = answer_block(exchange, answer, decoded=relay is not None and relay.decoded)
        else:
            # SDKs look for a message in JSON; a page or plain text would be an error without one.
            headers = [pair for pair in answer.headers if pair[0] not in _OF_BODY]
            answer = structs.replace(answer, headers=[(b"content-type", b"application/json"), *headers])
            block = answer_block(exchange, answer, decoded=True)
            body = wrapped
    else:
        status = fault.http_status
        if fault.kind is ERROR_IN_STREAM:  # its message has the upstream's own words
            fault = structs.replace(fault, message=exchange.masked(fault.message.encode()).decode())
        body = render(fault, dialect_of(call.surface), call.request_id.decode())
        block = b"content-type: application/json\r\n" + gateway_block(exchange)
        if fault.retry_after is not None:
            block += b"retry-after: %d\r\n" % max(1, round(fault.retry_after))
    # The gateway has tried what there was to try: SDKs would try it all again (openai-python obeys this header).
    return status, block + b"x-should-retry: false\r\n" if status >= 400 else block, body


def may_say_error(call: Call, relay: Relay | None, *, committed: bool) -> bool:
    """Whether an error event can follow what the client has: a stream of events, and not in the middle of one."""
    if call.surface not in SSE_SURFACES or (relay is not None and relay.mid_event):
        return False
    return not committed or (relay is not None and relay.is_event_stream)
