"""Which backends may serve a model that no public one names, in which order.

Owns that list. Does not own attempts (engine/attempts.py), the settings (backend.py) nor how
lists of models are had (engine/discovery.py).

    a backend's `models`     its own list         the model is
    has the name             any                  named
    has a glob that fits     holds it             named
    has a glob that fits     unknown, or not      matched
    fits nowhere             any                  not served
    omitted                  holds it             named (so is the default model)
    omitted                  unknown              perhaps served
    omitted                  does not hold it     not served

Backends that name the model come first, then those with a glob, then those of which nothing is known; within each,
lower priority first, then the order written. The answer for a name is remembered until a list changes, so the cost of
a call does not grow with the number of backends.
"""

import difflib
from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase
from itertools import islice
from typing import Protocol

from trunkline.errors import MODEL_UNKNOWN, Fault
from trunkline.routing.backend import BackendSettings

_MAX_REMEMBERED = 4096  # names that clients made up must not grow the memory
_MAX_UNKNOWN = 256  # the same for their refusals, which a wrong setting repeats
MAX_COMPARED = 200  # names that are compared for the close ones; each costs 7 to 13 us of the event loop


class Listed(Protocol):
    """What is known of one backend's models."""

    @property
    def names(self) -> Collection[str]:
        """The names as the backend lists them."""
        ...

    def holds(self, model: str) -> bool | None:
        """Whether it serves a model; None: that is not known."""
        ...


class Plan:
    """The candidates of one config snapshot, as indexes into its list of backends; `order` is that of priority."""

    def __init__(self, backends: list[BackendSettings]) -> None:
        self._backends = backends
        self.order = tuple(sorted(range(len(backends)), key=lambda index: backends[index].priority))
        self._defaults = [default_names(backend) for backend in backends]
        self._listed: list[Listed | None] = [None] * len(backends)
        self._remembered: dict[str, tuple[int, ...]] = {}
        self._unknown: dict[str, Fault] = {}

    def __repr__(self) -> str:
        return f"<Plan over {len(self._backends)} backends>"

    def candidates(self, model: str) -> tuple[int, ...] | Fault:
        """The backends to try for a model ("" where the request names none), first one first."""
        found = self._remembered.get(model)
        if found is not None:
            return found
        refused = self._unknown.get(model)
        if refused is not None:
            return refused
        found = self._match(model)
        if found:
            if len(self._remembered) < _MAX_REMEMBERED:
                self._remembered[model] = found
            return found
        refused = unknown_model(model, self.all_names())
        if len(self._unknown) >= _MAX_UNKNOWN:
            self._unknown.clear()
        self._unknown[model] = refused
        return refused

    def learn(self, index: int, listed: Listed | None) -> None:
        """Take over what a backend is known to have; None: nothing is known. Forgets all that was remembered."""
        self._listed[index] = listed
        self._remembered.clear()
        self._unknown.clear()

    @property
    def takes_any(self) -> bool:
        """Whether there is a backend whose models are neither configured nor known."""
        pairs = zip(self._backends, self._listed, strict=True)
        return any(backend.models is None and listed is None for backend, listed in pairs)

    def model_names(self) -> list[str]:
        """The models that the configuration names outright (globs left out), in order, once each."""
        named = [
            name for index in self.order for name in self._backends[index].models or () if not is_glob(name)
        ]
        return list(dict.fromkeys(named))

    def all_names(self) -> list[str]:
        """All models by name, once each: the configured ones, then those that backends list."""
        names = dict.fromkeys(self.model_names())
        for index in self.order:
            models = self._backends[index].models
            listed = self._listed[index]
            own = (*self._defaults[index], *(listed.names if listed is not None else ()))
            names.update(dict.fromkeys(name for name in own if models is None or _any(models, name)))
        return list(names)

    def _match(self, model: str) -> tuple[int, ...]:
        if not model:
            return self.order
        ranks: tuple[list[int], ...] = ([], [], [])
        for index in self.order:
            rank = self._rank(index, model)
            if rank is not None:
                ranks[rank].append(index)
        named, matched, perhaps = ranks
        return (*named, *matched, *perhaps)

    def _rank(self, index: int, model: str) -> int | None:
        """0: named, 1: matched by a glob, 2: perhaps, None: not served (see the table above)."""
        models = self._backends[index].models
        listed = self._listed[index]
        held = listed.holds(model) if listed is not None else None
        if models is None:
            if held or model in self._defaults[index]:
                return 0
            return 2 if held is None else None
        if model in models:
            return 0
        if _any(models, model):
            return 0 if held else 1
        return None


def default_names(backend: BackendSettings) -> tuple[str, ...]:
    """The models that a backend is configured with besides `models`: its deployment and its defaults, once each."""
    deployment = backend.deployment_name if backend.api_version else None
    names = (deployment, backend.default_model, backend.default_embedding_model)
    return tuple(dict.fromkeys(name for name in names if name))


def unknown_model(model: str, names: Iterable[str]) -> Fault:
    """The 404 for a model that nobody serves, with up to three names like it, ignoring case."""
    folded = {name.casefold(): name for name in islice(names, MAX_COMPARED)}
    close = [folded[match] for match in difflib.get_close_matches(model[:100].casefold(), folded, n=3)]
    hint = f"; did you mean {', '.join(f'`{name}`' for name in close)}?" if close else ""
    return Fault(MODEL_UNKNOWN, f"no backend serves the model `{model[:100]}`{hint}", param="model")


def is_glob(name: str) -> bool:
    """Whether a configured name stands for several."""
    return any(mark in name for mark in "*?[")


def _any(models: list[str], model: str) -> bool:
    return any(model == glob or fnmatchcase(model, glob) for glob in models)
