"""gateway/host.py: a page that had its name rebound to this machine gives itself away."""

import pytest

from trunkline.errors import Fault
from trunkline.gateway.host import names_this_machine
from trunkline.wire.head import RequestHead, RequestHeads


def head(*hosts: str, version: str = "1.1") -> RequestHead:
    lines = "".join(f"Host: {host}\r\n" for host in hosts)
    read = RequestHeads(10).read(f"GET /metrics HTTP/{version}\r\n{lines}\r\n".encode("latin-1"))
    assert not isinstance(read, Fault)
    return read[0]


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST:8081", "localhost.", "localhost.:8081"),
        *(
            "127.0.0.1",
            "127.0.0.1:8081",
            "127.9.8.7",
            "[::1]",
            "[::1]:8081",
            "gateway.test",
            "Gateway.Test:1",
        ),
    ],
)
def test_names_and_addresses_of_this_machine(host: str) -> None:
    assert names_this_machine(head(host), "gateway.test")


@pytest.mark.parametrize(
    "host",
    [
        *("evil.test", "evil.test:8081", "localhost.evil.test", "127.0.0.1.evil.test:80", "evil-localhost"),
        *("", ":8081", "10.0.0.1", "[::2]", "0.0.0.0", "1270.0.1", "gateway.test.evil"),
    ],
)
def test_other_names_are_a_page_of_the_web(host: str) -> None:
    assert not names_this_machine(head(host), "gateway.test")


def test_a_configured_address_is_known_with_and_without_brackets() -> None:
    assert names_this_machine(head("[fd00::1]:8081"), "fd00::1")
    assert not names_this_machine(head("[fd00::2]:8081"), "fd00::1")


def test_a_program_of_old_names_none() -> None:
    assert names_this_machine(head(version="1.0"), "127.0.0.1")


@pytest.mark.parametrize(
    "host", ["host.docker.internal", "Host.Docker.Internal:8080", "[FD00::1]:1", "127.0.0.1"]
)
def test_any_of_several_configured_names_will_do(host: str) -> None:
    assert names_this_machine(head(host), "127.0.0.1", "Host.docker.internal", "[fd00::1]")


def test_a_configured_name_is_exact() -> None:
    for host in ("docker.internal", "x.host.docker.internal", "host.docker.internal.evil.test"):
        assert not names_this_machine(head(host), "127.0.0.1", "host.docker.internal")
