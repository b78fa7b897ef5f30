"""A client of many streams at once, which counts events and does nothing else.

Run as `python -m bench.stream_client PORT STREAMS INTERVAL_MS VARIED` (VARIED: 0 or 1, see `stream_upstream.py`). It
opens the streams, reads them until its stdin closes, and answers every line on stdin with its counters as one line of
JSON: `open` streams that had an event, `events` and `reads` so far, `failed` connections (refused, closed, or not 200)
and the first `failure` in words.
"""

import asyncio
import json
import sys
from typing import cast

import uvloop

from bench.payload import Kind, render_head, render_stream_request

_CONNECTING = 32
"""Connects under way at once: below every listen backlog (nginx: 511)."""


class Counters:
    """What all streams together have seen."""

    def __init__(self) -> None:
        self.open = 0
        self.events = 0
        self.reads = 0
        self.failed = 0
        self.failure = ""

    def fail(self, failure: str) -> None:
        """Count a stream that did not work; the first one is kept in words."""
        self.failed += 1
        self.failure = self.failure or failure


class StreamReader(asyncio.Protocol):
    """One stream."""

    def __init__(self, counters: Counters, request: bytes) -> None:
        self._counters = counters
        self._request = request
        self._head: bytes | None = b""
        self._speaking = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        # uvloop's transports do not derive from asyncio.Transport.
        cast("asyncio.Transport", transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        """Count the events. Gateways relay whole events, so that the mark is never cut in practice."""
        counters = self._counters
        events = data.count(b"data: ")
        counters.events += events
        counters.reads += 1
        if not self._speaking:
            self._begin(data, events)

    def _begin(self, data: bytes, events: int) -> None:
        if self._head is not None:
            self._head += data
            if b"\r\n\r\n" in self._head:
                if not self._head.startswith(b"HTTP/1.1 200"):
                    self._counters.fail(repr(self._head[:300]))
                self._head = None
        if events:
            self._speaking = True
            self._counters.open += 1

    def connection_lost(self, exc: Exception | None) -> None:
        """Streams here never end by themselves: any end is a failure."""
        self._counters.fail(f"closed: {exc!r}")


async def run(port: int, streams: int, interval_ms: int, kind: Kind) -> None:
    """Open all streams, then answer questions until stdin closes."""
    loop = asyncio.get_running_loop()
    counters = Counters()
    body = render_stream_request(interval_ms, kind)
    request = render_head(body) + body
    gate = asyncio.Semaphore(_CONNECTING)
    transports: list[asyncio.Transport] = []

    async def connect() -> None:
        async with gate:
            try:
                transport, _ = await loop.create_connection(
                    lambda: StreamReader(counters, request), "127.0.0.1", port
                )
            except OSError as exc:
                counters.fail(repr(exc))
            else:
                transports.append(transport)

    opening = asyncio.gather(*(connect() for _ in range(streams)))
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(vars(counters)), flush=True)
    opening.cancel()
    for transport in transports:
        transport.abort()


if __name__ == "__main__":
    port_, streams_, interval_, kind_ = sys.argv[1:]
    uvloop.run(run(int(port_), int(streams_), int(interval_), cast("Kind", kind_)))
