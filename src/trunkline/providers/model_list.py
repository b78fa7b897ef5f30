"""A server's list of models, of whatever shape.

Owns finding the entries, their names, and what a client may be shown of them. Does not own asking for a list (engine)
nor what entries say about a model (model_traits.py).

    {"data": [{"id": ...}]}                      OpenAI and most; `data` null: Ollama without models
    {"models": [{"name": ..., "model": ...}]}    Ollama /api/tags; `name` alone: Cohere, Gemini (`models/...`)
    {"models": [{"key": ...}]}                   LM Studio /api/v1
    {"model_names": ["..."]}                     text-generation-webui
    {"data": [{"model_name": ...}]}              LiteLLM /model/info
    [{"id": ...}] and ["..."]                    Together, GitHub; plain names
    {"model_id": ...}                            TGI /info: the one model it has
    {"id": ..., "object": "model"}               one model, asked for by name

A list is foreign text that ends up in answers, logs and tables: names are bounded and printable, entries that have no
such name are left out, the first of equal names stays.
"""

import re
from typing import Any, cast

import msgspec

from trunkline.providers.model_traits import Object, Traits, read_traits

MAX_MODELS = 10_000  # the longest public list, OpenRouter's, has several hundred
MAX_NAME = 512  # characters; transformers and vLLM call a model by the path of its folder
MAX_DEPTH = 16  # of what an entry holds; none in use goes beyond 4

_LISTS = ("data", "models", "model_names")
_NAMES = ("id", "name", "model", "model_name", "model_id", "key")
_BOM = b"\xef\xbb\xbf"
_GEMINI = re.compile(r"models/gemini")


class ListedModel(msgspec.Struct, frozen=True):
    """One model of a list.

    `fields` is the rest of its entry, for the client's answer: without `id`, and without `object`, `created` and
    `owned_by` where they are not what typed clients insist on. Nested deeper than `MAX_DEPTH` it is left out.
    """

    id: str
    traits: Traits
    fields: Object


def parse_models(body: bytes) -> list[ListedModel] | None:
    """Read a list; None if the body is none at all (an error, a web page). Never raises."""
    try:
        value: Any = msgspec.json.decode(body.removeprefix(_BOM))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    entries = _entries(value)
    if entries is None:
        return None
    models: dict[str, ListedModel] = {}
    for entry in entries:
        model = _model(entry)
        if model is not None:
            models.setdefault(model.id, model)
            if len(models) == MAX_MODELS:
                break
    # A list of other things (Gemini's errors come in one) is not a server without models.
    return list(models.values()) if models or not entries else None


def _entries(value: Any) -> list[Any] | None:
    if isinstance(value, list):
        return cast("list[Any]", value)
    if not isinstance(value, dict):
        return None
    found = cast("Object", value)
    if found.get("error") or found.get("success") is False:  # some say so with status 200 and `data` null
        return None
    lists = [found[key] for key in _LISTS if key in found]
    for entries in lists:  # llama.cpp has two: the one in OpenAI's shape says more
        if isinstance(entries, list) and entries:
            return cast("list[Any]", entries)
    if any(entries is None or entries == [] for entries in lists):
        return []
    if isinstance(found.get("model_id"), str) or (
        isinstance(found.get("id"), str) and found.get("object") == "model"
    ):
        return [found]
    return [] if found.get("object") == "list" and not lists else None


def _model(entry: Any) -> ListedModel | None:
    if isinstance(entry, str):
        return ListedModel(entry, Traits(), {}) if _is_name(entry) else None
    if not isinstance(entry, dict):
        return None
    said = cast("Object", entry)
    name = next((said[key] for key in _NAMES if isinstance(said.get(key), str) and said[key]), "")
    if _is_geminis(name, said):
        name = name.removeprefix("models/")
    if not _is_name(name):
        return None
    return ListedModel(name, read_traits(said), _shown(said))


def _is_name(name: str) -> bool:
    return 0 < len(name) <= MAX_NAME and name.isprintable() and not name.isspace()


def _is_geminis(name: str, entry: Object) -> bool:
    """Whether `models/` in front is Gemini's, which takes both; elsewhere it is a folder and part of the name."""
    return _GEMINI.match(name) is not None or (
        entry.get("owned_by") == "google"
        or "supportedGenerationMethods" in entry
        or "inputTokenLimit" in entry
    )


def _is_shallow(value: Any, depth: int) -> bool:
    """Whether it can be written again from anywhere: encoders give up at some depth, too."""
    if isinstance(value, dict):
        value = list(cast("Object", value).values())
    if not isinstance(value, list):
        return True
    return depth > 0 and all(_is_shallow(item, depth - 1) for item in cast("list[Any]", value))


def _shown(entry: Object) -> Object:
    fields = {key: value for key, value in entry.items() if key != "id" and _is_shallow(value, MAX_DEPTH)}
    created = fields.get("created")
    if isinstance(created, bool) or not isinstance(created, int):
        fields.pop("created", None)
    for key in ("object", "owned_by"):
        if not isinstance(fields.get(key), str):
            fields.pop(key, None)
    return fields
