"""Whatever is done with a pool in whatever order: its counts are right, and all that was opened is closed."""

import asyncio
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.errors import CONNECT, Fault
from trunkline.net.clock import Clock
from trunkline.net.dns import ConnectFailed
from trunkline.net.http1_client import ClientConnection
from trunkline.net.pool import Pool

LIMIT = 3
OPERATIONS = (
    "open",
    "fresh",
    "cancel",
    "connect",
    "refuse",
    "release",
    "abort",
    "upstream closes",
    "expire",
    "turn",
)


class Line(asyncio.Transport):
    """A transport that ends a turn of the loop after it is closed, as real ones do."""

    def __init__(self, protocol: ClientConnection, open_lines: "set[Line]") -> None:
        super().__init__()
        self.protocol = protocol
        self._open_lines = open_lines
        self._closing = False
        open_lines.add(self)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is written."""

    def is_closing(self) -> bool:
        return self._closing

    def abort(self) -> None:
        if not self._closing:
            self._closing = True
            asyncio.get_running_loop().call_soon(self._lost)

    def _lost(self) -> None:
        self._open_lines.discard(self)
        self.protocol.connection_lost(None)


class Dialler:
    """Connects when it is told to."""

    def __init__(self) -> None:
        self.pending: list[tuple[asyncio.Future[None], Callable[[], ClientConnection]]] = []
        self.lines: set[Line] = set()

    async def connect(
        self, protocol_factory: Callable[[], ClientConnection]
    ) -> tuple[asyncio.Transport, ClientConnection]:
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.pending.append((told, protocol_factory))
        await told
        connection = protocol_factory()
        line = Line(connection, self.lines)
        connection.connection_made(line)
        return line, connection

    def settle(self, fault: Fault | None) -> None:
        while self.pending:
            told, _ = self.pending.pop(0)
            if not told.done():
                if fault is None:
                    told.set_result(None)
                else:
                    told.set_exception(ConnectFailed(fault))
                return


class Run:
    """One random sequence."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.clock = Clock(loop)
        self.dialler = Dialler()
        self.pool = Pool(self.dialler, self.clock, LIMIT, "h:1")
        self.clock.stop()
        self.asking: list[asyncio.Task[ClientConnection]] = []
        self.held: list[ClientConnection] = []

    def collect(self) -> None:
        for task in [task for task in self.asking if task.done()]:
            self.asking.remove(task)
            if not task.cancelled() and task.exception() is None:
                assert task.result() not in self.held
                self.held.append(task.result())

    async def turn(self) -> None:
        await asyncio.sleep(0)
        self.collect()
        # Over the limit only by those that were closed to make room and whose loss is not told yet.
        closing = sum(line.is_closing() for line in self.dialler.lines)
        assert 0 <= self.pool.open_count <= LIMIT + closing
        assert self.pool.idle <= self.pool.open_count

    async def do(self, operation: str, pick: int) -> None:
        loop = asyncio.get_running_loop()
        self.collect()
        if operation in ("open", "fresh"):
            self.asking.append(loop.create_task(self.pool.open(fresh=operation == "fresh")))
        elif operation == "cancel" and self.asking:
            self.asking[pick % len(self.asking)].cancel()
        elif operation == "connect":
            self.dialler.settle(None)
        elif operation == "refuse":
            self.dialler.settle(Fault(CONNECT, "refused"))
        elif operation == "release" and self.held:
            connection = self.held.pop(pick % len(self.held))
            if not connection.closed:
                self.pool.released(connection)
        elif operation == "abort" and self.held:
            self.held.pop(pick % len(self.held)).abort()
        elif operation == "upstream closes" and self.dialler.lines:
            sorted(self.dialler.lines, key=id)[pick % len(self.dialler.lines)].abort()
        elif operation == "expire":
            self.clock.now += pick
            self.pool.expire(self.clock.now)
        elif operation == "turn":
            await self.turn()

    async def finish(self) -> None:
        """All who still ask are served in the end, and then all is given back."""
        for _ in range(1000):
            await self.turn()
            if not self.asking and not self.held:
                break
            while self.held:
                connection = self.held.pop()
                if not connection.closed:
                    self.pool.released(connection)
            self.dialler.settle(None)
        assert self.asking == []
        self.pool.close()
        for _ in range(5):
            await self.turn()
        assert repr(self.pool) == "<Pool 0 open, 0 idle, 0 waiting>"
        assert self.dialler.lines == set()


@settings(max_examples=300)
@given(st.lists(st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 5)), max_size=60))
def test_any_sequence_of_operations(operations: list[tuple[str, int]]) -> None:
    async def scenario() -> None:
        run = Run()
        for operation, pick in operations:
            await run.do(operation, pick)
        await run.finish()

    asyncio.run(scenario())
