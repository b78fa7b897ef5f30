"""What a call is to the attempts of it: the contract between a relay and its exchange.

Owns the contract alone.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from trunkline.errors import Fault
from trunkline.streams.answer import AnswerSettings
from trunkline.streams.rewrite import Rewriter
from trunkline.wire.values import Call

if TYPE_CHECKING:
    from trunkline.engine.relay import Relay


class Owner(Protocol):
    """The exchange that an attempt belongs to."""

    call: Call
    committed: bool

    events_asked: bool
    """Whether the client asked for a stream of events."""

    @property
    def streams(self) -> bool:
        """Whether the upstream was asked for a stream: the operator may want another than the client."""
        ...

    @property
    def answer(self) -> AnswerSettings:
        """What is to be done with the answer of the present attempt."""
        ...

    def rewriter(self, *, folds: bool) -> Rewriter | None:
        """What the stream of an attempt goes through. None: as it is.

        `folds`: the client gets it as one body.
        """
        ...

    @property
    def own_credential(self) -> bool:
        """Whether the upstream was sent the gateway's credential, not the client's."""
        ...

    @property
    def promised(self) -> bool:
        """Whether the client was told to expect events before any came."""
        ...

    def commit(self, relay: "Relay", length: int | None) -> None:
        """Send the head of the answer, if it has not been sent."""

    def send(self, data: bytes) -> None:
        """Send body bytes."""

    def framed(self) -> Callable[[bytes], None] | None:
        """Where chunks of the body may be written as they are; None if the answer has another framing."""

    def deliver(self, relay: "Relay", body: bytes) -> None:
        """Send a whole answer: the attempt and the call are over."""

    def settled(self, relay: "Relay", fault: Fault | None) -> None:
        """The attempt is over."""

    def pause_request(self, paused: bool) -> None:
        """Back-pressure on the request body."""

    def masked(self, body: bytes) -> bytes:
        """An error body without the credential that the upstream was sent."""
        ...

    def broke(self, error: Exception) -> None:
        """The gateway itself failed."""
