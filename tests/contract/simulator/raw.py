"""A raw client for these tests: it keeps every byte, and tells a FIN from a reset.

`on_both_loops` runs an async test with a fresh simulator, once on asyncio and once on uvloop.
"""

import asyncio
import contextlib
import functools
import inspect
import json
from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from typing import Any

import msgspec
import pytest
import uvloop

from trunkline.simulator.app import Simulator, start

PATIENCE = 30.0
"""Seconds after which a test is hung: far more than any needs."""
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}

# The connections of the test that runs.
_OPENED: "ContextVar[list[Wire] | None]" = ContextVar("opened", default=None)


async def abort_all(transports: Iterable[asyncio.WriteTransport]) -> None:
    """Close connections before their loop is: what is left open is complained of in whichever test it is collected."""
    for transport in transports:
        with contextlib.suppress(AttributeError):  # of asyncio's TLS, where it is closed already
            transport.abort()
    await asyncio.sleep(0)  # transports close in the next round


def on_both_loops(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Turn `async def test(sim, ...)` into a test that is run once per event loop.

    A test whose first argument is not called `sim` gets none, and starts its own.
    """
    others = list(inspect.signature(test).parameters.values())
    wants_sim = bool(others) and others[0].name == "sim"

    @functools.wraps(test)
    def wrapper(loop_name: str, **arguments: Any) -> None:
        async def scenario() -> None:
            opened: list[Wire] = []
            _OPENED.set(opened)
            try:
                async with asyncio.timeout(PATIENCE):
                    if not wants_sim:
                        await test(**arguments)
                        return
                    async with await start(seed=7) as sim:
                        await test(sim, **arguments)
            finally:
                await abort_all(wire.writer.transport for wire in opened)

        with asyncio.Runner(loop_factory=LOOPS[loop_name]) as runner:
            runner.run(scenario())

    name = inspect.Parameter("loop_name", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    wrapper.__signature__ = inspect.Signature([name, *others[wants_sim:]])  # type: ignore[attr-defined]  # pytest reads it
    return pytest.mark.parametrize("loop_name", sorted(LOOPS))(wrapper)


class Reply(msgspec.Struct):
    """One answer as it came: `raw` is all of it; `end` says how the connection ended, if it did."""

    raw: bytes
    end: str  # "open", "fin" or "reset"

    @property
    def head(self) -> bytes:
        """Status line and headers."""
        return self.raw.partition(b"\r\n\r\n")[0]

    @property
    def payload(self) -> bytes:
        """Everything behind the head, framing included."""
        return self.raw.partition(b"\r\n\r\n")[2]

    @property
    def status(self) -> int:
        """The status."""
        return int(self.head.split(b" ", 2)[1])

    @property
    def headers(self) -> dict[str, str]:
        """The headers."""
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}

    @property
    def chunks(self) -> list[bytes]:
        """The chunks of a chunked body that are there in full; the last one is empty if the body is complete."""
        found: list[bytes] = []
        rest = self.payload
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            length = int(size, 16)
            if len(rest) < length + 2:
                break
            assert rest[length : length + 2] == b"\r\n"
            found.append(rest[:length])
            rest = rest[length + 2 :]
        return found

    @property
    def body(self) -> bytes:
        """The body without framing."""
        return b"".join(self.chunks) if self.headers.get("transfer-encoding") == "chunked" else self.payload

    @property
    def complete(self) -> bool:
        """Whether the framing says that the body has ended."""
        if self.headers.get("transfer-encoding") == "chunked":
            return self.payload.endswith(b"0\r\n\r\n")
        return len(self.payload) == int(self.headers.get("content-length", -1))

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The data of all events: JSON, or the text where it is none. Comments are left out."""
        blocks = self.body.decode().replace("\r\n", "\n").split("\n\n")
        data = [line[6:] for block in blocks for line in block.split("\n") if line.startswith("data: ")]
        return [json.loads(text) if text.endswith("}") else text for text in data]


class Wire:
    """One connection to a simulator."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        if (opened := _OPENED.get()) is not None:
            opened.append(self)

    @classmethod
    async def open(cls, sim: Simulator, **options: Any) -> "Wire":
        """Connect."""
        return cls(*await asyncio.open_connection("127.0.0.1", sim.port, **options))

    def send(self, data: bytes) -> None:
        """Write bytes as they are."""
        self.writer.write(data)

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

    async def answer(self) -> Reply:
        """One answer with a complete body; the connection stays open."""
        raw = bytearray(await self.reader.readuntil(b"\r\n\r\n"))
        while not Reply(bytes(raw), "open").complete:
            data = await self.reader.read(65536)
            assert data, "the connection ended in a body"
            raw += data
        return Reply(bytes(raw), "open")

    async def close(self) -> None:
        """Leave."""
        self.writer.close()
        await self.writer.wait_closed()


def post(path: str, value: Any = None, *, headers: str = "", body: bytes | None = None) -> bytes:
    """The bytes of a POST with a JSON body (or any). `headers` are whole lines, each with its CRLF."""
    data = json.dumps(value).encode() if body is None else body
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(data)}\r\n{headers}\r\n"
    return head.encode() + data


def get(path: str, *, method: str = "GET", headers: str = "") -> bytes:
    """The bytes of a GET."""
    return f"{method} {path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n".encode()


def chat(
    model: str = "sim-small", *, question: str = "hello there", headers: str = "", **fields: Any
) -> bytes:
    """The bytes of a chat request."""
    value = {"model": model, "messages": [{"role": "user", "content": question}]} | fields
    return post("/v1/chat/completions", value, headers=headers)


async def ask(sim: Simulator, request: bytes) -> Reply:
    """Send one request on a connection of its own and read its whole answer."""
    wire = await Wire.open(sim)
    wire.send(request)
    reply = await wire.answer()
    await wire.close()
    return reply


async def ask_to_end(sim: Simulator, request: bytes) -> Reply:
    """The same, for answers that end the connection."""
    wire = await Wire.open(sim)
    wire.send(request)
    return await wire.rest()


def text_of(events: list[Any]) -> str:
    """The text of a chat stream's first choice."""
    choices: list[Any] = [event["choices"][0] for event in events if event != "[DONE]" and event["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices)
