"""A gateway, its simulators and a raw client in one event loop, for tests over real sockets.

`on_both_loops` runs an async test once on asyncio and once on uvloop. `running(...)` starts a world and, at its end,
checks what every test may expect: no live call, no error in a callback, no task left behind.
"""

import asyncio
import functools
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec
import pytest

from tests.contract.simulator.raw import LOOPS, PATIENCE, Reply, get
from tests.contract.simulator.raw import post as post_bytes
from trunkline.config.model import AdminSettings, DiscoverySettings, Settings
from trunkline.gateway.app import Gateway
from trunkline.net.listener import ServerSettings
from trunkline.policy.keys import KeySettings
from trunkline.policy.record import UsageRecord
from trunkline.routing.backend import BackendSettings, TimeoutSettings
from trunkline.routing.models import ModelSettings
from trunkline.routing.rules import RuleSettings
from trunkline.simulator.app import Simulator, start
from trunkline.simulator.state import Entry

__all__ = [
    "Client",
    "Reply",
    "World",
    "chat",
    "get",
    "multipart",
    "on_both_loops",
    "post",
    "running",
    "scripted",
    "soon",
]

Play = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


def on_both_loops(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Turn an async test into one that is run once per event loop."""
    others = list(inspect.signature(test).parameters.values())

    @functools.wraps(test)
    def wrapper(loop_name: str, **arguments: Any) -> None:
        async def scenario() -> None:
            async with asyncio.timeout(PATIENCE):
                await test(**arguments)

        with asyncio.Runner(loop_factory=LOOPS[loop_name]) as runner:
            runner.run(scenario())

    name = inspect.Parameter("loop_name", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    wrapper.__signature__ = inspect.Signature([name, *others])  # type: ignore[attr-defined]  # pytest reads it
    return pytest.mark.parametrize("loop_name", sorted(LOOPS))(wrapper)


def post(path: str, value: Any = None, *, headers: str = "", body: bytes | None = None) -> bytes:
    """The bytes of a POST; JSON as the gateway writes it, so that the upstream's answer is the same without it."""
    return post_bytes(path, headers=headers, body=msgspec.json.encode(value) if body is None else body)


def chat(model: str = "sim-small", *, headers: str = "", **fields: Any) -> bytes:
    """The bytes of a chat request."""
    say = [{"role": "user", "content": "hello there"}]
    return post("/v1/chat/completions", {"model": model, "messages": say} | fields, headers=headers)


class Client:
    """One client connection to the gateway: exact bytes out, exact bytes in."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        """Write bytes as they are."""
        self.writer.write(data)

    async def head(self) -> Reply:
        """The head of an answer; the body is still to be read."""
        return Reply(await self.reader.readuntil(b"\r\n\r\n"), "open")

    async def until(self, text: bytes) -> bytes:
        """Everything up to and with some text."""
        return await self.reader.readuntil(text)

    async def answer(self, *, no_body: bool = False) -> Reply:
        """One answer with a complete body; the connection stays open."""
        raw = await self.reader.readuntil(b"\r\n\r\n")
        reply = Reply(raw, "open")
        if no_body or reply.status in (204, 304):
            return reply
        if reply.headers.get("transfer-encoding") == "chunked":
            while not raw.endswith(b"\r\n0\r\n\r\n"):
                size = await self.reader.readuntil(b"\r\n")
                raw += size + await self.reader.readexactly(int(size, 16) + 2)
        else:
            raw += await self.reader.readexactly(int(reply.headers["content-length"]))
        return Reply(raw, "open")

    async def rest(self) -> Reply:
        """Everything up to the connection's end."""
        raw = bytearray()
        try:
            while data := await self.reader.read(65536):
                raw += data
        except ConnectionResetError:
            return Reply(bytes(raw), "reset")
        finally:
            self.writer.close()
        return Reply(bytes(raw), "fin")

    async def leave(self) -> None:
        """Close the connection, whatever is going on."""
        self.writer.transport.abort()
        await asyncio.sleep(0)


class World:
    """A running gateway with the simulators `sims` behind it."""

    def __init__(self, gateway: Gateway, sims: list[Simulator]) -> None:
        self.gateway = gateway
        self.sims = sims
        self.errors: list[str] = []
        self._clients: list[Client] = []

    @property
    def records(self) -> list[UsageRecord]:
        """Usage records, oldest first."""
        return list(self.gateway.runtime.records)

    @property
    def record(self) -> UsageRecord:
        """The last one."""
        return self.records[-1]

    @property
    def faults(self) -> list[tuple[str, str]]:
        """Backend and fault of each attempt of the last call."""
        return [(attempt.backend, attempt.fault) for attempt in self.record.attempts]

    @property
    def seen(self) -> Entry:
        """The last request that the first simulator received."""
        return self.sims[0].log[-1]

    @property
    def counts(self) -> list[int]:
        """How many requests each simulator received."""
        return [len(sim.log) for sim in self.sims]

    async def open(self) -> Client:
        """Connect to the data port."""
        return await self._open(self.gateway.server.port)

    async def _open(self, port: int) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", port))
        self._clients.append(client)
        return client

    async def close(self) -> None:
        """Leave all connections, also those that a failed test left open."""
        for client in self._clients:
            await client.leave()

    async def ask(self, request: bytes) -> Reply:
        """One request on a connection of its own, and its complete answer."""
        client = await self.open()
        client.send(request)
        reply = await client.answer(no_body=request.startswith(b"HEAD "))
        await client.leave()
        return reply

    async def ask_to_end(self, request: bytes) -> Reply:
        """The same for answers that end the connection."""
        client = await self.open()
        client.send(request)
        return await client.rest()

    async def ask_admin(self, path: str, *, host: str = "localhost", method: str = "GET") -> Reply:
        """A request to the admin port."""
        client = await self._open(self.gateway.admin.port)
        client.send(get(path, method=method).replace(b"host: localhost", b"host: %b" % host.encode()))
        reply = await client.answer()
        await client.leave()
        return reply

    async def direct(self, request: bytes, sim: int = 0) -> Reply:
        """Ask a simulator without the gateway."""
        client = await self._open(self.sims[sim].port)
        client.send(request)
        reply = await client.answer()
        await client.leave()
        return reply

    async def quiet(self) -> None:
        """Wait until no call is live and no simulator has one in flight."""
        while self.gateway.runtime.live:
            await asyncio.sleep(0.005)
        for sim in self.sims:
            await sim.until(lambda sim=sim: sim.in_flight == 0)


@asynccontextmanager
async def running(
    *faults: str | None,
    urls: list[str] | None = None,
    timeouts: dict[str, Any] | None = None,
    server: dict[str, Any] | None = None,
    keys: list[KeySettings] | None = None,
    passthrough: bool = False,
    backends: list[dict[str, Any]] | None = None,
    api_key: str = "",
    discovery: float = 0.0,
    data_dir: str | None = None,
    models: dict[str, Any] | None = None,
    rules: list[dict[str, Any]] | None = None,
    made: Callable[[list[str]], Settings] | None = None,
) -> AsyncGenerator[World]:
    """Start a gateway in front of one simulator per fault (None: healthy; no argument: one healthy simulator).

    A fault is put into a header of the backend, so that the same request meets each backend in its own state.
    `urls` are further backends, behind the simulators; `backends` are further settings of each, in order.
    Backends are called a, b, c ... and are tried in that order. `models` and `rules` are as in a file. `made` makes
    other settings of the addresses.
    """
    loop = asyncio.get_running_loop()
    before = asyncio.all_tasks()
    async with AsyncExitStack() as stack:
        sims = [await stack.enter_async_context(await start(seed=7)) for _ in (faults or (None,))]
        specs = [*(faults or (None,)), *[None for _ in urls or ()]]
        addresses = [sim.url for sim in sims] + (urls or [])
        settings: list[BackendSettings] = []
        for index, (spec, url) in enumerate(zip(specs, addresses, strict=True)):
            values: dict[str, Any] = {
                "name": "abcdef"[index],
                "url": url,
                "priority": index,
                "headers": {"x-sim-fault": spec} if spec else {},
                "timeouts": TimeoutSettings(**(timeouts or {})),
                "api_key": api_key,
                # Repeats and splices have suites of their own (tests/failover); here each attempt is looked at.
                "max_retries": 0,
                "on_cut": "error",
            }
            settings.append(BackendSettings(**(values | ((backends or [])[index : index + 1] or [{}])[0])))
        plain = Settings(
            server=ServerSettings(port=0, **(server or {})),
            admin=AdminSettings(port=0),
            keys=keys or [],
            backends=settings,
            passthrough=passthrough,
            discovery=DiscoverySettings(interval=discovery),
            data_dir=data_dir,
            models=msgspec.convert(models or {}, dict[str, ModelSettings]),
            rules=msgspec.convert(rules or [], list[RuleSettings]),
        )
        gateway = Gateway(plain if made is None else made(addresses))
        world = World(gateway, sims)
        loop.set_exception_handler(lambda _loop, context: world.errors.append(repr(context)))
        await gateway.start()
        try:
            yield world
        finally:
            await world.close()
            await gateway.stop()
    assert world.errors == []
    assert not gateway.runtime.live
    assert not gateway.server.shared.connections
    assert gateway.server.shared.buffered == 0
    while left := {task for task in asyncio.all_tasks() - before if not task.done()}:
        await asyncio.wait(left, timeout=5)
        assert all(task.done() for task in left), f"tasks left behind: {left}"


@asynccontextmanager
async def scripted(play: Play) -> AsyncGenerator[str]:
    """An upstream that does exactly what `play` does with each connection; gives its URL."""
    tasks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await play(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the gateway has left
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # transports close in the next round


def soon(spec: str) -> dict[str, Any]:
    """A short time between events where an upstream stalls; others could take as long on a slow machine."""
    return {"idle": 0.2} if "stall" in spec else {}


def multipart(*parts: tuple[str, bytes], boundary: str = "XbX") -> tuple[str, bytes]:
    """The content-type line and the body of a form; a part called `file` is a file."""
    body = bytearray()
    for name, value in parts:
        extra = '; filename="f.wav"\r\ncontent-type: audio/wav' if name == "file" else ""
        body += f'--{boundary}\r\ncontent-disposition: form-data; name="{name}"{extra}\r\n\r\n'.encode()
        body += value + b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    return f"content-type: multipart/form-data; boundary={boundary}\r\n", bytes(body)
