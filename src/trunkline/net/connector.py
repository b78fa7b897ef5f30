"""New connections to one upstream: names, egress guard, TCP, proxy, TLS, within one time limit.

Owns `Connector` (one per backend and event loop): the order of the steps, and that every address of a name is judged
before any is called. Does not own names (net/dns.py), verdicts (net/egress.py), the race among addresses (net/tcp.py),
proxies (net/proxy.py, net/tunnel.py), certificates (net/tls.py), nor which connection a request gets (net/pool.py).

A socket is connected first and then handed to `create_connection`, so that the protocol is made once, for the
connection that won, and that the address called is the one that was judged.

Nothing stays open after a failure or a cancellation: each socket has one owner at any time, first the
task that connects it, then `Connector.connect`, then the transport.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterable
from typing import TypeVar

from msgspec import structs

from trunkline import errors
from trunkline.errors import Fault
from trunkline.net.dns import ConnectFailed, Resolver
from trunkline.net.egress import LOCAL, Listening, Rules, host_verdict, is_own, verdict
from trunkline.net.networks import literal
from trunkline.net.proxy import Proxy
from trunkline.net.tcp import open_tcp, tcp_fault
from trunkline.net.tunnel import CLOSE_NOTIFY, Leg, Progress, open_tunnel
from trunkline.net.url import BaseUrl

P = TypeVar("P", bound=asyncio.BaseProtocol)


class Connector:
    """Makes connections to one upstream.

    `context` is None for plain HTTP. `timeout` is in seconds and bounds all steps together. `egress` says what may be
    called. `proxy` is what connections go through, with `proxy_context` if it is https; its own address is judged by
    `egress` too, except for one from the environment. `listening` tells where this process listens: calls to itself
    would go round in circles.
    """

    def __init__(
        self,
        base: BaseUrl,
        context: ssl.SSLContext | None,
        resolver: Resolver,
        timeout: float,
        *,
        egress: Rules = LOCAL,
        proxy: Proxy | None = None,
        proxy_context: ssl.SSLContext | None = None,
        listening: Callable[[], Iterable[Listening]] = tuple,
    ) -> None:
        self._upstream = Leg(base.host, base.port, base.address, context, "`url`")
        self._resolver = resolver
        self._timeout = timeout
        self._egress = egress
        self._listening = listening
        self._proxy = proxy
        if proxy is not None:
            near = Leg(proxy.host, proxy.port, f"proxy {proxy.address}", proxy_context, proxy.source)
            self._route = proxy, near, LOCAL if proxy.from_environment else egress

    def __repr__(self) -> str:
        way = f" by {self._proxy!r}" if self._proxy else ""
        return f"<Connector {self._upstream.address} {'tls' if self._upstream.context else 'plain'}{way}>"

    async def connect(self, protocol_factory: Callable[[], P]) -> tuple[asyncio.Transport, P]:
        """Open a connection; the protocol's `connection_made` has been called on return.

        `protocol_factory` is called once at most, when TCP is connected. If TLS then fails, its protocol
        has never been connected.

        Raises:
            ConnectFailed: of kind DNS, EGRESS, CONNECT, PROXY, TLS or CONNECT_TIMEOUT; OVERLOADED when this process
                is out of file descriptors.

        """
        progress = Progress()
        try:
            # One timer per connection, not per request.
            async with asyncio.timeout(self._timeout):
                refusal = host_verdict(self._upstream.host, self._egress)
                if refusal:
                    raise _refused(self._upstream, refusal)
                if self._proxy is None:
                    sock = await self._open(self._upstream, self._egress, progress)
                    return await self._hand_over(sock, protocol_factory, progress)
                return await self._through_proxy(protocol_factory, progress)
        except TimeoutError as error:
            message = (
                f"{progress.step} took longer than {self._timeout:g} s; "
                "the host is down, overloaded or behind a firewall (see `timeouts.connect`)"
            )
            raise ConnectFailed(Fault(errors.CONNECT_TIMEOUT, message)) from error

    async def _open(self, leg: Leg, rules: Rules, progress: Progress) -> socket.socket:
        """Resolve, judge, connect."""
        progress.step = f"DNS lookup of {leg.address}"
        addresses = await self._resolver.resolve(leg.host, leg.port)
        for address in addresses:
            # One that must not be called spoils all: who answers so for a name is not to be trusted with the rest.
            refusal = verdict(address.ip, rules)
            if not refusal and is_own(address.ip, leg.port, self._listening(), is_of_this_machine):
                refusal = f"{address.ip} port {leg.port} is this gateway itself; check host and port in {leg.source}"
            if refusal:
                raise _refused(leg, refusal)
        progress.step = f"TCP connection to {leg.address}"
        return await open_tcp(addresses, leg.address)

    async def _through_proxy(
        self, factory: Callable[[], P], progress: Progress
    ) -> tuple[asyncio.Transport, P]:
        proxy, near, rules = self._route
        try:
            sock = await self._open(near, rules, progress)
        except ConnectFailed as failed:
            # The words below know upstreams only.
            message = failed.fault.message.replace("`url`", proxy.source)
            raise ConnectFailed(structs.replace(failed.fault, message=message)) from failed
        return await open_tunnel(sock, proxy, near, self._upstream, factory, self._timeout, progress)

    async def _hand_over(
        self, sock: socket.socket, factory: Callable[[], P], progress: Progress
    ) -> tuple[asyncio.Transport, P]:
        """Give a connected socket to a transport and a protocol, after the TLS handshake if there is one."""
        leg = self._upstream
        progress.step = f"TLS handshake with {leg.address}"
        try:
            protocol = factory()
        except BaseException:
            sock.close()
            raise
        try:
            # From here a transport owns the socket, and create_connection closes it when it fails or is cancelled.
            return await asyncio.get_running_loop().create_connection(
                lambda: protocol,
                sock=sock,
                ssl=leg.context,
                server_hostname=leg.server_hostname,
                # The timeout around us fires first; this one only replaces the default of 60 s.
                ssl_handshake_timeout=self._timeout if leg.context else None,
                ssl_shutdown_timeout=CLOSE_NOTIFY if leg.context else None,
            )
        except OSError as error:
            fault = leg.tls_fault(error) if leg.context else tcp_fault(leg.address, [(None, error)])
            raise ConnectFailed(fault) from error


def _refused(leg: Leg, why: str) -> ConnectFailed:
    return ConnectFailed(Fault(errors.EGRESS, f"egress to {leg.address} refused: {why}"))


def is_of_this_machine(ip: str) -> bool:
    """Whether a local interface has the address: then the kernel would call it from that same address."""
    address = literal(ip)
    if address is None or address.is_loopback:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            # Connecting a datagram socket chooses a route and sends nothing.
            sock.connect((str(address), 9))
            return literal(str(sock.getsockname()[0])) == address
    except OSError:
        return False
