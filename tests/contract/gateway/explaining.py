"""Asking the admin port of a world about calls and requests."""

import asyncio
import json
from typing import Any

from tests.contract.simulator.raw import Reply, get, post
from tests.failover.harness import World


async def admin(world: World, request: bytes) -> Reply:
    """One request to the admin port."""
    return await send(world.gateway.admin.port, request)


async def send(port: int, request: bytes) -> Reply:
    """One request whose answer has a length."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    raw = await reader.readuntil(b"\r\n\r\n")
    raw += await reader.readexactly(int(Reply(raw, "open").headers["content-length"]))
    writer.close()
    return Reply(raw, "open")


async def told(world: World, at: int = -1) -> Any:
    """One of the calls so far, explained."""
    await world.quiet()
    record = list(world.gateway.runtime.records)[at]
    reply = await admin(world, get(f"/calls/{record.request_id}"))
    assert reply.status == 200, reply.body
    return reply.json


async def would(world: World, value: Any, *, headers: str = "", path: str = "/explain") -> Any:
    """What would happen to a request."""
    reply = await admin(world, post(path, headers=headers, body=json.dumps(value).encode()))
    assert reply.status == 200, reply.body
    return reply.json


def states(told: Any) -> list[tuple[str, str]]:
    """Each candidate and what speaks against it."""
    return [(one["backend"], one["against"]) for one in told["candidates"]]


def whys(told: Any) -> list[str]:
    """Why each attempt was made."""
    return [attempt["why"] for attempt in told["attempts"]]
