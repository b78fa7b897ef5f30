"""`/health`, `/health/live`, `/health/ready`.

Owns what monitors are told. `/health` asks the backends (one that answers anything at all is healthy: behaviours of
seed 004); the other two look at this process only. No key is needed, so what `/health` asks is asked at most once a
second, however often it is called.
"""

import asyncio

import msgspec

from trunkline.engine.fetch import fetch
from trunkline.engine.runtime import Runtime
from trunkline.engine.upstream import Upstream
from trunkline.errors import Answer
from trunkline.gateway.surfaces.local import LocalRequest, Reply
from trunkline.net.http1_server import ServerConnection
from trunkline.net.url import redact
from trunkline.providers.registry import find

TIMEOUT = 5.0  # seconds; seed 004
MAX_AGE = 1.0  # seconds


class Probes:
    """The health surface."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._asking: asyncio.Task[list[tuple[Upstream, str]]] | None = None
        self._asked_at = 0.0

    def handler(self, path: bytes, connection: ServerConnection, extra: bytes) -> LocalRequest:
        """Answer one request."""
        answer = {b"/health": self._health, b"/health/live": self._live}.get(path, self._ready)
        block = b"x-request-id: %b\r\ncache-control: no-store\r\n%b" % (self._runtime.next_id(), extra)
        return LocalRequest(connection, answer, block)

    def stop(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()

    async def _live(self) -> Reply:
        return _said(200, {"status": "alive"})

    async def _ready(self) -> Reply:
        return (
            _said(503, {"status": "draining"}) if self._runtime.draining else _said(200, {"status": "ready"})
        )

    async def _health(self) -> Reply:
        runtime = self._runtime
        now = runtime.clock.read()
        if self._asking is None or (self._asking.done() and now - self._asked_at > MAX_AGE):
            self._asked_at = now
            self._asking = asyncio.get_running_loop().create_task(self._ask())
        found = await asyncio.shield(self._asking)
        first, problem = found[0]
        if all(problem for _, problem in found):
            return _said(503, {"status": "unhealthy", "error": f"Health check failed: {problem}"})
        value: dict[str, object] = {"status": "healthy", "target_url": redact(first.settings.url)}
        if len(found) > 1:
            value["backends"] = {
                upstream.name: "unhealthy" if problem else "healthy" for upstream, problem in found
            }
        return _said(200, value)

    async def _ask(self) -> list[tuple[Upstream, str]]:
        """What is wrong with each backend; "" if it answers."""
        upstreams = list(self._runtime.upstreams)  # a reload may change them meanwhile
        problems = await asyncio.gather(*(self._problem(upstream) for upstream in upstreams))
        return list(zip(upstreams, problems, strict=True))

    async def _problem(self, upstream: Upstream) -> str:
        profile = find(upstream.settings.provider)
        answer = await fetch(
            upstream, (profile.health if profile is not None else "/v1/models").encode(), TIMEOUT
        )
        return "" if isinstance(answer, Answer) else answer.message


def _said(status: int, value: object) -> Reply:
    return Reply(status, msgspec.json.encode(value))
