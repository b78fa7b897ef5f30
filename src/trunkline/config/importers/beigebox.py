"""BeigeBox's config.yaml -> a configuration of ours.

Owns what its keys mean. Where BeigeBox has a default that differs from ours it is written out; where it does not do
what its documents say (a key that is sent by one provider only) the documents win, and a note says so.
"""

from pathlib import Path

from trunkline.config.importers.draft import Draft, Leaf, Tree, is_dummy, shown
from trunkline.config.importers.references import References
from trunkline.config.importers.source import Keys, Source
from trunkline.config.importers.stanza import root_of

_PROVIDERS = ("ollama", "openai_compat", "openrouter")
_TIMEOUT = 120
_NUMBERS = ("backoff_base", "backoff_max", "latency_p95_threshold_ms", "traffic_split")
_GENERATION = ("temperature", "top_p", "top_k", "num_ctx", "repeat_penalty", "max_tokens", "seed")


class _Shared:
    """What holds for all backends: `total` and `idle` seconds, parameters, plain names at OpenRouter."""

    def __init__(self, root: Keys) -> None:
        timeouts = root.open("timeouts")
        self.total = timeouts.number("backend_seconds")
        self.idle = timeouts.number("stream_stall_seconds")
        generation = root.open("generation")
        force = generation.truth("force") is True
        found = {name: generation.plain(name) for name in _GENERATION if name in generation}
        generation.needless("force", *_GENERATION)
        self.parameters: dict[str, Tree] = {
            "params" if force else "defaults": {k: v for k, v in found.items() if v}
        }
        self.unqualified = root.open("runtime").truth("allow_openrouter_for_plain_models") is True


def convert(path: Path, references: References) -> Source:
    """Read the file and make the draft."""
    source = Source(references, references.curly)
    root = source.open(root_of(path), "")
    _server(root, source.draft)
    shared = _Shared(root)
    default = _default_model(root)
    for keys in _backends(root):
        _backend(keys, shared, default)
        default = None if source.draft.sequence("backends") else default
    _keys(root)
    advertising = root.open("model_advertising")
    if advertising.node.items and (mode := advertising.text("mode")) is not None and mode.value == "hidden":
        advertising.needless("prefix")
    elif advertising.node.items:
        advertising.note("prefix", "is not carried: models are listed by the names that work")
        advertising.take("prefix")
    return source


def _server(root: Keys, draft: Draft) -> None:
    server = root.open("server", "server")
    for key, leaf in (("host", server.text("host")), ("port", server.whole("port"))):
        if leaf is not None:
            draft.mapping("server")[key] = leaf
            if leaf.value == 8081:
                draft.mapping("admin")["port"] = Leaf(8082, leaf.where)
                draft.note(leaf.where, "8081 would be the admin port's own", "admin")


def _default_model(root: Keys) -> Leaf | None:
    models, backend = root.open("models"), root.open("backend")
    return models.text("default") or backend.text("default_model")


def _backends(root: Keys) -> list[Keys]:
    """The backends in use, by BeigeBox's own rule where it is clear."""
    enabled, listed, backend = root.truth("backends_enabled"), root.members("backends"), root.open("backend")
    if "url" in backend and (not listed or enabled is False):
        for node in listed:
            text = "a backend that is not in use there: `backends_enabled` is not true"
            root.source.draft.note(node.where, text)
        return [backend]
    if listed and enabled is not True:
        root.note("backends", "are used in BeigeBox with `backends_enabled: true` only; here they are")
    for key in ("url", "timeout"):
        backend.leave(key, "`backends` are used instead")
    return [root.source.open(node, f"backends[{at}]") for at, node in enumerate(listed)]


def _backend(keys: Keys, shared: _Shared, default: Leaf | None) -> None:
    source, draft = keys.source, keys.source.draft
    provider = keys.text("provider") or Leaf("ollama", keys.node.where)
    url = keys.text("url")
    name = keys.text("name") or provider
    if url is None or provider.value not in _PROVIDERS:
        why = "it has no `url`" if url is None else f"there is no provider {shown(str(provider.value))}"
        draft.note(
            keys.node.where, f"the backend {shown(str(name.value))} is left out, as BeigeBox does: {why}"
        )
        return
    written = draft.backend_name(str(name.value))
    if written != name.value and "name" in keys:
        keys.note("name", f"is written `{written}` here: it must be unique, without blank, comma and slash")
    total = keys.number("timeout") or shared.total or Leaf(_TIMEOUT, keys.node.where)
    backend: dict[str, Tree] = {
        "name": Leaf(written, name.where),
        "provider": provider,
        "url": Leaf(source.references.address(str(url.value)), url.where),
    }
    keys.at = draft.add_backend(backend, keys.node.where)
    key = keys.text("api_key")
    if key is not None:
        backend["api_key"] = key
        if provider.value != "openrouter" and not is_dummy(str(key.value)):
            keys.note("api_key", "is sent here; BeigeBox sends keys to OpenRouter only")
    for field, leaf in (
        ("priority", keys.whole("priority", -(1 << 31))),
        ("max_retries", keys.whole("max_retries")),
    ):
        if leaf is not None:
            backend[field] = _at_most(leaf, 10, keys) if field == "max_retries" else leaf
    for field in _NUMBERS:
        if (leaf := keys.number(field)) is not None:
            backend[field] = leaf
    if default is not None:
        backend["default_model"] = default
    timeouts: dict[str, Tree] = {"total": total}
    if shared.idle is not None:
        timeouts["idle"] = shared.idle
    backend["timeouts"] = timeouts
    if "timeout" in keys:
        keys.needless("timeout_ms")
    _models(keys, backend, shared, plain=provider.value != "openrouter")
    backend |= {
        key: dict(value) if isinstance(value, dict) else value for key, value in shared.parameters.items()
    }
    if provider.value == "openrouter" and "openrouter.io" in str(url.value):
        keys.note("url", "names openrouter.io; OpenRouter's API is at https://openrouter.ai/api/v1")


def _models(keys: Keys, backend: dict[str, Tree], shared: _Shared, *, plain: bool) -> None:
    """Which models: names without a slash go to OpenRouter only if that was allowed."""
    unqualified = keys.truth("allow_unqualified_models") is True or shared.unqualified
    globs = keys.texts("allowed_models")
    if plain or unqualified:
        backend["models"] = [*globs]
        return
    if not globs:
        globs = [Leaf("*", keys.node.where)]
    backend["models"] = [Leaf("*/*", glob.where) if glob.value == "*" else glob for glob in globs]
    if not keys.node.items.keys() & {"allowed_models"}:
        keys.source.draft.note(
            keys.node.where, "`models`: BeigeBox sends names without a slash never to OpenRouter", *keys.at
        )


def _at_most(leaf: Leaf, most: int, keys: Keys) -> Leaf:
    if isinstance(leaf.value, int) and leaf.value > most:
        keys.note("max_retries", f"is {most} here, the most there is")
        return Leaf(most, leaf.where)
    return leaf


def _keys(root: Keys) -> None:
    """The one key, and the named ones, whose values BeigeBox has in the system's keychain or a variable."""
    auth, draft = root.open("auth", "keys"), root.source.draft
    names: set[str] = set()
    single = auth.text("api_key")
    if single is not None:
        value = root.source.references.filled(str(single.value), "key")
        names.add("default")
        draft.sequence("keys").append(
            {"name": Leaf("default", single.where), "key": Leaf(value, single.where)}
        )
    for at, node in enumerate(auth.members("keys")):
        keys = root.source.open(node, f"auth.keys[{at}]")
        name = keys.text("name")
        if name is None or str(name.value) in names:
            draft.note(node.where, "a key without a name of its own is left out")
            continue
        names.add(str(name.value))
        variable = "BB_" + "".join(c if c.isalnum() else "_" for c in str(name.value).upper()) + "_TOKEN"
        value = root.source.references.filled(root.source.references.to(variable), "key")
        models = keys.texts("allowed_models")
        entry: dict[str, Tree] = {"name": name, "key": Leaf(value, name.where)}
        if models and all(model.value != "*" for model in models):
            entry["models"] = [*models]
        listed = draft.sequence("keys")
        listed.append(entry)
        keys.at = ("keys", len(listed) - 1)
        keys.note("name", f"has its value in the keychain there; here it is that of {variable}")
