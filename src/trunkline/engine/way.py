"""The way to a backend: its connectors, with the TLS, proxy and egress settings that hold for all it needs.

Owns making connectors from settings, for the backend itself and for its identity provider. Does not own what travels
on them (upstream.py, token_sender.py) nor how a connection is made (net/connector.py).
"""

import os
from collections.abc import Callable, Hashable, Iterable, Mapping

import msgspec

from trunkline.errors import ConfigError
from trunkline.net.connector import Connector
from trunkline.net.dns import Resolver
from trunkline.net.egress import EgressSettings, Listening, Named, Rules, rules_of
from trunkline.net.proxy import choose_proxy
from trunkline.net.tls import client_context, proxy_context
from trunkline.net.url import BaseUrl
from trunkline.routing.backend import BackendSettings


class Ground(msgspec.Struct, kw_only=True):
    """What all connections of one event loop stand on. `listening`: where this process listens itself."""

    resolver: Resolver
    egress: Rules
    listening: Callable[[], Iterable[Listening]]
    environ: Mapping[str, str]


def ground(settings: EgressSettings, listening: Callable[[], Iterable[Listening]]) -> Ground:
    """The ground under backends that files, environment or command line name; raises ConfigError."""
    rules = rules_of(settings, Named.LOCALLY)
    return Ground(resolver=Resolver(), egress=rules, listening=listening, environ=os.environ)


def connector(settings: BackendSettings, base: BaseUrl, on: Ground) -> Connector:
    """A connector to `base`, in the way that a backend's settings say.

    Raises:
        ConfigError: a file or the proxy's URL is not what it should be; names the setting.

    """
    try:
        proxy = choose_proxy(base, settings.proxy, on.environ)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return Connector(
        base,
        client_context(settings) if base.scheme == "https" else None,
        on.resolver,
        settings.timeouts.connect,
        egress=on.egress,
        proxy=proxy,
        proxy_context=proxy_context(settings) if proxy is not None and proxy.scheme == "https" else None,
        listening=on.listening,
    )


def way_of(settings: BackendSettings) -> Hashable:
    """What the ways of two backends to one address may differ in."""
    return (
        settings.ssl_verify,
        settings.ca_bundle_path,
        settings.client_cert_path,
        settings.client_key_path,
        settings.proxy,
    )
