"""How one backend is let in: its key, where that comes from, or its OAuth2 client.

Owns the rule where a key of the environment may go (the hosts of its own provider row, never elsewhere), and the
checks of keys, styles and OAuth2 settings, which need each other. Does not own header lines nor tokens (credentials/).
"""

import re
from collections.abc import Callable, Sequence
from collections.abc import Mapping as Environ
from typing import Any

from trunkline.config.addresses import check_url
from trunkline.providers.base import Profile

_OAUTH = ("client_id", "client_secret", "token_url")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_STYLES = ("bearer", "api-key", "none")
# What examples write for a value that is everybody's own; a copied one can be checked before it is filled in.
_ELIDED = "..."

Say = Callable[[str, str], None]


def uses_oauth(values: dict[str, Any]) -> bool:
    """Whether a backend asks an identity provider for tokens."""
    return all(values.get(name) for name in _OAUTH)


def check_oauth(values: dict[str, Any], error: Say, warn: Say) -> None:
    """Report OAuth2 settings that are not complete, and what they exclude."""
    if not any(values.get(name) for name in (*_OAUTH, "token_scope")):
        return
    missing = [name for name in _OAUTH if not values.get(name)]
    if missing:
        there = next(name for name in (*_OAUTH, "token_scope") if values.get(name))
        error(there, f"is one of OAuth2's settings, which work together: {_listed(missing)} missing")
        return
    if values["token_url"] == _ELIDED:
        warn("token_url", "is a placeholder: no token can be had")
    elif isinstance(values["token_url"], str) and (problem := check_url(values["token_url"])):
        error("token_url", problem)
    if values.get("forward_authorization") is True:
        error("client_id", "and forward_authorization exclude each other: one credential goes upstream")
    if values.get("auth") is not None:
        error("auth", "is for keys; an OAuth2 token goes as the identity provider says")
    if values.get("api_key"):
        warn("api_key", "has no effect, because OAuth2 is set up")


def check_style(values: dict[str, Any], own_headers: frozenset[str], error: Say, warn: Say) -> None:
    """Report a style of sending keys that is none; `own_headers` are those that the gateway writes itself."""
    style = values.get("auth")
    if not isinstance(style, str) or style in _STYLES:
        if style == "none" and values.get("api_key"):
            warn("api_key", "has no effect, because `auth` is `none`")
    elif style.lower() in (*_STYLES, "basic"):
        error("auth", "must be `bearer`, `api-key`, `none` or the name of a header for the bare key")
    elif not _TOKEN.fullmatch(style):
        error("auth", "is neither `bearer`, `api-key`, `none` nor the name of a header")
    elif style.lower() in own_headers:
        error("auth", f"`{style}` is written by the gateway itself")


def take_key(
    values: dict[str, Any], row: Profile, environ: Environ[str, str], warn: Say, named: Sequence[str] = ()
) -> None:
    """Give a backend at its provider's own host the key of the environment, if it has none.

    `named`: variables that its `api_key` refers to, which have been looked for.
    """
    if values.get("api_key") or values.get("forward_authorization") or not row.key_variables:
        return
    if values.get("auth") == "none" or uses_oauth(values):
        return
    keys = (environ.get(name, "").strip() for name in row.key_variables)
    values["api_key"] = next((key for key in keys if key), "")
    if not values["api_key"]:
        fix = " and ".join(named) if named else f"{row.key_variables[0]}, or `api_key`"
        warn("api_key", f"is missing: set {fix}")


def _listed(names: list[str]) -> str:
    quoted = [f"`{name}`" for name in names]
    return f"{quoted[0]} is" if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]} are"
