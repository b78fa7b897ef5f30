"""Proxies for the tests: a real one (tinyproxy), and one that answers what a test wants."""

import asyncio
import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from tests.contract.net.dialling import LONG, free_port

TINYPROXY = shutil.which("tinyproxy")
USER, PASSWORD = "tess", "pa-ss.word"
IN_URL = "tess:pa%2Dss%2Eword"
OK = b"HTTP/1.1 200 Connection established\r\n\r\n"


@contextlib.contextmanager
def tinyproxy(folder: Path, *lines: str) -> Generator[int]:
    """Run Debian's tinyproxy on a free port, with these lines in its configuration."""
    if TINYPROXY is None:
        message = "tinyproxy is not installed (Debian package tinyproxy)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    port = free_port()
    config = folder / f"tinyproxy-{port}.conf"
    own = [
        f"Port {port}",
        "Listen 127.0.0.1",
        "MaxClients 20",
        "Timeout 60",
        f'LogFile "{folder}/tinyproxy.log"',
    ]
    config.write_text("\n".join([*own, *lines]) + "\n")
    with subprocess.Popen([TINYPROXY, "-d", "-c", str(config)]) as process:
        try:
            _wait_for(port, process)
            yield port
        finally:
            process.terminate()
            process.wait(LONG)


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(1000):
        assert process.poll() is None, "tinyproxy has ended"
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise AssertionError("tinyproxy does not listen")


class ScriptedProxy:
    """A proxy that gives one answer, and after a good one is a tunnel to `port`; it keeps the requests."""

    def __init__(self, answer: bytes, target: int | None, *, hang_up: bool = False) -> None:
        self.requests: list[bytes] = []
        self.gone = asyncio.Event()
        self._answer = answer
        self._target = target
        self._hang_up = hang_up

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(self._answer)
                await writer.drain()
                if self._target is not None:
                    await self._relay(reader, writer, self._target)
                elif not self._hang_up:
                    await reader.read()
        finally:
            writer.transport.abort()
            self.gone.set()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        loop = asyncio.get_running_loop()
        ways = [loop.create_task(_copy(reader, back)), loop.create_task(_copy(there, writer))]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        back.transport.abort()
        writer.transport.abort()
        await asyncio.wait(ways)


async def _copy(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            to.write(data)


@contextlib.asynccontextmanager
async def scripted(
    answer: bytes = OK,
    *,
    target: int | None = None,
    context: ssl.SSLContext | None = None,
    hang_up: bool = False,
) -> AsyncGenerator[tuple[ScriptedProxy, int]]:
    proxy = ScriptedProxy(answer, target, hang_up=hang_up)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, ssl=context)
    try:
        yield proxy, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()
