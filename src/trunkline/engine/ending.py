"""The end of an answer that went wrong.

Owns what a client is told: an ordinary error answer, or an error event in a stream it is reading. Does not own when
that is (exchange.py).
"""

from typing import TYPE_CHECKING

from trunkline.engine.answer_head import answer_block, gateway_block
from trunkline.engine.relay import Relay
from trunkline.errors import Fault
from trunkline.wire.error_body import dialect_of, render
from trunkline.wire.values import SSE_SURFACES, Call

if TYPE_CHECKING:
    from trunkline.engine.exchange import Exchange


def error_answer(exchange: "Exchange", fault: Fault, relay: Relay | None) -> tuple[int, bytes, bytes]:
    """Status, header lines and body for a client that was sent nothing: the upstream's own if there are any."""
    answer = fault.answer
    call = exchange.call
    if answer is not None:
        status, body = answer.status, answer.body
        block = answer_block(exchange, answer, decoded=relay is not None and relay.decoded)
    else:
        status = fault.http_status
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
