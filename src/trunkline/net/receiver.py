"""What stands behind an upstream connection: who gets its answers, where it lives.

Owns the two contracts. Does not own any side (http1_client.py; pool.py, engine/relay.py, engine/fetch.py).
"""

from typing import TYPE_CHECKING, Protocol

from trunkline.errors import Fault
from trunkline.wire.head import ResponseHead, ResponseHeads

if TYPE_CHECKING:
    from trunkline.net.http1_client import ClientConnection


class Receiver(Protocol):
    """Who gets an answer. Exactly one of `on_answer`, `on_end` and `on_fault` is the last call."""

    takes_whole: bool = False
    """True: an answer with a length that came in one read is given to `on_answer`, not to `on_head` and so on."""

    @property
    def is_event_stream(self) -> bool:
        """Whether body bytes are parsed as they come, so that many of them at once would keep others waiting."""
        return False

    def on_answer(self, head: ResponseHead, body: bytes) -> None:
        """The whole answer (`takes_whole` only)."""
        raise AssertionError(f"{self!r} takes no whole answer: {head.status}, {len(body)} bytes")

    def on_head(self, head: ResponseHead, length: int) -> None:
        """The final head came (1xx are swallowed). `length`: of the body, or CHUNKED, or UNTIL_CLOSE."""

    def on_body(self, data: bytes) -> None:
        """Body bytes, at least one."""

    def on_end(self, framed: bool) -> None:
        """The body is whole. `framed` False: only the closing of the connection says so."""

    def on_fault(self, fault: Fault) -> None:
        """The connection was lost, or the answer cannot be read."""

    def on_upstream_writable(self, writable: bool) -> None:
        """The upstream stopped, or began again, to take the request body."""


class Owner(Protocol):
    """Where a connection lives: a pool."""

    heads: ResponseHeads
    address: str
    """Host and port of the upstream, for messages."""

    def released(self, connection: "ClientConnection") -> None:
        """Its answer ended well and it can be used again."""

    def lost(self, connection: "ClientConnection") -> None:
        """Its transport is closed."""
