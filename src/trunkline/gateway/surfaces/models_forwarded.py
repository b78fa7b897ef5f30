"""Lists of models where it is the target's own that is forwarded: names that stand for its models are added.

Owns the change of `GET /v1/models`, and the answer to `GET /v1/models/{name}` for such a name, which the target does
not know. Does not own which names there are (engine/names.py) nor lists that the gateway makes itself (models.py). An
answer that is no list of models, or none that was held whole, passes as it is; of a list all that was there stays, byte
for byte.
"""

import re
from functools import partial
from typing import Any, cast
from urllib.parse import unquote

import msgspec

from trunkline.engine.listing import pseudo
from trunkline.engine.names import Names
from trunkline.engine.runtime import Runtime
from trunkline.gateway.entry import Entry
from trunkline.gateway.opaque import OpaqueRequest
from trunkline.gateway.surfaces.local import LocalRequest, Reply
from trunkline.gateway.surfaces.models import anthropic
from trunkline.net.http1_server import ServerConnection
from trunkline.wire.head import RequestHead

_ONE = re.compile(rb"(?:/v1|/api/v1|/openai/v1)?/models/(.+?)/?")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class _Listed(msgspec.Struct, gc=False):
    id: Any = None


_decode_entries = msgspec.json.Decoder(list[_Listed]).decode


def forwarded(
    entry: Entry, head: RequestHead, connection: ServerConnection, runtime: Runtime
) -> OpaqueRequest | LocalRequest:
    """What takes a GET that is to be forwarded."""
    names = runtime.choices.names
    if entry.route.operation.surface == "models":
        return ForwardedList(entry, names)
    asked = _ONE.fullmatch(entry.route.path)
    name = unquote(asked[1].decode("latin-1")) if asked is not None else ""
    found = next((one for one in pseudo(names, ()) if one["id"] == name), None)
    if found is None:
        return OpaqueRequest(entry)
    shown = anthropic(found) if b"anthropic-version" in head.fields else found
    block = b"x-request-id: %b\r\n%b" % (runtime.next_id(), entry.extra)
    return LocalRequest(connection, partial(_told, _encode(shown)), block)


async def _told(body: bytes) -> Reply:
    return Reply(200, body)


class ForwardedList(OpaqueRequest):
    """A request for the list."""

    def __init__(self, entry: Entry, names: Names) -> None:
        super().__init__(entry)
        self._names = names

    def _begin(self, body: bytes, connection: ServerConnection, length: int | None) -> None:
        super()._begin(body, cast("ServerConnection", _Adding(connection, self._names)), length)


class _Adding:
    """The client's connection, but that a whole answer is added to."""

    def __init__(self, connection: ServerConnection, names: Names) -> None:
        self._connection = connection
        self._names = names

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def respond(self, status: int, block: bytes, body: bytes) -> None:
        """Send a whole answer."""
        self._connection.respond(status, block, extended(body, self._names) if status == 200 else body)


def extended(body: bytes, names: Names) -> bytes:
    """A list of models with the names that stand for them; anything else, and a list without such names, as it is."""
    try:
        fields = _decode(body)
        raw = fields.get("data", msgspec.Raw(b"[]"))
        listed = [one.id for one in _decode_entries(raw) if isinstance(one.id, str)]
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return body
    added = b",".join(_encode(entry) for entry in pseudo(names, listed))
    if not added:
        return body
    members = bytes(raw)[1:-1]
    comma = b"," if members.strip() else b""
    return _encode(fields | {"data": msgspec.Raw(b"[%b%b%b]" % (members, comma, added))})
