"""Where one entry of LiteLLM's `model_list` is asked.

Owns the provider row, the URL, and what Azure needs besides; also the name that such a backend has here. Does not own
credentials (litellm_deployment.py) nor what prefixes mean (litellm_providers.py).
"""

import re

from trunkline.config.importers.draft import Leaf, Tree, value_of
from trunkline.config.importers.litellm_providers import OPEN, Prefix
from trunkline.config.importers.source import Keys
from trunkline.net.url import parse_base_url
from trunkline.providers.registry import PROVIDERS

_VERSION = re.compile(r"/v\d+\w*(?=/|$)|/openai(?=/|$)", re.IGNORECASE)


def address_of(params: Keys, known: Prefix, url: Leaf | None, model: str) -> dict[str, Tree] | None:
    """The provider and address of a backend; None where neither says an address."""
    references, row = params.source.references, known.row
    if url is None and known.base and (known.base in references.environ or not (_own(row) or known.url)):
        url = Leaf(references.to(known.base), params.where("model"))
    if url is None and known.url:
        url = Leaf(known.url, params.where("model"))
    if url is not None and row == "openai" and _host(references.now(str(url.value))) != "api.openai.com":
        row = OPEN
    backend: dict[str, Tree] = {"provider": Leaf(row, params.where("model"))}
    if url is not None:
        text = references.address(str(url.value)) if _own(row) is None else str(url.value)
        backend["url"] = Leaf(_complete(text) if row == OPEN else text, url.where)
    elif _own(row) is None:
        return None
    version = params.text("api_version")
    if row == "azure" and version is None and "AZURE_API_VERSION" in references.environ:
        version = Leaf(references.to("AZURE_API_VERSION"), params.where("model"))
    if version is not None:
        backend["api_version"] = version
        if row == "azure":
            backend["api_version"] = Leaf(references.filled(str(version.value), "api_version"), version.where)
            backend["deployment_name"] = Leaf(model, params.where("model"))
    elif row == "azure":
        params.note("model", "is asked at the resource's /openai/v1, because there is no `api_version`")
    return backend


def name_for(backend: dict[str, Tree], model: str) -> str:
    """A name for the backend: its provider, and what sets it apart from others of that."""
    row, url = _text(backend, "provider"), _text(backend, "url")
    if "deployment_name" in backend:
        return f"{row}-{model}"
    host = _host(url) if url and "${" not in url else ""
    own = _own(row)
    return f"{row}-{host}" if host and (own is None or host != _host(own)) else row


def _text(backend: dict[str, Tree], key: str) -> str:
    return str(value_of(backend.get(key)) or "")


def _own(row: str) -> str | None:
    return PROVIDERS[row].base_url


def _host(url: str) -> str:
    try:
        return parse_base_url(url).host
    except ValueError:
        return ""


def _complete(url: str) -> str:
    """LiteLLM puts `/chat/completions` right behind the address; here /v1 comes between, if none is there."""
    place, mark, query = url.partition("?")
    place = place.rstrip("/")
    path = place.partition("://")[2].partition("/")[2]
    if "${" in url or not path or _VERSION.search(f"/{path}") or path.endswith("chat/completions"):
        return url
    return f"{place}/chat/completions{mark}{query}"
