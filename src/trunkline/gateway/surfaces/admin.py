"""The worker's own admin port: `/metrics`, `/health`, and `/discovery` (how old each backend's list of models is).

Owns what is told there until the control process exists. It listens on loopback only and has no key, so a request must
name this machine (gateway/host.py says why).
"""

import time
from collections.abc import Callable

import msgspec

from trunkline.engine.runtime import Runtime
from trunkline.errors import METHOD_NOT_ALLOWED, NOT_FOUND, ORIGIN_NOT_ALLOWED, Fault
from trunkline.gateway.host import names_this_machine
from trunkline.gateway.refusal import refusal_block
from trunkline.gateway.surfaces.local import JSON, LocalRequest, Reply
from trunkline.net.handler import Handler
from trunkline.net.http1_server import ServerConnection
from trunkline.wire.error_body import render
from trunkline.wire.head import RequestHead


class AdminApplication:
    """The admin port."""

    def __init__(self, runtime: Runtime, client_connections: Callable[[], int]) -> None:
        self._runtime = runtime
        self._client_connections = client_connections

    def on_head(self, head: RequestHead, connection: ServerConnection) -> Handler | None:
        """net.http1_server.Application."""
        path = head.target.partition(b"?")[0]
        fault = None
        if not names_this_machine(head, self._runtime.settings.admin.host):
            named = head.fields[b"host"][:200].decode("latin-1")
            message = (
                f"the admin port is this machine's own: call it by localhost or 127.0.0.1, not as {named}"
            )
            fault = Fault(ORIGIN_NOT_ALLOWED, message)
        elif path not in (b"/metrics", b"/health", b"/discovery"):
            fault = Fault(NOT_FOUND, "the admin port has /metrics, /health and /discovery")
        elif head.method not in (b"GET", b"HEAD"):
            fault = Fault(METHOD_NOT_ALLOWED, "use GET")
        if fault is not None:
            connection.respond(fault.http_status, *self.refusal(fault, head))
            return None
        answers = {b"/metrics": self._metrics, b"/health": self._health, b"/discovery": self._discovery}
        block = b"x-request-id: %b\r\ncache-control: no-store\r\n" % self._runtime.next_id()
        return LocalRequest(connection, answers[path], block)

    def refusal(self, fault: Fault, head: RequestHead | None) -> tuple[bytes, bytes]:
        """net.http1_server.Application."""
        del head
        return refusal_block(fault, self._runtime.next_id(), b""), render(fault, "openai")

    async def _health(self) -> Reply:
        return Reply(200, b'{"status":"alive"}')

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
        body = prometheus.render(metrics, upstream)
        return Reply(200, body, f"content-type: {prometheus.CONTENT_TYPE}\r\n".encode())
