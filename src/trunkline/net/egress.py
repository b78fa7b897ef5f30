"""The egress guard: which addresses the gateway may call.

Owns the verdict over one address, over a host that somebody else will resolve, and over a URL; all pure. Does not own
name resolution: net/connector.py judges every address that a name has and connects to a judged one, so there is no
second lookup in which the answer could change (DNS rebinding).

| what is called | named locally | named over HTTP | in `allow_networks` |
|---|---|---|---|
| public address | yes | yes | yes |
| private, loopback, link-local, carrier-grade NAT, ULA, documentation | yes | no | yes |
| NAT64 (64:ff9b::/96) | yes | no | yes |
| 0.0.0.0/8, ::, multicast, broadcast, 6to4, Teredo, ISATAP, unassigned IPv6 | no | no | yes |
| cloud metadata, in any spelling and wrapping | no | no | no |
| a port on which this process listens itself | no | no | no |

*Named locally* is what a file, the environment, the command line or a Python program says: whoever can write there can
call private addresses anyway. *Named over HTTP* is what came in by the admin API, stored settings or a request.
"""

import enum
from collections.abc import Callable, Iterable
from ipaddress import ip_network
from typing import Annotated

import msgspec
from msgspec import Meta

from trunkline.errors import ConfigError
from trunkline.net.networks import (
    Address,
    Network,
    Reach,
    any_literal,
    is_localhost,
    is_metadata_name,
    literal,
    reach,
)
from trunkline.net.url import parse_base_url

Listening = tuple[str, int]
"""Where this process listens: IP address (0.0.0.0 and :: for all) and port."""


class EgressSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which addresses may be called beyond the usual."""

    allow_networks: Annotated[
        list[str],
        Meta(
            description="Networks (10.0.0.0/8) and addresses that may be called even if they are private and the "
            "backend was named over HTTP. Cloud metadata addresses are refused all the same."
        ),
    ] = []


class Named(enum.Enum):
    """Who named an address."""

    LOCALLY = "locally"
    OVER_HTTP = "over HTTP"


class Rules(msgspec.Struct, frozen=True):
    """What a verdict depends on."""

    named: Named = Named.LOCALLY
    networks: tuple[Network, ...] = ()


LOOPBACK = "127.0.0.1"
LOCAL = Rules()
"""For what is named locally, without further networks."""


def rules_of(settings: EgressSettings, named: Named) -> Rules:
    """Make the rules from the settings.

    Raises:
        ConfigError: something in `allow_networks` is not a network.

    """
    networks: list[Network] = []
    for text in settings.allow_networks:
        try:
            networks.append(ip_network(text.strip(), strict=False))
        except ValueError:
            raise ConfigError(
                f"egress.allow_networks: {text!r} is not a network; write it like 10.0.0.0/8, fd00::/8 or 10.1.2.3"
            ) from None
    return Rules(named, tuple(networks))


def verdict(ip: str | Address, rules: Rules) -> str:
    """Why an address must not be called; nothing if it may be."""
    address = literal(str(ip))
    if address is None:
        return f"{ip} is not an IP address"
    found = reach(address)
    if found is Reach.METADATA:
        return f"{ip} is a cloud metadata address; those are never called"
    if found is Reach.PUBLIC or any(address in network for network in rules.networks):
        return ""
    if found is Reach.UNUSABLE:
        instead = "; write 127.0.0.1 or ::1 for this machine" if int(address) == 0 else ""
        return f"{ip} is not the address of a server{instead}"
    if rules.named is Named.LOCALLY:
        return ""
    return (
        f"{ip} is not a public address, and it was named over HTTP; "
        "to permit it, list its network in `egress.allow_networks`"
    )


def host_verdict(host: str, rules: Rules) -> str:
    """Why a host must not be called, as far as can be said without name resolution; nothing if it may be.

    It is the whole verdict where somebody else resolves the name: an HTTP proxy. `host` as in BaseUrl.
    """
    if is_metadata_name(host):
        return f"{host} is a cloud metadata service; those are never called"
    address = any_literal(LOOPBACK if is_localhost(host) else host)
    return "" if address is None else verdict(address, rules)


def url_verdict(url: object, rules: Rules) -> str:
    """As `host_verdict` for the host of a URL, and what is wrong with the URL itself; never raises.

    The host is found by the parser that the connections use: two parsers could find two hosts.
    """
    if not isinstance(url, str):
        return "a URL must be text"
    try:
        base = parse_base_url(url)
    except ValueError as error:
        return str(error)
    return host_verdict(base.host, rules)


def is_own(
    ip: str, port: int, listening: Iterable[Listening], is_of_this_machine: Callable[[str], bool]
) -> bool:
    """Whether a connection there would come back to this process.

    `is_of_this_machine` is asked only where one of our ports is on all addresses.
    """
    address = literal(ip)
    for own_ip, own_port in listening:
        own = literal(own_ip)
        if own_port != port or own is None:
            continue
        if own == address or (int(own) == 0 and is_of_this_machine(ip)):
            return True
    return False
