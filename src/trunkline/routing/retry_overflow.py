"""What comes after a refusal for length: never the same request again at the same size.

Owns the order below and who is asked next. Does not own the numbers (providers/overflow.py, `Overflow.room`), by how
much a prompt must shrink and how a limit is written into a request (policy/overflow_recovery.py), nor which turns of
a conversation go (policy/eviction.py).

The answer's limit is too high: the same target with a lower one, each time lower, three times at most.
The prompt is too long, in this order:

1. another target of the same model whose window is known to be large enough;
2. the model's `context_fallback`, unless its window is known to be too small;
3. with `evict`: the same target with its oldest turns dropped, three times at most;
4. the remaining fallbacks whose window is large enough or not known;
5. the refusal goes to the client.
"""

from trunkline.errors import Fault, Overflow
from trunkline.routing.balancers.base import Rng
from trunkline.routing.route import OF_CONTEXT, Pick
from trunkline.routing.tries import Evict, GiveUp, LowerMaxTokens, Step, Tries

MAX_ROUNDS = 3


def after_overflow(tries: Tries, fault: Fault, now: float, rng: Rng) -> Step:
    """The step after a refusal for length."""
    overflow = fault.overflow or Overflow()
    limit = _answer_limit(overflow, tries)
    if limit:
        tries.lowered = limit
        tries.lowerings += 1
        tries.attempts += 1
        return LowerMaxTokens(limit)
    if overflow.too_long == "cap":
        return GiveUp(fault)
    _note_window(tries, overflow)
    _leave_tier(tries)
    found = _larger(tries, now, rng) or _context_fallback(tries, now, rng)
    if found is not None:
        return tries.move(found)
    if tries.route.evict and tries.evictions < MAX_ROUNDS:
        tries.evictions += 1
        tries.attempts += 1
        return Evict()
    allowed = tries.allowed()
    found = tries.route.sound(rng, now, streamed=tries.streamed, allowed=allowed) or tries.route.busy(
        now, allowed
    )
    return GiveUp(fault) if found is None else tries.move(found)


def _answer_limit(overflow: Overflow, tries: Tries) -> int:
    """The limit for the answer to try next, 0 if none would fit or nobody knows."""
    room = overflow.room
    if room is None or tries.lowerings >= MAX_ROUNDS:
        return 0
    if tries.lowerings and room >= tries.lowered:  # that was refused: not the same again
        return tries.lowered // 2
    return room


def _note_window(tries: Tries, overflow: Overflow) -> None:
    limit = overflow.limit or tries.target.abilities.context_window or 0
    asked = overflow.total or overflow.input or (limit + overflow.excess if overflow.excess else 0)
    tries.window = max(tries.window, asked, limit + 1 if limit else 0)


def _larger(tries: Tries, now: float, rng: Rng) -> Pick | None:
    """A target of the same model that is known to have the window."""
    tier = tries.pick.tier
    if tier < 0:
        return None
    allowed = tries.allowed(unknown=False)
    found = tries.route.tiers[tier].pick(rng, now, streamed=tries.streamed, allowed=allowed)
    return None if found is None else Pick(tier, found)


def _context_fallback(tries: Tries, now: float, rng: Rng) -> Pick | None:
    pool = tries.route.context
    if pool is None or tries.pick.tier == OF_CONTEXT:
        return None
    found = pool.pick(rng, now, streamed=tries.streamed, allowed=tries.allowed())
    return None if found is None else Pick(OF_CONTEXT, found)


def _leave_tier(tries: Tries) -> None:
    """The other targets of this model would say the same, unless they are known to have more."""
    for candidate in tries.route.pool(tries.pick.tier).candidates:
        window = candidate.target.abilities.context_window
        if window is None or window < tries.window:
            tries.tried.add(candidate.target)
