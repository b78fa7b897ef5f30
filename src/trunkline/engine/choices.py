"""Who can be asked for each model, in one config snapshot: routes, made ready for calls.

Owns the step from the name in a request to its `Choice`, and the memory of it. Does not own routes (routing/routes.py)
nor the choice among their candidates, which is made per call (attempts.py).
"""

import copy
from collections.abc import Callable, Sequence

import msgspec

from trunkline.config.model import Settings
from trunkline.engine.answer_head import naming_lines
from trunkline.engine.names import BLANK, Named, Names
from trunkline.engine.orders import Ordering, ordering_of
from trunkline.engine.shaping import asks_usage
from trunkline.engine.upstream import Upstream
from trunkline.errors import INVALID_REQUEST, Fault
from trunkline.policy.keys import Key
from trunkline.policy.overrides import Overrides
from trunkline.routing.board import Board
from trunkline.routing.models import PublicModels
from trunkline.routing.plan import Plan, unknown_model
from trunkline.routing.route import OF_CONTEXT, Pick, Route
from trunkline.routing.routes import Routes
from trunkline.routing.rules import Rules
from trunkline.routing.target import Target

NEEDS = {
    surface: surface.partition("/")[0]
    for surface in ("responses", "messages", "responses/other", "messages/other")
}
"""What a backend must speak to be asked, by surface; chat completions and what belongs to it are spoken by all."""
MAX_CHOICES = 4096  # models whose candidates are kept; clients make up models
MAX_REFUSED = 256  # the same for names that nobody has: finding the close ones costs 2 ms


class Choice(msgspec.Struct, frozen=True, gc=False):
    """Who can be asked for one model.

    `target` is asked as long as nothing speaks against it; None where that has to be found out per call. `pick`,
    `upstream` and `naming` (the header lines that name it) are those of the first target all the same. `own` and
    `namings`: the same of all targets of the model itself, by place; the latter "" until one was asked. `total`: the
    seconds that a call has, those of the first target.
    `touched`: fields of a request that some candidate may want changed; `edits`: one may want it changed whatever is
    in it; `counts`: one is asked to tell what streams used. `reads`: what a request asks for decides who is asked.
    `pin`: the only backend that may be asked, "" for any. `ordering`: what the operator wants of requests and answers.
    """

    route: Route
    pick: Pick
    upstreams: dict[str, Upstream]
    target: Target | None
    upstream: Upstream
    naming: bytes
    own: tuple[Upstream, ...]
    namings: list[bytes]
    total: float
    touched: frozenset[str]
    edits: bool
    counts: bool
    reads: bool
    pin: str = ""
    ordering: Ordering | None = None


class Choices:
    """All choices of one snapshot. `needs` is the surface that a backend must speak beside chat completions, `pin`
    the one backend that may be asked; "" for neither.
    """

    def __init__(
        self,
        settings: Settings,
        upstreams: dict[str, Upstream],
        plan: Plan,
        board: Board,
        *,
        price: Callable[[str, str], float | None],
        exposes: bool,
    ) -> None:
        self._settings = settings
        self._upstreams = upstreams
        self._plan = plan
        self._board = board
        self._price = price
        self._exposes = exposes
        self._routes: dict[tuple[str, str], Routes] = {}
        self._known: dict[tuple[str, str, bool, str], dict[str, Choice]] = {}
        self._refused: dict[str, Fault] = {}
        self._public = PublicModels(settings.models)
        self._models: frozenset[str] | None = None
        self._rules = Rules(settings.rules)
        self.names = Names(settings.shaping, self._is_model, self._is_led)
        self.blank = self.names.blank
        """What a request object that names no model is taken to name."""

    def __repr__(self) -> str:
        return f"<Choices for {sum(map(len, self._known.values()))} models>"

    def known(
        self, needs: str = "", pin: str = "", *, led: bool = False, key: Key | None = None
    ) -> dict[str, Choice]:
        """What `find` has found, by model: to be looked at first."""
        own = key.name if key is not None and key.overrides else ""
        return self._known.setdefault((needs, pin, led, own), {})

    def forget(self) -> None:
        """Backends were found to have other models, or models to be able to do other things."""
        self._models = None
        for routes in self._routes.values():
            routes.clear()
        for known in self._known.values():  # whoever looks into one of them holds it
            known.clear()

    def find(
        self, model: str, needs: str = "", pin: str = "", *, led: bool = False, key: Key | None = None
    ) -> Choice | Fault:
        """Who can be asked for a model. `led`: rules or a router named it, who know other names than clients do."""
        named = self.names.read(model)
        # So does the operator, who says what a name stands for.
        route = self.route(named.model, needs, pin, led=led or named.model != named.base)
        if isinstance(route, Fault):
            return route
        if model not in (named.model, BLANK):
            route = _shown_as(route, model)
        ordering = self._ordering(route, named, None if key is None else key.overrides)
        choice = self._choice(route, pin, ordering, blank=model == BLANK)
        known = self.known(needs, pin, led=led, key=key)
        if len(known) >= MAX_CHOICES:
            known.clear()
        known[model] = choice
        return choice

    def route(self, model: str, needs: str = "", pin: str = "", *, led: bool = False) -> Route | Fault:
        """The candidates for a model."""
        if self._board.crowded:
            self._board.forget()
            self.forget()
        if pin and not any(self._admits(name, "", pin) for name in self._upstreams):
            return Fault(
                INVALID_REQUEST, f"there is no backend or provider `{pin[:100]}`", code="backend_not_found"
            )
        routes = self._routes.get((needs, pin))
        if routes is None:
            routes = self._routes[needs, pin] = Routes(
                self._settings.models,
                self._board,
                listed=self._listed,
                price=self._price,
                admits=lambda backend: self._admits(backend, needs, pin),
                shares={backend.name: backend.traffic_split for backend in self._settings.backends},
                weights={backend.name: backend.weight for backend in self._settings.backends},
            )
        public = routes.models.find(model) is not None
        if not public and self._settings.models and model and not pin and not led:
            return self._unknown(model, routes)
        route = routes.route(model)
        if route is not None:
            return route
        listed = None if public else self._plan.candidates(model)
        if isinstance(listed, Fault):
            return listed
        what = f"the model `{model[:100]}`" if model else "this gateway"
        if pin:
            return Fault(
                INVALID_REQUEST, f"the backend `{pin}` does not serve {what}", code="model_not_found"
            )
        message = f"no backend of {what} speaks /v1/{needs}; use /v1/chat/completions"
        return Fault(INVALID_REQUEST, message, code="unsupported_endpoint")

    def made(self, choice: Choice) -> bool:
        """Whether a choice is of this snapshot."""
        return choice.upstreams is self._upstreams

    def _unknown(self, model: str, routes: Routes) -> Fault:
        found = self._refused.get(model)
        if found is None:
            if len(self._refused) >= MAX_REFUSED:
                self._refused.clear()
            found = self._refused[model] = unknown_model(model, routes.models.names())
        return found

    def naming(self, model: str, upstream: Upstream, attempts: int) -> bytes:
        """The header lines that say who answered."""
        return naming_lines(model, upstream.name if self._exposes else None, attempts)

    def _listed(self, model: str) -> Sequence[str]:
        found = self._plan.candidates(model)
        backends = self._settings.backends
        return () if isinstance(found, Fault) else [backends[index].name for index in found]

    def _admits(self, backend: str, needs: str, pin: str) -> bool:
        if pin not in self._upstreams and pin:  # no backend's name, so a provider's
            pinned = pin == self._upstreams[backend].settings.provider
        else:
            pinned = not pin or pin == backend
        return pinned and (not needs or self._upstreams[backend].speaks(needs))

    def _is_model(self, name: str) -> bool:
        if self._models is None:
            self._models = frozenset((*self._public.names(), *self._plan.all_names()))
        return name in self._models

    def _is_led(self, name: str) -> bool:
        return self._settings.router is not None or bool(self._rules.of(name))

    def _choice(self, route: Route, pin: str, ordering: Ordering | None, *, blank: bool) -> Choice:
        plain = route.plain()
        pick = plain or route.tiers[0].picks[0]
        first = pick.candidate.target
        upstream = self._upstreams[first.backend.name]
        asked = _targets(route)
        upstreams = [self._upstreams[name] for name in {one.backend.name for one in asked}]
        name = route.name
        touched = frozenset[str]().union(
            *(self._upstreams[one.backend.name].touched(one.model) for one in asked),
            ("model",) if any(one.model != name for one in asked) else (),
        )
        fills = not name and any(one.fills for one in upstreams)
        return Choice(
            route,
            pick,
            self._upstreams,
            None if plain is None else plain.candidate.target,
            upstream,
            self.naming(route.tiers[0].name, upstream, 1),
            tuple(self._upstreams[one.target.backend.name] for one in route.tiers[0].candidates),
            [b""] * len(route.tiers[0].candidates),
            upstream.settings.timeouts.total,
            touched,
            fills
            or blank
            or (ordering is not None and ordering.edits)
            or any(one.native for one in upstreams),
            any(asks_usage(one) for one in upstreams),
            route.choosy,
            pin,
            ordering,
        )

    def _ordering(self, route: Route, named: Named, key: Overrides | None) -> Ordering | None:
        pools = dict(enumerate(route.tiers))
        if route.context is not None:
            pools[OF_CONTEXT] = route.context
        tiers = {
            tier: (self._public.configured(named.model if tier == 0 else pool.name), pool.name)
            for tier, pool in pools.items()
        }
        backends = frozenset(target.backend.name for target in _targets(route))
        return ordering_of(self._settings.shaping, named, tiers, backends, key)


def _targets(route: Route) -> set[Target]:
    """Who may be asked, the context fallback included."""
    found = {pick.candidate.target for pick in route.candidates()}
    return found if route.context is None else found | {one.target for one in route.context.candidates}


def _shown_as(route: Route, name: str) -> Route:
    """The same route under the name that the client used."""
    own = copy.copy(route.tiers[0])
    own.name = name
    return Route(name, (own, *route.tiers[1:]), context=route.context, evict=route.evict)
