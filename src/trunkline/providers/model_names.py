"""Which names a server answers to, given those that it lists, and what else to ask it about its models.

Owns the habits of provider families around their lists: aliases, variants, names that are served without being listed,
and the questions beside `GET /models`. Does not own reading an answer (model_list.py, model_traits.py) nor asking
(engine).

A list is taken at its word: what is not on it is not served. The exceptions are tables below, each with its reason.
"""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any, cast

import msgspec

from trunkline.providers.base import Profile
from trunkline.providers.model_list import ListedModel

# Names of these forms may be served although they are not listed: they are neither known nor unknown.
_UNLISTED: dict[str, tuple[str, ...]] = {
    "azure": ("*",),  # models of the region are listed; what is called is a deployment, of any name
    "vast": ("*",),  # the endpoint decides which model answers
    "anthropic": ("claude-*",),  # the list has dated names, and not their aliases (claude-sonnet-4-0)
    "xai": ("grok-*",),  # likewise (grok-4-latest)
    "fireworks": ("accounts/*",),  # models of other accounts, deployments
    "openai": ("ft:*",),
    "mistral": ("ft:*",),
    "openrouter": ("@preset/*",),
}
# `name:online`, `name:nitro` at OpenRouter, `name:groq`, `name:fastest` at Hugging Face: how to serve a listed name.
_VARIANTS = frozenset(("openrouter", "huggingface"))
_LATEST = ":latest"  # Ollama's tag where none is written
_GEMINI = "models/"  # both forms work there

_LIST_QUERY = {"anthropic": "?limit=1000"}  # else it lists 20
# Where old versions say it, which have no list in OpenAI's place.
_SECOND = {"ollama": "/api/tags", "tgi": "/info"}
_ABOUT_ONE = {"llama.cpp": "/props", "tgi": "/info"}
_ABOUT_EACH = {"ollama": "/api/show"}


class Questions(msgspec.Struct, frozen=True):
    """What to ask a server, as gateway paths; None: nothing.

    `second` is asked if there is nothing at `list`. `about_one` tells of the only model that a server has;
    `about_each` of one that is named in a POST, `{"model": name}`.
    """

    list: str | None
    second: str | None = None
    about_one: str | None = None
    about_each: str | None = None


class ModelNames(msgspec.Struct, frozen=True):
    """The names of one server. `ids`: by each name it answers to, the one that it lists."""

    ids: dict[str, str]
    names: tuple[str, ...]
    patterns: tuple[str, ...] = ()
    unlisted: tuple[str, ...] = ()
    variants: bool = False

    def find(self, model: str) -> str | None:
        """The listed name behind a name."""
        found = self.ids.get(model)
        if found is None and self.variants:
            found = self.ids.get(model.rpartition(":")[0])
        return found

    def holds(self, model: str) -> bool | None:
        """Whether the server has it; None: the list does not tell."""
        if self.find(model) is not None or any(fnmatchcase(model, glob) for glob in self.patterns):
            return True
        return None if any(fnmatchcase(model, glob) for glob in self.unlisted) else False


def questions_for(row: Profile) -> Questions:
    """What to ask a server of this family."""
    if row.models_path is None:
        return Questions(None)
    return Questions(
        row.models_path + _LIST_QUERY.get(row.name, ""),
        _SECOND.get(row.name),
        _ABOUT_ONE.get(row.name),
        _ABOUT_EACH.get(row.name),
    )


def names_of(provider: str, models: Iterable[ListedModel]) -> ModelNames:
    """All names that a server with this list answers to. A listed name with a star is a pattern (LiteLLM)."""
    plain = {model.id: model for model in models if "*" not in model.id}
    ids = {name: name for name in plain}
    for name, model in plain.items():
        for alias in _aliases(provider, model):
            ids.setdefault(alias, name)
    return ModelNames(
        ids,
        tuple(plain),
        tuple(model.id for model in models if "*" in model.id),
        _UNLISTED.get(provider, ()),
        provider in _VARIANTS,
    )


def _aliases(provider: str, model: ListedModel) -> list[str]:
    found: Any = model.fields.get("aliases")  # Mistral, llama.cpp
    aliases = (
        [item for item in cast("list[Any]", found) if isinstance(item, str)]
        if isinstance(found, list)
        else []
    )
    if model.id.endswith(_LATEST):
        aliases.append(model.id.removesuffix(_LATEST))
    if provider == "gemini":
        aliases.append(_GEMINI + model.id)
    return aliases
