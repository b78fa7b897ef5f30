"""`GET /v1/models` and `/v1/models/{id}`.

Owns the list that clients see: the names in the configuration, and, for backends that list none there, what the
backend itself says. Filtered by what the key may use.
"""

import asyncio
from typing import Any

import msgspec

from trunkline.engine.fetch import fetch
from trunkline.engine.runtime import Runtime
from trunkline.engine.upstream import Upstream
from trunkline.errors import MODEL_UNKNOWN, Answer, Fault
from trunkline.gateway.refusal import refusal_block
from trunkline.gateway.surfaces.local import LocalRequest, Reply
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
        request_id = self._runtime.next_id()
        block = b"x-request-id: %b\r\n%b" % (request_id, extra)
        return LocalRequest(connection, self._answer(route.model, key, request_id), block)

    async def _answer(self, wanted: str, key: Key, request_id: bytes) -> Reply:
        entries = [entry for entry in await self._entries() if key.allows(entry["id"])]
        if not wanted:
            return Reply(200, msgspec.json.encode({"object": "list", "data": entries}))
        for entry in entries:
            if entry["id"] == wanted:
                return Reply(200, msgspec.json.encode(entry))
        fault = Fault(MODEL_UNKNOWN, f"there is no model `{wanted[:100]}`", param="model")
        block = refusal_block(fault, request_id, b"").replace(b"x-request-id: %b\r\n" % request_id, b"")
        return Reply(404, render(fault, "openai"), block)

    async def _entries(self) -> list[Entry]:
        """All models, once each, in the order of priority."""
        upstreams = self._runtime.candidates("")
        assert not isinstance(upstreams, Fault), "without a model every backend is a candidate"
        lists = await asyncio.gather(*(_entries_of(upstream) for upstream in upstreams))
        merged: dict[str, Entry] = {}
        for entries in lists:
            for entry in entries:
                merged.setdefault(entry["id"], entry)
        return list(merged.values())


async def _entries_of(upstream: Upstream) -> list[Entry]:
    models = upstream.settings.models
    if models is not None:
        names = [name for name in models if not any(mark in name for mark in "*?[")]
        return [{"id": name, "object": "model", "created": 0, "owned_by": upstream.name} for name in names]
    answer = await fetch(upstream, b"/v1/models", TIMEOUT)
    if not isinstance(answer, Answer) or answer.status != 200:
        return []
    try:
        listed = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return []
    found = listed.get("data") if isinstance(listed, dict) else listed
    if not isinstance(found, list):
        return []
    # Some servers leave out `object` and `created` (LM Studio), which typed clients insist on.
    return [
        {"object": "model", "created": 0, "owned_by": upstream.name, **entry}
        for entry in found
        if isinstance(entry, dict) and isinstance(entry.get("id"), str)
    ]


