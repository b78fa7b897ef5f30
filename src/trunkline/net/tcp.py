"""TCP connections to one of several addresses.

Owns the race among addresses and the words for what went wrong with them. Does not own which addresses are tried
(net/dns.py, net/egress.py) nor what is spoken on the connection (net/connector.py).

With several addresses they race (RFC 8305, "happy eyeballs"): families alternate, the next address starts 250 ms
after the last or as soon as one fails, the first to connect wins and the rest are closed. uvloop's create_connection
has no such race, hence ours.
"""

import asyncio
import errno
import itertools
import os
import socket
from collections.abc import Sequence

from trunkline import errors
from trunkline.errors import Fault
from trunkline.net.dns import Address, ConnectFailed

# RFC 8305 section 8: the recommended Connection Attempt Delay.
STAGGER = 0.25

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


async def open_tcp(addresses: Sequence[Address], name: str) -> socket.socket:
    """Connect to one of the addresses of `name` (host:port, for messages).

    Raises:
        ConnectFailed: of kind CONNECT, CONNECT_TIMEOUT or OVERLOADED.

    """
    if len(addresses) > 1:
        result = await _race(_interleave(addresses))
    else:
        try:
            result = await _connect(addresses[0])
        except OSError as error:
            result = [(addresses[0], error)]
    if isinstance(result, socket.socket):
        return result
    raise ConnectFailed(tcp_fault(name, result))


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


def tcp_fault(address: str, failures: Sequence[tuple[Address | None, OSError]]) -> Fault:
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
