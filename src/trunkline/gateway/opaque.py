"""Request bodies that the gateway does not interpret.

Owns passing them on as they come, and the look for the model in a form. Does not own what follows (entry.py).
"""

from trunkline.errors import Fault
from trunkline.gateway.entry import Entry
from trunkline.net.http1_server import ServerConnection
from trunkline.wire.call import ParsedBody
from trunkline.wire.form import multipart_model

PEEK = 64 * 1024
"""Bytes of a form that are looked at for its `model` field before the rest streams through."""


class OpaqueRequest:
    """A request whose body the gateway does not interpret: forms, audio, anything else. It streams through.

    A form is looked at for its `model`; for a key that is limited to some models it is held whole, so that what was
    checked is what is sent.
    """

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self.whole = entry.key.models is not None
        self._form = entry.content_type.lower().startswith(b"multipart/")
        self._peeked = b""

    def on_request(self, body: bytes, connection: ServerConnection) -> None:
        """The whole body (limited keys)."""
        self._begin(body, connection, None)

    def on_piece(self, data: bytes, last: bool, connection: ServerConnection) -> None:
        """The first pieces of the body; the exchange gets the others."""
        self._peeked += data
        if last:
            self._begin(self._peeked, connection, None)
        elif not self._form or len(self._peeked) >= PEEK:
            self._begin(self._peeked, connection, connection.body_length)

    def on_writable(self, writable: bool) -> None:
        """Nothing is being sent yet."""

    def on_gone(self, fault: Fault) -> None:
        """Nothing was begun."""

    def on_drain_over(self) -> None:
        """Nothing was begun."""

    def _begin(self, body: bytes, connection: ServerConnection, length: int | None) -> None:
        model: str | Fault = ""
        if self._form:
            kind = self._entry.content_type
            model = multipart_model(body if length is None else _whole_parts(body), kind)
        if isinstance(model, Fault):
            self._entry.refuse(connection, model, "")
        else:
            form = self._entry.content_type if model else b""
            if not model and self._entry.key.models is None:
                model = self._entry.route.model
            self._entry.start(connection, ParsedBody(model, False, True, body), length, form)


def _whole_parts(body: bytes) -> bytes:
    """The parts of a form's beginning that are all there: of the next one the name may have come without its value."""
    delimiter = body[: body.find(b"\r\n") + 2]
    return body[: body.rfind(b"\r\n" + delimiter) + 2 + len(delimiter)]
