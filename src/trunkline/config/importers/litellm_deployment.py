"""One entry of LiteLLM's `model_list` -> the backend that it asks, and what there is to say of the target.

Owns credentials, timeouts and headers, and which entries are left out. Does not own addresses (litellm_address.py),
parameters of requests (litellm_parameters.py), what several entries of one name make together (litellm.py) nor settings
for all of them (litellm_settings.py).
"""

import re

import msgspec

from trunkline.config.importers.draft import Leaf, Path, Tree, shown
from trunkline.config.importers.litellm_address import address_of, name_for
from trunkline.config.importers.litellm_parameters import parameters
from trunkline.config.importers.litellm_providers import OPEN, OTHERS, PREFIXES, Prefix, split
from trunkline.config.importers.litellm_settings import Shared
from trunkline.config.importers.source import Keys
from trunkline.config.tree import Mapping

_CAPABILITIES = {
    "supports_function_calling": "tools",
    "supports_vision": "vision",
    "supports_response_schema": "json_schema",
    "supports_reasoning": "reasoning",
}
TARGET, BACKEND = "target of a deployment", "backend of a deployment"
"""Where notes of a deployment belong before these have places."""
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ENTRA = "https://login.microsoftonline.com/{}/oauth2/v2.0/token"
_SCOPE = "https://cognitiveservices.azure.com/.default"
_MOST_RETRIES = 10


class Deployment(msgspec.Struct):
    """One entry, read. `model` "": the name that the client used. `params`: LiteLLM's keys, for notes about them."""

    name: Leaf
    model: str
    backend: dict[str, Tree]
    wanted: str
    params: Keys
    defaults: dict[str, Tree]
    forced: dict[str, Tree]
    capabilities: dict[str, Tree]
    stripped: str = ""
    """The prefix that LiteLLM cuts off names that a pattern matched."""


def backend_place(params: Keys) -> Path:
    """Where notes about the backend of a deployment belong."""
    return (BACKEND, *params.at[1:])


def read(entry: Keys, shared: Shared) -> list[Deployment]:
    """The deployments of an entry: one for each organization, none if it cannot be carried."""
    source = entry.source
    name = _name(entry, entry, "model_name")
    # Notes are taken before it is known where the deployment will stand.
    place = source.draft.placeholder(TARGET)
    source.draft.placeholder(BACKEND)
    entry.at = place
    params = entry.open("litellm_params", *place)
    if "litellm_credential_name" in params:
        params = _with_credential(params, shared)
    model = _name(entry, params, "model")
    if name is None or model is None:
        return []
    custom = params.text("custom_llm_provider")
    prefix, rest = split(str(model.value), "" if custom is None else str(custom.value))
    known = PREFIXES.get(prefix)
    url = params.text("api_base") or params.text("base_url")
    if known is None and url is not None and prefix not in OTHERS:
        known, rest = Prefix(OPEN), str(model.value)
        params.note(
            "model", "has no prefix that is known; any server that speaks OpenAI's API is assumed there"
        )
    if known is None or (rest in ("", "*") and not prefix):
        why = f"the API of {shown(prefix)} is not spoken here" if prefix else "its provider cannot be told"
        source.draft.note(entry.node.where, f"a deployment of {shown(str(name.value))} is left out: {why}")
        return []
    backend = address_of(params, known, url, rest)
    if backend is None:
        why = f"{shown(known.row)} has no address of its own, and there is no `api_base`"
        source.draft.note(entry.node.where, f"a deployment of {shown(str(name.value))} is left out: {why}")
        return []
    _credential(params, known, backend, own="url" not in backend)
    _limits(params, shared, backend)
    _headers(params, backend)
    defaults, forced = parameters(params, shared)
    info = entry.open("model_info", *place)
    found = Deployment(
        name, rest, backend, name_for(backend, rest), params, defaults, forced, _abilities(info)
    )
    info.needless("mode")
    _pattern(found, prefix)
    organizations = params.texts("organization")
    if not organizations:
        return [found]
    return [
        msgspec.structs.replace(found, backend=backend | {"organization": organization})
        for organization in organizations
    ]


def _name(entry: Keys, keys: Keys, key: str) -> Leaf | None:
    """A name: it is needed now, so a variable is looked up. None: the entry cannot be carried."""
    leaf = keys.text(key)
    if leaf is None:
        keys.source.report.error(keys.where(key), f"{keys.path(key)}: is required")
        return None
    text = keys.source.references.now(str(leaf.value))
    if not text:
        why = f"{shown(keys.path(key))} comes from a variable that is not set, and a name is needed"
        entry.source.draft.note(leaf.where, f"a deployment is left out: {why}")
        return None
    if "${" in str(leaf.value):
        keys.note(key, "comes from a variable; written as it is now")
    return Leaf(text, leaf.where)


def _with_credential(params: Keys, shared: Shared) -> Keys:
    """The parameters together with those of the credential that they name."""
    name = params.text("litellm_credential_name")
    values = shared.credentials.get("" if name is None else str(name.value))
    if values is None:
        params.source.draft.note(
            params.node.where, f"{shown('litellm_credential_name')} names none that is here"
        )
        return params
    own = {key: entry for key, entry in params.node.items.items() if key != "litellm_credential_name"}
    return params.source.open(Mapping(items=values | own, where=params.node.where), params.name, *params.at)


def _pattern(found: Deployment, prefix: str) -> None:
    """What a pattern asks for: the client's own name, or with a prefix cut off it, which is not done here."""
    public = str(found.name.value)
    if "*" not in public:
        return
    if public == found.model:
        found.model = ""
    elif public == f"{prefix}/{found.model}":
        found.stripped, found.name, found.model = prefix, Leaf(found.model, found.name.where), ""
    elif found.model == "*":
        found.model = ""


def _credential(params: Keys, known: Prefix, backend: dict[str, Tree], *, own: bool) -> None:
    references = params.source.references
    key, token = params.text("api_key"), params.text("azure_ad_token")
    where = params.where("model")
    if _entra(params, backend):
        return
    if key is None and token is not None:
        key, backend["auth"] = token, Leaf("bearer", token.where)
    if key is not None:
        backend["api_key"] = key
    elif known.key == "OPENAI_API_KEY" and not own:
        params.note(
            "model", "has no `api_key`: LiteLLM sends OPENAI_API_KEY to that address; here nothing is sent"
        )
    elif known.key:
        backend["api_key"] = Leaf(references.to(known.key), where)


def _entra(params: Keys, backend: dict[str, Tree]) -> bool:
    """A client of Microsoft Entra, which asks for tokens in place of a key."""
    tenant, client, secret = (params.text(key) for key in ("tenant_id", "client_id", "client_secret"))
    if tenant is None or client is None or secret is None:
        return False
    references = params.source.references
    backend["client_id"] = Leaf(references.filled(str(client.value), "client_id"), client.where)
    backend["client_secret"] = Leaf(references.filled(str(secret.value), "client_secret"), secret.where)
    backend["token_url"] = Leaf(_ENTRA.format(tenant.value), tenant.where)
    backend["token_scope"] = params.text("azure_scope") or Leaf(_SCOPE, client.where)
    params.leave("api_key", "the client of Entra is used")
    return True


def _limits(params: Keys, shared: Shared, backend: dict[str, Tree]) -> None:
    retries = params.whole("max_retries") or params.whole("num_retries") or shared.retries
    if retries is not None:
        backend["max_retries"] = retries
        if isinstance(retries.value, int) and retries.value > _MOST_RETRIES:
            backend["max_retries"] = Leaf(_MOST_RETRIES, retries.where)
            params.source.draft.note(
                retries.where, f"{_MOST_RETRIES} repeats are the most there are here", *backend_place(params)
            )
    timeouts: dict[str, Tree] = {}
    total, first = params.number("timeout") or shared.total, params.number("stream_timeout") or shared.first
    if first is not None:
        timeouts["first_token"] = first
    if total is not None:
        timeouts["total"] = total
    backend["timeouts"] = timeouts
    at_once = params.whole("max_parallel_requests") or shared.at_once
    if at_once is not None:
        backend["max_concurrency"] = at_once
    backend |= shared.backend


def _headers(params: Keys, backend: dict[str, Tree]) -> None:
    found: dict[str, Tree] = {}
    for key in ("extra_headers", "default_headers", "headers"):
        headers = params.open(key, *backend_place(params))
        for name in list(headers):
            value = headers.text(name) if _TOKEN.fullmatch(name) else None
            if not _TOKEN.fullmatch(name):
                headers.leave(name, "it is not the name of a header")
            elif value is not None:
                found[name] = value
    backend["headers"] = found


def _abilities(info: Keys) -> dict[str, Tree]:
    window = info.whole("max_input_tokens", 1) or info.whole("max_tokens", 1)
    found: dict[str, Tree] = {} if window is None else {"context_window": window}
    for theirs, ours in _CAPABILITIES.items():
        truth = info.truth(theirs)
        if truth is not None:
            found[ours] = Leaf(truth, info.where(theirs))
    return found
