from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import ConfigError
from trunkline.net.egress import (
    LOCAL,
    EgressSettings,
    Listening,
    Named,
    Rules,
    host_verdict,
    is_own,
    rules_of,
    url_verdict,
    verdict,
)

HTTP = Rules(Named.OVER_HTTP)
ALL = rules_of(EgressSettings(allow_networks=["0.0.0.0/0", "::/0"]), Named.OVER_HTTP)


@pytest.mark.parametrize(
    "ip",
    ["127.0.0.1", "::1", "10.0.0.5", "172.17.0.2", "192.168.1.100", "100.64.0.1", "169.254.1.1", "fd00::1", "fe80::1",
     "::ffff:10.0.0.1", "192.0.2.1", "64:ff9b::8.8.8.8", "64:ff9b::10.0.0.1"],
)  # fmt: skip
def test_private_addresses_are_for_those_who_are_here(ip: str) -> None:
    assert verdict(ip, LOCAL) == ""
    assert "list its network in `egress.allow_networks`" in verdict(ip, HTTP)
    assert verdict(ip, ALL) == ""


@pytest.mark.parametrize("ip", ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses_are_for_all(ip: str) -> None:
    assert verdict(ip, LOCAL) == verdict(ip, HTTP) == verdict(ip_address(ip), HTTP) == ""


@pytest.mark.parametrize(
    "ip",
    [
        "0.0.0.0",
        "0.1.2.3",
        "255.255.255.255",
        "::",
        "2002:7f00:1::1",
        "2001::1",
        "::7f00:1",
        "::ffff:0:7f00:1",
        "100::1",
        "ff02::1",
    ],
)
def test_addresses_of_no_server_are_for_nobody_but_who_insists(ip: str) -> None:
    assert "is not the address of a server" in verdict(ip, LOCAL)
    assert "is not the address of a server" in verdict(ip, HTTP)
    assert verdict(ip, ALL) == ""


@pytest.mark.parametrize("ip", ["0.0.0.0", "::"])
def test_the_unspecified_address_comes_with_the_one_that_was_meant(ip: str) -> None:
    assert verdict(ip, LOCAL).endswith("write 127.0.0.1 or ::1 for this machine")


@pytest.mark.parametrize(
    "ip",
    ["169.254.169.254", "169.254.170.2", "169.254.170.23", "169.254.0.23", "100.100.100.200", "fd00:ec2::254",
     "FD00:0EC2:0:0:0:0:0:254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::",
     "fe80::a9fe:a9fe%2"],
)  # fmt: skip
def test_cloud_metadata_is_for_nobody(ip: str) -> None:
    for rules in (LOCAL, HTTP, ALL):
        assert "cloud metadata" in verdict(ip, rules)


def test_what_is_not_an_address_is_refused() -> None:
    assert verdict("h.example", LOCAL) == "h.example is not an IP address"


def test_networks_are_permitted_one_by_one() -> None:
    rules = rules_of(
        EgressSettings(allow_networks=["10.1.2.3/16", " fd00::/8 ", "192.168.1.1"]), Named.OVER_HTTP
    )
    assert verdict("10.1.255.1", rules) == verdict("fd12::1", rules) == verdict("192.168.1.1", rules) == ""
    assert verdict("::ffff:10.1.0.1", rules) == ""
    assert verdict("10.2.0.1", rules) != ""
    assert verdict("192.168.1.2", rules) != ""


@pytest.mark.parametrize("text", ["10.0.0.0/33", "h.example", "", "10.0.0.0-10.0.0.9"])
def test_what_is_not_a_network_is_an_error_that_names_the_setting(text: str) -> None:
    with pytest.raises(ConfigError, match=r"egress\.allow_networks: .* is not a network"):
        rules_of(EgressSettings(allow_networks=[text]), Named.LOCALLY)


YES, NO = True, False


@pytest.mark.parametrize(
    ("url", "over_http", "locally"),
    [
        ("http://127.0.0.1:8080", NO, YES),
        ("http://localhost:8080", NO, YES),
        ("http://app.localhost.", NO, YES),
        ("http://192.168.1.100:8080", NO, YES),
        ("http://10.0.0.5", NO, YES),
        ("http://172.17.0.2", NO, YES),
        ("http://100.64.0.1:8080", NO, YES),
        ("http://169.254.1.1", NO, YES),
        ("http://169.254.169.254/latest/meta-data", NO, NO),
        ("http://169.254.169.254./", NO, NO),
        ("http://2852039166/", NO, NO),
        ("http://0xa9fea9fe/", NO, NO),
        ("http://0251.0376.0251.0376/", NO, NO),
        ("http://169.254.43518/", NO, NO),
        ("http://\uff11\uff16\uff19.254.169.254/", NO, NO),
        ("http://169\u3002254\u3002169\u3002254/", NO, NO),
        ("http://\u2460\u2465\u2468.254.169.254/", NO, NO),
        ("http://[::ffff:169.254.169.254]/", NO, NO),
        ("http://[::ffff:a9fe:a9fe]/", NO, NO),
        ("http://[64:ff9b::a9fe:a9fe]/", NO, NO),
        ("http://metadata.google.internal./computeMetadata/v1/", NO, NO),
        ("http://METADATA.google.internal", NO, NO),
        ("http://[::1]/", NO, YES),
        ("http://[::]/", NO, NO),
        ("http://[0::]/", NO, NO),
        ("http://[0:0:0:0:0:0:0:0]/", NO, NO),
        ("http://[fd00:ec2::254]/", NO, NO),
        ("http://0177.0.0.1/", NO, YES),
        ("http://2130706433/", NO, YES),
        ("http://127.1/", NO, YES),
        ("ftp://example.com", NO, NO),
        ("file:///etc/passwd", NO, NO),
        ("javascript:alert(1)", NO, NO),
        ("gopher://127.0.0.1", NO, NO),
        ("dict://127.0.0.1", NO, NO),
        ("127.0.0.1", NO, NO),
        ("//127.0.0.1/", NO, NO),
        ("http://127.0.0.1\\@1.1.1.1", NO, NO),
        ("http://1.1.1.1@127.0.0.1/", NO, NO),
        ("http://example.com#@127.0.0.1/", YES, YES),
        ("HTTPS://example.com/", YES, YES),
        ("http://8.8.8.8", YES, YES),
    ],
)
def test_urls(url: str, over_http: bool, locally: bool) -> None:
    assert (url_verdict(url, HTTP) == "") is over_http
    assert (url_verdict(url, LOCAL) == "") is locally


@pytest.mark.parametrize(
    "url",
    ["", " ", "\0" * 100, ":", "://", "http:", "http://[", "http://]", "http://@", "http://:80", "http://e:99999999",
     "http://e:-1", "http://%00", "http://" + "a" * 100_000, "http://\ud800", "http://e\ud800.example",
     None, 5, b"http://8.8.8.8", ["http://8.8.8.8"]],
)  # fmt: skip
def test_urls_that_are_none_are_refused(url: object) -> None:
    assert url_verdict(url, LOCAL) != ""


@given(st.text() | st.text("htps:/[]@.%#?01x\\", max_size=30).map("http://".__add__))
def test_a_verdict_never_raises(url: str) -> None:
    assert isinstance(url_verdict(url, HTTP), str)
    assert isinstance(host_verdict(url, HTTP), str)


def test_a_permitted_loopback_permits_its_name() -> None:
    rules = rules_of(EgressSettings(allow_networks=["127.0.0.0/8"]), Named.OVER_HTTP)
    assert host_verdict("localhost", rules) == ""


def nobody(ip: str) -> bool:
    raise AssertionError(ip)


@pytest.mark.parametrize(
    ("ip", "port", "listening", "own"),
    [
        ("127.0.0.1", 80, [("127.0.0.1", 80)], True),
        ("::ffff:127.0.0.1", 80, [("127.0.0.1", 80)], True),
        ("127.0.0.1", 81, [("127.0.0.1", 80)], False),
        ("127.0.0.1", 80, [("127.0.0.2", 80), ("127.0.0.1", 80)], True),
        ("10.0.0.1", 80, [("127.0.0.1", 80)], False),
        ("::1", 80, [("0:0::1", 80)], True),
        ("::1", 80, [], False),
        ("::1", 80, [("", 80)], False),
    ],
)
def test_own_listeners(ip: str, port: int, listening: list[Listening], own: bool) -> None:
    assert is_own(ip, port, listening, nobody) is own


@pytest.mark.parametrize("wildcard", ["0.0.0.0", "::"])
def test_a_listener_on_all_addresses_has_those_of_this_machine(wildcard: str) -> None:
    assert is_own("10.0.0.1", 80, [(wildcard, 80)], lambda ip: ip == "10.0.0.1")
    assert not is_own("10.0.0.2", 80, [(wildcard, 80)], lambda ip: ip == "10.0.0.1")
