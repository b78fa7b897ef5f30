"""One attempt's answer on its way to the client: what is known of it, and what is done with those that are whole.

Owns the state of an answer, the whole JSON body or error, the body that is passed as it comes. Does not own how bytes
get here, nor event streams (receiving.py), nor which backend is asked next (engine/succession.py).
"""

from collections.abc import Callable

import msgspec

from trunkline.engine.owner import Owner
from trunkline.engine.whole import check_empty, check_json, refusal
from trunkline.errors import MALFORMED, Fault
from trunkline.net.http1_client import ClientConnection
from trunkline.streams.answer import AS_IT_IS
from trunkline.streams.fold import Folder
from trunkline.streams.inspect import ChatInspector, StreamInspector
from trunkline.streams.rewrite import OBJECTS, Rewriter
from trunkline.streams.splice import Splice
from trunkline.streams.transcript import Transcript
from trunkline.streams.unfold import unfold
from trunkline.streams.whole import rewrite_whole
from trunkline.wire.encoding import Inflater
from trunkline.wire.head import UNTIL_CLOSE, ResponseHead
from trunkline.wire.openai import ABSENT
from trunkline.wire.usage import Usage, parse_usage
from trunkline.wire.values import SSE_SURFACES

MAX_WHOLE = 8 * 1024 * 1024
"""Bytes of a JSON answer that are held, so that it can still fail over; DESIGN section 3."""
MAX_ERROR = 1024 * 1024
"""Bytes of an error answer that are kept: no provider's comes near it."""

NO_EVENTS = "the upstream answered without a stream where a stream was asked for"
JSON_TYPE = b"content-type: application/json\r\n"
EVENTS_TYPE = (
    b"content-type: text/event-stream; charset=utf-8\r\n"
    b"cache-control: no-cache, no-transform\r\nx-accel-buffering: no\r\n"
)
WAITING, WHOLE, EVENTS, RAW, OVER = range(5)


class Relay:
    """What has come of one answer."""

    takes_whole = True

    # Defaults stand on the class: an attempt sets what differs (a third of the cost of making one).
    head: ResponseHead | None = None
    status = 0
    bytes_in = 0
    first_byte_at = 0.0
    _usage: msgspec.Raw = ABSENT
    _phase = WAITING
    _length = UNTIL_CLOSE
    _held: list[bytes]
    _held_size = 0
    _inspector: StreamInspector | None = None
    _inflater: Inflater | None = None
    _paused = False
    _doubtful = False  # whether these are events
    _fold: Folder | None = None  # what a stream is gathered in, for a client that waits for one body
    _way: tuple[bytes, ...] | None = None  # as the inspector's, when it was last looked at
    _forward: Callable[[bytes], None] | None = None  # where what comes the short way goes as it is
    said = b""
    """The event in which the upstream told of the fault itself, where it did."""
    transcript: Transcript | None = None
    """What the client is sent, where a cut could be mended."""
    splice: Splice | None = None
    """What this answer goes through where it goes on with another."""
    last_event_at = 0.0
    """When the last event had come, exact to a sweep; comments are none."""
    _events_seen = -1
    over_at = 0.0
    """When it was noticed that a stream had said its last word; 0.0: it has not."""
    forwarded = 0
    """Bytes, framing included, that came the short way (`connection.forwarded` at the last look, or at the end)."""
    withheld = 0
    """Those of them that did not go on as they were."""
    retyped = b""
    """The header lines that say what the client gets, where it is something else than the upstream gave."""
    only_thoughts = False
    """Whether the operator wants no thoughts and there was nothing else."""
    rewriter: Rewriter | None = None
    """What the events go through on their way to the client."""

    def __init__(self, owner: Owner, connection: ClientConnection) -> None:
        self._owner = owner
        self.connection = connection
        # `last_at`: when the upstream last gave a sign of life.
        self.sent_at = self.last_at = connection.clock.now  # the request is being written

    def __repr__(self) -> str:
        return f"<Relay {('waiting', 'whole', 'events', 'raw', 'over')[self._phase]}, {self.bytes_in} bytes>"

    @property
    def streaming(self) -> bool:
        """Whether silence between two reads counts: the body has begun, and the client takes what comes.

        A head alone does not count: servers send it at once, and then read a long prompt.
        """
        return self._phase in (EVENTS, RAW) and self.bytes_in > 0 and not self._paused

    def look(self, now: float) -> None:
        """Notice bytes that went the short way, and the last word; called by the sweep, so exact to 100 ms."""
        if not self.over_at and self.finished_but_open:
            self.over_at = now
        if self.transcript is not None:
            self.transcript.look()
        inspector = self._inspector
        if inspector is None:
            self.last_event_at = now
        elif inspector.events != self._events_seen:
            self._events_seen = inspector.events
            self.last_event_at = now
        forwarded = self.connection.forwarded
        if forwarded != self.forwarded and self._phase == EVENTS:
            self.forwarded = forwarded
            self.last_at = self.last_event_at = now

    @property
    def finished_but_open(self) -> bool:
        """Whether a stream has had its terminal event, though the upstream has not ended the body."""
        return self._phase == EVENTS and self._inspector is not None and self._inspector.over

    @property
    def begun(self) -> bool:
        """Whether a stream has come to its content, be it for the client or not."""
        return self._inspector is not None and self._inspector.content

    @property
    def is_event_stream(self) -> bool:
        """Whether the upstream answers with server-sent events."""
        return self._inspector is not None

    @property
    def mid_event(self) -> bool:
        """Whether the client has been given the beginning of an event whose end did not come."""
        return self._inspector is not None and self._inspector.mid_event

    def usage(self, surface: str) -> Usage | None:
        """What the upstream said was used; None if it did not."""
        if self._inspector is not None:
            return self._inspector.usage_value(surface)
        return parse_usage(self._usage, surface) if len(self._usage) else None

    @property
    def text_bytes(self) -> int:
        """How much a stream said, its thoughts included; 0 where it is not read that far."""
        return 0 if self._inspector is None else self._inspector.text_bytes

    @property
    def passed(self) -> int:
        """Bytes, framing included, that went on the short way as they came."""
        return self.forwarded - self.withheld

    @property
    def decoded(self) -> bool:
        """Whether the body is sent on without the upstream's content-encoding."""
        return self._inflater is not None

    def forget(self) -> None:
        """No other answer could go on with this one: keep nothing of it."""
        self.transcript = None
        if isinstance(self._inspector, ChatInspector):
            self._inspector.keep = self._inspector.keep_odd = self._inspector.keep_told = None

    def pause(self, paused: bool) -> None:
        """The client stopped, or began again, to read."""
        self._paused = paused
        self.last_at = self.connection.clock.now
        if self._phase != OVER:
            self.connection.pause(paused)

    def abandon(self) -> None:
        """Close the upstream connection at once; nothing is reported any more."""
        if self._phase != OVER:
            self._close()
            self.connection.abort()

    def fail(self, fault: Fault) -> None:
        """End the attempt with a fault: found here, or by the sweep."""
        self.abandon()
        self._owner.settled(self, fault)

    def finish_early(self) -> None:
        """End a stream that has had its terminal event and whose upstream then fell silent."""
        raise NotImplementedError

    def _close(self) -> None:
        """Nothing more is taken: the connection may be another call's from now on."""
        self._phase = OVER
        if self._inspector is not None:
            self.forwarded = self.connection.forwarded

    # whole answers

    def _end_of_whole(self, framed: bool) -> None:
        self._phase = OVER
        head = self.head
        assert head is not None
        body = self._take_held()
        if head.status >= 300 and head.status != 304:
            self._owner.settled(self, refusal(self._owner, head.status, head.headers, body))
            return
        self._settle_whole(body, framed)

    def _settle_whole(self, body: bytes, framed: bool) -> None:
        """A success that is here whole: the client's, if it is what it claims to be."""
        owner = self._owner
        found = (
            check_json(owner, body, framed=framed) if body else check_empty(owner, self.status, framed=framed)
        )
        unasked = owner.events_asked and owner.call.method == b"POST"
        if unasked and not isinstance(found, Fault) and (owner.streams or self.splice is not None):
            found = Fault(MALFORMED, NO_EVENTS)
        if isinstance(found, Fault):
            owner.settled(self, found)
            return
        self._usage = found
        if unasked:
            self._unfold(body)
            return
        answer = owner.answer
        # What streams are not shaped, whole answers are not either: /responses and /messages have other events.
        if (
            answer is not AS_IT_IS
            and body
            and (owner.call.surface not in SSE_SURFACES or owner.call.surface in OBJECTS)
        ):
            body, self.only_thoughts = rewrite_whole(body, owner.call.surface, answer)
        owner.deliver(self, body)

    def _unfold(self, body: bytes) -> None:
        """A whole answer for a client that waits for events: told like a stream of its upstream."""
        owner = self._owner
        events = unfold(body, owner.call.surface, include_usage=True)
        if events is None:
            owner.settled(self, Fault(MALFORMED, NO_EVENTS))
            return
        rewriter = owner.rewriter(folds=False)
        if rewriter is not None:
            events = rewriter.feed(events) + rewriter.done()
            self.only_thoughts = rewriter.only_thoughts
        self.retyped = EVENTS_TYPE
        owner.commit(self, None)
        owner.send(events)
        owner.settled(self, None)

    def _too_long_to_hold(self) -> None:
        """A long JSON answer is passed on as it comes; of a long error only the status is."""
        if self.status >= 300:
            assert self.head is not None
            fault = refusal(self._owner, self.status, self.head.headers, self._take_held())
            message = f"the upstream answered {self.status} with more than {MAX_ERROR} bytes"
            self.fail(msgspec.structs.replace(fault, message=message, answer=None))
            return
        self._phase = RAW
        if self._begin_raw():
            self._owner.send(self._take_held())

    def _begin_raw(self) -> bool:
        """Commit to a body that is passed as it comes; False if the client waits for events."""
        if self._owner.promised or (self._owner.events_asked and self._owner.call.method == b"POST"):
            self.fail(Fault(MALFORMED, NO_EVENTS))
            return False
        self._owner.commit(self, self._raw_length())
        return True

    def _take_held(self) -> bytes:
        held = self._held[0] if len(self._held) == 1 else b"".join(self._held)
        self._held = []
        self._held_size = 0
        return held

    def _raw_length(self) -> int | None:
        return self._length if self._length >= 0 and self._inflater is None else None
