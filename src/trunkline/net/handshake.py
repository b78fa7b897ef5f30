"""An accepted connection until its TLS handshake is over: counted like any other, and ended when it takes too long.

Owns the time from accept to handshake. Does not own the connection afterwards (net/http1_server.py).

Left to `create_server(ssl=...)` an event loop tells nobody about a connection whose handshake has not ended, so any
number of silent clients could hold descriptors. Here the plain connection is accepted and counted; then its socket is
taken over, before a byte was read, by a transport that begins with the handshake.
"""

import asyncio
import socket
import ssl
from typing import cast

from trunkline.net.connection_life import Shared
from trunkline.net.http1_server import ServerConnection


class Handshake(asyncio.Protocol):
    """The protocol of one connection while its handshake lasts. `underway`: all that are, of one server."""

    def __init__(self, shared: Shared, tls: ssl.SSLContext, underway: "set[Handshake]") -> None:
        self._shared = shared
        self._tls = tls
        self._underway = underway
        self._taken: socket.socket | None = None  # until the task has begun
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it and begin, or close it where there are too many."""
        shared = self._shared
        count = len(shared.connections) + len(self._underway)
        if count < shared.settings.max_connections and not shared.draining:
            # A transport reads as soon as this returns, and `start_tls` would come too late for what it read.
            self._taken = transport.get_extra_info("socket").dup()
            self._underway.add(self)
            self._task = asyncio.get_running_loop().create_task(self._shake_hands())
        cast("asyncio.Transport", transport).abort()

    def cut(self) -> asyncio.Future[None]:
        """The server closes: end it. Gives what is to be waited for."""
        assert self._task is not None, "it is underway"
        self._task.cancel()
        if self._taken is not None:
            self._taken.close()
            self._underway.discard(self)
        return self._task

    async def _shake_hands(self) -> None:
        taken, self._taken = self._taken, None
        assert taken is not None, "this runs once"
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: ServerConnection(self._shared),
                taken,
                ssl=self._tls,
                ssl_handshake_timeout=self._shared.settings.head_timeout,
            )
        except OSError:
            pass  # the client left, was too slow or speaks no TLS: the loop has closed the connection
        finally:
            self._underway.discard(self)
