"""A request that waits for the operator's own router to name its model.

Owns the wait. Does not own the asking (engine/router.py) nor what follows (entry.py). Only where a router is
configured; there each JSON request becomes a task for as long as its router takes.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from trunkline.engine.guide import Led
from trunkline.engine.request_view import RequestView
from trunkline.engine.router import Pinned
from trunkline.engine.runtime import Runtime
from trunkline.errors import INTERNAL, SHUTTING_DOWN, Fault
from trunkline.routing.rules import View


class Begin(Protocol):
    """Goes on with the request, or refuses it."""

    def __call__(self, led: Led) -> object: ...


class Asking:
    """net.handler.Handler while the router is asked."""

    whole = True

    def __init__(
        self,
        runtime: Runtime,
        view: View,
        request: RequestView,
        needs: str,
        begin: Begin,
        refuse: Callable[[Fault], object],
    ) -> None:
        self._runtime = runtime
        self._view = view
        self._request = request
        self._needs = needs
        self._begin = begin
        self._refuse = refuse
        self._task = asyncio.get_running_loop().create_task(self._ask())

    async def _ask(self) -> None:
        runtime = self._runtime
        assert runtime.router is not None
        try:
            found = await runtime.router.choose(self._request)
            self._begin(self._led(found))
        except Exception as error:  # noqa: BLE001 # a client must get its end, whatever went wrong
            runtime.alarm("a router", error)
            self._refuse(Fault(INTERNAL, "the gateway failed; see its log"))

    def _led(self, found: Pinned | str | None) -> Led:
        """What it leads to; the operator is told where that is nowhere."""
        runtime = self._runtime
        led, lost = runtime.guide.follow(
            found,
            self._request.model,
            self._view,
            lambda led: runtime.choose(led.model, self._needs, led.pin, led=True),
        )
        if lost is not None:
            runtime.complain("router", lost)
        return led

    def on_request(self, body: bytes, connection: object) -> None:
        """Never asked for: it is here."""

    def on_piece(self, data: bytes, last: bool, connection: object = None) -> None:
        """Never asked for."""

    def on_writable(self, writable: bool) -> None:
        """Nothing is being sent yet."""

    def on_gone(self, fault: Fault) -> None:
        """The client left."""
        self._task.cancel()

    def on_drain_over(self) -> None:
        """The gateway stops and cannot wait any longer."""
        self._task.cancel()
        self._refuse(Fault(SHUTTING_DOWN, "the gateway is shutting down", retry_after=1.0))
