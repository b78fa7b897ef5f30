"""cot_proxy's settings -> a configuration of ours.

Owns the three forms that they come in: a file of variables (dotenv.py), a Docker Compose file, and the YAML file with
variants of a fork (cot_variants.py). Groups of LLM_PARAMS become public models before one for all
other names, `"*"`.
"""

import re
from pathlib import Path
from typing import Any, cast

import msgspec

from trunkline.config.importers import cot_variants
from trunkline.config.importers.dotenv import read_variables
from trunkline.config.importers.draft import Empty, Leaf, Tree
from trunkline.config.importers.references import References, literal
from trunkline.config.importers.source import Keys, Source
from trunkline.config.importers.stanza import root_of
from trunkline.config.levels import Group
from trunkline.config.llm_params import parse_groups
from trunkline.config.tree import Entry, Mapping, Node, Scalar
from trunkline.errors import ConfigError

TARGETS = ("TARGET_BASE_URL", "COT_TARGET_BASE_URL")
_VARIABLES = (*TARGETS, "LLM_PARAMS", "API_REQUEST_TIMEOUT", "THINK_TAG", "THINK_END_TAG")
_DEFAULT_TARGET = "https://api.openai.com/v1/"
_DEFAULT_TIMEOUT = 120
PORT = 5000
"""Where cot_proxy listens."""

_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
_USUAL = ("<think>", "</think>")


def convert(path: Path, references: References) -> Source:
    """Read the file and make the draft."""
    variables = read_variables(path)
    if variables is not None:
        source = Source(references, references.compose)
        _from_variables(source.open(variables, ""))
        return source
    node = root_of(path)
    assert isinstance(node, Mapping)
    if "services" in node.items:
        source = Source(references, references.compose)
        _from_compose(source.open(node, ""))
    elif node.items and all(_VARIABLE.fullmatch(key) for key in node.items):
        source = Source(references, references.compose)
        _from_variables(source.open(node, ""))
    elif not cot_variants.is_one(node):
        raise ConfigError(
            f"{node.where}: neither variables, nor `services` of Docker Compose, nor `variants`"
        )
    else:
        source = Source(references, literal)
        cot_variants.convert(source, node, backend_of)
    return source


def _from_compose(root: Keys) -> None:
    """The variables of the one service that has some of ours."""
    services = root.open("services")
    root.needless("version")
    found = 0
    for name in list(services):
        service = services.open(name)
        node = service.take("environment")
        listed = node.items if node is not None and not isinstance(node, Scalar | Mapping) else None
        variables = _listed(listed) if listed is not None else node
        if isinstance(variables, Mapping) and variables.items.keys() & {*TARGETS, "LLM_PARAMS"}:
            found += 1
            if found > 1:
                raise ConfigError(f"{variables.where}: a second service of this kind; import one at a time")
            _from_variables(root.source.open(variables, service.path("environment")))
            service.needless("build", "image", "restart", "healthcheck")
            service.leave("ports", "`server.port` is the port")
            if "env_file" in service:
                service.leave(
                    "env_file", "its variables are not read; import that file if it has more of them"
                )
        elif isinstance(variables, Mapping):
            root.source.open(variables, service.path("environment"))
    if not found:
        raise ConfigError(
            f"{root.node.where}: no service with TARGET_BASE_URL or LLM_PARAMS in its `environment`"
        )


def _listed(items: list[Node]) -> Mapping:
    """`- NAME=value` as keys and values; a name alone stands for the variable itself."""
    found: dict[str, Entry] = {}
    for item in items:
        if isinstance(item, Scalar):
            name, equals, value = item.text.partition("=")
            text = value if equals else f"${{{name}}}"
            found[name] = Entry(where=item.where, node=Scalar(text=text, where=item.where, plain=False))
    return Mapping(items=found, where=items[0].where if items else "")


def _from_variables(keys: Keys) -> None:
    if not any(name in keys for name in _VARIABLES):
        raise ConfigError(f"{keys.node.where}: no variable of cot_proxy is here, like TARGET_BASE_URL")
    url = next((leaf for name in TARGETS if (leaf := keys.text(name))), None)
    if url is None:
        url = Leaf(_DEFAULT_TARGET, keys.node.where)
    total = keys.number("API_REQUEST_TIMEOUT") or Leaf(_DEFAULT_TIMEOUT, keys.node.where)
    backend = backend_of(keys, url, total)
    tags = (_now(keys, "THINK_TAG") or _USUAL[0], _now(keys, "THINK_END_TAG") or _USUAL[1])
    backend["think"] = _think("strip", tags, keys.where("THINK_TAG"))
    keys.needless("DEBUG")
    if "HOST_PORT" in keys:
        keys.leave("HOST_PORT", "`server.port` is the port")
    if "LLM_PARAMS" in keys:
        _groups(keys, backend, tags)


def backend_of(keys: Keys, url: Leaf, total: Leaf) -> dict[str, Tree]:
    """The one backend: it is asked with the caller's own credential, and nothing is sent twice."""
    source, where = keys.source, keys.node.where
    source.draft.mapping("server")["port"] = Leaf(PORT, where)
    note = (
        "`server`: the port is cot_proxy's own; it listens on all addresses, which here needs `host: 0.0.0.0`"
    )
    source.draft.note(where, note, "server", "port")
    backend: dict[str, Tree] = {
        "name": Leaf(source.draft.backend_name("target"), url.where),
        "provider": Leaf("custom", where),
        "url": Leaf(source.references.address(str(url.value)), url.where),
        "forward_authorization": Leaf(True, where),
        "timeouts": {"total": total},
        "max_retries": Leaf(0, where),
        "on_cut": Leaf("error", where),
        "models": [Leaf("*", where)],
    }
    keys.at = source.draft.add_backend(backend, where)
    text = "only the paths of the API are forwarded; started with TARGET_BASE_URL and no file, all are"
    source.draft.note(where, text, *keys.at)
    return backend


def _now(keys: Keys, name: str) -> str:
    """What a variable comes to now: what is made of it cannot hold a reference."""
    leaf = keys.text(name)
    if leaf is None:
        return ""
    if "${" in str(leaf.value):
        keys.note(name, "is written as it is now, and no reference")
    return keys.source.references.now(str(leaf.value))


def _think(mode: str, tags: tuple[str, str], where: str) -> Tree:
    if tags == _USUAL:
        return Leaf(mode, where)
    pair: list[Tree] = [Leaf(literal(tag), where) for tag in tags]
    return {"mode": Leaf(mode, where), "tags": [pair]}


def _groups(keys: Keys, backend: dict[str, Tree], tags: tuple[str, str]) -> None:
    where, draft = keys.where("LLM_PARAMS"), keys.source.draft
    groups = parse_groups(_now(keys, "LLM_PARAMS"), lambda text: draft.note(where, f"`LLM_PARAMS`: {text}"))
    name = backend["name"]
    models = draft.mapping("models")
    for group_name, group in groups.items():
        if group_name == "default":
            if group.upstream:
                backend["default_model"] = Leaf(literal(group.upstream), where)
            keys.note(
                "LLM_PARAMS",
                "has a group `default`, which is for requests that name no model too: for those its parameters are "
                "not carried; LLM_PARAMS in the environment does the same here",
            )
        if any(mark in group_name for mark in "*?["):
            keys.note("LLM_PARAMS", "has a group whose name would be a pattern here; it is left out")
            continue
        target: dict[str, Tree] = {"backend": name}
        if group.upstream:
            target["model"] = Leaf(literal(group.upstream), where)
        models[group_name] = {"targets": [target], **_level(group, group_name, keys, tags)}
    if models:
        models["*"] = {"targets": [{"backend": name}]}
        draft.note(where, "`*`: all other names; they are not listed", "models", "*")


def _level(group: Group, name: str, keys: Keys, tags: tuple[str, str]) -> dict[str, Tree]:
    where = keys.where("LLM_PARAMS")
    params: dict[str, Tree] = {}
    for key, raw in group.overrides.force.items():
        params[key] = _tree(msgspec.json.decode(raw), where)
        if bytes(raw) == b"null":
            text = f"`LLM_PARAMS`: `{key}` is removed here, where cot_proxy sends null"
            keys.source.draft.note(where, text, "models", name, "params", key)
    level: dict[str, Tree] = {"params": params}
    if group.overrides.append:
        level["append_to_last_user_message"] = Leaf(literal(group.overrides.append), where)
    own = (group.start or tags[0], group.end or tags[1])
    if group.filters is False:
        level["think"] = Leaf("keep", where)
    elif group.filters or own != tags:
        level["think"] = _think("strip", own, where)
    return level


def _tree(value: Any, where: str) -> Tree:
    """A JSON value."""
    if value in ({}, []):
        return Leaf(Empty.MAPPING if value == {} else Empty.LIST, where)
    if isinstance(value, dict):
        return {key: _tree(below, where) for key, below in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_tree(below, where) for below in cast("list[Any]", value)]
    return Leaf(literal(value) if isinstance(value, str) else value, where)
