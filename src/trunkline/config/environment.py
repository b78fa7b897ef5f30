"""Settings from the environment: overrides of a file, and a start without one.

Owns the variable names. `TRUNKLINE__SERVER__PORT=9000` sets server.port (lists by index: `..__BACKENDS__0__URL`);
an empty variable counts as unset. Values are taken as they are: a `${...}` inside one is text.
"""

from collections.abc import Mapping as Environ

import msgspec

from trunkline.config.tree import Entry, Mapping, Node, Scalar, Sequence
from trunkline.providers.registry import PROVIDERS

PREFIX = "TRUNKLINE__"
OWN_KEY = "TRUNKLINE_API_KEY"
TARGET = "TARGET_BASE_URL"
_TIMEOUT = "API_REQUEST_TIMEOUT"
_DEFAULT_TARGET = "https://api.openai.com/v1/"
# How long the proxies that are configured this way have waited for an answer.
_DEFAULT_TIMEOUT = "3000"
_WITHOUT_EFFECT = ("DEBUG",)


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """What a start without a file begins with, in the shape of a file."""

    root: Mapping
    passthrough: bool
    source: str
    warnings: list[str]


def overrides(environ: Environ[str, str]) -> list[tuple[list[str], Scalar]]:
    """Paths and values that beat the file, in the order of their names."""
    return [
        (name[len(PREFIX) :].lower().split("__"), Scalar(text=environ[name], where=name, literal=True))
        for name in sorted(environ)
        if name.startswith(PREFIX) and environ[name]
    ]


def start(environ: Environ[str, str]) -> Start:
    """TARGET_BASE_URL if set, else one backend per provider whose key is set, else OpenAI as the target.

    A provider without a URL of its own needs a file, and a token that is set for other reasons too (HF_TOKEN
    fetches models) is no sign that calls should go there.
    """
    warnings = [f"{name}: has no effect yet" for name in _WITHOUT_EFFECT if environ.get(name)]
    found = [(name, _key_variable(name, environ)) for name in PROVIDERS]
    providers = [(name, variable) for name, variable in found if variable]
    if environ.get(TARGET) or not providers:
        source = f"environment ({TARGET})" if environ.get(TARGET) else "environment (defaults)"
        return Start(root=_root([_target(environ)]), passthrough=True, source=source, warnings=warnings)
    stanzas = [
        _mapping(variable, provider=_text(name, variable), priority=_text(str(place), variable))
        for place, (name, variable) in enumerate(providers, 1)
    ]
    source = f"environment ({', '.join(variable for _, variable in providers)})"
    return Start(root=_root(stanzas), passthrough=False, source=source, warnings=warnings)


def _target(environ: Environ[str, str]) -> Mapping:
    total = _text(environ.get(_TIMEOUT) or _DEFAULT_TIMEOUT, _TIMEOUT)
    return _mapping(
        TARGET,
        name=_text("target", TARGET),
        provider=_text("custom", TARGET),
        url=_text(environ.get(TARGET) or _DEFAULT_TARGET, TARGET),
        forward_authorization=_text("true", TARGET),
        timeouts=_mapping(_TIMEOUT, total=total),
        # Each call is paid by the client, who knows what it repeats.
        max_retries=_text("0", TARGET),
        on_cut=_text("error", TARGET),
        # So did the proxies that are configured this way.
        think=_text("strip", TARGET),
    )


def _key_variable(provider: str, environ: Environ[str, str]) -> str:
    row = PROVIDERS[provider]
    names = row.key_variables if row.base_url is not None else ()
    return next((name for name in names if name.endswith("_API_KEY") and environ.get(name)), "")


def _root(stanzas: list[Mapping]) -> Mapping:
    where = stanzas[0].where
    return _mapping(where, backends=Sequence(items=list[Node](stanzas), where=where))


def _mapping(where: str, **nodes: Node) -> Mapping:
    return Mapping(items={key: Entry(where=where, node=node) for key, node in nodes.items()}, where=where)


def _text(text: str, where: str) -> Scalar:
    return Scalar(text=text, where=where, literal=True)
