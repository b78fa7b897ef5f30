"""A listening server: sockets, the sweep over its connections, and the graceful end.

Owns accepting and draining. Does not own what happens on a connection (net/http1_server.py).
"""

import asyncio
import socket
import ssl

from trunkline.errors import ConfigError
from trunkline.net.clock import Clock
from trunkline.net.connection_life import Shared
from trunkline.net.handler import Application
from trunkline.net.handshake import Handshake
from trunkline.net.http1_server import ServerConnection
from trunkline.net.listener import ServerSettings

BACKLOG = 2048  # connections the kernel keeps while the loop is busy; it caps this at net.core.somaxconn


class Server:
    """One listening port with its connections. `start`, then `drain` or `close`."""

    def __init__(
        self,
        app: Application,
        settings: ServerSettings,
        clock: Clock,
        tls: ssl.SSLContext | None,
        setting: str = "server.port",
    ) -> None:
        self.shared = Shared(app, settings, clock)
        self._tls = tls
        self._handshakes: set[Handshake] = set()
        self._setting = setting  # what to change if the port is taken
        self._server: asyncio.Server | None = None
        self.port = settings.port

    def __repr__(self) -> str:
        return f"<Server on port {self.port}, {self.open_count} connections>"

    @property
    def open_count(self) -> int:
        """Client connections, with those whose TLS handshake is not over."""
        return len(self.shared.connections) + len(self._handshakes)

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """IP address and port of each listening socket."""
        sockets = () if self._server is None else self._server.sockets
        return [item.getsockname()[:2] for item in sockets]

    async def start(self) -> None:
        """Listen; ConfigError if the address cannot be had."""
        settings = self.shared.settings
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                self._protocol,
                settings.host,
                settings.port,
                backlog=BACKLOG,
                reuse_address=True,
                reuse_port=settings.reuse_port or None,
            )
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}; "
                f"choose another {self._setting} or stop what uses it"
            ) from error
        self.port = self._server.sockets[0].getsockname()[1]
        for listening in self._server.sockets:
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # inherited by what is accepted
        self.shared.clock.join(self._sweep)

    async def drain(self, timeout: float) -> bool:
        """Stop accepting, let running calls finish for `timeout` seconds, then cut them. True: none was cut."""
        self._stop_accepting()
        shared = self.shared
        shared.draining = True
        handshakes = [handshake.cut() for handshake in list(self._handshakes)]
        for connection in list(shared.connections):
            connection.drain()
        deadline = shared.clock.read() + timeout
        while shared.connections and shared.clock.read() < deadline:  # noqa: ASYNC110 # once in a process' life; an event would cost every connection
            await asyncio.sleep(0.02)
        left = list(shared.connections)
        for connection in left:
            connection.cut()
        await asyncio.gather(*handshakes, return_exceptions=True)
        await asyncio.sleep(0)
        shared.departures.close()
        return not left

    async def close(self) -> None:
        """Cut everything."""
        await self.drain(0)

    def _protocol(self) -> asyncio.Protocol:
        if self._tls is None:
            return ServerConnection(self.shared)
        return Handshake(self.shared, self._tls, self._handshakes)

    def _stop_accepting(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _sweep(self, now: float) -> None:
        for connection in list(self.shared.connections):
            connection.sweep(now)
