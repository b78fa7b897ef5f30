"""Both ends of a connection for the tests of the connector: servers good and bad, resolvers, certificates."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import trustme
import uvloop

from tests.contract.simulator.raw import abort_all
from trunkline.errors import Fault, Kind
from trunkline.net.connector import Connector
from trunkline.net.dns import AddressInfo, ConnectFailed, Resolver
from trunkline.net.tls import client_context
from trunkline.net.url import parse_base_url
from trunkline.routing.backend import BackendSettings

Run = Callable[[Coroutine[Any, Any, None]], None]
LOOPS = [
    pytest.param(uvloop.new_event_loop, id="uvloop"),
    pytest.param(asyncio.new_event_loop, id="asyncio"),
]
CA = trustme.CA()
# Long enough that a test which waits for it does not pass by accident.
LONG = 60.0


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
        self.transports: list[asyncio.Transport] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.made += 1
        # uvloop's transports do not derive from asyncio's.
        self.transports.append(cast("asyncio.Transport", transport))
        self.transports[-1].write(b"hello")

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
        # Behind a proxy it may not know yet that its client has left.
        await abort_all(behaviour.transports)
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


@contextlib.contextmanager
def alerting(context: ssl.SSLContext) -> Generator[int]:
    """A TLS server for one connection that sends its alert when the handshake fails (asyncio's does not)."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(1)

        def serve() -> None:
            accepted, _ = sock.accept()
            with accepted, contextlib.suppress(OSError):
                context.wrap_socket(accepted, server_side=True).close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield sock.getsockname()[1]
        thread.join(LONG)


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
    **options: Any,
) -> Connector:
    return Connector(parse_base_url(url), context, resolver or names("127.0.0.1"), timeout, **options)


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
    leaf: Any = CA.issue_cert(*hosts, **options)  # its signatures name a pyOpenSSL type that is not installed
    leaf.configure_cert(context)
    return context


def trusting(ca_bundle_path: str | None = None, **options: Any) -> ssl.SSLContext:
    settings = BackendSettings(name="b", url="https://h", ca_bundle_path=ca_bundle_path, **options)
    return client_context(settings)
