"""The worker's own admin port: which paths there are, and the short answers among them.

Owns that until the control process exists. Does not own what is told of calls (calls.py) and of backends (backends.py).
It listens on loopback only and has no key, so a request must name this machine (gateway/host.py says why).

    /metrics    what Prometheus reads             /calls      the last calls; /calls/ID one of them, explained
    /health     whether this process answers      /explain    POST a request: what would happen to it now
    /discovery  how old lists of models are       /backends   breakers, health, rates, load, latencies
"""

import time
from collections.abc import Callable
from functools import partial
from urllib.parse import unquote

import msgspec

from trunkline.engine.runtime import Runtime
from trunkline.errors import METHOD_NOT_ALLOWED, NOT_FOUND, ORIGIN_NOT_ALLOWED, Fault
from trunkline.gateway.host import names_this_machine
from trunkline.gateway.refusal import refusal_block
from trunkline.gateway.surfaces import calls
from trunkline.gateway.surfaces.backends import states, tell_backends
from trunkline.gateway.surfaces.local import JSON, LocalBodyRequest, LocalRequest, Reply
from trunkline.net.handler import Handler
from trunkline.net.http1_server import ServerConnection
from trunkline.wire.error_body import render
from trunkline.wire.head import RequestHead

_CALL = b"/calls/"
PATHS = (b"/metrics", b"/health", b"/discovery", b"/calls", b"/explain", b"/backends")


class AdminApplication:
    """The admin port."""

    def __init__(self, runtime: Runtime, client_connections: Callable[[], int]) -> None:
        self._runtime = runtime
        self._client_connections = client_connections

    def on_head(self, head: RequestHead, connection: ServerConnection) -> Handler | None:
        """net.http1_server.Application."""
        path, _, query = head.target.partition(b"?")
        one_call = path.startswith(_CALL) and len(path) > len(_CALL)
        methods = (b"POST",) if path == b"/explain" else (b"GET", b"HEAD")
        fault = None
        if not names_this_machine(head, self._runtime.settings.admin.host):
            named = head.fields[b"host"][:200].decode("latin-1")
            message = (
                f"the admin port is this machine's own: call it by localhost or 127.0.0.1, not as {named}"
            )
            fault = Fault(ORIGIN_NOT_ALLOWED, message)
        elif not one_call and path not in PATHS:
            *others, last = sorted(item.decode() for item in (*PATHS, b"/calls/ID"))
            fault = Fault(NOT_FOUND, f"the admin port has {', '.join(others)} and {last}")
        elif head.method not in methods:
            fault = Fault(METHOD_NOT_ALLOWED, f"use {methods[0].decode()}")
        if fault is not None:
            connection.respond(fault.http_status, *self.refusal(fault, head))
            return None
        block = b"x-request-id: %b\r\ncache-control: no-store\r\n" % self._runtime.next_id()
        if path == b"/explain":
            return LocalBodyRequest(connection, partial(calls.explain, self._runtime, head), block)
        if one_call:
            name = unquote(path[len(_CALL) :].decode("latin-1"))
            return LocalRequest(connection, partial(calls.one_call, self._runtime, name), block)
        answers = {
            b"/metrics": self._metrics,
            b"/health": self._health,
            b"/discovery": self._discovery,
            b"/calls": partial(calls.list_calls, self._runtime, query),
            b"/backends": self._backends,
        }
        return LocalRequest(connection, answers[path], block)

    def refusal(self, fault: Fault, head: RequestHead | None) -> tuple[bytes, bytes]:
        """net.http1_server.Application."""
        del head
        return refusal_block(fault, self._runtime.next_id(), b""), render(fault, "openai")

    async def _health(self) -> Reply:
        return Reply(200, b'{"status":"alive"}')

    async def _backends(self) -> Reply:
        return calls.told(tell_backends(self._runtime))

    async def _discovery(self) -> Reply:
        """Of each backend: how many models, how old its list is, when it was asked and what was wrong then."""
        now = time.time()
        pairs = zip(self._runtime.upstreams, self._runtime.discovery.catalog.known, strict=True)
        told = [
            {
                "name": upstream.name,
                "models": None if known.models is None else len(known.models),
                "age_seconds": round(now - known.listed_at, 1) if known.listed_at else None,
                "asked_seconds_ago": round(now - known.asked_at, 1) if known.asked_at else None,
                "error": known.error,
            }
            for upstream, known in pairs
        ]
        return Reply(200, msgspec.json.encode({"backends": told}), JSON)

    async def _metrics(self) -> Reply:
        from trunkline.telemetry import prometheus  # noqa: PLC0415 # 30 ms and 4 MB that few processes need

        runtime = self._runtime
        metrics = runtime.metrics
        metrics.in_flight = len(runtime.live)
        metrics.client_connections = self._client_connections()
        upstream: dict[tuple[str, str], int] = {}
        for item in runtime.upstreams:
            upstream[item.name, "idle"] = item.pool.idle + item.probes.idle
            upstream[item.name, "busy"] = (
                item.pool.open_count + item.probes.open_count - upstream[item.name, "idle"]
            )
        body = prometheus.render(metrics, upstream, states(runtime))
        return Reply(200, body, f"content-type: {prometheus.CONTENT_TYPE}\r\n".encode())
