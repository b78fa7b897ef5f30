"""A small GET of the gateway's own to a backend: model lists and health.

Owns one bounded question and its answer. Does not own what clients ask (exchange.py). Off the hot path, so it may
await and use timers.
"""

import asyncio

from trunkline.engine.upstream import Upstream
from trunkline.errors import CONNECT_TIMEOUT, RESET, Answer, Fault
from trunkline.net.dns import ConnectFailed
from trunkline.net.http1_client import ClientConnection, Receiver
from trunkline.wire.head import Headers, ResponseHead

MAX_ANSWER = 4 * 1024 * 1024  # bytes; OpenRouter's list of models is about 600 KB


class _Question:
    """What a request head is made of (engine.upstream)."""

    method = b"GET"

    def __init__(self, target: bytes) -> None:
        self.target = target
        self.headers: Headers = []
        self.starts: dict[str, bytes] = {}


class _Collector(Receiver):
    """Receives an answer whole."""

    def __init__(self, connection: ClientConnection, outcome: "asyncio.Future[Answer | Fault]") -> None:
        self._connection = connection
        self._outcome = outcome
        self._head: ResponseHead | None = None
        self._body = bytearray()

    def on_head(self, head: ResponseHead, length: int) -> None:
        del length
        self._head = head

    def on_body(self, data: bytes) -> None:
        self._body += data
        if len(self._body) > MAX_ANSWER:
            self._connection.abort()
            self._settle(None)

    def on_end(self, framed: bool) -> None:
        del framed  # a list that was cut is not JSON
        self._settle(None)

    def on_fault(self, fault: Fault) -> None:
        self._settle(fault)

    def on_upstream_writable(self, writable: bool) -> None:
        """A head fits into any buffer."""

    def _settle(self, fault: Fault | None) -> None:
        if self._outcome.done():
            return
        if fault is None and self._head is not None:
            self._outcome.set_result(Answer(self._head.status, self._head.headers, bytes(self._body)))
        elif fault is not None:
            self._outcome.set_result(fault)


async def fetch(upstream: Upstream, target: bytes, timeout: float) -> Answer | Fault:
    """GET a gateway path from a backend within `timeout` seconds; what went wrong is a fault."""
    outcome: asyncio.Future[Answer | Fault] = asyncio.get_running_loop().create_future()
    connection: ClientConnection | None = None
    try:
        async with asyncio.timeout(timeout):
            connection = await upstream.probes.open(fresh=True)
            if connection.closed:
                return Fault(RESET, "the upstream closed the connection before the request was sent")
            head = upstream.head(_Question(target), None)
            connection.send(head, b"", _Collector(connection, outcome))
            return await outcome
    except ConnectFailed as failed:
        return failed.fault
    except TimeoutError:
        return Fault(CONNECT_TIMEOUT, f"no answer within {timeout:g} s")
    finally:
        # Once it was answered the connection is back in its pool, perhaps in use again.
        if connection is not None and (outcome.cancelled() or not outcome.done()):
            connection.abort()
