"""`GET /v1/models` and `/v1/models/{id}`.

Owns the list that clients see: the names in the configuration, and, for backends that list none there, what the
backend itself says. Filtered by what the key may use.
"""

import asyncio
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, cast

import msgspec

from trunkline.engine.fetch import fetch
from trunkline.engine.runtime import Runtime
from trunkline.engine.upstream import Upstream
from trunkline.errors import MODEL_UNKNOWN, Answer, Fault
from trunkline.gateway.surfaces.local import JSON, LocalRequest, Reply
from trunkline.gateway.surfaces.openai import Route
from trunkline.net.http1_server import ServerConnection
from trunkline.policy.keys import Key
from trunkline.wire.error_body import render

TIMEOUT = 5.0  # seconds for a backend to list its models; a slow one must not hold up the others' names

Entry = dict[str, Any]


class ModelList:
    """The models surface."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def handler(self, route: Route, key: Key, connection: ServerConnection, extra: bytes) -> LocalRequest:
        """Answer one request."""
        block = b"x-request-id: %b\r\n%b" % (self._runtime.next_id(), extra)
        return LocalRequest(connection, partial(self._answer, route.model, key), block)

    async def _answer(self, wanted: str, key: Key) -> Reply:
        entries = [entry for entry in await self._entries() if key.allows(entry["id"])]
        if not wanted:
            return Reply(200, msgspec.json.encode({"object": "list", "data": entries}))
        for entry in entries:
            if entry["id"] == wanted:
                return Reply(200, msgspec.json.encode(entry))
        fault = Fault(MODEL_UNKNOWN, f"there is no model `{wanted[:100]}`", param="model")
        return Reply(404, render(fault, "openai"), JSON + b"x-should-retry: false\r\n")

    async def _entries(self) -> list[Entry]:
        """All models, once each, in the order of priority."""
        choice = self._runtime.choose("")
        assert not isinstance(choice, Fault), "without a model every backend is a candidate"
        lists = await asyncio.gather(*(_entries_of(upstream) for upstream in choice.upstreams))
        merged: dict[str, Entry] = {}
        for entries in lists:
            for entry in entries:
                merged.setdefault(entry["id"], entry)
        return list(merged.values())


async def _entries_of(upstream: Upstream) -> list[Entry]:
    models = upstream.settings.models
    named: list[Entry] = [
        _entry(upstream, {"id": name}) for name in models or () if not any(mark in name for mark in "*?[")
    ]
    if models is not None and len(named) == len(models):
        return named
    listed = [entry for entry in await _listed_by(upstream) if models is None or _any(models, entry["id"])]
    return named + listed


async def _listed_by(upstream: Upstream) -> list[Entry]:
    """What the backend itself lists; nothing if it does not answer."""
    answer = await fetch(upstream, b"/v1/models", TIMEOUT)
    if not isinstance(answer, Answer) or answer.status != 200:
        return []
    try:
        listed: Any = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return []
    found = cast("Entry", listed).get("data") if isinstance(listed, dict) else listed
    if not isinstance(found, list):
        return []
    entries = [cast("Entry", entry) for entry in cast("list[Any]", found) if isinstance(entry, dict)]
    return [_entry(upstream, entry) for entry in entries if isinstance(entry.get("id"), str)]


def _entry(upstream: Upstream, said: Entry) -> Entry:
    # Some servers leave out `object` and `created` (LM Studio), which typed clients insist on.
    return {"object": "model", "created": 0, "owned_by": upstream.name, **said}


def _any(globs: list[str], name: str) -> bool:
    return any(name == glob or fnmatchcase(name, glob) for glob in globs)
