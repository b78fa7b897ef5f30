"""Where an answer goes: the contract between a call and what stands in front of it.

Owns the contract alone. The gateway's client connection is one (net/http1_server.py); a Python program can be another.
"""

from collections.abc import Callable
from typing import Protocol


class Sink(Protocol):
    """Where an answer goes: a client connection, or a Python program."""

    @property
    def writable(self) -> bool:
        """Whether more can be taken now."""
        ...

    def respond(self, status: int, block: bytes, body: bytes) -> None:
        """A whole answer; `block` are header lines."""

    def head(self, status: int, block: bytes, length: int | None = None) -> None:
        """The head of a streamed answer."""

    def data(self, data: bytes) -> None:
        """Body bytes."""

    def framed(self) -> Callable[[bytes], None] | None:
        """Where bytes may be written that are one chunk of the body already; None if chunks mean nothing here."""
        ...

    def end(self) -> None:
        """The body is whole."""

    def fail(self) -> None:
        """The body cannot be finished."""

    def done(self) -> None:
        """Nothing more will be sent."""

    def release(self) -> None:
        """The request body is not needed any more."""

    def pause_body(self, paused: bool) -> None:
        """Stop or go on sending the request body."""
