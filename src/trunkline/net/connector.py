"""New connections to one upstream: addresses, TCP, TLS, within one time limit.

Owns `Connector` (one per backend and event loop) and what a failed connection is called. Does not own
names (net/dns.py), certificates (net/tls.py), nor which connection a request gets (net/pool.py).

A socket is connected first and then handed to `create_connection`, so that the protocol is made once,
for the connection that won. With several addresses they race (RFC 8305, "happy eyeballs"): families
alternate, the next address starts 250 ms after the last or as soon as one fails, the first to connect
wins and the rest are closed. uvloop's create_connection has no such race, hence ours.

Nothing stays open after a failure or a cancellation: each socket has one owner at any time, first the
task that connects it, then `Connector.connect`, then the transport.
"""

import asyncio
import errno
import itertools
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import TypeVar

from trunkline import errors
from trunkline.errors import Fault
from trunkline.net.dns import Address, ConnectFailed, Resolver
from trunkline.net.tls import tls_fault
from trunkline.net.url import BaseUrl

P = TypeVar("P", bound=asyncio.BaseProtocol)

# RFC 8305 section 8: the recommended Connection Attempt Delay.
STAGGER = 0.25
# How long a closed TLS transport waits for the server's close_notify. The default of 30 s would keep a socket open
# that nobody owns: of a connect cancelled just as the handshake ends, to a server that does not answer.
CLOSE_NOTIFY = 0.5

_HINTS = {
    errno.ECONNREFUSED: "is the server running and listening there?",
    errno.ENETUNREACH: "this machine has no route to it",
    errno.EHOSTUNREACH: "the host is down or a firewall is in the way",
    errno.ETIMEDOUT: "the host is down or a firewall is in the way",
    errno.EADDRNOTAVAIL: "this machine has no address or no free port to call from",
}
# What every address of a family says where that family is not connected, and so nothing about the host.
_UNTELLING = (errno.ENETUNREACH, errno.EADDRNOTAVAIL)
# The gateway's own trouble, whatever the backend: it must not count against the backend.
_OUT_OF_FILES = (errno.EMFILE, errno.ENFILE)


class Connector:
    """Makes connections to one upstream.

    `context` is None for plain HTTP. `timeout` is in seconds and bounds DNS, TCP and TLS together.
    """

    def __init__(
        self, base: BaseUrl, context: ssl.SSLContext | None, resolver: Resolver, timeout: float
    ) -> None:
        self._host = base.host
        self._port = base.port
        self._address = base.address
        self._context = context
        # A trailing dot keeps a name out of the DNS search list; certificates and SNI have names without it.
        self._server_hostname = base.host.rstrip(".") if context is not None else None
        self._resolver = resolver
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"<Connector {self._address} {'tls' if self._context else 'plain'}>"

    async def connect(self, protocol_factory: Callable[[], P]) -> tuple[asyncio.Transport, P]:
        """Open a connection; the protocol's `connection_made` has been called on return.

        `protocol_factory` is called once at most, when TCP is connected. If TLS then fails, its protocol
        has never been connected.

        Raises:
            ConnectFailed: of kind DNS, CONNECT, TLS or CONNECT_TIMEOUT; OVERLOADED when this process is
                out of file descriptors.

        """
        step = "DNS lookup of"
        try:
            # One timer per connection, not per request.
            async with asyncio.timeout(self._timeout):
                addresses = await self._resolver.resolve(self._host, self._port)
                step = "TCP connection to"
                sock = await self._open(addresses)
                step = "TLS handshake with"
                return await self._hand_over(sock, protocol_factory)
        except TimeoutError as error:
            message = (
                f"{step} {self._address} took longer than {self._timeout:g} s; "
                "the host is down, overloaded or behind a firewall (see `timeouts.connect`)"
            )
            raise ConnectFailed(Fault(errors.CONNECT_TIMEOUT, message)) from error

    async def _open(self, addresses: Sequence[Address]) -> socket.socket:
        if len(addresses) > 1:
            result = await _race(_interleave(addresses))
        else:
            try:
                result = await _connect(addresses[0])
            except OSError as error:
                result = [(addresses[0], error)]
        if isinstance(result, socket.socket):
            return result
        raise ConnectFailed(_tcp_fault(self._address, result))

    async def _hand_over(self, sock: socket.socket, factory: Callable[[], P]) -> tuple[asyncio.Transport, P]:
        """Give a connected socket to a transport and a protocol, after the TLS handshake if there is one."""
        try:
            protocol = factory()
        except BaseException:
            sock.close()
            raise
        secure = self._context is not None
        try:
            # From here a transport owns the socket, and create_connection closes it when it fails or is cancelled.
            return await asyncio.get_running_loop().create_connection(
                lambda: protocol,
                sock=sock,
                ssl=self._context,
                server_hostname=self._server_hostname,
                # The timeout around us fires first; this one only replaces the default of 60 s.
                ssl_handshake_timeout=self._timeout if secure else None,
                ssl_shutdown_timeout=CLOSE_NOTIFY if secure else None,
            )
        except OSError as error:
            fault = tls_fault(self._address, error) if secure else _tcp_fault(self._address, [(None, error)])
            raise ConnectFailed(fault) from error


async def _connect(address: Address) -> socket.socket:
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, (address.ip, address.port))
    except BaseException:
        sock.close()
        raise
    return sock


def _interleave(addresses: Sequence[Address]) -> list[Address]:
    """Alternate the families, beginning with the one the resolver prefers (RFC 8305 section 4)."""
    first = [a for a in addresses if a.family == addresses[0].family]
    second = [a for a in addresses if a.family != addresses[0].family]
    pairs = itertools.zip_longest(first, second)
    return [address for pair in pairs for address in pair if address is not None]


async def _race(addresses: list[Address]) -> socket.socket | list[tuple[Address | None, OSError]]:
    """Connect to the first address that answers; else say what was wrong with each."""
    loop = asyncio.get_running_loop()
    running: dict[asyncio.Task[socket.socket], Address] = {}
    waiting = iter(addresses)
    upcoming = next(waiting, None)
    failures: list[tuple[Address | None, OSError]] = []
    try:
        while upcoming is not None or running:
            if upcoming is not None:
                running[loop.create_task(_connect(upcoming))] = upcoming
                upcoming = next(waiting, None)
            delay = STAGGER if upcoming is not None else None
            await asyncio.wait(running, timeout=delay, return_when=asyncio.FIRST_COMPLETED)
            for task in [task for task in running if task.done()]:
                error = task.exception()
                if error is None:
                    del running[task]
                    return task.result()
                if not isinstance(error, OSError):
                    raise error
                failures.append((running.pop(task), error))
    finally:
        for task in running:
            task.cancel()
            # A callback and not an await, which a second cancellation would cut short.
            task.add_done_callback(_close_loser)
    return failures


def _close_loser(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


def _tcp_fault(address: str, failures: Sequence[tuple[Address | None, OSError]]) -> Fault:
    """Name the failure of each address; the most telling one decides about kind and hint."""
    codes = [error.errno or 0 for _, error in failures]
    code = next((code for code in codes if code not in _UNTELLING), codes[-1])
    if code in _OUT_OF_FILES:
        return Fault(errors.OVERLOADED, "too many open files; raise the limit of this process (ulimit -n)")
    if len(failures) == 1:
        why = _reason(failures[0][1])
    else:
        why = ", ".join(f"{tried.ip if tried else address} {_reason(error)}" for tried, error in failures)
    kind = errors.CONNECT_TIMEOUT if code == errno.ETIMEDOUT else errors.CONNECT
    hint = _HINTS.get(code, "check host and port in `url`")
    return Fault(kind, f"TCP connection to {address} failed: {why}; {hint}")


def _reason(error: OSError) -> str:
    # Not strerror: asyncio puts "Connect call failed ('127.0.0.1', 9)" there, uvloop the plain words.
    return os.strerror(error.errno).lower() if error.errno else str(error)
