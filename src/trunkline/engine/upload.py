"""A request body that streams through: the pieces that come after a call has begun.

Owns keeping them until a connection is there, and their framing for the upstream. Does not own which backend that is
(exchange.py). What has gone upstream cannot be sent again, so from then on there is no other attempt.
"""

from trunkline.net.http1_client import ClientConnection
from trunkline.wire.chunked import LAST_CHUNK, encode_chunk
from trunkline.wire.head import CHUNKED


class Upload:
    """The rest of one request body. `length`: of the whole body, or CHUNKED. `sent`: a connection has begun it.

    `whole`: it has been given all of it.
    """

    __slots__ = ("_connection", "_waiting", "bytes_in", "length", "sent", "whole")

    def __init__(self, length: int) -> None:
        self.length = length
        self.bytes_in = 0
        self.sent = False
        self.whole = False
        self._connection: ClientConnection | None = None
        self._waiting: list[tuple[bytes, bool]] = []

    def frame(self, data: bytes) -> bytes:
        """Body bytes as they go upstream."""
        return encode_chunk(data) if self.length == CHUNKED else data

    def begin(self, connection: ClientConnection) -> None:
        """The head and the first bytes have been written: send what has come since."""
        self._connection = connection
        waiting, self._waiting = self._waiting, []
        for data, last in waiting:
            self._pass(connection, data, last=last)

    def add(self, data: bytes, *, last: bool) -> None:
        """A piece came from the client."""
        self.bytes_in += len(data)
        if self._connection is None:
            self._waiting.append((data, last))
        else:
            self._pass(self._connection, data, last=last)

    def _pass(self, connection: ClientConnection, data: bytes, *, last: bool) -> None:
        data = self.frame(data)
        self.whole = last
        if last and self.length == CHUNKED:
            data += LAST_CHUNK
        connection.write(data, last=last)
