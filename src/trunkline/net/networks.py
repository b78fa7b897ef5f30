"""Which networks there are: what an IP address says about who can be behind it.

Owns the table of special networks, the addresses of cloud metadata services, every spelling of an IPv4 address, and
the IPv4 addresses inside IPv6 ones. Does not own what may be called (net/egress.py).

The table is our own because `ipaddress.is_private` and its siblings changed their answers within Python 3.11, 3.12
and 3.13 (mapped, 6to4, 192.0.0.0/24); `ipaddress` is used for reading and for membership only. Rows are those of the
IANA special-purpose registries (RFC 6890), first match wins, an IPv4-mapped address counts as the IPv4 one.
"""

import enum
import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class Reach(enum.Enum):
    """Who can be behind an address."""

    PUBLIC = "public"
    PRIVATE = "private"
    TRANSLATED = "translated"  # an IPv4 host behind a NAT64 gateway
    UNUSABLE = "unusable"  # no host of its own: unspecified, multicast, transition mechanisms, unassigned
    METADATA = "metadata"


# Network, what it is, and whether an upstream there is a near one, which usually speaks plain HTTP (is_private_host).
_ROWS: tuple[tuple[str, Reach, bool], ...] = (
    ("0.0.0.0/8", Reach.UNUSABLE, True),
    ("10.0.0.0/8", Reach.PRIVATE, True),
    ("100.64.0.0/10", Reach.PRIVATE, False),  # carrier-grade NAT; also Tailscale and Podman
    ("127.0.0.0/8", Reach.PRIVATE, True),
    ("169.254.0.0/16", Reach.PRIVATE, True),
    ("172.16.0.0/12", Reach.PRIVATE, True),
    ("192.0.0.9/32", Reach.PRIVATE, False),  # anycast of PCP and TURN
    ("192.0.0.10/32", Reach.PRIVATE, False),
    ("192.0.0.0/24", Reach.PRIVATE, True),
    ("192.0.2.0/24", Reach.PRIVATE, True),  # documentation, like the next ones but for 198.18
    ("198.51.100.0/24", Reach.PRIVATE, True),
    ("203.0.113.0/24", Reach.PRIVATE, True),
    ("192.88.99.0/24", Reach.UNUSABLE, False),  # 6to4 relays
    ("192.168.0.0/16", Reach.PRIVATE, True),
    ("198.18.0.0/15", Reach.PRIVATE, True),
    ("224.0.0.0/4", Reach.UNUSABLE, False),
    ("255.255.255.255/32", Reach.UNUSABLE, True),  # broadcast
    ("240.0.0.0/4", Reach.PRIVATE, True),
    ("0.0.0.0/0", Reach.PUBLIC, False),
    ("::/128", Reach.UNUSABLE, True),
    ("::1/128", Reach.PRIVATE, True),
    ("::/96", Reach.UNUSABLE, False),  # IPv4-compatible
    ("::ffff:0:0:0/96", Reach.UNUSABLE, False),  # IPv4-translated
    ("64:ff9b::/96", Reach.TRANSLATED, False),
    ("64:ff9b:1::/48", Reach.UNUSABLE, True),  # local-use NAT64: where the IPv4 address stands is not known
    ("100::/64", Reach.UNUSABLE, True),
    ("2001:1::1/128", Reach.UNUSABLE, False),
    ("2001:1::2/128", Reach.UNUSABLE, False),
    ("2001:3::/32", Reach.UNUSABLE, False),
    ("2001:4:112::/48", Reach.UNUSABLE, False),
    ("2001:20::/28", Reach.UNUSABLE, False),
    ("2001:30::/28", Reach.UNUSABLE, False),
    ("2001::/23", Reach.UNUSABLE, True),  # Teredo and other protocols
    ("2001:db8::/32", Reach.PRIVATE, True),
    ("2002::/16", Reach.UNUSABLE, True),  # 6to4
    ("3fff::/20", Reach.PRIVATE, True),
    ("2000::/3", Reach.PUBLIC, False),
    ("fc00::/7", Reach.PRIVATE, True),
    ("fe80::/10", Reach.PRIVATE, True),
    ("fec0::/10", Reach.PRIVATE, True),
    ("::/0", Reach.UNUSABLE, False),  # multicast, and what nobody has been given
)
_TABLE = tuple((ip_network(network), reach, near) for network, reach, near in _ROWS)

# Where a machine in a cloud asks for its own credentials. 169.254.169.254 is nearly everyone's.
_METADATA: frozenset[Address] = frozenset(
    ip_address(text)
    for text in (
        "169.254.169.254",
        "169.254.170.2",  # AWS ECS
        "169.254.170.23",  # AWS EKS
        "169.254.169.250",  # Rancher
        "169.254.0.23",  # Tencent
        "169.254.42.42",  # Scaleway
        "100.100.100.200",  # Alibaba
        "100.96.0.96",  # Volcengine
        "168.63.129.16",  # Azure
        "192.0.0.192",  # Oracle
        "fd00:ec2::254",  # AWS
        "fd00:ec2::23",
        "fd20:ce::254",  # Google
        "fd00:42::42",  # Scaleway
    )
)
_METADATA_NAMES = frozenset(
    (
        "metadata",
        "metadata.google.internal",
        "metadata.goog",
        "metadata.tencentyun.com",
        "metadata.packet.net",
        "metadata.platformequinix.com",
        "api.metadata.cloud.ibm.com",
        "instance-data",
        "instance-data.ec2.internal",
        "rancher-metadata",
    )
)

_MAX_HOST = 253  # RFC 1035 2.3.4
_IPV4_PART = re.compile(r"0[xX][0-9a-fA-F]*|0[0-7]*|[1-9][0-9]*")
# RFC 6052 2.2: the octets of the IPv4 address by prefix length 32, 40, 48, 56, 64, 96; then 6to4's and Teredo's server.
_EMBEDDINGS = (
    (4, 5, 6, 7),
    (5, 6, 7, 9),
    (6, 7, 9, 10),
    (7, 9, 10, 11),
    (9, 10, 11, 12),
    (12, 13, 14, 15),
    (2, 3, 4, 5),
)
_ISATAP = (bytes.fromhex("00005efe"), bytes.fromhex("02005efe"))  # RFC 5214 6.1


def literal(host: str) -> Address | None:
    """Read an IP address in its proper form, with or without brackets and zone; a mapped one as IPv4."""
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if ":" in host:
        host = host.partition("%")[0]
    try:
        return unmapped(ip_address(host))
    except ValueError:
        return None


def any_literal(host: str) -> Address | None:
    """Read an IP address in any form that name resolution takes for one: also 2130706433, 0x7f.1, 0177.0.0.1, 127.1."""
    host = host.rstrip(".")
    found = literal(host)
    if found is not None or len(host) > _MAX_HOST:
        return found
    parts = host.split(".")
    if len(parts) > 4 or not all(_IPV4_PART.fullmatch(part) for part in parts):
        return None
    *heads, last = [_number(part) for part in parts]
    if any(head > 255 for head in heads) or last >= 1 << 8 * (4 - len(heads)):
        return None
    return IPv4Address(sum(head << 8 * (3 - place) for place, head in enumerate(heads)) + last)


def unmapped(address: Address) -> Address:
    """Give the IPv4 address of an IPv4-mapped one, anything else as it is."""
    if isinstance(address, IPv6Address) and int(address) >> 32 == 0xFFFF:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def inner_ipv4(address: IPv6Address) -> set[IPv4Address]:
    """Give every IPv4 address that some mechanism could find inside an IPv6 one; most are chance."""
    octets = address.packed
    found = {IPv4Address(bytes(octets[place] for place in places)) for places in _EMBEDDINGS}
    # RFC 4380 4: Teredo has the client's address with its bits inverted.
    found.add(IPv4Address(bytes(255 - octet for octet in octets[12:])))
    return found


def reach(address: Address) -> Reach:
    """Say who can be behind an address. A metadata address is one in every spelling and wrapping."""
    address = unmapped(address)
    if address in _METADATA:
        return Reach.METADATA
    if isinstance(address, IPv6Address):
        # Under any prefix: NAT64 gateways may have one of their own, and OpenStack and Oracle use
        # fe80::a9fe:a9fe and fd00:c1::a9fe:a9fe. An ordinary address meets one of them once in 30 million.
        if inner_ipv4(address) & _METADATA:
            return Reach.METADATA
        if address.packed[8:12] in _ISATAP:
            return Reach.UNUSABLE
    return _row(address)[1]


def is_metadata_name(host: str) -> bool:
    """Whether a host name is that of a cloud metadata service."""
    return host.rstrip(".").lower() in _METADATA_NAMES


def is_localhost(host: str) -> bool:
    """Whether a name is that of this machine (RFC 6761 6.3)."""
    name = host.lower().removesuffix(".")
    return name == "localhost" or name.endswith(".localhost")


def is_private_host(host: object) -> bool:
    """Whether a host is on this machine or its own networks, by its name or address alone; never raises.

    Names are those of RFC 6761 and 6762: `localhost` and below, below `.local`. There is no DNS lookup, and an
    address must be in its proper form, but for a dot at its end. What is no text is no host.
    """
    if not isinstance(host, str):
        return False
    name = host.removesuffix(".")
    if is_localhost(host) or name.lower().endswith(".local"):
        return True
    address = literal(name)
    return address is not None and _row(address)[2]


def _row(address: Address) -> tuple[Network, Reach, bool]:
    return next(row for row in _TABLE if address in row[0])


def _number(text: str) -> int:
    if text[:2] in ("0x", "0X"):
        return int(text[2:] or "0", 16)
    return int(text, 8) if text.startswith("0") else int(text)
