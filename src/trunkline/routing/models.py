"""Public models: the names that clients use, and what stands behind each.

Owns the settings of `models:`, the search by name, alias and glob, and the checks that need other parts of the
configuration. Does not own what is made of them (route.py) nor names that only backends know (plan.py).

A name is looked for among the exact ones, then among aliases, then among globs in the order written; always with its
case. A target that names no model is asked for the public one's name; for a glob's that is the name that the client
used, so `"gpt-*"` with `targets: [{backend: openai}]` passes each of these names on.
"""

import difflib
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from itertools import islice
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from trunkline.routing.backend import BackendSettings
from trunkline.routing.plan import MAX_COMPARED, is_glob

Strategy = Literal["priority", "round_robin", "weighted", "least_busy", "latency", "cost"]
Place: TypeAlias = tuple[str | int, ...]
"""Keys and list indexes on the way from a block of the configuration to a value in it."""

MAX_NAME = 256  # characters; names are shown in headers, logs and lists


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
    price: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        Meta(
            description="Under `cost`: what tokens cost there, in any unit that all targets share. Default: what the "
            "backend's list of models says (USD for a million tokens in and a million out)."
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
        self._own = {id(item): name for name, item in settings.items()}
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

    def configured(self, name: str) -> str:
        """The name that the configuration has for the public model which a name means; "" if it means none."""
        found = self.find(name)
        return "" if found is None else self._own[id(found[1])]

    def names(self) -> list[str]:
        """The names to show: public models and aliases, without globs."""
        return list(self._exact)


class KnownModels:
    """Which models there are, as far as the configuration tells: of `models:`, and of the backends.

    `stand_ins`: names that stand for other models. `variants`: what may stand behind an `@`.
    """

    def __init__(
        self,
        models: PublicModels,
        backends: list[BackendSettings],
        *,
        stand_ins: Iterable[str] = (),
        variants: Iterable[str] = (),
    ) -> None:
        self._models = models
        self._variants = frozenset(variants)
        self._any = any(backend.models is None for backend in backends)
        names = dict.fromkeys(name for backend in backends for name in backend.models or ())
        self._globs = [name for name in names if is_glob(name)]
        self._exact = {name: None for name in (*models.names(), *names, *stand_ins) if not is_glob(name)}

    def __repr__(self) -> str:
        return f"<KnownModels {', '.join(self._exact)}>"

    def has(self, name: str) -> bool:
        """Whether there may be such a model: a backend whose list has to be asked for may have any."""
        return (
            self._any
            or name in self._exact
            or self._models.find(name) is not None
            or any(fnmatchcase(name, glob) for glob in self._globs)
            or self._has_base(name)
        )

    def _has_base(self, name: str) -> bool:
        base, _, variant = name.rpartition("@")
        return bool(base) and variant in self._variants and self.has(base)

    def lost_variant(self, name: str) -> str:
        """The variant that a name or glob asks for in vain, "" if it may find one, or a model that is called so.

        A backend whose list has to be asked for may have models with an `@`: that is supposed where nothing is known
        of the part in front of it, and there are no variants at all.
        """
        base, _, variant = name.rpartition("@")
        if not base or variant == "*" or any(fnmatchcase(one, variant) for one in self._variants):
            return ""
        if self._is_sure(name) or not (self._variants or self._is_sure(base) or not self.has(name)):
            return ""
        return variant

    def _is_sure(self, name: str) -> bool:
        """Whether the configuration says that there is such a model, and not just that there may be one."""
        return self._models.find(name) is not None or any(fnmatchcase(one, name) for one in self._exact)

    def hint(self, name: str) -> str:
        """`; did you mean ...?` or nothing."""
        return close_hint(name, self._exact)


def problems(
    settings: dict[str, ModelSettings], backends: list[BackendSettings]
) -> Iterator[tuple[Place, str]]:
    """What is wrong: the place, like `("chat", "targets", 0, "backend")`, and the words."""
    models = PublicModels(settings)
    known = KnownModels(models, backends)
    called = {backend.name for backend in backends}
    taken: dict[str, str] = {}
    for name, item in settings.items():
        if why := bad_name(name):
            yield (name,), why
        if not item.targets:
            yield (name, "targets"), "names no target"
        for at, target in enumerate(item.targets):
            if target.backend not in called:
                hint = close_hint(target.backend, [backend.name for backend in backends])
                yield (name, "targets", at, "backend"), f"no backend is called `{target.backend[:100]}`{hint}"
            if target.model and (why := bad_name(target.model)):
                yield (name, "targets", at, "model"), why
        for at, alias in enumerate(item.aliases):
            owner = alias if alias in settings else taken.setdefault(alias, name)
            if why := bad_name(alias):
                yield (name, "aliases", at), why
            elif owner != name or alias == name:
                yield (name, "aliases", at), f"`{alias}` is the model `{owner}` already"
        others: list[tuple[Place, str]] = [
            ((name, "fallbacks", at), other) for at, other in enumerate(item.fallbacks)
        ]
        if item.context_fallback is not None:
            others.append(((name, "context_fallback"), item.context_fallback))
        for place, other in others:
            found = models.find(other)
            if why := bad_name(other):
                yield place, why
            elif is_glob(other):
                yield place, "must be one model, not several"
            elif found is not None and found[0] == name:
                yield place, "is the model itself"
            elif not known.has(other):
                yield place, f"no model is called `{other[:100]}`{known.hint(other)}"


def bad_name(name: str) -> str:
    """What is wrong with the name of a model, or nothing."""
    if not name:
        return "is an empty name"
    if len(name) > MAX_NAME:
        return f"is a name of more than {MAX_NAME} characters"
    if name != name.strip():
        return "has a blank at one end of its name"
    return "" if name.isprintable() else "has a character in its name that cannot be printed"


def close_hint(name: str, names: Iterable[str]) -> str:
    """`; did you mean ...?` with the name that is most like it, or nothing."""
    close = difflib.get_close_matches(name[:100], list(islice(names, MAX_COMPARED)), n=1)
    return f"; did you mean `{close[0]}`?" if close else ""
