"""One attempt's answer on its way from an upstream to the client.

Owns what is held and what is sent on: the whole JSON body or error, the event stream with its two commits, the body
that is passed as it comes. Does not own which backend is asked next (engine/succession.py) nor what a stream says
(streams/inspect.py).

Everything happens in the callback that brought the bytes (DESIGN section 3, push relay). A relay reports once, by
`exchange.settled`: None when the answer is on its way whole, else the fault.
"""

from collections.abc import Callable
from typing import Protocol

import msgspec

from trunkline.engine.answer_head import EVENTS, JSON, Derived, derive
from trunkline.engine.whole import check_empty, check_json, refusal
from trunkline.errors import CUT, DIVERGED, ERROR_IN_200, ERROR_IN_STREAM, MALFORMED, Fault
from trunkline.net.http1_client import ClientConnection
from trunkline.streams.inspect import INSPECTORS, ChatInspector, StreamInspector
from trunkline.streams.splice import Splice
from trunkline.streams.transcript import Transcript
from trunkline.wire.encoding import BadEncodingError, Inflater
from trunkline.wire.head import UNTIL_CLOSE, ResponseHead
from trunkline.wire.openai import ABSENT
from trunkline.wire.usage import Usage, parse_usage
from trunkline.wire.values import SSE_SURFACES, Call

MAX_WHOLE = 8 * 1024 * 1024
"""Bytes of a JSON answer that are held, so that it can still fail over; DESIGN section 3."""
MAX_ERROR = 1024 * 1024
"""Bytes of an error answer that are kept: no provider's comes near it."""
MAX_HELD_EVENTS = 1024 * 1024
"""Bytes of events without content that are held before the stream is committed all the same."""

_NO_EVENTS = "the upstream answered without a stream where a stream was asked for"
_BEGINNINGS = (b"data", b"event", b"id", b"retry", b":", b"\xef\xbb\xbf")
"""Of streams of events."""
_WAITING, _WHOLE, _EVENTS, _RAW, _OVER = range(5)


class Owner(Protocol):
    """The exchange that an attempt belongs to."""

    call: Call
    committed: bool

    events_asked: bool
    """Whether the client asked for a stream of events."""

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


class Relay:
    """Receives one upstream answer."""

    takes_whole = True

    # Defaults stand on the class: an attempt sets what differs (a third of the cost of making one).
    head: ResponseHead | None = None
    status = 0
    bytes_in = 0
    first_byte_at = 0.0
    _usage: msgspec.Raw = ABSENT
    _phase = _WAITING
    _length = UNTIL_CLOSE
    _held: list[bytes]
    _held_size = 0
    _inspector: StreamInspector | None = None
    _inflater: Inflater | None = None
    _paused = False
    _doubtful = False  # whether these are events
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
    """Bytes, framing included, that went the short way (`connection.forwarded` at the last look, or at the end)."""

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
        return self._phase in (_EVENTS, _RAW) and self.bytes_in > 0 and not self._paused

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
        if forwarded != self.forwarded and self._phase == _EVENTS:
            self.forwarded = forwarded
            self.last_at = self.last_event_at = now

    @property
    def finished_but_open(self) -> bool:
        """Whether a stream has had its terminal event, though the upstream has not ended the body."""
        return self._phase == _EVENTS and self._inspector is not None and self._inspector.over

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
    def decoded(self) -> bool:
        """Whether the body is sent on without the upstream's content-encoding."""
        return self._inflater is not None

    def forget(self) -> None:
        """No other answer could go on with this one: keep nothing of it."""
        self.transcript = None
        if isinstance(self._inspector, ChatInspector):
            self._inspector.keep = self._inspector.keep_odd = None

    def pause(self, paused: bool) -> None:
        """The client stopped, or began again, to read."""
        self._paused = paused
        self.last_at = self.connection.clock.now
        if self._phase != _OVER:
            self.connection.pause(paused)

    def abandon(self) -> None:
        """Close the upstream connection at once; nothing is reported any more."""
        if self._phase != _OVER:
            self._close()
            self.connection.abort()

    def fail(self, fault: Fault) -> None:
        """End the attempt with a fault: found here, or by the sweep."""
        self.abandon()
        self._owner.settled(self, fault)

    def _close(self) -> None:
        """Nothing more is taken: the connection may be another call's from now on."""
        self._phase = _OVER
        if self._inspector is not None:
            self.forwarded = self.connection.forwarded

    # net.http1_client.Receiver

    def on_answer(self, head: ResponseHead, body: bytes) -> None:
        try:
            if body and (head.memo or self._derived(head)).plain:
                self.head = head
                self.status = head.status
                self.bytes_in = len(body)
                self.first_byte_at = self.connection.clock.read()
                self._phase = _OVER
                self._settle_whole(body, True)
                return
            self.on_head(head, len(body))
            if body and self._phase != _OVER:
                self.on_body(body)
            if self._phase != _OVER:
                self._end(True)
        except Exception as error:  # noqa: BLE001 # no other callback comes that could end the answer
            self._owner.broke(error)

    def _derived(self, head: ResponseHead) -> Derived:
        return derive(head, own=self._owner.own_credential, masked=self._owner.masked)

    def on_head(self, head: ResponseHead, length: int) -> None:
        self.head = head
        self._held = []
        self._length = length
        self.status = head.status
        self.first_byte_at = self.last_at = self.connection.clock.read()
        derived = self._derived(head)
        call = self._owner.call
        if head.status >= 300 and head.status != 304:
            self._phase = _WHOLE
        elif call.method == b"HEAD":
            self._phase = _WHOLE
            return
        elif derived.kind == EVENTS:
            self._read_events(call)
        elif derived.kind == JSON and length <= MAX_WHOLE:
            self._phase = _WHOLE
        elif length == 0:
            self._phase = _WHOLE
            return
        elif call.surface in SSE_SURFACES and call.method == b"POST" and is_page(head):
            self.fail(Fault(MALFORMED, "the upstream answered 200 with an HTML page; check `url`"))
            return
        elif self.splice is not None:
            self.fail(Fault(MALFORMED, _NO_EVENTS))
            return
        elif self._owner.events_asked and call.method == b"POST":
            self._doubtful = True  # events under another name, perhaps
            self._read_events(call)
        else:
            self._phase = _RAW
            return
        if derived.coding is not None:
            try:
                self._inflater = Inflater(derived.coding)
            except BadEncodingError as error:
                self.fail(Fault(MALFORMED, f"the upstream's answer cannot be read: {error}"))

    def _read_events(self, call: Call) -> None:
        self._phase = _EVENTS
        self._inspector = INSPECTORS.get(call.surface, StreamInspector)(call.include_usage)

    def on_body(self, data: bytes) -> None:
        self.bytes_in += len(data)
        self.last_at = self.connection.clock.now
        if self._inflater is not None:
            try:
                data = self._inflater.feed(data)
            except BadEncodingError as error:
                self.fail(Fault(MALFORMED, f"the upstream's answer cannot be read: {error}"))
                return
            if not data:
                return
        if self._phase == _EVENTS:
            self._event_bytes(data)
        elif self._phase == _RAW:
            if self._owner.committed or self._begin_raw():
                self._owner.send(data)
        elif self._phase == _WHOLE:
            self._held.append(data)
            self._held_size += len(data)
            if self._held_size > MAX_WHOLE or (self.status >= 300 and self._held_size > MAX_ERROR):
                self._too_long_to_hold()

    def on_end(self, framed: bool) -> None:
        try:
            self.connection.clock.read()  # for what is timed from here on
            self._end(framed)
        except Exception as error:  # noqa: BLE001 # no other callback comes that could end the answer
            self._owner.broke(error)

    def _end(self, framed: bool) -> None:
        # From here on the connection is back in its pool: it is not ours to abort.
        if self._inflater is not None and self.bytes_in and not self._inflater.whole:
            self._close()
            self._owner.settled(self, Fault(CUT, "the upstream's compressed answer ended too early"))
        elif self._phase == _EVENTS:
            self._end_of_events(framed)
        elif self._phase == _RAW:
            self._close()
            # Close-delimited is the one framing that cannot tell an end from a cut.
            if self._owner.committed or self._begin_raw():
                self._owner.settled(self, None)
        elif self._phase == _WHOLE:
            self._end_of_whole(framed)

    def on_fault(self, fault: Fault) -> None:
        if self.finished_but_open:
            self._end_of_events(True)
            return
        self._close()
        self._owner.settled(self, fault)

    def on_upstream_writable(self, writable: bool) -> None:
        self._owner.pause_request(not writable)

    # event streams

    def _event_bytes(self, data: bytes) -> None:
        inspector = self._inspector
        assert inspector is not None
        out = inspector.feed(data)
        owner = self._owner
        if owner.committed:
            if self.splice is not None:
                out = self.splice.feed(out)
            if out:
                owner.send(out)
            if inspector.fault is not None:
                self._broke_off(inspector.fault)
            elif self.splice is not None and self.splice.diverged:
                self.fail(Fault(DIVERGED, "the second answer differs from what was sent of the first"))
            return
        if self._doubtful:
            self._doubtful = False
            begun = data.lstrip()[:5]
            if not any(begun.startswith(one) or one.startswith(begun) for one in _BEGINNINGS):
                self.fail(Fault(MALFORMED, _NO_EVENTS))
                return
        if inspector.fault is not None and not inspector.content:
            self._broke_off(inspector.fault)
            return
        if out and not inspector.content and self._held_size + len(out) > MAX_HELD_EVENTS:
            # A flood of comments must neither fill the memory nor pass for an answer.
            out = inspector.spare(out)
        if out:
            self._held.append(out)
            self._held_size += len(out)
        if inspector.content or self._held_size > MAX_HELD_EVENTS:
            self._commit_events(inspector)

    def _commit_events(self, inspector: StreamInspector) -> None:
        self._owner.commit(self, None)
        if held := self._take_held():
            if self.transcript is not None:
                self.transcript.events(held)
            self._owner.send(held)
        if self.transcript is not None and isinstance(inspector, ChatInspector):
            inspector.keep, inspector.keep_odd = self.transcript.keep, self.transcript.odd
        self._open_short_way(inspector)
        if inspector.fault is not None:
            self._broke_off(inspector.fault)

    def _broke_off(self, said: Fault) -> None:
        """The upstream reported an error inside its stream: it means what it would mean as an answer."""
        assert said.answer is not None
        fault = refusal(self._owner, 200, [], said.answer.body)
        if fault.kind is ERROR_IN_200:
            fault = msgspec.structs.replace(fault, kind=ERROR_IN_STREAM)
        assert self._inspector is not None
        self.said = self._owner.masked(self._inspector.said)
        self.fail(fault)

    def _open_short_way(self, inspector: StreamInspector) -> None:
        """Let the connection forward what repeats the last event but for its text: framed for the client already."""
        forward = self._owner.framed()
        if forward is not None and self._inflater is None and isinstance(inspector, ChatInspector):
            self.connection.forward = forward
            self.connection.repeats = inspector.repeats

    def finish_early(self) -> None:
        """End a stream that has had its terminal event and whose upstream then fell silent."""
        self.connection.abort()
        self._end_of_events(True)

    def _end_of_events(self, framed: bool) -> None:
        inspector = self._inspector
        assert inspector is not None
        self._close()
        fault = inspector.end(framed=framed)
        if fault is None and self.splice is not None and not self.splice.joined:
            fault = Fault(DIVERGED, "the second answer is shorter than what was sent of the first")
        if fault is None and not self._owner.committed:
            self._owner.commit(self, None)
            if held := self._take_held():
                self._owner.send(held)
        self._owner.settled(self, fault)

    # whole answers

    def _end_of_whole(self, framed: bool) -> None:
        self._phase = _OVER
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
        if owner.events_asked and not isinstance(found, Fault) and owner.call.method == b"POST":
            found = Fault(MALFORMED, _NO_EVENTS)
        if isinstance(found, Fault):
            owner.settled(self, found)
        else:
            self._usage = found
            owner.deliver(self, body)

    def _too_long_to_hold(self) -> None:
        """A long JSON answer is passed on as it comes; of a long error only the status is."""
        if self.status >= 300:
            assert self.head is not None
            fault = refusal(self._owner, self.status, self.head.headers, self._take_held())
            message = f"the upstream answered {self.status} with more than {MAX_ERROR} bytes"
            self.fail(msgspec.structs.replace(fault, message=message, answer=None))
            return
        self._phase = _RAW
        if self._begin_raw():
            self._owner.send(self._take_held())

    def _begin_raw(self) -> bool:
        """Commit to a body that is passed as it comes; False if the client waits for events."""
        if self._owner.promised:
            self.fail(Fault(MALFORMED, _NO_EVENTS))
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


def is_page(head: ResponseHead) -> bool:
    """Whether an answer is made for browsers: of a portal, a login, a proxy."""
    return head.fields.get(b"content-type", b"").lower().startswith((b"text/html", b"application/xhtml"))
