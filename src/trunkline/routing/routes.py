"""From public models to routes: who stands where, made when a name is first asked for.

Owns that step and the memory of it. Does not own the states of targets (board.py) nor lists of models (plan.py).
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from trunkline.routing.balancers.base import Candidate
from trunkline.routing.board import Board
from trunkline.routing.models import ModelSettings, PublicModels, Strategy
from trunkline.routing.route import Pool, Route

MAX_ROUTES = 4096  # clients make up names

_PRIORITY: Strategy = "priority"
_WEIGHTED: Strategy = "weighted"
_NO_NUMBERS: Mapping[str, float] = MappingProxyType({})


def _none_listed(_name: str) -> Sequence[str]:
    return ()


def _no_price(_backend: str, _model: str) -> float | None:
    return None


def _all(_backend: str) -> bool:
    return True


class Routes:
    """The routes of one config snapshot.

    `listed`: the backends that serve a name which no public model has, first one first; `shares`: of the first picks
    among these, by backend, where not all are 0. `weights`: of targets that have none of their own, by backend.
    `admits`: the backends that may be asked at all. `price`: of a model at a backend, None unknown.
    Raises KeyError if a target's backend is not on the board.
    """

    def __init__(
        self,
        models: dict[str, ModelSettings],
        board: Board,
        *,
        listed: Callable[[str], Sequence[str]] = _none_listed,
        price: Callable[[str, str], float | None] = _no_price,
        admits: Callable[[str], bool] = _all,
        shares: Mapping[str, float] = _NO_NUMBERS,
        weights: Mapping[str, float] = _NO_NUMBERS,
    ) -> None:
        self.models = PublicModels(models)
        self._board = board
        self._listed = listed
        self._price = price
        self._admits = admits
        self._shares = shares
        self._weights = weights
        self._routes: dict[str, Route] = {}
        self._pools: dict[str, Pool] = {}

    def __repr__(self) -> str:
        return f"<Routes: {len(self._routes)} made>"

    def route(self, name: str) -> Route | None:
        """The route of a name ("" where a request names none); None if nobody serves it."""
        found = self._routes.get(name)
        if found is not None:
            return found
        if len(self._routes) >= MAX_ROUTES:
            self.clear()
        public = self.models.find(name)
        own = self._pool(name)
        if own is None:
            return None
        tiers, context, evict = [own], None, False
        if public is not None:
            item = public[1]
            others = [self._pool(other) for other in item.fallbacks]
            tiers += [pool for pool in others if pool is not None and pool not in tiers]
            context = None if item.context_fallback is None else self._pool(item.context_fallback)
            evict = item.evict
        route = self._routes[name] = Route(name, tiers, context=context, evict=evict)
        return route

    def clear(self) -> None:
        """Make all anew: lists of models have changed."""
        self._routes.clear()
        self._pools.clear()

    def _pool(self, name: str) -> Pool | None:
        public = self.models.find(name)
        known = self._pools.get(public[0] if public is not None else name)
        if known is not None:
            return known
        strategy = _PRIORITY
        if public is not None:
            name, item = public
            strategy = item.strategy
            places = [
                (
                    one.backend,
                    one.model or name,
                    self._weights.get(one.backend, 1.0) if one.weight is None else one.weight,
                    99 if one.priority is None else one.priority,
                    self._price(one.backend, one.model or name) if one.price is None else one.price,
                )
                for one in item.targets
            ]
        else:
            places = [
                (backend, name, self._shares.get(backend, 0.0), 99, self._price(backend, name))
                for backend in self._listed(name)
            ]
            if any(share for _, _, share, _, _ in places):
                strategy = _WEIGHTED
        places = [place for place in places if self._admits(place[0])]
        if not places:
            return None
        candidates = [
            Candidate(self._board.target(backend, model), weight, priority, price, at)
            for at, (backend, model, weight, priority, price) in enumerate(places)
        ]
        pool = self._pools[name] = Pool(name, strategy, candidates)
        return pool
