import asyncio
import contextlib
import errno
import os
import resource
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.net.dialling import (
    CA,
    LOOPS,
    Client,
    Run,
    blackhole,
    certificate,
    connector,
    failure,
    free_port,
    greeted,
    listening,
    names,
    open_sockets,
    settled,
    silent,
    trusting,
)
from trunkline import errors
from trunkline.errors import Kind
from trunkline.net.dns import ConnectFailed


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner.run


@pytest.fixture
def ca_bundle(tmp_path: Path) -> str:
    CA.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return str(tmp_path / "ca.pem")


# TCP


def test_a_connection_is_made(run: Run) -> None:
    async def main() -> None:
        async with listening() as (server, port):
            target = connector(f"http://127.0.0.1:{port}")
            assert repr(target) == f"<Connector 127.0.0.1:{port} plain>"
            transport, client = await target.connect(Client)
            sock = transport.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
            assert transport.get_extra_info("peername")[:2] == ("127.0.0.1", port)
            transport.abort()
            await client.lost
            await server.gone.wait()
            assert server.made == 1

    run(main())


def test_a_name_is_resolved(run: Run) -> None:
    async def main() -> None:
        async with listening() as (_, port):
            assert "hello" in (await greeted(connector(f"http://h.example:{port}"))).events

    run(main())


def test_an_ipv6_literal(run: Run) -> None:
    async def main() -> None:
        async with listening("::1") as (_, port):
            assert "hello" in (await greeted(connector(f"http://[::1]:{port}"))).events

    run(main())


def test_a_refused_connection(run: Run) -> None:
    async def main() -> None:
        port = free_port()
        fault = await failure(connector(f"http://127.0.0.1:{port}"), errors.CONNECT)
        assert fault.message == (
            f"TCP connection to 127.0.0.1:{port} failed: connection refused; "
            "is the server running and listening there?"
        )

    run(main())


def test_a_name_that_does_not_exist(run: Run) -> None:
    async def main() -> None:
        fault = await failure(connector("http://h.example:1", resolver=names()), errors.DNS)
        assert fault.message.startswith("DNS lookup of h.example failed: ")

    run(main())


def test_a_silent_host_is_given_up_in_time(run: Run) -> None:
    async def main() -> None:
        with blackhole() as port:
            fault = await failure(connector(f"http://127.0.0.1:{port}", timeout=0.05), errors.CONNECT_TIMEOUT)
            assert fault.message.startswith(f"TCP connection to 127.0.0.1:{port} took longer than 0.05 s; ")

    run(main())


def test_a_slow_name_server_counts_too(run: Run) -> None:
    async def main() -> None:
        resolver = names("127.0.0.1")
        looked_up = asyncio.Event()

        async def resolve(host: str, port: int) -> Any:
            await looked_up.wait()

        resolver.resolve = resolve  # a lookup that never ends, without a thread
        fault = await failure(
            connector("http://h.example:1", resolver=resolver, timeout=0.05), errors.CONNECT_TIMEOUT
        )
        assert fault.message.startswith("DNS lookup of h.example:1 took longer than 0.05 s; ")

    run(main())


def test_a_gateway_without_file_descriptors_blames_itself(run: Run) -> None:
    async def main() -> None:
        target = connector(f"http://127.0.0.1:{free_port()}")
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
        try:
            fault = await failure(target, errors.OVERLOADED)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert "too many open files" in fault.message

    run(main())


def test_a_protocol_that_cannot_be_made_leaves_nothing_open(run: Run) -> None:
    async def main() -> None:
        async with listening() as (server, port):

            def broken() -> Client:
                raise ZeroDivisionError

            with pytest.raises(ZeroDivisionError):
                await connector(f"http://127.0.0.1:{port}").connect(broken)
            await server.gone.wait()
            assert server.made == 1

    run(main())


# Several addresses


def test_the_other_family_is_tried_when_one_refuses(run: Run) -> None:
    async def main() -> None:
        async with listening() as (server, port):
            made: list[Client] = []

            def factory() -> Client:
                made.append(Client())
                return made[-1]

            target = connector(f"http://localhost:{port}", resolver=names("::1", "127.0.0.1"))
            transport, client = await target.connect(factory)
            assert made == [client]
            assert transport.get_extra_info("peername")[0] == "127.0.0.1"
            transport.abort()
            await client.lost
            assert server.made == 1

    run(main())


def test_a_silent_address_does_not_hold_up_the_next(run: Run) -> None:
    async def main() -> None:
        async with listening() as (_, port):
            with blackhole("127.0.0.2", port):
                before = open_sockets()
                target = connector(f"http://h.example:{port}", resolver=names("127.0.0.2", "127.0.0.1"))
                assert "hello" in (await greeted(target)).events
                # The loser is closed.
                assert await settled(before) <= before

    run(main())


def test_families_alternate_and_every_address_has_its_reason(run: Run) -> None:
    async def main() -> None:
        port = free_port()
        resolver = names("::1", "127.0.0.1", "127.0.0.2")
        fault = await failure(connector(f"http://h.example:{port}", resolver=resolver), errors.CONNECT)
        assert fault.message == (
            f"TCP connection to h.example:{port} failed: ::1 connection refused, 127.0.0.1 connection refused, "
            "127.0.0.2 connection refused; is the server running and listening there?"
        )

    run(main())


def test_addresses_are_interleaved(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    async def refuse(address: Any) -> socket.socket:
        tried.append(address.ip)
        raise OSError(errno.ENETUNREACH if ":" in address.ip else errno.ECONNREFUSED, "no")

    async def main() -> None:
        monkeypatch.setattr("trunkline.net.tcp._connect", refuse)
        resolver = names("::1", "fd00::2", "fd00::3", "192.0.2.1")
        fault = await failure(connector("http://h.example:9", resolver=resolver), errors.CONNECT)
        assert tried == ["::1", "192.0.2.1", "fd00::2", "fd00::3"]
        # What a machine without IPv6 says about IPv6 addresses is not the point.
        assert "is the server running" in fault.message

    run(main())


@pytest.mark.parametrize(
    ("code", "kind", "hint"),
    [
        (errno.EHOSTUNREACH, errors.CONNECT, "firewall"),
        (errno.ENETUNREACH, errors.CONNECT, "no route"),
        (errno.ECONNRESET, errors.CONNECT, "check host and port"),
        (errno.ETIMEDOUT, errors.CONNECT_TIMEOUT, "firewall"),
    ],
)
def test_what_the_kernel_says_is_passed_on(
    run: Run, monkeypatch: pytest.MonkeyPatch, code: int, kind: Kind, hint: str
) -> None:
    async def refuse(address: Any) -> socket.socket:
        raise OSError(code, "no")

    async def main() -> None:
        monkeypatch.setattr("trunkline.net.tcp._connect", refuse)
        fault = await failure(connector("http://h.example:9"), kind)
        assert os.strerror(code).lower() in fault.message
        assert hint in fault.message

    run(main())


def test_two_addresses_that_answer_at_once_give_one_connection(run: Run) -> None:
    async def main() -> None:
        with silent() as port:
            before = open_sockets()
            target = connector(f"http://h.example:{port}", resolver=names("127.0.0.1", "127.0.0.1", "::1"))
            transport, client = await target.connect(Client)
            assert await settled(before + 1) == before + 1
            transport.abort()
            await client.lost

    run(main())


# Nothing stays open


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_a_connect_cancelled_at_any_step_leaves_nothing_open(
    run: Run, ca_bundle: str, *, secure: bool
) -> None:
    async def main() -> None:
        context = certificate("h.example") if secure else None
        async with listening(context=context) as (_, port):
            before = open_sockets()
            outcomes: set[str] = set()
            for addresses in (["127.0.0.1"], ["::1", "127.0.0.1"], ["127.0.0.1", "127.0.0.1", "::1"]):
                target = connector(
                    f"http{'s' * secure}://h.example:{port}",
                    context=trusting(ca_bundle) if secure else None,
                    resolver=names(*addresses),
                )
                for steps in range(60):
                    task = asyncio.ensure_future(target.connect(Client))
                    for _ in range(steps):
                        await asyncio.sleep(0)
                    task.cancel()
                    try:
                        transport, client = await task
                    except asyncio.CancelledError:
                        outcomes.add("cancelled")
                    else:
                        outcomes.add("connected")
                        transport.abort()
                        await client.lost
            assert "cancelled" in outcomes
            assert await settled(before) <= before

    run(main())


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_many_connects_cancelled_while_the_server_is_silent_leave_nothing_open(
    run: Run, ca_bundle: str, *, secure: bool
) -> None:
    async def main() -> None:
        with contextlib.ExitStack() as stack:
            port = stack.enter_context(silent() if secure else blackhole())
            target = connector(
                f"http{'s' * secure}://h.example:{port}",
                context=trusting(ca_bundle) if secure else None,
                resolver=names("127.0.0.1", "127.0.0.1" if secure else "127.0.0.2"),
            )
            before = open_sockets()
            tasks = [asyncio.ensure_future(target.connect(Client)) for _ in range(200)]
            while open_sockets() < before + 200:
                await asyncio.sleep(0.001)
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(result, asyncio.CancelledError | ConnectFailed) for result in results)
            assert await settled(before) <= before

    run(main())
