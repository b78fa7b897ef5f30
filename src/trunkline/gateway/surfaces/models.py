"""`GET /v1/models` and `/v1/models/{id}`, answered from memory.

Owns the two forms of the answer, OpenAI's and Anthropic's (where `anthropic-version` is sent), and the filter by what
the key may use. Does not own what is listed (engine/listing.py) nor how it is known (engine/discovery.py).

Anthropic's list comes in pages of `limit` (1 to 1000) from `after_id` on or up to `before_id`; without a limit a page
holds all that a page may hold, because clients that read one page are more common than long lists.
"""

from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from trunkline.engine.catalog import Entry
from trunkline.engine.listing import shown
from trunkline.engine.runtime import Runtime
from trunkline.errors import INVALID_REQUEST, Fault
from trunkline.gateway.surfaces.local import JSON, LocalRequest, Reply
from trunkline.gateway.surfaces.openai import Route
from trunkline.net.http1_server import ServerConnection
from trunkline.policy.keys import Key
from trunkline.policy.permission import may_use
from trunkline.routing.plan import unknown_model
from trunkline.wire.error_body import Dialect, render
from trunkline.wire.head import RequestHead

FIRST_LISTS = 2.0
"""Seconds after the start until which requests wait for backends without any list; Claude Code itself waits 3."""
MAX_PAGE = 1000  # entries; https://docs.anthropic.com/en/api/models-list


class ModelList:
    """The models surface."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._made_of: tuple[object, object] = (None, None)
        self._shown: list[Entry] = []

    def _entries(self) -> list[Entry]:
        """What is shown; made anew when the backends list something else, or the configuration is another."""
        runtime = self._runtime
        listed = runtime.discovery.catalog.entries()
        if self._made_of[0] is not listed or self._made_of[1] is not runtime.settings:
            self._made_of = (listed, runtime.settings)
            self._shown = shown(runtime.settings, listed, runtime.choices.names)
        return self._shown

    def handler(
        self, route: Route, key: Key, connection: ServerConnection, extra: bytes, head: RequestHead
    ) -> LocalRequest:
        """Answer one request."""
        request_id = self._runtime.next_id()
        block = b"x-request-id: %b\r\n%b" % (request_id, extra)
        dialect: Dialect = "anthropic" if b"anthropic-version" in head.fields else "openai"
        answer = partial(self._answer, route, key, dialect, request_id.decode())
        return LocalRequest(connection, answer, block)

    async def _answer(self, route: Route, key: Key, dialect: Dialect, request_id: str) -> Reply:
        discovery = self._runtime.discovery
        await discovery.settled(FIRST_LISTS)
        base = self._runtime.choices.names.base
        entries = [entry for entry in self._entries() if may_use(key, entry["id"], base(entry["id"]))]
        if route.model:
            found = _one(entries, route.model, dialect)
        elif dialect == "anthropic":
            found = _page(entries, route.query)
        else:
            found = {"object": "list", "data": entries}
        if isinstance(found, Fault):
            body = render(found, dialect, request_id)
            return Reply(found.http_status, body, JSON + b"x-should-retry: false\r\n")
        return Reply(200, msgspec.json.encode(found))


def _one(entries: list[Entry], wanted: str, dialect: Dialect) -> Entry | Fault:
    for entry in entries:
        if entry["id"] == wanted:
            return anthropic(entry) if dialect == "anthropic" else entry
    return unknown_model(wanted, (entry["id"] for entry in entries))


def _page(entries: list[Entry], query: bytes) -> Entry | Fault:
    """A page of Anthropic's list."""
    asked = dict(parse_qsl(query.removeprefix(b"?").decode("latin-1")))
    limit = asked.get("limit", str(MAX_PAGE))
    if not (limit.isascii() and limit.isdigit() and len(limit) <= 4 and 1 <= int(limit) <= MAX_PAGE):
        return Fault(INVALID_REQUEST, f"limit must be a number from 1 to {MAX_PAGE}", param="limit")
    names = [entry["id"] for entry in entries]
    start, end = 0, len(names)
    for cursor in ("after_id", "before_id"):
        if cursor in asked:
            if asked[cursor] not in names:
                return Fault(INVALID_REQUEST, f"{cursor} is no model of this list", param=cursor)
            start, end = (
                (names.index(asked[cursor]) + 1, end)
                if cursor == "after_id"
                else (start, names.index(asked[cursor]))
            )
    if "before_id" in asked and "after_id" not in asked:
        page = entries[max(start, end - int(limit)) : end]
    else:
        page = entries[start:end][: int(limit)]
    return {
        "data": [anthropic(entry) for entry in page],
        "has_more": len(page) < end - start,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
    }


def anthropic(entry: Entry) -> Entry:
    """An entry as Anthropic's clients know it; a time that is not known is the epoch, as theirs says."""
    name: Any = entry.get("display_name") or entry.get("name")
    created: Any = entry.get("created_at")
    if not isinstance(created, str):
        created = _time(entry["created"])
    shown = {
        "type": "model",
        "id": entry["id"],
        "display_name": name if isinstance(name, str) else entry["id"],
        "created_at": created,
    }
    return shown | {"max_input_tokens": window} if (window := entry.get("context_length")) else shown


def _time(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return "1970-01-01T00:00:00Z"
