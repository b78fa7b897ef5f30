"""Values that pure siblings share."""

import msgspec

from trunkline.wire.head import Headers

SSE_SURFACES = frozenset(("chat", "completions", "responses", "messages"))
"""Surfaces whose streams are server-sent events that the gateway can read and end with an error of their own."""

UNLISTED = frozenset(("other", "messages/other", "responses/other"))
"""Surfaces of operations that the gateway does not know: what an answer of theirs means is not for it to judge."""


class Call(msgspec.Struct, gc=False):
    """One checked request, ready to be sent to any backend.

    `target` is the gateway's path with the client's query; `body` is what is sent, or its beginning while `length`
    (bytes, or -1 for chunked) says that more follows; None `length`: `body` is all.
    `extra` are header lines for the answer that the gateway's own surface wants (CORS).
    `fields` is what `body` was written from, where a backend may want some of it changed.
    `led`: what led it to another model than it named: `rules[0]`, `router`. `form`: the content type of a form that
    names its model.
    `starts`: the upstream heads made of this client head, by backend; shared by the calls that have the same head.
    """

    request_id: bytes
    surface: str
    method: bytes
    target: bytes
    headers: Headers
    body: bytes
    key: str
    model: str
    stream: bool
    include_usage: bool
    length: int | None
    extra: bytes
    starts: dict[str, bytes]
    fields: dict[str, msgspec.Raw] | None = None
    led: str = ""
    form: bytes = b""
