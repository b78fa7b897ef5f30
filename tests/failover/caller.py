"""The caller: one chat call, read as the public failover benchmark reads it, and told as a value.

Its rules: a status other than 200 is an error, and so is `data: {"error": ...}` inside a stream and a body that the
framing says is cut; `data:` that is no JSON is skipped; comments and other fields are ignored; `[DONE]` ends the
reading, and a clean end of the body without it is a success too. `model` and `usage` are the last that events had.
"""

import asyncio
import json
from typing import Any, Literal

import msgspec

QUESTION = "Please write one plain sentence about rivers and the towns that stand beside them for me."
"""17 words, as the benchmark's."""


class Told(msgspec.Struct):
    """What the caller has of one call. Times are seconds since it was made; `texts` has one per delta."""

    outcome: Literal["success", "error", "hang"] = "hang"
    status: int = 0
    headers: dict[str, str] = {}
    texts: list[str] = []
    error: Any = None
    model: str = ""
    usage: Any = None
    finish: str = ""
    done: bool = False
    ids: list[str] = []
    body: bytes = b""
    began: float = 0.0
    first: float = 0.0
    total: float = 0.0

    @property
    def text(self) -> str:
        """All text that came."""
        return "".join(self.texts)

    @property
    def comments(self) -> int:
        """How many lines of comments came."""
        return sum(line.startswith(b":") for line in self.body.split(b"\n"))


class Cut(Exception):
    """The body did not end as its framing says."""


def request(
    model: str, *, stream: bool = True, path: str = "/v1/chat/completions", headers: str = "", **fields: Any
) -> bytes:
    """The bytes of a call; `fields` replace or add to those of the benchmark."""
    value: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": QUESTION}]}
    if stream:
        value |= {"stream": True, "stream_options": {"include_usage": True}}
    body = json.dumps(value | fields).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{headers}"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def call(port: int, data: bytes, *, limit: float = 30.0) -> Told:
    """Make one call on a connection of its own; after `limit` seconds it hangs."""
    told = Told()
    loop = asyncio.get_running_loop()
    told.began = loop.time()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(limit):
            writer.write(data)
            await _read(reader, told, streamed=b'"stream": true' in data)
    except TimeoutError:
        told.outcome = "hang"
    except (Cut, ConnectionError, asyncio.IncompleteReadError) as broken:
        told.outcome, told.error = "error", repr(broken)
    finally:
        told.total = loop.time() - told.began
        writer.transport.abort()
        await asyncio.sleep(0)
    return told


async def _read(reader: asyncio.StreamReader, told: Told, *, streamed: bool) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    told.status = int(head[0].split(" ", 2)[1])
    told.headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)
    }
    streamed = streamed and told.status == 200  # of whatever kind it is: the benchmark does not look
    pending = b""
    while piece := await _piece(reader, told):
        told.body += piece
        if not streamed:
            continue
        pending += piece
        *lines, pending = pending.split(b"\n")
        if any(_line(line.rstrip(b"\r"), told) for line in lines):
            return
    if not streamed:
        _whole(told)
    elif told.error is None:
        told.outcome = "success"


async def _piece(reader: asyncio.StreamReader, told: Told) -> bytes:
    """More of the body; empty at its end. Raises `Cut` and what the reader raises."""
    if told.headers.get("transfer-encoding") == "chunked":
        size = int(await reader.readuntil(b"\r\n"), 16)
        data = await reader.readexactly(size + 2)
        if not data.endswith(b"\r\n"):
            raise Cut("a chunk does not end where it should")
        return data[:-2]
    left = int(told.headers.get("content-length", "-1")) - len(told.body)
    if left == 0:
        return b""
    data = await reader.read(65536)
    if not data and left > 0:
        raise Cut(f"{left} bytes are missing")
    return data


def _line(line: bytes, told: Told) -> bool:
    """Take a line of an event stream; true if it ends the reading."""
    if not line.startswith(b"data:"):
        return False
    data = line.removeprefix(b"data:").strip()
    if data == b"[DONE]":
        told.done, told.outcome = True, "error" if told.error is not None else "success"
        return True
    try:
        event: Any = json.loads(data)
    except ValueError:
        return False
    if not isinstance(event, dict):
        return False
    if event.get("error"):
        told.error, told.outcome = event["error"], "error"
        return False
    _event(event, told)  # pyright: ignore[reportUnknownArgumentType]  # JSON
    return False


def _event(event: dict[str, Any], told: Told) -> None:
    told.model = event.get("model") or told.model
    told.usage = event.get("usage") or told.usage
    if event.get("id"):
        told.ids.append(event["id"])
    for choice in event.get("choices") or ():
        text = choice["delta"].get("content") if "delta" in choice else choice.get("text")
        if text and not told.texts:
            told.first = asyncio.get_running_loop().time() - told.began
        if text:
            told.texts.append(text)
        told.finish = choice.get("finish_reason") or told.finish


def _whole(told: Told) -> None:
    """An answer that is one JSON object, or an error."""
    try:
        value: Any = json.loads(told.body)
    except ValueError:
        value = None
    if told.status != 200 or not isinstance(value, dict) or "error" in value:
        told.outcome = "error"
        told.error = value["error"] if isinstance(value, dict) and "error" in value else told.body
        return
    told.outcome = "success"
    found: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType]  # JSON
    told.model, told.usage, told.ids = found.get("model", ""), found.get("usage"), [found.get("id", "")]
    for choice in found.get("choices", ()):
        told.texts.append(choice["message"]["content"] or "" if "message" in choice else choice["text"])
        told.finish = choice["finish_reason"]
