"""The egress guard where it counts: in the connector, on the addresses that names have."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from tests.contract.net.dialling import (
    LOOPS,
    Run,
    connector,
    failure,
    greeted,
    listening,
    names,
    open_sockets,
)
from trunkline import errors
from trunkline.errors import EGRESS
from trunkline.net.connector import is_of_this_machine
from trunkline.net.dns import Resolver
from trunkline.net.egress import EgressSettings, Named, Rules, rules_of

OVER_HTTP = Rules(Named.OVER_HTTP)


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner.run


def test_what_is_named_locally_may_be_private(run: Run) -> None:
    async def main() -> None:
        async with listening() as (_, port):
            await greeted(connector(f"http://h.example:{port}"))
            await greeted(connector(f"http://127.0.0.1:{port}"))

    run(main())


@pytest.mark.parametrize(
    "url", ["http://h.example", "http://127.0.0.1", "http://localhost", "https://h.example"]
)
def test_what_is_named_over_http_may_not(run: Run, url: str) -> None:
    async def main() -> None:
        before = open_sockets()
        async with listening() as (server, port):
            fault = await failure(connector(f"{url}:{port}", egress=OVER_HTTP), EGRESS)
            assert fault.message.startswith(f"egress to {url.rpartition('/')[2]}:{port} refused: 127.0.0.1 ")
            assert "`egress.allow_networks`" in fault.message
            assert server.made == 0
        assert open_sockets() <= before

    run(main())


def test_a_permitted_network(run: Run) -> None:
    async def main() -> None:
        rules = rules_of(EgressSettings(allow_networks=["127.0.0.0/8"]), Named.OVER_HTTP)
        async with listening() as (_, port):
            await greeted(connector(f"http://h.example:{port}", egress=rules))

    run(main())


@pytest.mark.parametrize(
    "ips",
    [
        ("169.254.169.254",),
        ("::ffff:169.254.169.254",),
        ("64:ff9b::a9fe:a9fe",),
        ("fd00:ec2::254",),
        ("127.0.0.1", "169.254.169.254"),
        ("100.100.100.200", "127.0.0.1"),
    ],
)
def test_a_name_with_a_metadata_address_is_refused_whoever_named_it(run: Run, ips: tuple[str, ...]) -> None:
    async def main() -> None:
        async with listening() as (server, port):
            rules = rules_of(EgressSettings(allow_networks=["0.0.0.0/0", "::/0"]), Named.LOCALLY)
            for egress in (Rules(), OVER_HTTP, rules):
                target = connector(f"http://h.example:{port}", resolver=names(*ips), egress=egress)
                assert "cloud metadata" in (await failure(target, EGRESS)).message or egress is OVER_HTTP
            assert server.made == 0

    run(main())


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "2852039166", "0xa9.254.43518", "metadata.google.internal"]
)
def test_metadata_services_are_not_even_looked_up(run: Run, host: str) -> None:
    def getaddrinfo(*args: object, **options: object) -> list[object]:
        raise AssertionError(args)

    async def main() -> None:
        resolver = Resolver(getaddrinfo=getaddrinfo)  # type: ignore[arg-type] # it is never called
        assert (
            "cloud metadata"
            in (await failure(connector(f"http://{host}", resolver=resolver), EGRESS)).message
        )

    run(main())


def test_one_private_address_among_public_ones_spoils_all(run: Run) -> None:
    async def main() -> None:
        target = connector(
            "http://h.example:9", resolver=names("93.184.216.34", "127.0.0.1"), egress=OVER_HTTP
        )
        assert "127.0.0.1 is not a public address" in (await failure(target, EGRESS)).message

    run(main())


@pytest.mark.parametrize("spelling", ["2130706433", "0x7f.1", "0177.0.0.1", "127.1"])
def test_loopback_in_other_spellings(run: Run, spelling: str) -> None:
    async def main() -> None:
        async with listening() as (_, port):
            url = f"http://{spelling}:{port}"
            # The system's own getaddrinfo reads them.
            await greeted(connector(url, resolver=Resolver()))
            fault = await failure(connector(url, resolver=Resolver(), egress=OVER_HTTP), EGRESS)
            assert "127.0.0.1 is not a public address" in fault.message

    run(main())


def test_the_judged_address_is_the_one_that_is_called(run: Run) -> None:
    asked: list[str] = []

    def rebinding(host: str, port: int, *, type: int) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        asked.append(host)
        ip = "127.0.0.1" if len(asked) == 1 else "169.254.169.254"
        return [(int(socket.AF_INET), type, 6, "", (ip, port))]

    async def main() -> None:
        now = 0.0
        resolver = Resolver(getaddrinfo=rebinding, clock=lambda: now)
        async with listening() as (_, port):
            target = connector(f"http://h.example:{port}", resolver=resolver)
            await greeted(target)
            assert asked == ["h.example"]
            # Every connection is judged anew, so a name that moves is noticed.
            now = 1000.0
            await failure(target, EGRESS)

    run(main())


def test_our_own_listener_is_not_called(run: Run) -> None:
    async def main() -> None:
        async with listening() as (server, port):
            for own in ("127.0.0.1", "0.0.0.0", "::"):
                target = connector(f"http://h.example:{port}", listening=lambda own=own: [(own, port)])
                fault = await failure(target, EGRESS)
                assert fault.message == (
                    f"egress to h.example:{port} refused: 127.0.0.1 port {port} is this gateway itself; "
                    "check host and port in `url`"
                )
            await greeted(connector(f"http://h.example:{port}", listening=lambda: [("127.0.0.1", port + 1)]))
            await greeted(connector(f"http://h.example:{port}", listening=lambda: [("127.0.0.2", port)]))
            assert server.made == 2

    run(main())


@pytest.mark.parametrize(
    ("ip", "own"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("192.0.2.1", False), ("2001:db8::1", False)],
)
def test_addresses_of_this_machine(ip: str, own: bool) -> None:
    assert is_of_this_machine(ip) is own


def test_the_unspecified_address_comes_with_what_was_meant(run: Run) -> None:
    async def main() -> None:
        fault = await failure(connector("http://0.0.0.0:8000"), EGRESS)
        assert "write 127.0.0.1" in fault.message
        assert fault.http_status == errors.CONNECT.status

    run(main())
