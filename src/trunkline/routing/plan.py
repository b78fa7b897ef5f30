"""Which backends may serve a model, in which order.

Owns the candidate list of a call. Does not own attempts (engine/exchange.py) nor the settings (backend.py).

Backends that list the model come before those that take any model; within each, lower priority first, then the order
written. The answer for a name is remembered, so the cost of a call does not grow with the number of backends.
"""

import difflib
from fnmatch import fnmatchcase

from trunkline.errors import MODEL_UNKNOWN, Fault
from trunkline.routing.backend import BackendSettings

_MAX_REMEMBERED = 4096  # names that clients made up must not grow the memory


class Plan:
    """The candidates of one config snapshot, as indexes into its list of backends."""

    def __init__(self, backends: list[BackendSettings]) -> None:
        self._backends = backends
        self._order = sorted(range(len(backends)), key=lambda index: backends[index].priority)
        self._remembered: dict[str, tuple[int, ...]] = {}

    def __repr__(self) -> str:
        return f"<Plan over {len(self._backends)} backends>"

    def candidates(self, model: str) -> tuple[int, ...] | Fault:
        """The backends to try for a model ("" where the request names none), first one first."""
        found = self._remembered.get(model)
        if found is None:
            found = self._match(model)
            if found and len(self._remembered) < _MAX_REMEMBERED:
                self._remembered[model] = found
        return found or self._unknown(model)

    def model_names(self) -> list[str]:
        """The models that the configuration names outright (globs left out), in order, once each."""
        named = [
            name for index in self._order for name in self._backends[index].models or () if not _is_glob(name)
        ]
        return list(dict.fromkeys(named))

    def _match(self, model: str) -> tuple[int, ...]:
        if not model:
            return tuple(self._order)
        listed: list[int] = []
        anything: list[int] = []
        for index in self._order:
            models = self._backends[index].models
            if models is None:
                anything.append(index)
            elif any(model == glob or fnmatchcase(model, glob) for glob in models):
                listed.append(index)
        return (*listed, *anything)

    def _unknown(self, model: str) -> Fault:
        names = {name.casefold(): name for name in self.model_names()}
        close = [names[folded] for folded in difflib.get_close_matches(model[:100].casefold(), names, n=3)]
        hint = f"; did you mean {', '.join(f'`{name}`' for name in close)}?" if close else ""
        return Fault(MODEL_UNKNOWN, f"no backend serves the model `{model[:100]}`{hint}", param="model")


def _is_glob(name: str) -> bool:
    return any(mark in name for mark in "*?[")
