"""Backends under examination: configured as in a file, in front of servers that answer what a test wants."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.contract.gateway.harness import scripted
from trunkline.config.load import load
from trunkline.engine.diagnosis.finding import Diagnosis, Step
from trunkline.engine.diagnosis.walk import STEPS, Watcher, diagnose

LIST = '{"object":"list","data":[{"id":"llama3.2:1b","object":"model"},{"id":"Big","object":"model"}]}'
COMPLETION = (
    '{"id":"1","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},'
    '"finish_reason":"stop"}]}'
)
PAGE = "<!DOCTYPE html><html><head><title>Chat with me</title></head><body>no API</body></html>"
CHAT = "/v1/chat/completions"
NAMES = [name for name, _ in STEPS]


def answer(body: str, status: int = 200, kind: str = "application/json", extra: str = "") -> bytes:
    data = body.encode()
    head = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(data)}\r\n{extra}\r\n"
    return head.encode() + data


def error(message: str, status: int, **fields: Any) -> bytes:
    return answer(json.dumps({"error": {"message": message} | fields}), status)


async def head_of(reader: asyncio.StreamReader) -> bytes:
    """A request's head. What begins a TLS handshake ends the connection at once, as it does at real servers."""
    if (first := await reader.readexactly(1)) == b"\x16":
        raise ConnectionError
    return first + await reader.readuntil(b"\r\n\r\n")


class Site:
    """A server: by path, the bytes that it answers with. `requests` are the heads that it got."""

    def __init__(self, routes: dict[str, bytes], other: bytes) -> None:
        self.routes = routes
        self.other = other
        self.requests: list[str] = []
        self.url = ""

    async def play(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await head_of(reader)).decode()
            self.requests.append(head)
            lines = dict(line.split(": ", 1) for line in head.split("\r\n")[1:-2])
            await reader.readexactly(int(lines.get("content-length", 0)))
            target = head.split(" ")[1].partition("?")[0]
            answer = self.routes.get(target, self.other)
            writer.write(answer)
            if b"connection: close" in answer.partition(b"\r\n\r\n")[0].lower():
                return


@asynccontextmanager
async def site(
    routes: dict[str, bytes] | None = None,
    *,
    models: bytes | None = None,
    chat: bytes | None = None,
    other: bytes | None = None,
) -> AsyncGenerator[Site]:
    """A server of the API; `models` and `chat` replace what it answers there."""
    usual = {"/v1/models": models or answer(LIST), CHAT: chat or answer(COMPLETION)}
    made = Site(usual if routes is None else routes, other or error("nothing here", 404))
    async with scripted(made.play) as url:
        made.url = url
        yield made


class Noting(Watcher):
    def __init__(self) -> None:
        self.steps: list[Step] = []

    def found(self, step: Step) -> None:
        self.steps.append(step)


async def examined(folder: Path, *, environ: Mapping[str, str] = {}, **settings: Any) -> dict[str, Step]:
    """The steps of one backend by name, checked for what holds of all."""
    (diagnosis,) = await examined_all(folder, [settings], environ=environ)
    return {step.name: step for step in diagnosis.steps}


async def examined_all(
    folder: Path, backends: list[dict[str, Any]], *, environ: Mapping[str, str] = {}, **others: Any
) -> list[Diagnosis]:
    file = folder / "trunkline.yaml"
    file.write_text(json.dumps({"server": {"port": 0}, "admin": {"port": 0}, "backends": backends} | others))
    settings = load(file, environ).settings
    before = asyncio.all_tasks()
    noting = Noting()
    diagnoses = await diagnose(settings, settings.backends, environ, noting)
    for diagnosis in diagnoses:
        assert [step.name for step in diagnosis.steps] == NAMES
        for step in diagnosis.steps:
            # Whoever reads that something is wrong reads what to do, and nobody else does.
            assert bool(step.fix) == (step.state in ("warn", "fail")), step
            assert step.says
    taken = [step for diagnosis in diagnoses for step in diagnosis.steps if "because of" not in step.says]
    assert noting.steps == taken
    while left := {task for task in asyncio.all_tasks() - before if not task.done()}:
        await asyncio.wait(left, timeout=5)
        assert all(task.done() for task in left), f"tasks left behind: {left}"
    return diagnoses


def states(steps: dict[str, Step]) -> dict[str, str]:
    return {name: step.state for name, step in steps.items()}


def failure(steps: dict[str, Step]) -> Step:
    """The one step that failed."""
    (step,) = [step for step in steps.values() if step.state == "fail"]
    return step
