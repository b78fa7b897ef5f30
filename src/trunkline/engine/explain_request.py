"""What would happen to a request now: no backend is asked, no turn and no probe is taken.

Owns the way of a request from its body to the target that would be asked first, told and not gone. Does not own the
steps, which are those of a call: rules and router (guide.py, router.py), candidates (choices.py, routing/decision.py),
the changes of the body (shaping.py), nor what a key may not ask for (policy/permission.py). An operator's own router
is asked as for a call.
"""

from collections.abc import Mapping

import msgspec

from trunkline.engine.choices import NEEDS, Choice
from trunkline.engine.explain_words import first_words
from trunkline.engine.guide import Led, needs_at, view_of
from trunkline.engine.request_view import RequestView
from trunkline.engine.runtime import Runtime
from trunkline.engine.shaping import shape
from trunkline.errors import Fault
from trunkline.policy.keys import ANONYMOUS, Key
from trunkline.policy.permission import body_fault, pin_fault
from trunkline.routing.decision import Considered, decide, foremost
from trunkline.routing.needs import Needs
from trunkline.routing.route import Pick
from trunkline.wire.call import ParsedBody
from trunkline.wire.values import SSE_SURFACES, Call

_BY_CHANCE = frozenset(("latency", "least_busy"))


class Asked(msgspec.Struct, frozen=True, gc=False):
    """A request to explain: its body, and what comes with it. `path`: the gateway's own; `path_model`: the model that
    the client's names, which is in the body too.
    """

    parsed: ParsedBody
    surface: str = "chat"
    path: bytes = b"/v1/chat/completions"
    path_model: str = ""
    headers: Mapping[bytes, bytes] = {}
    key: Key = ANONYMOUS


class Refused(msgspec.Struct, frozen=True, gc=False):
    """What the client would get at once."""

    status: int
    code: str
    message: str


class First(msgspec.Struct, frozen=True, kw_only=True):
    """Who would be asked. `target`: the model's name there; `by_chance`: a draw may take another one.

    `changes`: what would be changed in the request for it, in words.
    """

    tier: int
    model: str
    backend: str
    target: str
    why: str
    by_chance: bool
    changes: tuple[str, ...]


class RequestTold(msgspec.Struct, frozen=True, kw_only=True):
    """What would happen. `led`: what leads to the model `route`; `needs`: what is asked of a model."""

    model: str
    surface: str
    key: str
    led: str = ""
    route: str = ""
    pin: str = ""
    needs: Needs | None = None
    candidates: tuple[Considered, ...] = ()
    first: First | None = None
    refused: Refused | None = None


async def explain_request(runtime: Runtime, asked: Asked) -> RequestTold:
    """Tell it."""
    parsed, key, surface = asked.parsed, asked.key, asked.surface
    told = RequestTold(model=parsed.model, surface=surface, key=key.name)
    pin = asked.headers.get(b"x-trunkline-backend", b"").decode("latin-1")
    fault = _not_allowed(runtime, asked)
    if fault is not None:
        return _refused(told, fault)
    led = await _led(runtime, asked)
    pin = led.pin or pin
    told = msgspec.structs.replace(told, led=led.by, pin=pin, route=led.model)
    choice = _choice(runtime, led, asked, pin)
    if isinstance(choice, Fault):
        return _refused(told, choice)
    needs = needs_at(choice.route, parsed.fields)
    now = runtime.clock.read()
    streamed = parsed.stream and surface in SSE_SURFACES
    decision = decide(choice.route, now, streamed=streamed, needs=needs)
    told = msgspec.structs.replace(told, needs=needs, candidates=decision.candidates)
    pick = foremost(choice.route, now, streamed=streamed, needs=needs)
    if pick is None:
        return _refused(told, choice.route.nobody(now))
    changes = _changes(choice, asked, pick)
    if isinstance(changes, Fault):
        return _refused(told, changes)
    return msgspec.structs.replace(told, first=_first(told, choice, pick, changes))


def _refused(told: RequestTold, fault: Fault) -> RequestTold:
    refused = Refused(fault.http_status, fault.error_code, fault.message)
    return msgspec.structs.replace(told, refused=refused)


def _not_allowed(runtime: Runtime, asked: Asked) -> Fault | None:
    """As for a call: the head is judged first."""
    pin = asked.headers.get(b"x-trunkline-backend")
    fault = None if pin is None else pin_fault(asked.key, pin.decode("latin-1"), runtime.board.backends)
    return fault or body_fault(asked.key, asked.parsed, asked.path_model, runtime.choices.names.base)


async def _led(runtime: Runtime, asked: Asked) -> Led:
    parsed, key, names = asked.parsed, asked.key, runtime.choices.names
    model = names.base(parsed.model)
    view = view_of(parsed.fields, stream=parsed.stream, headers=asked.headers, key=key.name, tags=key.tags)
    found = None
    if runtime.router is not None and parsed.fields is not None:
        found = await runtime.router.choose(RequestView.of(model, view, parsed.fields))
    led, _ = runtime.guide.follow(found, model, view, lambda led: _choice(runtime, led, asked, led.pin))
    return names.carried(led, parsed.model[len(model) :])


def _choice(runtime: Runtime, led: Led, asked: Asked, pin: str) -> Choice | Fault:
    # Not `runtime.choose`: that asks backends for their lists where it finds nobody.
    choices = runtime.choices
    needs = NEEDS.get(asked.surface, "")
    return choices.find(led.model or choices.blank, needs, pin, led=bool(led.by), key=asked.key)


def _changes(choice: Choice, asked: Asked, pick: Pick) -> tuple[str, ...] | Fault:
    parsed, target = asked.parsed, pick.candidate.target
    call = Call(
        request_id=b"",
        surface=asked.surface,
        method=b"POST",
        target=asked.path,
        headers=[],
        body=parsed.body,
        key=asked.key.name,
        model=parsed.model,
        stream=parsed.stream,
        include_usage=parsed.include_usage,
        length=None,
        extra=b"",
        starts={},
        fields=parsed.fields,
    )
    backend = target.backend.name
    orders = None if choice.ordering is None else choice.ordering.at(pick.tier, backend, asked.surface)
    shaped = shape(choice.upstreams[backend], call, parsed.fields or {}, target.model, orders)
    if isinstance(shaped, Fault):
        return shaped
    renamed = parsed.model and target.model and target.model != parsed.model
    return (*((f"`model` is `{target.model}` there",) if renamed else ()), *shaped.notes)


def _first(told: RequestTold, choice: Choice, pick: Pick, changes: tuple[str, ...]) -> First:
    picks = [*choice.route.candidates()]
    place = next(
        one
        for one, other in zip(told.candidates, picks, strict=True)
        if other.tier == pick.tier and other.candidate is pick.candidate
    )
    passed = [
        f"{one.backend} ({one.against})"
        for one in told.candidates
        if one.against and one is not place and one.tier <= place.tier
    ]
    rivals = [one for one in told.candidates if one.tier == place.tier and not one.against]
    target = pick.candidate.target
    against = place.against or (target.standing.reason if not target.usable else "")  # a probe is let through
    return First(
        tier=pick.tier,
        model=place.model,
        backend=target.backend.name,
        target=target.model,
        why=first_words(place.strategy, place.model, against, passed, own=pick.tier == 0),
        by_chance=place.strategy in _BY_CHANCE and len(rivals) > 1,
        changes=changes,
    )
