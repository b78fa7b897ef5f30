"""The simulator as a program, as an object in an event loop, and as a thread.

Owns start and stop. What it simulates: docs/simulator.md.

    async with await start(seed=7) as sim:
        ...  # POST to f"{sim.url}/v1/chat/completions"
        assert sim.log[-1].outcome == "answered"
"""

import asyncio
import signal
import ssl as tls  # `ssl` is the name of a parameter
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, cast

from trunkline.simulator.connection import Connection
from trunkline.simulator.faults import MODEL_LISTS
from trunkline.simulator.state import DEFAULT_MODELS, Entry, Settings, State

_BACKLOG = 4096  # a test that opens thousands of connections at once must not meet SYN retries


class Simulator:
    """A running simulator. Belongs to the event loop it was started in."""

    def __init__(
        self, server: asyncio.Server, state: State, connections: set[Connection], host: str, scheme: str
    ) -> None:
        self._server = server
        self._state = state
        self._connections = connections
        self.host = host
        self.port: int = server.sockets[0].getsockname()[1]
        self.url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    def __repr__(self) -> str:
        return f"<Simulator {self.url}: {self.open_connections} connections, {self._state.total} requests>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def log(self) -> list[Entry]:
        """The requests received, oldest first."""
        return list(self._state.log)

    @property
    def open_connections(self) -> int:
        """Client connections open now."""
        return self._state.open_connections

    @property
    def in_flight(self) -> int:
        """Requests whose head has arrived and whose answer has not ended."""
        return self._state.in_flight

    def stats(self) -> dict[str, Any]:
        """What GET /__stats says."""
        return self._state.stats()

    def reset(self) -> None:
        """What POST /__reset does: forget the log and the counts of `times` and `rate`."""
        self._state.reset()

    def require(self, credential: str | None) -> None:
        """From now on answer 401 without exactly this header (`api-key: k`, `authorization: Bearer t`)."""
        self._state.credential = credential

    def set_fault(self, spec: str | None, *, model: str | None = None) -> None:
        """Switch a fault on while it runs: it strikes whatever a request asks for itself. None: off again.

        `model`: only requests with exactly this name, its own fault included. Raises `SpecError`.
        """
        self._state.set_fault(spec, model)

    async def until(self, check: Callable[[], bool]) -> None:
        """Wait until `check()` is true; it is asked whenever a request or connection begins or ends.

        For tests: `await sim.until(lambda: sim.open_connections == 0)`.
        """
        await self._state.until(check)

    async def close(self) -> None:
        """Stop listening, cut every connection, wait until all is gone. May be called twice."""
        self._server.close()
        tasks = [task for connection in list(self._connections) if (task := connection.shut()) is not None]
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._state.until(lambda: not self._connections)
        await self._server.wait_closed()


async def start(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    seed: int = 0,
    ssl: tls.SSLContext | None = None,
    models: tuple[str, ...] = DEFAULT_MODELS,
    api_key: str | None = None,
    credential: str | None = None,
    model_list: str = "openai",
    log_size: int = 10_000,
    words: int | None = None,
) -> Simulator:
    """Start a simulator in the running loop. Raises OSError if the address is taken, ValueError for a wrong shape.

    `seed` decides texts, vectors and the dice of `rate`; `models` is what /v1/models lists (every name is served);
    `api_key` is taken from any of the usual headers, `credential` is one exact header (`api-key: k`); `model_list` is
    the shape of /v1/models (docs/simulator.md); `log_size` bounds the log; `words` is the
    length of each text that has no item for it.
    """
    if model_list not in MODEL_LISTS:
        raise ValueError(f"model_list must be one of {', '.join(MODEL_LISTS)}, not {model_list}")
    loop = asyncio.get_running_loop()
    settings = Settings(
        seed=seed,
        models=models,
        api_key=api_key,
        credential=credential,
        model_list=model_list,
        log_size=log_size,
        words=words,
    )
    state = State(settings, loop.time)
    connections: set[Connection] = set()
    server = await loop.create_server(
        lambda: Connection(state, connections), host, port, ssl=ssl, backlog=_BACKLOG
    )
    return Simulator(server, state, connections, host, "https" if ssl is not None else "http")


def run(host: str, port: int, *, seed: int = 0, announce: Callable[[str], None]) -> None:
    """Run until SIGINT or SIGTERM, in a loop of its own. `announce` is told one line when it is ready."""

    async def main() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with await start(host, port, seed=seed) as simulator:
            announce(f"simulator ready at {simulator.url}/v1 (models: {', '.join(DEFAULT_MODELS)})")
            await stop.wait()

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(main())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Prefer uvloop, where it is installed."""
    try:
        import uvloop  # noqa: PLC0415  (optional)
    except ImportError:
        return asyncio.new_event_loop
    return cast("Callable[[], asyncio.AbstractEventLoop]", uvloop.new_event_loop)


class SimulatorThread:
    """A simulator in a thread and loop of its own, for synchronous tests.

    A context manager; the arguments are those of `start`. All its attributes may be used from any thread.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, **settings: Any) -> None:
        self._thread = threading.Thread(
            target=self._main, args=(host, port, settings), name="simulator", daemon=True
        )
        self._started: Future[tuple[Simulator, asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._simulator: Simulator
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event

    def __enter__(self) -> Self:
        self._thread.start()
        self._simulator, self._loop, self._stop = self._started.result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(RuntimeError):  # the loop has ended already
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def __repr__(self) -> str:
        return f"<SimulatorThread {self._simulator!r}>"

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._simulator.port

    @property
    def url(self) -> str:
        """Where it is, without /v1."""
        return self._simulator.url

    @property
    def log(self) -> list[Entry]:
        """The requests received, oldest first."""
        return self._call(lambda: self._simulator.log)

    @property
    def open_connections(self) -> int:
        """Client connections open now."""
        return self._simulator.open_connections

    def stats(self) -> dict[str, Any]:
        """What GET /__stats says."""
        return self._call(self._simulator.stats)

    def reset(self) -> None:
        """What POST /__reset does."""
        self._call(self._simulator.reset)

    def require(self, credential: str | None) -> None:
        """From now on answer 401 without exactly this header."""
        self._call(lambda: self._simulator.require(credential))

    def set_fault(self, spec: str | None, *, model: str | None = None) -> None:
        """Switch a fault on or off."""
        self._call(lambda: self._simulator.set_fault(spec, model=model))

    def until(self, check: Callable[[], bool], timeout: float = 10.0) -> None:
        """Wait until `check()`, called in the simulator's thread, is true. Raises TimeoutError."""
        waiting = asyncio.run_coroutine_threadsafe(self._simulator.until(check), self._loop)
        try:
            waiting.result(timeout)
        except TimeoutError:
            waiting.cancel()
            raise

    def _call(self, function: Callable[[], Any]) -> Any:
        if threading.current_thread() is self._thread:  # a check of `until`
            return function()

        async def call() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result()

    def _main(self, host: str, port: int, settings: dict[str, Any]) -> None:
        async def main() -> None:
            stop = asyncio.Event()
            async with await start(host, port, **settings) as simulator:
                self._started.set_result((simulator, asyncio.get_running_loop(), stop))
                await stop.wait()

        try:
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                runner.run(main())
        except Exception as error:
            if self._started.done():
                raise
            self._started.set_exception(error)
