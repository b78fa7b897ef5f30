"""LiteLLM's settings for all deployments: `router_settings`, `litellm_settings`, `general_settings`.

Owns their reading, where one beats the other (the router's do), and the keys of the gateway that are made of them.
Does not own deployments (litellm_deployment.py) nor fallbacks (litellm_models.py).
"""

from pathlib import Path

import msgspec

from trunkline.config.importers.draft import Leaf, Tree
from trunkline.config.importers.source import Keys
from trunkline.config.tree import Entry, Mapping

PORT = 4000
"""Where LiteLLM listens."""

_LONGEST_EJECTION = 8.0
_HEALTH_INTERVAL = 300


class Shared(msgspec.Struct, frozen=True):
    """What holds for deployments that say nothing else; `backend` is for all of them."""

    retries: Leaf | None = None
    total: Leaf | None = None
    first: Leaf | None = None
    at_once: Leaf | None = None
    defaults: dict[str, Tree] = {}
    backend: dict[str, Tree] = {}
    credentials: dict[str, dict[str, Entry]] = {}


class Settings(msgspec.Struct, frozen=True):
    """The three blocks, and what was made of them."""

    router: Keys
    library: Keys
    shared: Shared


def read_settings(root: Keys, path: Path) -> Settings:
    """Read all three; the gateway's own part goes into the draft."""
    router, library, general = (root.open(f"{name}_settings") for name in ("router", "litellm", "general"))
    _gateway(root, general)
    _breaker(router, library)
    backend: dict[str, Tree] = {}
    _tls(library, backend, path)
    if general.truth("background_health_checks") is True:
        interval = general.whole("health_check_interval") or Leaf(_HEALTH_INTERVAL, general.node.where)
        backend["health"] = {"interval": interval}
    if library.truth("drop_params") is False:
        backend["strict_params"] = Leaf(True, library.where("drop_params"))
    if router.truth("enable_pre_call_checks") is not False:
        router.needless("enable_pre_call_checks")
    params = router.open("default_litellm_params")
    return Settings(
        router,
        library,
        Shared(
            retries=_either(router, library, "num_retries"),
            total=_first(router.number("timeout"), library.number("request_timeout")),
            first=_first(router.number("stream_timeout"), library.number("stream_timeout")),
            at_once=_first(
                router.whole("default_max_parallel_requests", 1), general.whole("max_parallel_requests")
            ),
            defaults={key: value for key in list(params) if (value := params.plain(key)) is not None},
            backend=backend,
            credentials=_credentials(root),
        ),
    )


def _gateway(root: Keys, general: Keys) -> None:
    source, draft = root.source, root.source.draft
    draft.mapping("server")["port"] = Leaf(PORT, root.node.where)
    note = (
        "`server`: the port is LiteLLM's own; it listens on all addresses, which here needs `host: 0.0.0.0`"
    )
    draft.note(root.node.where, note, "server", "port")
    size = general.whole("max_request_size_mb", 1)
    if size is not None and isinstance(size.value, int):
        draft.mapping("server")["max_body"] = Leaf(f"{size.value}MiB", size.where)
    master = general.text("master_key")
    if master is None and "LITELLM_MASTER_KEY" in source.references.environ:
        master = Leaf(source.references.to("LITELLM_MASTER_KEY"), general.node.where)
    if master is not None:
        key = source.references.filled(str(master.value), "key")
        draft.sequence("keys").append({"name": Leaf("master", master.where), "key": Leaf(key, master.where)})


def _breaker(router: Keys, library: Keys) -> None:
    draft = router.source.draft
    fails, pause = _either(router, library, "allowed_fails"), _either(router, library, "cooldown_time")
    if fails is not None and isinstance(fails.value, int):
        draft.mapping("breaker")["failures"] = Leaf(fails.value + 1, fails.where)
        text = "`allowed_fails` counts failures within a minute there; here it is failures in a row, one more"
        draft.note(fails.where, text, "breaker", "failures")
    if pause is not None and isinstance(pause.value, int | float) and pause.value > 0:
        draft.mapping("breaker")["base_ejection"] = pause
        draft.mapping("breaker")["max_ejection"] = Leaf(max(pause.value, _LONGEST_EJECTION), pause.where)


def _tls(library: Keys, backend: dict[str, Tree], path: Path) -> None:
    leaf = library.text("ssl_verify")
    if leaf is None:
        return
    text = library.source.references.now(str(leaf.value))
    if text.lower() in ("false", "no", "off"):
        backend["ssl_verify"] = Leaf(False, leaf.where)
    elif text and text.lower() not in ("true", "yes", "on"):
        file = (path.parent / text).absolute()
        if file.is_file():
            backend["ca_bundle_path"] = Leaf(str(file), leaf.where)
        else:
            library.note("ssl_verify", "names a file that is not here; the system's authorities are trusted")


def _credentials(root: Keys) -> dict[str, dict[str, Entry]]:
    found: dict[str, dict[str, Entry]] = {}
    for at, node in enumerate(root.members("credential_list")):
        keys = root.source.open(node, f"credential_list[{at}]")
        name, values = keys.text("credential_name"), keys.take("credential_values")
        if name is not None and isinstance(values, Mapping):
            found[str(name.value)] = values.items
    return found


def _either(router: Keys, library: Keys, key: str) -> Leaf | None:
    return _first(router.whole(key), library.whole(key))


def _first(one: Leaf | None, other: Leaf | None) -> Leaf | None:
    return other if one is None else one
