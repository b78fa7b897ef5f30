"""When a call has waited long enough; DESIGN section 4.

Owns the order in which the deadlines of one call are looked at, every 100 ms. Does not own what is then done
(exchange.py). Times are seconds of the loop's clock.
"""

import enum

from trunkline.engine.relay import Relay
from trunkline.errors import FIRST_TOKEN_TIMEOUT, IDLE_TIMEOUT, TOTAL_TIMEOUT, Fault

NEVER = float("inf")

LAST_WORD = 2.0
"""Seconds after a stream's terminal event: by then all (usage) has come, and clients wait for the end of the body
before they use the connection again."""

MOST_PATIENCE = 3
"""A backend that gives signs of life, but no content, gets its first-token time this many times."""


class Due(enum.Enum):
    """What is to be done now, short of ending the attempt with a fault."""

    NOTHING = enum.auto()
    FINISH = enum.auto()
    """The stream said that it is complete, and fell silent."""
    HOLD = enum.auto()
    """Nothing has been sent for `hold_head`: show the client that the call lives."""


def due(
    now: float,
    relay: Relay | None,
    *,
    started: float,
    committed: bool,
    begun: bool,
    total_at: float,
    first_token_at: float,
    hold_at: float,
    idle: float,
) -> Due | Fault:
    """Look at all deadlines of a call. `idle`: seconds between two events of a stream that has `begun`; until content
    came there is `first_token_at` for that, and where nobody else could be asked `total_at`.
    """
    if not committed and now >= total_at:
        return Fault(TOTAL_TIMEOUT, f"no answer within {total_at - started:g} s")
    if relay is not None and relay.streaming:
        if relay.over_at:  # comments may go on for ever
            if now - relay.over_at > min(idle, LAST_WORD):
                return Due.FINISH
        elif begun and now - relay.last_at > idle:
            return Fault(IDLE_TIMEOUT, f"the upstream was silent for {idle:g} s")
        elif begun and now - relay.last_event_at > MOST_PATIENCE * idle:
            return Fault(IDLE_TIMEOUT, f"the upstream sent no event for {MOST_PATIENCE * idle:g} s")
    if committed:
        return Due.NOTHING
    if relay is not None and now >= first_token_at and not begun:
        sent_at = relay.sent_at
        limit = first_token_at - sent_at
        alive = relay.last_at > sent_at and now - relay.last_at < limit
        if not alive or now - sent_at > MOST_PATIENCE * limit:
            return Fault(FIRST_TOKEN_TIMEOUT, f"the upstream sent no content within {limit:g} s")
    return Due.HOLD if now >= hold_at else Due.NOTHING
