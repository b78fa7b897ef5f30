"""What is known of the backends' models: which lists which, what each can do, and the one list that clients see.

Owns the store and its merging; does no IO and reads no clock. Does not own asking (discovery.py), which backend a
call goes to (routing/plan.py, which is told of every change) nor the form of an answer (gateway/surfaces/models.py).
"""

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from trunkline.providers.model_list import ListedModel
from trunkline.providers.model_names import ModelNames, names_of
from trunkline.providers.model_prices import price_of
from trunkline.providers.model_traits import UNKNOWN, Traits
from trunkline.routing.backend import BackendSettings, CapabilitySettings
from trunkline.routing.plan import Plan, default_names, is_glob

Entry = dict[str, Any]


class Known(msgspec.Struct):
    """What is known of one backend. Times are seconds since 1970, 0: never.

    `models` are those of its last good list, None if there was none, from `listed_at`; `error` says why the last
    question, at `asked_at`, had no good answer, "" if it had. `told` is what was asked about single models.
    """

    models: dict[str, ListedModel] | None = None
    names: ModelNames | None = None
    told: dict[str, Traits] = {}
    listed_at: float = 0.0
    asked_at: float = 0.0
    error: str = ""


class Catalog:
    """The lists of all backends of one config snapshot. `on_change`: candidates, or what models can do, may differ."""

    def __init__(self, backends: list[BackendSettings], plan: Plan, on_change: Callable[[], None]) -> None:
        self.known = [Known() for _ in backends]
        self._backends = backends
        self._plan = plan
        self._on_change = on_change
        self._entries: list[Entry] | None = None

    def __repr__(self) -> str:
        listed = sum(known.models is not None for known in self.known)
        return f"<Catalog of {len(self.known)} backends, {listed} with a list>"

    def learn(self, index: int, models: list[ListedModel], now: float) -> bool:
        """Take over a good list; gives whether it differs from the last one."""
        known = self.known[index]
        known.listed_at = known.asked_at = now
        known.error = ""
        by_id = {model.id: model for model in models}
        if by_id == known.models:
            return False
        last = known.models or {}
        known.told = {name: told for name, told in known.told.items() if last.get(name) == by_id.get(name)}
        known.models = by_id
        self._entries = None
        # Some servers list nothing and serve all the same (transformers), so no names is no knowledge.
        names = names_of(self._backends[index].provider, models) if models else None
        if names != known.names:
            known.names = names
            self._plan.learn(index, names)
        self._on_change()
        return True

    def carry(self, index: int, known: Known) -> None:
        """Take over what another snapshot's catalog knew of a backend; whoever does so tells of the change."""
        self.known[index] = known
        self._entries = None
        if known.names is not None:
            self._plan.learn(index, known.names)

    def failed(self, index: int, error: str, now: float) -> None:
        """Note why there was no list; the last good one stays."""
        self.known[index].asked_at = now
        self.known[index].error = error

    def tell(self, index: int, model: str, traits: Traits) -> None:
        """Take over what was asked about one model."""
        known = self.known[index]
        if known.told.get(model) != traits:
            known.told = known.told | {model: traits}
            self._entries = None
            self._on_change()

    def traits(self, index: int, model: str) -> Traits:
        """What a backend's model can do: as configured, else as the server says, its list before its other answers."""
        found = UNKNOWN
        configured = self._backends[index].capabilities
        for name in sorted(configured, key=lambda name: name != model):  # its own name before globs
            if name == model or fnmatchcase(model, name):
                said = configured[name]
                found = found.or_else(_traits(said))
        entry = self._find(index, model)
        if entry is None:
            return found
        return found.or_else(entry.traits).or_else(self.known[index].told.get(entry.id, UNKNOWN))

    def price(self, index: int, model: str) -> float | None:
        """What a backend's list says about the price of a model, as `model_prices.price_of` tells it."""
        entry = self._find(index, model)
        return None if entry is None else price_of(entry.fields)

    def _find(self, index: int, model: str) -> ListedModel | None:
        """The entry of a backend's list that a model's name means."""
        known = self.known[index]
        if not known.models or known.names is None:
            return None
        name = known.names.find(model)
        if name is None and len(known.models) == 1:
            name = next(iter(known.models))  # a server of one model, called by another name
        return None if name is None else known.models[name]

    def entries(self) -> list[Entry]:
        """The models of all backends in OpenAI's form, once each: configured ones first, then as backends list them.

        A backend without a list shows its default models in place of it. Globs are never shown.
        """
        if self._entries is None:
            merged: dict[str, Entry] = {}
            for index in self._plan.order:
                for name in self._configured(index):
                    if name not in merged:
                        merged[name] = self._entry(index, name)
            for index in self._plan.order:
                for name in self._listed(index):
                    if name not in merged:
                        merged[name] = self._entry(index, name)
            self._entries = list(merged.values())
        return self._entries

    def _configured(self, index: int) -> list[str]:
        models = self._backends[index].models
        if models is not None:
            return [name for name in models if not is_glob(name)]
        backend = self._backends[index]
        return [backend.deployment_name] if backend.deployment_name and backend.api_version else []

    def _listed(self, index: int) -> list[str]:
        names = self.known[index].names
        found = default_names(self._backends[index]) if names is None else names.names
        globs = self._backends[index].models
        if globs is None:
            return list(found)
        return [name for name in found if any(fnmatchcase(name, glob) for glob in globs)]

    def _entry(self, index: int, name: str) -> Entry:
        # Some servers leave out `object` and `created` (LM Studio), which typed clients insist on.
        entry: Entry = {"id": name, "object": "model", "created": 0, "owned_by": self._backends[index].name}
        known = self.known[index]
        listed = known.models.get(name) if known.models is not None else None
        if listed is not None:
            entry |= listed.fields
        window = self.traits(index, name).context_window
        if window is not None:
            entry.setdefault("context_length", window)
        return entry


def _traits(said: CapabilitySettings) -> Traits:
    return Traits(said.context_window, said.tools, said.vision, said.json_schema, said.reasoning)
