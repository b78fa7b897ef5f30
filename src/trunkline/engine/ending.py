"""The end of an answer that went wrong.

Owns what a client is told that was sent nothing: an error answer. Does not own when that is (exchange.py).
"""

from typing import TYPE_CHECKING

from msgspec import structs

from trunkline.engine.answer_head import answer_block, gateway_block
from trunkline.engine.relay import Relay
from trunkline.errors import Fault
from trunkline.wire.error_body import dialect_of, readable, render

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
        body = render(fault, dialect_of(call.surface), call.request_id.decode())
        block = b"content-type: application/json\r\n" + gateway_block(exchange)
        if fault.retry_after is not None:
            block += b"retry-after: %d\r\n" % max(1, round(fault.retry_after))
    # The gateway has tried what there was to try: SDKs would try it all again (openai-python obeys this header).
    return status, block + b"x-should-retry: false\r\n" if status >= 400 else block, body
