"""Which model a request is for where that depends on what is in it: rules, and the router of the operator's own.

Owns what both see of a request. Does not own the match (routing/rules.py), the calling of a router (router.py) nor
the candidates of the model that is found (choices.py).
"""

import time
from collections.abc import Callable, Mapping

import msgspec

from trunkline.engine.router import Pinned
from trunkline.errors import Fault
from trunkline.routing.asked import Asked, brings_tools, read_asked, wants_schema
from trunkline.routing.needs import Needs
from trunkline.routing.route import Route
from trunkline.routing.rules import Rule, Rules, RuleSettings, View, first_match

CHARS_PER_TOKEN = 8
"""More than any text has on average, so that a request is never taken for longer than it is."""
_MAX_KNOWN = 4096  # clients make up models

_decode_number = msgspec.json.Decoder(int).decode
_ANYTHING = Needs(tools=True, vision=True, json_schema=True, tokens=1)
_BINARY = (b";base64,", b'"base64"', b'"input_audio"', b'"file_data"')
_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")

Fields = dict[str, msgspec.Raw]


class Led(msgspec.Struct, frozen=True, gc=False):
    """The model that a request is for, and what said so: `rules[0]`, `router`, "" nothing. `pin`: the only backend, or
    provider, that may be asked; "" for any.
    """

    model: str
    by: str = ""
    pin: str = ""


class Guide:
    """The rules of one config snapshot."""

    def __init__(self, settings: list[RuleSettings]) -> None:
        self._rules = Rules(settings)
        self._known: dict[str, tuple[Rule, ...]] = {}

    def __repr__(self) -> str:
        return f"<Guide {self._rules!r}>"

    def rules_of(self, model: str) -> tuple[Rule, ...]:
        """The rules for requests that name this model."""
        found = self._known.get(model)
        if found is None:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            found = self._known[model] = self._rules.of(model)
        return found

    def lead(self, model: str, view: View) -> Led:
        """What the rules make of a request."""
        rule = first_match(self.rules_of(model), view)
        return Led(model) if rule is None else Led(rule.use, f"rules[{rule.place}]")

    def follow(
        self, found: Pinned | str | None, model: str, view: View, find: Callable[[Led], object]
    ) -> tuple[Led, Fault | None]:
        """Where the answer of an operator's own router leads; the rules decide where it leads nowhere (`find` gives a
        fault, which is given too), and where there is none.
        """
        if found is None:
            return self.lead(model, view), None
        led = (
            Led(found, "router")
            if isinstance(found, str)
            else Led(found.model, "router", found.backend_or_provider)
        )
        there = find(led)
        return (self.lead(model, view), there) if isinstance(there, Fault) else (led, None)


def view_of(
    fields: Fields | None, *, stream: bool, headers: Mapping[bytes, bytes], key: str, tags: tuple[str, ...]
) -> View:
    """What rules see of a request that comes now."""
    local = time.localtime()
    return View(
        asked=Asked() if fields is None else read_asked(fields),
        stream=stream,
        headers=headers,
        key=key,
        tags=tags,
        minute=local.tm_hour * 60 + local.tm_min,
        weekday=local.tm_wday,
    )


def needs_at(route: Route, fields: Fields | None) -> Needs | None:
    """What of a request decides who of a route is asked: nobody is left out for what everybody lacks."""
    needs = needs_of(fields, route.lacks) if route.choosy else None
    return needs if needs is not None and route.anyone(needs) else None


def needs_of(fields: Fields | None, lacks: Needs = _ANYTHING) -> Needs | None:
    """What a target must be able to do for a request; None where nothing can be said.

    `lacks`: what some target lacks, so that nothing else need be read (`Route.lacks`).
    """
    if fields is None:
        return None
    return Needs(
        tools=lacks.tools and brings_tools(fields),
        vision=lacks.vision and read_asked(fields).images,
        json_schema=lacks.json_schema and wants_schema(fields),
        tokens=_tokens(fields, lacks.tokens),
    )


def _tokens(fields: Fields, window: int) -> int:
    """What prompt and answer have at least; 0 if that is not worth a look, or cannot be told."""
    tokens = sum(map(len, fields.values())) // CHARS_PER_TOKEN
    answer = 0
    for name in _LIMITS:
        try:
            answer = max(answer, _decode_number(fields.get(name, b"0")))
        except msgspec.DecodeError:
            pass
    tokens += answer
    # Of pictures and sounds the size says nothing.
    if not window or tokens <= window:
        return 0
    return 0 if any(mark in bytes(raw) for raw in fields.values() for mark in _BINARY) else tokens
