"""A small request of the gateway's own: model lists, health, tokens.

Owns one bounded question and its answer. Does not own what clients ask (exchange.py). Off the hot path, so it may
await and use timers.
"""

import asyncio
from typing import TYPE_CHECKING

from trunkline.errors import CONNECT_TIMEOUT, MALFORMED, RESET, Answer, Fault
from trunkline.net.dns import ConnectFailed
from trunkline.net.http1_client import ClientConnection
from trunkline.net.pool import Pool
from trunkline.net.receiver import Receiver
from trunkline.wire.head import Headers, ResponseHead

if TYPE_CHECKING:
    from trunkline.engine.upstream import Upstream

MAX_ANSWER = 4 * 1024 * 1024  # bytes; OpenRouter's list of models is about 600 KB


class _Collector(Receiver):
    """Receives an answer whole."""

    def __init__(
        self, connection: ClientConnection, outcome: "asyncio.Future[Answer | Fault]", limit: int
    ) -> None:
        self._connection = connection
        self._outcome = outcome
        self._limit = limit
        self._head: ResponseHead | None = None
        self._body = bytearray()

    def on_head(self, head: ResponseHead, length: int) -> None:
        del length
        self._head = head

    def on_body(self, data: bytes) -> None:
        self._body += data
        if len(self._body) > self._limit:
            self._connection.abort()
            self._settle(Fault(MALFORMED, f"the answer is longer than {self._limit} bytes"))

    def on_end(self, framed: bool) -> None:
        del framed  # a list that was cut is not JSON
        self._settle(None)

    def on_fault(self, fault: Fault) -> None:
        self._settle(fault)

    def on_upstream_writable(self, writable: bool) -> None:
        """Nobody waits to write more."""

    def _settle(self, fault: Fault | None) -> None:
        if self._outcome.done():
            return
        if fault is None and self._head is not None:
            self._outcome.set_result(Answer(self._head.status, self._head.headers, bytes(self._body)))
        elif fault is not None:
            self._outcome.set_result(fault)


async def fetch(
    upstream: "Upstream",
    target: bytes,
    timeout: float,
    *,
    method: bytes = b"GET",
    headers: Headers | None = None,
    body: bytes = b"",
) -> Answer | Fault:
    """Ask a backend, with its credential, at a path of the API or of its server; what went wrong is a fault.

    `timeout`: seconds.
    `headers`: names in lower case; a body needs its content-type there.
    """
    try:
        async with asyncio.timeout(timeout):
            head = upstream.question(method, target, headers or [])
            end = b"content-length: %d\r\n\r\n" % len(body) if method == b"POST" else b"\r\n"
            authorization = await upstream.authorization()
            if isinstance(authorization, Fault):
                return authorization
            answer = await _ask(upstream.probes, head + authorization + end, body, MAX_ANSWER)
            refused = isinstance(answer, Answer) and answer.status == 401
            if not refused or upstream.oauth is None or not upstream.oauth.invalidate(authorization):
                return answer
            # The token was revoked: it is renewed once, as for calls.
            authorization = await upstream.authorization()
            if isinstance(authorization, Fault):
                return authorization
            return await _ask(upstream.probes, head + authorization + end, body, MAX_ANSWER)
    except TimeoutError:
        return Fault(CONNECT_TIMEOUT, f"no answer within {timeout:g} s")


async def ask(pool: Pool, head: bytes, body: bytes, timeout: float, limit: int) -> Answer | Fault:
    """Send a request and take an answer of at most `limit` bytes within `timeout` seconds."""
    try:
        async with asyncio.timeout(timeout):
            return await _ask(pool, head, body, limit)
    except TimeoutError:
        return Fault(CONNECT_TIMEOUT, f"no answer within {timeout:g} s")


async def _ask(pool: Pool, head: bytes, body: bytes, limit: int) -> Answer | Fault:
    outcome: asyncio.Future[Answer | Fault] = asyncio.get_running_loop().create_future()
    connection: ClientConnection | None = None
    try:
        connection = await pool.open(fresh=True)
        if connection.closed:
            return Fault(RESET, "the upstream closed the connection before the request was sent")
        connection.clock.read()
        connection.send(head, body, _Collector(connection, outcome, limit))
        return await outcome
    except ConnectFailed as failed:
        return failed.fault
    finally:
        # Once it was answered the connection is back in its pool, perhaps in use again.
        if connection is not None and (outcome.cancelled() or not outcome.done()):
            connection.abort()
