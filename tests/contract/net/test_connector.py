import asyncio
import contextlib
import datetime as dt
import errno
import os
import resource
import socket
import ssl
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import trustme
import uvloop

from trunkline import errors
from trunkline.errors import Fault, Kind
from trunkline.net.connector import Connector
from trunkline.net.dns import AddressInfo, ConnectFailed, Resolver
from trunkline.net.tls import client_context, server_context, tls_fault
from trunkline.net.url import parse_base_url
from trunkline.routing.backend import BackendSettings

Run = Callable[[Coroutine[Any, Any, None]], None]
CA = trustme.CA()
# Long enough that a test which waits for it does not pass by accident.
LONG = 60.0


@pytest.fixture(params=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        yield runner.run


class Client(asyncio.Protocol):
    def __init__(self) -> None:
        self.events: list[str] = []
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.events.append("made")

    def data_received(self, data: bytes) -> None:
        self.events.append(data.decode())

    def connection_lost(self, exc: Exception | None) -> None:
        self.events.append("lost")
        if not self.lost.done():
            self.lost.set_result(exc)


class Server(asyncio.Protocol):
    """Says hello, counts its connections, and knows when all of them are gone."""

    def __init__(self) -> None:
        self.made = 0
        self.gone = asyncio.Event()
        self.names: list[str | None] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.made += 1
        # uvloop's transports do not derive from asyncio's.
        cast("asyncio.Transport", transport).write(b"hello")

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()

    def name_seen(self, sock: object, name: str | None, context: ssl.SSLContext) -> None:
        self.names.append(name)


@contextlib.asynccontextmanager
async def listening(
    host: str = "127.0.0.1", context: ssl.SSLContext | None = None
) -> AsyncGenerator[tuple[Server, int]]:
    behaviour = Server()
    if context is not None:
        context.sni_callback = behaviour.name_seen
    server = await asyncio.get_running_loop().create_server(lambda: behaviour, host, 0, ssl=context)
    try:
        yield behaviour, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


@contextlib.contextmanager
def blackhole(ip: str = "127.0.0.1", port: int = 0) -> Generator[int]:
    """A port that neither accepts nor refuses: its backlog is full."""
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(socket.socket())
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((ip, port))
        sock.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(sock.getsockname())
        yield sock.getsockname()[1]


@contextlib.contextmanager
def silent() -> Generator[int]:
    """A port that accepts and then says nothing."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(1024)
        yield sock.getsockname()[1]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def names(*ips: str) -> Resolver:
    """A resolver that knows these addresses for every name."""

    def getaddrinfo(host: str, port: int, *, type: int) -> Sequence[AddressInfo]:
        return [(socket.AF_INET6 if ":" in ip else socket.AF_INET, type, 6, "", (ip, port)) for ip in ips]

    return Resolver(getaddrinfo=getaddrinfo)


def connector(
    url: str,
    *,
    context: ssl.SSLContext | None = None,
    resolver: Resolver | None = None,
    timeout: float = LONG,
) -> Connector:
    return Connector(parse_base_url(url), context, resolver or names("127.0.0.1"), timeout)


async def failure(target: Connector, kind: Kind) -> Fault:
    with pytest.raises(ConnectFailed) as caught:
        await target.connect(Client)
    assert caught.value.fault.kind is kind
    return caught.value.fault


async def greeted(target: Connector) -> Client:
    """Connect, be greeted, hang up."""
    transport, client = await target.connect(Client)
    assert client.events[:1] == ["made"]
    while "hello" not in client.events:
        await asyncio.sleep(0)
    transport.abort()
    await client.lost
    return client


def open_sockets() -> int:
    """Count this process's sockets (only those: uvloop opens files of its own when it likes)."""
    count = 0
    for name in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            count += str(name.readlink()).startswith("socket:")
    return count


async def settled(before: int) -> int:
    """Wait until as few sockets are open as before, at most for some seconds; give how many there are."""
    for _ in range(500):
        if open_sockets() <= before:
            break
        await asyncio.sleep(0.01)
    return open_sockets()


def certificate(*hosts: str, **options: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CA.issue_cert(*hosts, **options).configure_cert(context)
    return context


@pytest.fixture
def ca_bundle(tmp_path: Path) -> str:
    CA.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return str(tmp_path / "ca.pem")


def trusting(ca_bundle_path: str | None = None, **options: Any) -> ssl.SSLContext:
    settings = BackendSettings(name="b", url="https://h", ca_bundle_path=ca_bundle_path, **options)
    return client_context(settings)


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

        resolver.resolve = resolve  # type: ignore[method-assign]  # a lookup that never ends, without a thread
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
        monkeypatch.setattr("trunkline.net.connector._connect", refuse)
        resolver = names("::1", "::2", "::3", "192.0.2.1")
        fault = await failure(connector("http://h.example:9", resolver=resolver), errors.CONNECT)
        assert tried == ["::1", "192.0.2.1", "::2", "::3"]
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
        monkeypatch.setattr("trunkline.net.connector._connect", refuse)
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


# TLS


def test_tls_with_a_ca_bundle(run: Run, ca_bundle: str) -> None:
    async def main() -> None:
        async with listening(context=certificate("h.example")) as (server, port):
            target = connector(f"https://h.example:{port}", context=trusting(ca_bundle))
            assert repr(target) == f"<Connector h.example:{port} tls>"
            assert "hello" in (await greeted(target)).events
            assert server.names == ["h.example"]

    run(main())


def test_a_name_with_a_dot_at_the_end(run: Run, ca_bundle: str) -> None:
    async def main() -> None:
        async with listening(context=certificate("h.example")) as (server, port):
            await greeted(connector(f"https://h.example.:{port}", context=trusting(ca_bundle)))
            assert server.names == ["h.example"]

    run(main())


def test_tls_to_an_address(run: Run, ca_bundle: str) -> None:
    async def main() -> None:
        async with listening(context=certificate("127.0.0.1")) as (server, port):
            await greeted(connector(f"https://127.0.0.1:{port}", context=trusting(ca_bundle)))
            assert server.names == [None]

    run(main())


def test_our_own_listener_agrees_on_http_1_1(run: Run, ca_bundle: str, tmp_path: Path) -> None:
    async def main() -> None:
        CA.issue_cert("h.example").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "cert.pem"))
        async with listening(context=server_context(str(tmp_path / "cert.pem"), None)) as (_, port):
            target = connector(f"https://h.example:{port}", context=trusting(ca_bundle))
            transport, client = await target.connect(Client)
            assert transport.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
            transport.abort()
            await client.lost

    run(main())


PAST = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("server", "words"),
    [
        (
            lambda: certificate("other.example"),
            ["certificate verify failed", "h.example", "host name in `url`"],
        ),
        (lambda: certificate("127.0.0.1"), ["certificate verify failed", "h.example", "host name in `url`"]),
        (
            lambda: certificate("h.example", not_before=PAST, not_after=PAST + dt.timedelta(days=1)),
            ["certificate has expired", "new certificate"],
        ),
    ],
    ids=["wrong host", "address only", "expired"],
)
def test_a_bad_certificate_is_refused(
    run: Run, ca_bundle: str, server: Callable[[], ssl.SSLContext], words: list[str]
) -> None:
    async def main() -> None:
        async with listening(context=server()) as (_, port):
            target = connector(f"https://h.example:{port}", context=trusting(ca_bundle))
            fault = await failure(target, errors.TLS)
            assert fault.message.startswith(f"TLS handshake with h.example:{port} failed: ")
            assert all(word in fault.message for word in words)
            # The same server does for those who do not look.
            await greeted(connector(f"https://h.example:{port}", context=trusting(ssl_verify=False)))

    run(main())


def test_an_untrusted_ca_is_refused_with_the_way_out(run: Run) -> None:
    async def main() -> None:
        async with listening(context=certificate("h.example")) as (_, port):
            target = connector(f"https://h.example:{port}", context=trusting())
            fault = await failure(target, errors.TLS)
            assert "set `ca_bundle_path` to the PEM file of the CA" in fault.message

    run(main())


def test_without_verification_the_server_still_sees_its_name(run: Run) -> None:
    async def main() -> None:
        async with listening(context=certificate("other.example")) as (server, port):
            await greeted(connector(f"https://h.example:{port}", context=trusting(ssl_verify=False)))
            assert server.names == ["h.example"]

    run(main())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_certificate_that_is_required(
    run: Run, ca_bundle: str, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    async def main() -> None:
        cert = tmp_path / "client.pem"
        CA.issue_cert("client.example").private_key_and_cert_chain_pem.write_to_path(str(cert))
        context = certificate("h.example")
        context.verify_mode = ssl.CERT_REQUIRED
        context.maximum_version = version
        CA.configure_trust(context)
        async with listening(context=context) as (_, port):
            url = f"https://h.example:{port}"
            await greeted(connector(url, context=trusting(ca_bundle, client_cert_path=str(cert))))
            without = connector(url, context=trusting(ca_bundle))
            if version is ssl.TLSVersion.TLSv1_2:
                fault = await failure(without, errors.TLS)
            else:
                # In TLS 1.3 the client is done before the server has looked at its certificate.
                _, client = await without.connect(Client)
                error = await client.lost
                assert isinstance(error, OSError)
                fault = tls_fault(f"h.example:{port}", error)
            assert "client certificate" in fault.message

    run(main())


def test_an_old_server_is_refused(run: Run, ca_bundle: str) -> None:
    async def main() -> None:
        context = trusting(ca_bundle)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        server = certificate("h.example")
        server.maximum_version = ssl.TLSVersion.TLSv1_2
        async with listening(context=server) as (_, port):
            fault = await failure(connector(f"https://h.example:{port}", context=context), errors.TLS)
            assert "protocol version" in fault.message

    run(main())


def test_a_plain_server_on_a_tls_port(run: Run, ca_bundle: str) -> None:
    async def main() -> None:
        async with listening() as (_, port):
            target = connector(f"https://h.example:{port}", context=trusting(ca_bundle))
            fault = await failure(target, errors.TLS)
            assert "http:// in `url`" in fault.message

    run(main())


def test_a_server_that_hangs_up_during_the_handshake(run: Run, ca_bundle: str) -> None:
    async def main() -> None:
        def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            target = connector(f"https://h.example:{port}", context=trusting(ca_bundle))
            fault = await failure(target, errors.TLS)
            assert "closed the connection" in fault.message

    run(main())


def test_a_handshake_that_hangs_is_given_up_in_time(run: Run, ca_bundle: str) -> None:
    async def main() -> None:
        before = open_sockets()
        with silent() as port:
            target = connector(f"https://h.example:{port}", context=trusting(ca_bundle), timeout=0.1)
            fault = await failure(target, errors.CONNECT_TIMEOUT)
            assert fault.message.startswith(f"TLS handshake with h.example:{port} took longer than 0.1 s; ")
        assert await settled(before) <= before

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
