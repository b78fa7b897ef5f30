"""Requests that the gateway answers itself, perhaps after asking backends.

Owns the handler that runs one coroutine per request and sends its answer. Does not own the answers
(models.py, probes.py, admin.py).
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import msgspec

from trunkline.errors import INTERNAL, Fault
from trunkline.wire.error_body import render

JSON = b"content-type: application/json\r\n"


class Reply(msgspec.Struct, frozen=True, gc=False):
    """An answer: status, header lines, body."""

    status: int
    body: bytes
    block: bytes = JSON


class _Sink(Protocol):
    def respond(self, status: int, block: bytes, body: bytes) -> None: ...
    def done(self) -> None: ...


class LocalRequest:
    """One request that is answered by a coroutine function. A body is read and dropped."""

    whole = False

    def __init__(self, sink: _Sink, answer: Callable[[], Coroutine[Any, Any, Reply]], block: bytes) -> None:
        self._sink = sink
        self._answer = answer
        self._block = block
        self._task: asyncio.Task[None] | None = None

    def on_request(self, body: bytes, connection: object) -> None:
        """Never asked for."""

    def on_piece(self, data: bytes, last: bool, connection: object) -> None:
        """Begin when the body is past."""
        del data, connection
        if last:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def on_writable(self, writable: bool) -> None:
        """The answer is one write."""

    def on_gone(self, fault: Fault) -> None:
        """The client left."""
        if self._task is not None:
            self._task.cancel()

    def on_drain_over(self) -> None:
        """The gateway stops."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            reply = await self._answer()
        except Exception as error:  # noqa: BLE001 # a request must get its answer, whatever went wrong
            reply = Reply(
                500, render(Fault(INTERNAL, f"the gateway failed: {type(error).__name__}"), "openai")
            )
        self._sink.respond(reply.status, reply.block + self._block, reply.body)
        self._sink.done()


class LocalBodyRequest(LocalRequest):
    """The same for a request whose body matters."""

    whole = True

    def __init__(
        self, sink: _Sink, answer: Callable[[bytes], Coroutine[Any, Any, Reply]], block: bytes
    ) -> None:
        super().__init__(sink, lambda: answer(self._body), block)
        self._body = b""

    def on_request(self, body: bytes, connection: object) -> None:
        """The whole body."""
        self._body = body
        self.on_piece(b"", True, connection)
