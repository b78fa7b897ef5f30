"""The attempts of a finished call, each with why it was made; and why there was no other.

Owns both, read from the record and the candidates. Does not own the candidates (explain.py). That one attempt follows
another is not kept while a call runs: what the two were, and the table of failures, say it all.
"""

from collections.abc import Sequence

import msgspec

from trunkline.engine.choices import Choice
from trunkline.engine.explain_words import AGAINST, fault_words, first_words, seconds_words
from trunkline.engine.origin import Spliced
from trunkline.errors import KINDS, TOTAL_TIMEOUT
from trunkline.policy.record import AttemptRecord, UsageRecord
from trunkline.routing.decision import Considered
from trunkline.routing.faults import OVERFLOWS, TABLE
from trunkline.wire.usage import Usage

_REDUCED = ("messages left out", "limit for the answer lowered")


class AttemptTold(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt. `after`: seconds from the call's begin; `first_byte`: from this attempt's, None without an answer.

    `why` it was made, in words; `notes`: what was changed in the request for it; `maybe_billed`: tokens that the
    upstream may charge for a failed attempt.
    """

    backend: str
    model: str
    why: str
    after: float
    seconds: float
    first_byte: float | None
    status: int
    fault: str
    notes: tuple[str, ...]
    usage: Usage | None
    maybe_billed: int


def attempts_told(
    record: UsageRecord,
    choice: Choice | None,
    candidates: Sequence[Considered],
    spliced: Spliced | None,
) -> tuple[AttemptTold, ...]:
    """All attempts of a call, in order."""
    cut = _cut_at(record, spliced)
    told: list[AttemptTold] = []
    for at, one in enumerate(record.attempts):
        if at == 0:
            why = _first(one, choice, candidates, one.started - record.started)
        else:
            why = _next(record.attempts[at - 1], one, choice, candidates, goes_on=at == cut + 1)
        told.append(
            AttemptTold(
                backend=one.backend,
                model=one.model,
                why=why,
                after=round(one.started - record.started, 4),
                seconds=round(one.ended - one.started, 4),
                first_byte=round(one.first_byte - one.started, 4) if one.first_byte else None,
                status=one.status,
                fault=one.fault,
                notes=one.notes,
                usage=one.usage,
                maybe_billed=one.maybe_billed,
            )
        )
    return tuple(told)


def _cut_at(record: UsageRecord, spliced: Spliced | None) -> int:
    """Which attempt was cut and gone on with by the next one; -2 if none was."""
    if spliced is None or not spliced.how:
        return -2
    last = len(record.attempts) - 1
    found = [at for at, one in enumerate(record.attempts) if one.fault == spliced.cut and one.status == 200]
    return next((at for at in reversed(found) if at < last), -2)


def _place(one: AttemptRecord, candidates: Sequence[Considered]) -> Considered | None:
    fitting = (item for item in candidates if (item.backend, item.target) == (one.backend, one.model))
    return next(fitting, None)


def _first(one: AttemptRecord, choice: Choice | None, candidates: Sequence[Considered], waited: float) -> str:
    place = _place(one, candidates)
    if place is None:
        return ""
    if choice is not None and choice.pin and len(candidates) == 1:
        return f"`{choice.pin}` was asked for: no other backend may be"
    passed = [
        f"{item.backend} ({item.against})"
        for item in candidates
        if item.against not in ("", place.against)
        and (item.tier < place.tier or (item.tier == place.tier and item is not place))
    ]
    words = first_words(place.strategy, place.model, place.against, passed, own=place.tier == 0)
    return f"{words}; it waited {seconds_words(waited)}" if place.against == "full" else words


def _next(
    before: AttemptRecord,
    one: AttemptRecord,
    choice: Choice | None,
    candidates: Sequence[Considered],
    *,
    goes_on: bool,
) -> str:
    same = (before.backend, before.model) == (one.backend, one.model)
    if goes_on:
        return f"to go on with the answer that was cut off{', at the same target' if same else ''}"
    if one.stale_retry and same and before.fault == "stale_connection":
        return "at once on a new connection: that says nothing about the upstream"
    reduced = next((note for note in reversed(one.notes) if any(words in note for words in _REDUCED)), "")
    if reduced and reduced not in before.notes:
        return f"the same target with a shorter request: {reduced}"
    if same:
        pause = one.started - before.ended
        after = f" after {seconds_words(pause)}" if pause >= 0.001 else " at once"
        return f"the same target again{after}: a repeat may help"
    old, new = _place(before, candidates), _place(one, candidates)
    if new is None:
        context = None if choice is None else choice.route.context
        name = "" if context is None else f" `{context.name}`"
        return f"the context fallback{name}: its window is larger"
    if old is not None and old.tier == new.tier:
        return f"the next target of `{new.model}`: {fault_words(before.fault)} at the one before"
    if new.tier == 0:
        return f"a target of `{new.model}` itself"
    return f"fallback `{new.model}`: nothing before it is left for this call"


def ending(
    record: UsageRecord, candidates: Sequence[Considered], spliced: Spliced | None, *, spent: bool
) -> str:
    """What the client got, and why there was no further attempt."""
    took = seconds_words(record.ended - record.started)
    if not record.fault:
        words = f"the client got the answer of {record.backend} ({record.status}) after {took}"
        if spliced is not None and spliced.how:
            words += (
                ", begun by another one" if spliced.how == "comparing" else ", which goes on with another"
            )
        return words
    if record.fault == "client_gone":
        return f"the client left after {took}; it had {record.bytes_out} bytes"
    if record.attempts and record.status < 400:
        got = f"the client had {record.bytes_out} bytes of an answer, then an error or the connection's end"
    else:
        got = f"the client got {record.status}"
    return f"{got} after {took}: {fault_words(record.fault)}; {_no_other(record, candidates, spliced, spent)}"


def _no_other(
    record: UsageRecord, candidates: Sequence[Considered], spliced: Spliced | None, spent: bool
) -> str:
    """Why nobody else was asked."""
    if not record.attempts:
        reasons = [
            f"{one.backend} is {AGAINST.get(one.against, one.against)}" for one in candidates if one.against
        ]
        return "; ".join(reasons) or "no backend was asked"
    if spliced is not None:
        if spliced.why:
            return f"no other answer could go on with it: {spliced.why}"
        return "the second answer differs" if spliced.diverged else "the second answer failed too"
    if record.status < 400:
        return "content had been sent, so nobody else could begin anew"
    kind = KINDS.get(record.fault)
    if kind is TOTAL_TIMEOUT:
        return "there was no time for another attempt"
    if kind is not None and kind not in OVERFLOWS and not TABLE[kind].next:
        return "nobody else is asked then: it is about the request or the gateway"
    asked = {(one.backend, one.model) for one in record.attempts}
    left = [one for one in candidates if (one.backend, one.target) not in asked]
    reasons = [f"{one.backend} ({one.against or 'no use after that failure'})" for one in left]
    words = f"not asked: {', '.join(reasons)}" if left else "every candidate had been asked"
    return f"{words}; the retry budget was used up" if spent else words
