"""Configurations of one OpenAI-compatible client -> a configuration of ours.

Owns three shapes: keys of one client (flat, or in `config:` below `type: openai_compatible`; several documents or a
list are several backends), and settings named like `llm.openai_endpoint.url`. YAML and JSON.

Most keys have the same name here, so they are carried by it; what a file of ours cannot say of a backend is noted.
"""

from pathlib import Path

from msgspec import inspect

from trunkline.config.importers.draft import Leaf, Tree, shown
from trunkline.config.importers.references import References, literal
from trunkline.config.importers.source import Keys, Source
from trunkline.config.importers.stanza import stanzas_of
from trunkline.config.model import ALIASES, BackendEntry
from trunkline.config.scalars import fields_of
from trunkline.config.tree import Entry, Mapping, Sequence
from trunkline.net.url import parse_base_url
from trunkline.providers.registry import find

_GENERIC = ("openai_compatible", "openai_compat", "openai_endpoint")
_TYPES = fields_of(BackendEntry)
_FIELDS = frozenset(_TYPES) - {"type", "name", "provider"}
_ALIASES = ALIASES | {
    "model": "default_model",
    "deployment": "deployment_name",
    "azure_deployment": "deployment_name",
}
_OAUTH = ("client_id", "client_secret", "token_url")
_FILES = ("ca_bundle_path", "client_cert_path", "client_key_path")
_REQUEST = frozenset(
    (
        "top_p", "top_k", "min_p", "frequency_penalty", "presence_penalty", "repetition_penalty", "stop",
        "seed", "n", "reasoning_effort", "max_completion_tokens", "logit_bias", "response_format", "user",
        "service_tier",
    )
)  # fmt: skip
_KNOWN = _FIELDS | _ALIASES.keys() | _REQUEST | {"name", "type", "provider", "config"}
# Settings of a research program: the part behind `llm.` -> ours.
_LLM = {
    "openai_endpoint.url": "url",
    "openai_endpoint.api_key": "api_key",
    "model": "default_model",
    "temperature": "temperature",
    "max_tokens": "max_tokens",
    "streaming": "streaming",
    "max_retries": "max_retries",
    "request_timeout": "request_timeout",
}


def convert(path: Path, references: References) -> Source:
    """Read the file and make the draft."""
    source = Source(references, references.curly)
    for node in stanzas_of(path):
        listed = node.items if isinstance(node, Sequence) else [node]
        for item in listed:
            root = source.open(item, "")
            if any(key == "llm" or key.startswith("llm.") for key in root):
                root = source.open(_llm_settings(root), "llm")
            if "backends" in root or "providers" in root:
                for key in ("backends", "providers"):
                    for at, below in enumerate(root.members(key)):
                        _stanza(source.open(below, f"{key}[{at}]"), path)
                continue
            if root.node.items:
                _stanza(root, path)
    return source


def _llm_settings(root: Keys) -> Mapping:
    """Settings named with dots, or nested, as keys of one backend; what is not known keeps its name."""
    found: dict[str, Entry] = {}

    def collect(name: str, entry: Entry) -> None:
        if isinstance(entry.node, Mapping) and entry.node.items:
            for key, below in entry.node.items.items():
                collect(f"{name}.{key}", below)
        elif _LLM.get(name, name) in found:
            root.source.draft.note(entry.where, f"{shown(f'llm.{name}')} is not carried: it is there already")
        else:
            found[_LLM.get(name, name)] = entry

    for key in list(root):
        if key == "llm" or key.startswith("llm."):
            entry = root.node.items[key]
            root.take(key)
            nested = entry.node.items if isinstance(entry.node, Mapping) and key == "llm" else {}
            for inner, below in nested.items():
                collect(inner, below)
            if not nested:
                collect(key.removeprefix("llm."), entry)
    return Mapping(items=found, where=root.node.where)


def _stanza(outer: Keys, path: Path) -> None:
    source = outer.source
    if not any(key in _KNOWN for key in outer):
        source.draft.note(outer.node.where, "here is no key of a backend")
        return
    inner = outer.open("config") if "config" in outer else outer
    levels = [inner, outer] if inner is not outer else [outer]
    backend: dict[str, Tree] = {}
    at = source.draft.add_backend(backend, inner.node.where)
    for keys in levels:
        keys.at = at
    url = next((leaf for keys in levels for key in ("url", "base_url") if (leaf := keys.text(key))), None)
    provider = _provider(levels, url)
    backend["name"] = Leaf("", inner.node.where)
    backend["provider"] = provider
    if url is not None:
        backend["url"] = Leaf(source.references.address(str(url.value)), url.where)
    for keys in levels:
        for key in list(keys):
            _carry(keys, key, backend, path)
    name = next((leaf for keys in levels if (leaf := keys.text("name"))), None)
    backend["name"] = _name(name, provider, url, inner)
    if provider.value == "custom" and "api_key" not in backend and not any(key in backend for key in _OAUTH):
        backend["api_key"] = Leaf(source.references.to("API_KEY"), provider.where)
    oauth = any(field in backend for field in _OAUTH)
    for field in _OAUTH:
        leaf = backend.get(field)
        if oauth and isinstance(leaf, Leaf):
            backend[field] = Leaf(source.references.filled(str(leaf.value), field), leaf.where)


def _name(name: Leaf | None, provider: Leaf, url: Leaf | None, keys: Keys) -> Leaf:
    wanted = str((name or provider).value)
    written = keys.source.draft.backend_name(wanted)
    if name is not None and written != wanted:
        keys.note("name", f"is written `{written}` here: it must be unique, without blank, comma and slash")
    return Leaf(written, (name or url or provider).where)


def _provider(levels: list[Keys], url: Leaf | None) -> Leaf:
    """`provider`, else `type`; without both it is OpenAI where nothing says another address."""
    keys = levels[0]
    found = [
        (level, key, leaf) for level in levels for key in ("provider", "type") if (leaf := level.text(key))
    ]
    found = [(level, key, leaf) for level, key, leaf in found if str(leaf.value).lower() not in _GENERIC]
    generic = Leaf("openai_compat" if url is not None else "openai", keys.node.where)
    if not found:
        return generic
    level, key, leaf = min(found, key=lambda item: item[1])  # `provider` comes before `type`
    row = find(str(leaf.value))
    if row is None:
        level.note(key, "is not known here, and taken for any server that speaks the API (`custom`)")
        return Leaf("custom", leaf.where)
    if row.name == "openai" and url is not None and _elsewhere(str(url.value)):
        return Leaf("openai_compat" if key == "provider" else "openai", leaf.where)
    return Leaf(row.name, leaf.where)


def _elsewhere(url: str) -> bool:
    try:
        host = parse_base_url(url).host
    except ValueError:
        return False
    return not f".{host}".endswith(".openai.com") and "azure" not in host


def _carry(keys: Keys, key: str, backend: dict[str, Tree], path: Path) -> None:
    field = _ALIASES.get(key, key)
    if key in _REQUEST:
        defaults = backend.setdefault("defaults", {})
        assert isinstance(defaults, dict)
        if key in defaults:
            keys.leave(key, f"{shown(f'defaults.{key}')} is there already")
        elif (value := keys.plain(key)) is not None:
            defaults[key] = value
        return
    if field not in _FIELDS:
        return
    if field in backend:
        keys.leave(key, f"{shown(field)} is there already")
        return
    if key not in keys:
        keys.take(key)
        return
    value = _file(keys, key, path) if field in _FILES else _value(keys, key, field)
    if value is None:
        return
    backend[field] = value


def _value(keys: Keys, key: str, field: str) -> Tree | None:
    """A value by the type of its setting; ranges are looked at when all is loaded."""
    match _TYPES[field].type:
        case inspect.IntType():
            return keys.whole(key, -(1 << 31))
        case inspect.FloatType():
            return keys.number(key)
        case inspect.BoolType():
            truth = keys.truth(key)
            return None if truth is None else Leaf(truth, keys.where(key))
        case inspect.StrType() | inspect.LiteralType():
            return keys.text(key)
        case inspect.ListType():
            return [*keys.texts(key)]
        case inspect.DictType(value_type=inspect.StrType()):
            below = keys.open(key, *keys.at)
            return {name: leaf for name in list(below) if (leaf := below.text(name)) is not None}
        case inspect.DictType(value_type=inspect.RawType()):
            return keys.plain_members(key)
        case _:
            return keys.plain(key)


def _file(keys: Keys, key: str, path: Path) -> Leaf | None:
    """A file, if it is there: one that is not would keep the gateway from starting."""
    leaf = keys.text(key)
    if leaf is None:
        return None
    text = keys.source.references.now(str(leaf.value))
    file = (path.parent / text).absolute()
    if text and file.is_file():
        return Leaf(literal(str(file)), leaf.where)
    keys.note(key, "names a file that is not here, and is left out")
    return None
