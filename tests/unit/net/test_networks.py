from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.net.networks import (
    Reach,
    any_literal,
    inner_ipv4,
    is_localhost,
    is_metadata_name,
    is_private_host,
    literal,
    reach,
    unmapped,
)

NEAR = [
    "localhost",
    "LocalHost",
    "localhost.",
    "app.localhost",
    "127.0.0.1",
    "127.255.255.255",
    "127.100.50.25",
    "[::1]",
    "::1",
    "0.0.0.0",
    "10.0.0.1",
    "10.255.255.255",
    "10.100.50.25",
    "172.16.0.1",
    "172.31.255.255",
    "172.20.10.5",
    "192.168.0.1",
    "192.168.255.255",
    "169.254.1.1",
    "169.254.255.255",
    "fc00::1",
    "fd00::1",
    "fe80::1",
    "[fc00::1]",
    "[fd00::1]",
    "[fe80::1]",
    "fe80::1%eth0",
    "mydevice.local",
    "printer.local",
    "printer.LOCAL",
    "Printer.Local",
    "printer.local.",
    "::ffff:10.0.0.1",
    "::ffff:172.16.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.1.1",
    "[::ffff:10.0.0.1]",
    "::FFFF:10.0.0.1",
    "::ffff:0a00:0001",
    "192.0.2.1",
    "198.51.100.1",
    "203.0.113.1",
    "2001:db8::1",
    "198.18.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "2002:0a00:0001::1",
    "2001::1",
    "::",
]
FAR = [
    "8.8.8.8",
    "1.1.1.1",
    "93.184.216.34",
    "104.26.10.222",
    "142.250.190.46",
    "151.101.1.140",
    "172.15.0.1",
    "172.15.255.255",
    "172.32.0.0",
    "172.32.0.1",
    "11.0.0.1",
    "192.167.1.1",
    "2001:4860:4860::8888",
    "2606:4700:4700::1111",
    "2607:f8b0::1",
    "example.com",
    "api.openai.com",
    "google.com",
    "somehost",
    "internal.corp",
    "server.internal",
    "localnet.com",
    "notlocalhost",
    "",
    ".",
    "[",
    "[]",
    "not.an.ip.address",
    "256.256.256.256",
    "192.168.1",
    "0x7f.0.0.1",
    "2130706433",
    "127.0.0.1:80",
    "\u0661\u0662\u0667.0.0.1",
    "\ud800",
    "::ffff:8.8.8.8",
    "::ffff:1.1.1.1",
    "[::ffff:8.8.8.8]",
    "::ffff:0808:0808",
    "::ffff:224.0.0.1",
    "100.64.0.1",
    "100.127.255.255",
    "224.0.0.1",
    "224.0.0.251",
    "239.255.255.250",
    "232.0.0.1",
    "ff02::1",
    "ff02::fb",
    "ff05::1",
    "::10.0.0.1",
    "::8.8.8.8",
    "64:ff9b::8.8.8.8",
    "64:ff9b::169.254.169.254",
]


@pytest.mark.parametrize(("host", "private"), [(h, True) for h in NEAR] + [(h, False) for h in FAR])
def test_private_hosts(host: str, private: bool) -> None:
    assert is_private_host(host) is private
    if host and not host.endswith(("]", ".")):
        assert is_private_host(f"{host}.") is private


@pytest.mark.parametrize("host", [None, 5, b"localhost", ["localhost"]])
def test_what_is_no_text_is_no_private_host(host: object) -> None:
    assert is_private_host(host) is False


@given(st.text())
def test_a_host_of_any_text_has_an_answer(host: str) -> None:
    assert is_private_host(host) in (True, False)
    assert any_literal(host) is None or literal(str(any_literal(host))) is not None


METADATA_V4 = IPv4Address("169.254.169.254")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("0X7F.1", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("0000177.00.0x0.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("127.0.1", "127.0.0.1"),
        ("127.65534", "127.0.255.254"),
        ("0", "0.0.0.0"),
        ("0x", "0.0.0.0"),
        ("4294967295", "255.255.255.255"),
        ("2852039166", "169.254.169.254"),
        ("0xa9.0376.0xa9fe", "169.254.169.254"),
        ("[::1]", "::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("4294967296", None),
        ("256.1", None),
        ("1.2.3.256", None),
        ("1.2.65536", None),
        ("1.2.3.4.5", None),
        ("1..2", None),
        ("08.1.1.1", None),
        ("0xg.1", None),
        ("1e3", None),
        ("-1", None),
        ("", None),
        ("...", None),
        ("\u0661.0.0.1", None),
        ("10.0.0.1%eth0", None),
        ("1" * 300, None),
        ("h.example", None),
    ],
)
def test_addresses_in_every_spelling(text: str, address: str | None) -> None:
    assert any_literal(text) == (None if address is None else ip_address(address))


@given(st.ip_addresses(v=4), st.lists(st.sampled_from(["{:d}", "0x{:x}", "0{:o}", "0X00{:X}"]), min_size=4))
def test_every_spelling_of_an_ipv4_address_is_that_address(address: IPv4Address, forms: list[str]) -> None:
    octets = address.packed
    for count in range(1, 5):
        parts = [*octets[: count - 1], int.from_bytes(octets[count - 1 :], "big")]
        text = ".".join(form.format(part) for form, part in zip(forms, parts, strict=False))
        assert any_literal(text) == address


def wrapped(ipv4: IPv4Address) -> list[IPv6Address]:
    """An IPv4 address in everything that carries one."""
    low, inverted = int(ipv4), int(ipv4) ^ 0xFFFF_FFFF
    high = f"{low >> 16:x}"
    short = f"{low & 0xFFFF:x}"
    return [
        IPv6Address(low),  # compatible
        IPv6Address(0xFFFF << 32 | low),  # mapped
        IPv6Address(f"::ffff:0:{high}:{short}"),  # translated
        IPv6Address(f"64:ff9b::{high}:{short}"),
        IPv6Address(f"64:ff9b:1::{high}:{short}"),
        IPv6Address(
            int(IPv6Address("64:ff9b:1::")) | (low >> 16) << 64 | (low & 0xFFFF) << 40
        ),  # RFC 6052 /48
        IPv6Address(f"2a00:1098:2b::{high}:{short}"),  # a NAT64 gateway's own prefix
        IPv6Address(f"2002:{high}:{short}::1"),  # 6to4
        IPv6Address(int(IPv6Address("2001:0:4136:e378:8000:63bf::")) | inverted),  # Teredo client
        IPv6Address(f"2001:db8::200:5efe:{high}:{short}"),  # ISATAP
        IPv6Address(f"fe80::{high}:{short}"),
    ]


@pytest.mark.parametrize(
    "ipv4", ["169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192"]
)
def test_a_metadata_address_is_one_in_every_wrapping(ipv4: str) -> None:
    assert reach(IPv4Address(ipv4)) is Reach.METADATA
    assert {reach(address) for address in wrapped(IPv4Address(ipv4))} == {Reach.METADATA}


@pytest.mark.parametrize("ip", ["fd00:ec2::254", "fd00:0ec2:0:0:0:0:0:0254", "fd20:ce::254", "fd00:ec2::23"])
def test_metadata_addresses_of_ipv6(ip: str) -> None:
    assert reach(IPv6Address(ip)) is Reach.METADATA


@given(st.ip_addresses(v=4).filter(lambda ip: reach(ip) is not Reach.METADATA))
def test_a_wrapping_is_never_more_public_than_what_is_inside(ipv4: IPv4Address) -> None:
    assert unmapped(wrapped(ipv4)[1]) == ipv4
    for address in wrapped(ipv4):
        if reach(address) is Reach.PUBLIC:
            assert reach(ipv4) is Reach.PUBLIC or address in IPV6_OF_SOMEBODY
        if isinstance(unmapped(address), IPv6Address):
            assert ipv4 in inner_ipv4(address)


class _Somebody:
    """Under a prefix that is not known for it, four octets say nothing about an IPv4 host."""

    def __contains__(self, address: IPv6Address) -> bool:
        return str(address).startswith("2a00:1098:2b:")


IPV6_OF_SOMEBODY = _Somebody()


@pytest.mark.parametrize(
    ("ip", "expected"),
    [
        ("8.8.8.8", Reach.PUBLIC),
        ("2606:4700::1111", Reach.PUBLIC),
        ("::ffff:8.8.8.8", Reach.PUBLIC),
        ("100.64.0.1", Reach.PRIVATE),
        ("192.0.0.8", Reach.PRIVATE),
        ("192.0.0.9", Reach.PRIVATE),
        ("240.0.0.1", Reach.PRIVATE),
        ("255.255.255.254", Reach.PRIVATE),
        ("255.255.255.255", Reach.UNUSABLE),
        ("::ffff:255.255.255.255", Reach.UNUSABLE),
        ("fec0::1", Reach.PRIVATE),
        ("::1", Reach.PRIVATE),
        ("3fff::1", Reach.PRIVATE),
        ("64:ff9b::8.8.8.8", Reach.TRANSLATED),
        ("64:ff9b:1::8.8.8.8", Reach.UNUSABLE),
        ("0.0.0.0", Reach.UNUSABLE),
        ("0.1.2.3", Reach.UNUSABLE),
        ("::", Reach.UNUSABLE),
        ("::7f00:1", Reach.UNUSABLE),
        ("::ffff:0:7f00:1", Reach.UNUSABLE),
        ("224.0.0.1", Reach.UNUSABLE),
        ("192.88.99.1", Reach.UNUSABLE),
        ("2002:7f00:1::1", Reach.UNUSABLE),
        ("2001::1", Reach.UNUSABLE),
        ("2001:20::1", Reach.UNUSABLE),
        ("2001:4860:0:2001:0:5efe:7f00:1", Reach.UNUSABLE),
        ("100::1", Reach.UNUSABLE),
        ("ff02::1", Reach.UNUSABLE),
        ("4000::1", Reach.UNUSABLE),
        ("5f00::1", Reach.UNUSABLE),
    ],
)
def test_who_can_be_behind_an_address(ip: str, expected: Reach) -> None:
    assert reach(ip_address(ip)) is expected


@pytest.mark.parametrize(
    ("host", "metadata"),
    [
        ("metadata.google.internal", True),
        ("Metadata.Google.Internal.", True),
        ("metadata", True),
        ("metadata.example.com", False),
        ("google.internal", False),
    ],
)
def test_names_of_metadata_services(host: str, metadata: bool) -> None:
    assert is_metadata_name(host) is metadata


def test_localhost_is_a_name_with_everything_below() -> None:
    assert is_localhost("a.b.LOCALHOST.")
    assert not is_localhost("localhost.example.com")
