"""Why a finished call went where it went: its candidates, its attempts, and what led from each to the next.

Owns the explanation, made when somebody asks from the call's record, from how it came about (origin.py) and from the
log of what spoke against targets (routing/changes.py). Does not own the words (explain_words.py) nor what would happen
to a request now (explain_request.py). Nothing here runs while a call does.

What is not known any more is said to be so: scores of strategies that watch loads or take turns are those of now, and
`scores` says so.
"""

import time
from datetime import UTC, datetime
from typing import Literal

import msgspec

from trunkline.engine.choices import Choice
from trunkline.engine.explain_attempts import AttemptTold, attempts_told, ending
from trunkline.engine.origin import Origin, Spliced
from trunkline.engine.runtime import Runtime
from trunkline.policy.record import UsageRecord
from trunkline.routing.decision import Considered, decide
from trunkline.routing.needs import lack
from trunkline.wire.usage import Usage
from trunkline.wire.values import SSE_SURFACES

UNKNOWN = "not known any more"
_STILL = frozenset(("priority", "cost"))  # strategies whose scores do not change


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """One call in a list. Times in seconds; `at` is UTC. `usage.source` says who counted, "estimated": nobody."""

    id: str
    at: str
    key: str
    surface: str
    model: str
    streamed: bool
    backend: str
    attempts: int
    status: int
    fault: str
    seconds: float
    usage: Usage | None


class CallTold(msgspec.Struct, frozen=True, kw_only=True):
    """One call. `head_after`: seconds until status and headers were sent, None if they never were.

    `led`: what led it to the model `route`; `pin`: the only backend or provider that might be asked; `scores`: "now"
    where those of the candidates are not those of the call. `ending`: what the client got, in words; `remarks`: what is
    to be known about all this.
    """

    id: str
    at: str
    ago: float
    key: str
    surface: str
    model: str
    streamed: bool
    status: int
    fault: str
    seconds: float
    head_after: float | None
    bytes_in: int
    bytes_out: int
    usage: Usage | None
    led: str
    route: str
    pin: str
    candidates: tuple[Considered, ...]
    scores: Literal["now", ""]
    attempts: tuple[AttemptTold, ...]
    evicted: str
    spliced: Spliced | None
    ending: str
    remarks: tuple[str, ...]


def last_calls(runtime: Runtime, limit: int) -> list[Summary]:
    """The last ones, newest first."""
    records = runtime.records
    begin = time.time() - runtime.clock.read()
    found = [records[-at] for at in range(1, min(limit, len(records)) + 1)]
    return [
        Summary(
            id=one.request_id,
            at=_utc(begin + one.started),
            key=one.key,
            surface=one.surface,
            model=one.model,
            streamed=one.streamed,
            backend=one.backend,
            attempts=len(one.attempts),
            status=one.status,
            fault=one.fault,
            seconds=_rounded(one.ended - one.started),
            usage=one.usage,
        )
        for one in found
    ]


def explain_call(runtime: Runtime, request_id: str) -> CallTold | None:
    """One of the last calls; None if it is not among them."""
    origins = runtime.origins
    for at, record in enumerate(runtime.records):
        if record.request_id == request_id:
            return _told(runtime, record, origins[at])
    return None


def _told(runtime: Runtime, record: UsageRecord, origin: Choice | Origin | None) -> CallTold:
    now = runtime.clock.read()
    choice = origin.choice if isinstance(origin, Origin) else origin
    spliced = origin.spliced if isinstance(origin, Origin) else None
    candidates, remarks = _candidates(runtime, record, origin)
    route = None if choice is None else choice.route
    return CallTold(
        id=record.request_id,
        at=_utc(time.time() - (now - record.started)),
        ago=_rounded(now - record.started),
        key=record.key,
        surface=record.surface,
        model=record.model,
        streamed=record.streamed,
        status=record.status,
        fault=record.fault,
        seconds=_rounded(record.ended - record.started),
        head_after=_rounded(record.head_at - record.started) if record.head_at else None,
        bytes_in=record.bytes_in,
        bytes_out=record.bytes_out,
        usage=record.usage,
        led=record.led,
        route="" if route is None else route.name,
        pin="" if choice is None else choice.pin,
        candidates=candidates,
        scores="now" if any(one.strategy not in _STILL for one in candidates) else "",
        attempts=attempts_told(record, choice, candidates, spliced),
        evicted=origin.evicted if isinstance(origin, Origin) else "",
        spliced=spliced,
        ending=ending(record, candidates, spliced, spent=isinstance(origin, Origin) and origin.spent),
        remarks=remarks,
    )


def _candidates(
    runtime: Runtime, record: UsageRecord, origin: Choice | Origin | None
) -> tuple[tuple[Considered, ...], tuple[str, ...]]:
    """Who could have been asked and what spoke against each when the call came; and what is to be said about that."""
    if origin is None:
        return (), ("the gateway refused it before anybody could be asked",)
    choice = origin.choice if isinstance(origin, Origin) else origin
    remarks: list[str] = []
    if not runtime.choices.made(choice):
        remarks.append("the configuration has been reloaded since; the candidates are those of the old one")
    then = runtime.board.against(record.started)
    if then is None:
        remarks.append("what spoke against the candidates then is not known any more")
    streamed = record.streamed and record.surface in SSE_SURFACES
    needs = origin.needs if isinstance(origin, Origin) else None
    decision = decide(choice.route, runtime.clock.now, streamed=streamed, needs=needs)
    found: list[Considered] = []
    for one, pick in zip(decision.candidates, choice.route.candidates(), strict=True):
        target = pick.candidate.target
        against = UNKNOWN if then is None else then(target)
        if not against and needs is not None:
            against = lack(target.abilities, needs) or ""
        found.append(msgspec.structs.replace(one, against=against))
    return tuple(found), tuple(remarks)


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _rounded(seconds: float) -> float:
    return round(seconds, 4)
