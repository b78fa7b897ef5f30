"""Public models: the names that clients use, and what stands behind each.

Owns the settings of `models:`, the search by name, alias and glob, and the checks that need other parts of the
configuration. Does not own what is made of them (route.py) nor names that only backends know (plan.py).

A name is looked for among the exact ones, then among aliases, then among globs in the order written; always with its
case. A target that names no model is asked for the public one's name; for a glob's that is the name that the client
used, so `"gpt-*"` with `targets: [{backend: openai}]` passes each of these names on.
"""

import difflib
from collections.abc import Collection, Iterator
from fnmatch import fnmatchcase
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from trunkline.routing.plan import is_glob

Strategy = Literal["priority", "round_robin", "weighted", "least_busy", "latency", "cost"]


class TargetSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A backend and a model there."""

    backend: Annotated[str, Meta(min_length=1, description="Name of one of `backends`.")]
    model: Annotated[str, Meta(description="The model's name there. Default: the public name.")] = ""
    weight: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        Meta(
            description="Share of the calls under `weighted`, of the load under `least_busy`. Default: the backend's."
        ),
    ] = None
    priority: Annotated[
        int | None,
        Meta(
            description="Under `priority`: lower is tried first. Default: 99, so the order written decides."
        ),
    ] = None


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One public model. Its name may be a glob."""

    targets: Annotated[list[TargetSettings], Meta(description="Who serves it.")]
    strategy: Annotated[Strategy, Meta(description="How one of the targets is chosen.")] = "priority"
    aliases: Annotated[list[str], Meta(description="Other names and globs that mean the same.")] = []
    fallbacks: Annotated[
        list[str], Meta(description="Other models, asked in this order when all targets have failed.")
    ] = []
    context_fallback: Annotated[
        str | None, Meta(description="The model for prompts that are too long for this one.")
    ] = None
    evict: Annotated[
        bool, Meta(description="true: of a prompt that is too long the oldest turns are dropped.")
    ] = False


class PublicModels:
    """All public models of one config snapshot."""

    def __init__(self, settings: dict[str, ModelSettings]) -> None:
        self._exact = {name: (name, item) for name, item in settings.items() if not is_glob(name)}
        self._globs: list[tuple[str, str, ModelSettings]] = []
        for name, item in settings.items():
            for alias in item.aliases:
                if not is_glob(alias):
                    self._exact.setdefault(alias, (alias if is_glob(name) else name, item))
            self._globs += [(glob, name, item) for glob in (name, *item.aliases) if is_glob(glob)]

    def __repr__(self) -> str:
        return f"<PublicModels {', '.join(self._exact)}>"

    def find(self, name: str) -> tuple[str, ModelSettings] | None:
        """The public model that a name means, with its own name: for a glob's the name that was asked for."""
        found = self._exact.get(name)
        if found is not None:
            return found
        for glob, owner, item in self._globs:
            if fnmatchcase(name, glob):
                return (name if is_glob(owner) else owner), item
        return None

    def names(self) -> list[str]:
        """The names to show: public models and aliases, without globs."""
        return list(self._exact)


def problems(
    settings: dict[str, ModelSettings], backends: Collection[str], known: Collection[str] | None = None
) -> Iterator[tuple[str, str]]:
    """What is wrong: the place (`chat.targets[0].backend`) and the words.

    `known`: the models that backends are configured with, None if they may have any.
    """
    models = PublicModels(settings)
    taken: dict[str, str] = {}
    for name, item in settings.items():
        if not item.targets:
            yield f"{name}.targets", "names no target"
        for at, target in enumerate(item.targets):
            if target.backend not in backends:
                hint = _close(target.backend, backends)
                yield f"{name}.targets[{at}].backend", f"no backend is called `{target.backend}`{hint}"
        for at, alias in enumerate(item.aliases):
            owner = alias if alias in settings else taken.setdefault(alias, name)
            if owner != name or alias == name:
                yield f"{name}.aliases[{at}]", f"`{alias}` is the model `{owner}` already"
        others = [(f"fallbacks[{at}]", other) for at, other in enumerate(item.fallbacks)]
        if item.context_fallback is not None:
            others.append(("context_fallback", item.context_fallback))
        for place, other in others:
            found = models.find(other)
            if found is not None and found[0] == name:
                yield f"{name}.{place}", "is the model itself"
            elif found is None and known is not None and other not in known:
                hint = _close(other, [*models.names(), *known])
                yield f"{name}.{place}", f"no model is called `{other}`{hint}"


def _close(name: str, names: Collection[str]) -> str:
    close = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean `{close[0]}`?" if close else ""
