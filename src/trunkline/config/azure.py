"""Azure OpenAI among the backends: which ones are it, and what their URL means.

Owns the detection (DESIGN section 4), the checks of `deployment_name` and `api_version`, and the spelling of an Azure
URL that net/url.py can work with. Does not own the URLs of requests: those are made by `net.url.azure_at`.

    deployment_name  api_version   where calls go
    yes              yes           {url}/openai/deployments/{deployment_name}/...?api-version={api_version}
    no               yes           the usual place, with ?api-version={api_version}
    yes              no            the usual place; the deployment is ignored, with a warning
    no               no            the usual place

The usual place on one of Azure's own hosts is /openai/v1, elsewhere /v1.
"""

import re
from collections.abc import Callable
from typing import Any

from trunkline.net.url import parse_base_url
from trunkline.providers.registry import PROVIDERS

AZURE = PROVIDERS["azure"]
# Names under which people configure it: `type: openai` is the documented one.
GENERIC = ("openai", "openai_compat")
# `custom` takes them as they are: it stands for proxies of which nothing is known.
_TAKES_DEPLOYMENT = (*GENERIC, "azure", "custom")
_RESOURCE = re.compile(r"(?:/openai)?")

Say = Callable[[str, str], None]


def is_azure(provider: str, url: str | None, values: dict[str, Any]) -> bool:
    """Whether a backend of a generic provider is Azure by its host, or by its deployment. `url`: a good one."""
    if provider not in GENERIC:
        return False
    by_deployment = bool(values.get("deployment_name") and values.get("api_version"))
    return by_deployment or (url is not None and AZURE.owns(parse_base_url(url).host))


def check_deployment(provider: str, values: dict[str, Any], error: Say, warn: Say) -> None:
    """Report a deployment at a provider that has none, or without the version that it needs."""
    if not values.get("deployment_name"):
        return
    if provider not in _TAKES_DEPLOYMENT:
        error("deployment_name", f"is for provider `azure`, not `{provider}`")
    elif not values.get("api_version"):
        warn("deployment_name", "has no effect without `api_version`")


def settle_url(url: str, values: dict[str, Any]) -> str:
    """The URL of an Azure backend; a bare resource that is not asked by deployment is asked at its /openai/v1."""
    base = parse_base_url(url)
    by_deployment = values.get("deployment_name") and values.get("api_version")
    if by_deployment or not AZURE.owns(base.host) or not _RESOURCE.fullmatch(base.raw_path):
        return url
    place, mark, query = url.partition("?")
    return f"{place.rstrip('/').removesuffix('/openai')}/openai/v1{mark}{query}"
