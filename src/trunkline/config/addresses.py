"""Which addresses are acceptable: of upstreams, and of our own listeners.

Owns the check of a backend's URL and the open-listen rule (DESIGN section 4). Does not resolve names and does not
judge upstream addresses: that is done when they are called (net/egress.py).
"""

import re

from trunkline.config.model import Settings
from trunkline.errors import ConfigError
from trunkline.net.networks import is_localhost, is_private_host, literal
from trunkline.net.url import parse_base_url
from trunkline.routing.backend import BackendSettings

_SCHEME = re.compile(r"https?://", re.IGNORECASE)
_SCHEMELESS = re.compile(r"(?:https?:)?/*(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?=[:/]|$)")


def with_scheme(url: str) -> str:
    """A URL without its scheme, with it: http where the host is near. "" if it lacks none."""
    match = _SCHEMELESS.match(url)
    if match is None or _SCHEME.match(url) or "://" in url or "@" in url:
        return ""
    return f"{'http' if is_near(match[1].strip('[]')) else 'https'}://{url[match.start(1) :]}"


def check_url(url: str) -> str:
    """What is wrong with a backend's URL, with the fix; nothing if it is fine. Never shows a user or password."""
    if not _SCHEME.match(url):
        completed = with_scheme(url)
        if not completed:
            return "must start with http:// or https://"
        return f"has no scheme; write {re.split('[?#]', completed)[0]}"
    try:
        parse_base_url(url)
    except ValueError as error:
        return f"is not usable: {error}"
    return ""


def same_server(one: str, other: str) -> bool:
    """Whether two good URLs lead to the same scheme, host and port."""
    first, second = parse_base_url(one), parse_base_url(other)
    return (first.scheme, first.address) == (second.scheme, second.address)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a listener on that host."""
    address = literal(host)
    return address.is_loopback if address is not None else is_localhost(host)


def may_listen(settings: Settings, insecure_open: bool, port: int = 0) -> str | None:
    """The line to print when a gateway without keys starts; None where there are keys. `port`: the one it got.

    Raises ConfigError if anyone on the network could use the upstream credentials and nobody said so.
    """
    if settings.keys:
        return None
    server = settings.server
    port = port or server.port
    place = f"{server.host}:{port}" if port else f"a free port of {server.host}"
    if is_loopback(server.host):
        return f"open: no keys are configured, every program on this machine may use {place}"
    if settings.backends and all(_is_pass_through(backend) for backend in settings.backends):
        return f"pass-through: anyone who reaches {place} is forwarded with a credential of their own"
    if insecure_open:
        return f"OPEN TO THE NETWORK: anyone who reaches {place} may use all backends (--insecure-open)"
    raise ConfigError(
        f"server.host: {server.host} is not loopback and there are no keys: anyone who reaches it could use the "
        "backends; add `keys:` or TRUNKLINE_API_KEY, listen on 127.0.0.1, or say --insecure-open"
    )


def _is_pass_through(backend: BackendSettings) -> bool:
    """Whether it holds nothing that could be a credential of ours."""
    return (
        backend.forward_authorization
        and not backend.api_key
        and not backend.headers
        and backend.client_cert_path is None
    )


def is_near(host: str) -> bool:
    """Whether a name looks like one of the own network, where https is rare."""
    if is_private_host(host):
        return True
    return literal(host) is None and ("." not in host or host.lower().endswith((".internal", ".lan")))
