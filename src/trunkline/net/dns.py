"""Host names to addresses, off the event loop: cached, one lookup per name at a time, robust to outages.

Owns `Resolver` (one per event loop), `Address`, and `ConnectFailed`, the one exception by which a
connection that could not be made is reported. Does not own the choice among addresses
(net/connector.py) nor which of them may be called (egress guard).

getaddrinfo blocks and cannot be interrupted. Each lookup runs in a daemon thread, a few at most: the
threads of a ThreadPoolExecutor are joined when the interpreter exits, so a dead name server would hold
up every shutdown for the libc's 10 to 30 s. A lookup given up by its callers stays the one lookup of
that name until its thread returns; its answer still enters the cache.

Times follow RFC 8767 (serving stale data): an answer is fresh for 30 s; afterwards it is used only if a
new lookup fails or takes longer than 1.8 s, for at most an hour, and then the name is left alone for
another 30 s.
"""

import asyncio
import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from trunkline import errors
from trunkline.errors import Fault, TrunklineError

# What socket.getaddrinfo returns, with the parts that are read.
AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]
GetAddrInfo = Callable[..., Sequence[AddressInfo]]
Found = tuple[tuple[int, str], ...]

FRESH = 30.0
# RFC 8767 5: the "client response timer". Shorter than any sensible connect timeout.
PATIENCE_WITH_STALE = 1.8
RETRY_AFTER_FAILURE = 30.0
# RFC 8767 recommends days for public resolvers; a model server that moved an hour ago is gone.
MAX_STALE = 3600.0


class ConnectFailed(TrunklineError):
    """No connection to an upstream could be made; `fault` says at which step and why."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class Address(msgspec.Struct, frozen=True, gc=False):
    """One address to connect to: `family` is socket.AF_INET or AF_INET6, `ip` a literal without brackets."""

    family: int
    ip: str
    port: int


class _Answer(msgspec.Struct):
    """The last good answer for a name. Times are of the resolver's clock."""

    found: Found
    fresh_until: float
    usable_until: float


class Resolver:
    """Looks up host names. Belongs to one event loop; `close()` it at the end.

    `timeout` is in seconds; `getaddrinfo` and `clock` are replaced in tests. The cache has an entry per
    name asked for: names come from the configuration, never from a client.
    """

    def __init__(
        self,
        *,
        getaddrinfo: GetAddrInfo = socket.getaddrinfo,
        clock: Callable[[], float] = time.monotonic,
        timeout: float = 5.0,
        threads: int = 8,
    ) -> None:
        self._getaddrinfo = getaddrinfo
        self._clock = clock
        self._timeout = timeout
        self._slots = asyncio.Semaphore(threads)
        self._answers: dict[str, _Answer] = {}
        self._flights: dict[str, asyncio.Task[Found | Fault]] = {}

    def __repr__(self) -> str:
        return f"<Resolver {len(self._answers)} names known, {len(self._flights)} being looked up>"

    async def resolve(self, host: str, port: int) -> list[Address]:
        """Give the addresses of `host`, best first; there is at least one.

        Raises:
            ConnectFailed: of kind DNS.

        """
        family = _literal_family(host)
        if family is not None:
            return [Address(family, host, port)]
        return [Address(family, ip, port) for family, ip in await self._find(host)]

    def close(self) -> None:
        """Give up the lookups that are running (their callers get ConnectFailed) and forget the answers."""
        for flight in self._flights.values():
            flight.cancel()
        self._flights.clear()
        self._answers.clear()

    async def _find(self, host: str) -> Found:
        now = self._clock()
        answer = self._answers.get(host)
        if answer is not None and now < answer.fresh_until:
            return answer.found
        flight = self._flights.get(host)
        if flight is None:
            flight = self._flights[host] = asyncio.get_running_loop().create_task(self._fly(host))
            # By identity: after close() the name may already have a new flight.
            flight.add_done_callback(lambda done: self._flights.get(host) is done and self._flights.pop(host))
        stale = answer is not None and now < answer.usable_until
        # wait(), unlike wait_for(), leaves the flight alone when this caller gives up.
        await asyncio.wait(
            {flight}, timeout=min(PATIENCE_WITH_STALE, self._timeout) if stale else self._timeout
        )
        if not flight.done():
            result = _fault(
                host, f"no answer within {self._timeout:g} s", "check this machine's name servers"
            )
        elif flight.cancelled():
            result = _fault(host, "the resolver was closed", "the gateway is shutting down")
        else:
            result = flight.result()
        if isinstance(result, tuple):
            return result
        if answer is not None and stale:
            answer.fresh_until = self._clock() + RETRY_AFTER_FAILURE
            return answer.found
        raise ConnectFailed(result)

    async def _fly(self, host: str) -> Found | Fault:
        """Look one name up in a thread of its own and put a good answer into the cache."""
        loop = asyncio.get_running_loop()
        landed: asyncio.Future[Found | Fault] = loop.create_future()

        def look_up() -> None:
            result = _look_up(self._getaddrinfo, host)
            try:
                loop.call_soon_threadsafe(_settle, landed, result)
            except RuntimeError:
                # The loop was closed meanwhile: nobody waits any more.
                return

        async with self._slots:
            threading.Thread(target=look_up, name=f"dns {host}", daemon=True).start()
            result = await landed
        if isinstance(result, tuple):
            now = self._clock()
            self._answers[host] = _Answer(result, now + FRESH, now + FRESH + MAX_STALE)
        return result


def _settle(future: asyncio.Future[Found | Fault], result: Found | Fault) -> None:
    if not future.done():
        future.set_result(result)


def _look_up(getaddrinfo: GetAddrInfo, host: str) -> Found | Fault:
    """Call getaddrinfo (in a thread); every outcome is a value."""
    try:
        # No AI_ADDRCONFIG: on a machine with nothing but loopback it finds no `localhost`.
        infos = getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:
            return _fault(host, "temporary failure in name resolution", "check this machine's name servers")
        return _fault(host, (error.strerror or str(error)).lower(), "check the host name in `url`")
    except (OSError, ValueError) as error:
        # ValueError: names that the idna codec refuses.
        return _fault(host, str(error), "check the host name in `url`")
    wanted = (socket.AF_INET, socket.AF_INET6)
    found = tuple(dict.fromkeys((int(info[0]), str(info[4][0])) for info in infos if info[0] in wanted))
    return found or _fault(host, "the name has no address", "check the host name in `url`")


def _fault(host: str, why: str, hint: str) -> Fault:
    return Fault(errors.DNS, f"DNS lookup of {host} failed: {why}; {hint}")


def _literal_family(host: str) -> int | None:
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return None
    return int(socket.AF_INET if version == 4 else socket.AF_INET6)
