"""A connection through an HTTP proxy: CONNECT (RFC 9110 9.3.6), and TLS inside it.

Owns what happens between the TCP connection to the proxy and a transport that leads to the upstream. Does not own
opening that connection, nor its time limit (net/connector.py), nor what the proxy is asked and its answers mean
(net/proxy.py).

One way for all four combinations: the proxy's socket gets a transport, with TLS if the proxy is https, whose protocol
collects the answer; then the upstream's TLS is started on that transport, or the final protocol takes it over.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import TypeVar, cast

from trunkline.errors import PROXY, Fault
from trunkline.net.dns import ConnectFailed
from trunkline.net.proxy import Proxy
from trunkline.net.tls import tls_fault
from trunkline.wire.head import parse_response

P = TypeVar("P", bound=asyncio.BaseProtocol)

# How long a closed TLS transport waits for the server's close_notify. The default of 30 s would keep a socket open
# that nobody owns: of a connect cancelled just as the handshake ends, to a server that does not answer.
CLOSE_NOTIFY = 0.5
MAX_ANSWER = 16 * 1024
"""Bytes of a proxy's head. Refusals come with pages, of which only the head is looked at."""


class Leg:
    """One end that is connected to: the upstream, or the proxy in front of it.

    `context` None: no TLS. `address` is for messages, `source` the setting that names it.
    """

    __slots__ = ("address", "context", "host", "port", "server_hostname", "source")

    def __init__(
        self, host: str, port: int, address: str, context: ssl.SSLContext | None, source: str
    ) -> None:
        self.host = host
        self.port = port
        self.address = address
        self.context = context
        # A trailing dot keeps a name out of the DNS search list; certificates and SNI have names without it.
        self.server_hostname = host.rstrip(".") if context is not None else None
        self.source = source

    def tls_fault(self, error: OSError) -> Fault:
        """What a failed handshake there means."""
        return tls_fault(self.address, error, self.source)


class Progress:
    """What a connection that is being made is waiting for, in words."""

    __slots__ = ("step",)

    def __init__(self) -> None:
        self.step = ""


async def open_tunnel(
    sock: socket.socket,
    proxy: Proxy,
    near: Leg,
    far: Leg,
    factory: Callable[[], P],
    timeout: float,
    progress: Progress,
) -> tuple[asyncio.Transport, P]:
    """Turn a connection to a proxy (`near`) into one to the upstream (`far`); the socket is owned from the start.

    Raises:
        ConnectFailed: of kind TLS, CONNECT or PROXY.

    """
    loop = asyncio.get_running_loop()
    holder = _Holder()
    if near.context is not None:
        progress.step = f"TLS handshake with {near.address}"
    try:
        transport, _ = await loop.create_connection(
            lambda: holder,
            sock=sock,
            ssl=near.context,
            server_hostname=near.server_hostname,
            # May be given for TLS only. The connector's own timeout fires first; this replaces the default of 60 s.
            ssl_handshake_timeout=timeout if near.context else None,
            ssl_shutdown_timeout=CLOSE_NOTIFY if near.context else None,
        )
    except OSError as error:
        raise ConnectFailed(near.tls_fault(error)) from error
    try:
        progress.step = f"connection to {far.address} through {near.address}"
        transport.write(proxy.request(far.address))
        await holder.answered
        raw, end, rest = bytes(holder.data).partition(b"\r\n\r\n")
        why = _refusal(proxy, far.address, raw + end, lost=holder.lost)
        if not why and rest and far.context is not None:
            why = "it sent something of its own after its answer"  # TLS servers wait for the client
        if why:
            raise ConnectFailed(Fault(PROXY, f"{progress.step} failed: {why}"))
        holder.data[:] = rest
        if far.context is not None:
            progress.step = f"TLS handshake with {far.address}"
            holder = _Holder()
            inner = await loop.start_tls(
                transport,
                holder,
                far.context,
                server_hostname=far.server_hostname,
                ssl_handshake_timeout=timeout,
                ssl_shutdown_timeout=CLOSE_NOTIFY,
            )
            assert inner is not None
            transport = inner
        protocol = factory()
    except BaseException as error:
        # A failed start_tls has closed it, after which Python 3.11's cannot be aborted.
        if not transport.is_closing():
            transport.abort()
        # asyncio of Python 3.11 stumbles when TLS in TLS fails, over what it was about to report.
        cause = error.__context__ if isinstance(error, TypeError) else error
        if isinstance(cause, OSError):
            raise ConnectFailed(far.tls_fault(cause)) from error
        raise
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    holder.hand_over(cast("asyncio.Protocol", protocol))
    return transport, protocol


class _Holder(asyncio.Protocol):
    """Keeps what comes before the final protocol takes over."""

    def __init__(self) -> None:
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.data = bytearray()
        self.lost = False
        self._error: Exception | None = None

    def data_received(self, data: bytes) -> None:
        self.data += data
        if b"\r\n\r\n" in self.data or len(self.data) > MAX_ANSWER:
            self._settle()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._error = exc
        self._settle()

    def hand_over(self, protocol: asyncio.Protocol) -> None:
        """Tell the final protocol what happened meanwhile."""
        if self.data:
            protocol.data_received(bytes(self.data))
        if self.lost:
            protocol.connection_lost(self._error)

    def _settle(self) -> None:
        if not self.answered.done():
            self.answered.set_result(None)


def _refusal(proxy: Proxy, target: str, answer: bytes, *, lost: bool) -> str:
    """Why there is no tunnel; nothing if there is one."""
    if not answer.endswith(b"\r\n\r\n"):
        what = "it closed the connection" if lost and not answer else "its answer is not HTTP"
        return f"{what}; check that {proxy.source} names an HTTP proxy"
    head = parse_response(answer, no_body=True)
    if isinstance(head, str):
        return f"its answer is not HTTP ({head}); check that {proxy.source} names an HTTP proxy"
    if not 200 <= head.status < 300:
        return proxy.refusal(target, head)
    return "it closed the connection" if lost else ""
