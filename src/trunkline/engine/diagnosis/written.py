"""What can be said about a backend before anything is called: its settings, its key, its URL.

Owns the first two steps. Does not own the loading of settings, which has refused what cannot work (config/).
"""

import re
from urllib.parse import urlsplit

from trunkline.config.addresses import is_near
from trunkline.engine.diagnosis.case import Case
from trunkline.engine.diagnosis.finding import Finding, fail, ok, warn
from trunkline.engine.upstream import Upstream
from trunkline.errors import ConfigError
from trunkline.net.proxy import choose_proxy
from trunkline.providers.base import key_doubt

# What people paste as a base URL: the address of one operation, which the gateway appends itself.
_OPERATION = re.compile(r"/(models|completions|embeddings|responses|messages|generate|chat)/?$")
# What stands in examples where everybody has something of their own.
_PLACEHOLDER = re.compile(
    r"<[^>]*>|\{[^}]*\}|\b(?:your|my)[-_]|[-_]here\b|\b(?:RESOURCE|HOST|ENDPOINT_ID|ENDPOINT_NAME)\b|\.\.\."
)
_PLACEHOLDER_HOST = re.compile(
    r"^(?:resource|your-?resource|example|host)\.|(?:^|\.)example(?:\.com|\.org)?$"
)


async def configuration(case: Case) -> Finding:
    """Its files are there, its key looks like one."""
    settings, around = case.settings, case.around
    try:
        case.upstream = Upstream(settings, around.clock, around.ground, around.tokens)
        case.proxy = choose_proxy(case.base, settings.proxy, around.environ)
    except (ConfigError, ValueError) as error:
        return fail(str(error), "correct this setting of the backend")
    if settings.api_key and not case.upstream.oauth:
        doubt = key_doubt(case.row, settings.api_key)
        if not doubt and _PLACEHOLDER.search(settings.api_key):
            doubt = "looks like an example's placeholder"
        if doubt:
            return warn(
                f"the key {doubt}", f"check {key_source(case)}: write the bare key, as its page shows it"
            )
    if not settings.ssl_verify and case.base.scheme == "https":
        return warn(
            "`ssl_verify` is off: anyone on the way can read and change the traffic",
            "set `ca_bundle_path` to the server's CA instead",
        )
    return ok(_credential_in_words(case))


async def url(case: Case) -> Finding:
    """It is a base URL, and not one of an operation or a placeholder; a key does not travel in the open."""
    written = urlsplit(case.settings.url)
    if _PLACEHOLDER.search(case.settings.url) or _PLACEHOLDER_HOST.search(case.base.host):
        return warn(
            f"{case.place} looks like an example's placeholder", "write the address of your own server"
        )
    operation = _OPERATION.search(written.path)
    if operation is not None and not written.path.rstrip("/").endswith("/chat/completions"):
        return warn(
            f"the path ends with `/{operation[1]}`, which is one operation of an API",
            f"end `url` before `/{operation[1]}`: the gateway appends the operation itself",
        )
    if case.base.scheme == "http" and case.has_own_credential and not is_near(case.base.host):
        return warn(
            f"{case.place}: the credential travels unencrypted over public networks",
            "write https:// if the server has it",
        )
    return ok(case.place)


def key_source(case: Case) -> str:
    """Where its key comes from, as far as that can be told."""
    variables = case.row.key_variables
    for name in variables:
        if case.settings.api_key and case.around.environ.get(name, "").strip() == case.settings.api_key:
            return f"`{name}` or `api_key`"
    return "`api_key`"


def _credential_in_words(case: Case) -> str:
    settings = case.settings
    if case.upstream.oauth is not None:
        return "OAuth2 client credentials"
    if settings.forward_authorization:
        return "pass-through: every client's own credential goes on"
    if settings.api_key:
        return f"a key of {len(settings.api_key)} characters"
    return "a credential in `headers`" if case.has_own_credential else "no key"
