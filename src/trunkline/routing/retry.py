"""What comes after an attempt that failed before content was sent: the order of DESIGN section 6.

Owns that order, pauses, and what limits them. Does not own the meaning of a failure (faults.py), refusals for length
(retry_overflow.py), the doing (engine/attempts.py) nor what comes after content was sent.

`next_step` is asked once per failed attempt, after its outcome was reported to the target (`Trial.end`), so a breaker
that this failure tripped counts already. In this order:

1. Nothing, if the failure is the client's or the gateway's, or there is no time left.
2. Strategies other than `priority`: another sound target of the same model that was not tried, at once.
3. The same target, after a pause, if the table says "yes".
4. The next sound target, then those of the fallbacks, at once; then those that are busy.
5. A place at another target that is full.
6. The same target if the table says "last".
7. A last resort: a target that is ejected or unhealthy, then the same one if it is.

The same target is asked `max_retries` times at most, if the retry budget allows; not if this attempt was a breaker's
probe. Pauses are random between 0 and base ** n (at most backoff_max), so that calls which failed together do not
come back together. A Retry-After of up to 5 s is obeyed instead, and with a longer one the target is not asked again.
A pause that does not end before the deadline is not begun. A failure that is the backend's leaves out all its targets.
"""

from trunkline import errors
from trunkline.errors import Fault
from trunkline.routing.balancers.base import Rng
from trunkline.routing.faults import OVERFLOWS, Row, row_of
from trunkline.routing.retry_budget import RetryBudget
from trunkline.routing.retry_overflow import after_overflow
from trunkline.routing.route import Pick
from trunkline.routing.target import LAST_RESORT
from trunkline.routing.tries import GiveUp, Step, Tries, Wait

LONGEST_RETRY_AFTER = 5.0
"""Seconds; with more to wait another target, or the client, is better served at once (DESIGN section 6)."""
SPREAD = 0.1
"""A Retry-After is made longer by up to this share, or all who were refused come back in one moment."""
MAX_ATTEMPTS = 32
"""Of one call: a request that breaks each target that it meets must not walk through a fleet of a thousand."""


def next_step(
    tries: Tries,
    fault: Fault,
    now: float,
    rng: Rng,
    budget: RetryBudget,
    requests: int,
    *,
    probe: bool = False,
    waits: bool = True,
) -> Step:
    """The step after a failed attempt.

    `requests`: all so far. `probe`: the attempt was a half-open breaker's. `waits`: it may wait for a place.
    """
    if now >= tries.deadline or tries.attempts >= MAX_ATTEMPTS:
        return GiveUp(fault)
    if fault.kind in OVERFLOWS:
        return after_overflow(tries, fault, now, rng)
    row = row_of(fault)
    if not row.next:
        return GiveUp(fault)
    if row.counts == "backend":
        tries.spoil_backend()
    route, target, tier = tries.route, tries.target, tries.pick.tier
    allowed = tries.allowed()
    pool = route.pool(tier)
    if pool.strategy != "priority":
        sibling = pool.pick(rng, now, streamed=tries.streamed, allowed=allowed)
        if sibling is not None:
            return tries.move(Pick(tier, sibling))
    again = _again(row, fault, tries)
    delay = _delay(tries, fault, now, rng) if again != "no" else None
    sound = target.why(now) not in LAST_RESORT and not probe
    spent = False
    if again == "yes" and sound and delay is not None:
        if budget.take(now, requests):
            return tries.again(delay)
        spent = True
    found = route.sound(rng, now, streamed=tries.streamed, allowed=allowed) or route.busy(now, allowed)
    if found is not None:
        return tries.move(found)
    if waits and route.full(now, allowed):
        return Wait()
    if spent:
        return GiveUp(fault)
    return _last(tries, fault, delay, again == "last" and sound, now, budget, requests)


def _last(
    tries: Tries,
    fault: Fault,
    delay: float | None,
    repeat: bool,
    now: float,
    budget: RetryBudget,
    requests: int,
) -> Step:
    """What is left when no other candidate is."""
    resort = None if repeat and delay is not None else tries.route.last_resort(now, tries.allowed())
    if (resort is None and delay is None) or not budget.take(now, requests):
        return GiveUp(fault)
    if resort is not None:
        return tries.move(resort)
    assert delay is not None
    return tries.again(delay)


def _again(row: Row, fault: Fault, tries: Tries) -> str:
    if fault.kind is errors.MODEL_NOT_FOUND and tries.target.backend.retry.retry_404:
        return "yes"
    return row.again


def _delay(tries: Tries, fault: Fault, now: float, rng: Rng) -> float | None:
    """The pause before the same target is asked again; None if it may not be."""
    policy = tries.target.backend.retry
    if tries.repeats >= policy.max_retries:
        return None
    if fault.retry_after is not None:
        if fault.retry_after > LONGEST_RETRY_AFTER:
            return None
        delay = fault.retry_after * (1.0 + SPREAD * rng.random())
    else:
        longest = min(policy.backoff_base ** min(tries.repeats + 1, 64), policy.backoff_max)
        delay = longest * rng.random()
    return delay if now + delay < tries.deadline else None
