"""What stands behind a client connection: who judges heads, who takes requests.

Owns the two contracts between the server and what is built on it. Does not own either side
(http1_server.py; gateway/entry.py, engine/exchange.py).
"""

from typing import TYPE_CHECKING, Protocol

from trunkline.errors import Fault
from trunkline.wire.head import RequestHead

if TYPE_CHECKING:
    from trunkline.net.http1_server import ServerConnection


class Handler(Protocol):
    """One request that the application took."""

    whole: bool
    """True: the body is wanted in one piece. False: piece by piece, as it comes."""

    def on_request(self, body: bytes, connection: "ServerConnection") -> None:
        """The whole body (`whole` only)."""

    def on_piece(self, data: bytes, last: bool, connection: "ServerConnection") -> None:
        """A piece of the body, possibly empty (not `whole`)."""

    def on_writable(self, writable: bool) -> None:
        """The client stopped, or began again, to read the answer."""

    def on_gone(self, fault: Fault) -> None:
        """The client left, broke the protocol or was cut; nothing can be sent any more."""

    def on_drain_over(self) -> None:
        """The time to finish is over: end the answer as a failed one."""


class Application(Protocol):
    """What judges requests."""

    def on_head(self, head: RequestHead, connection: "ServerConnection") -> Handler | None:
        """Route and check a request by its head. None: it was answered through `connection.respond`.

        The same head may come again and may be shared; `head.memo` is the application's.
        """

    def refusal(self, fault: Fault, head: RequestHead | None) -> tuple[bytes, bytes]:
        """Header block and body that tell a client about a fault found by the server itself."""
        ...


class Dropped:
    """Takes the body of a request that was answered at its head."""

    whole = False

    def on_request(self, body: bytes, connection: "ServerConnection") -> None:
        """Never asked for."""

    def on_piece(self, data: bytes, last: bool, connection: "ServerConnection") -> None:
        """Drop it; after the last piece the next request may come."""
        if last:
            connection.done()

    def on_writable(self, writable: bool) -> None:
        """Nothing is being sent."""

    def on_gone(self, fault: Fault) -> None:
        """Nothing depends on it."""

    def on_drain_over(self) -> None:
        """Nothing depends on it."""
