"""One attempt's answer as it comes from the upstream.

Owns how bytes come, and the event stream with its two commits. Does not own what is held whole (relay.py), which
backend is asked next (engine/succession.py), what a stream says (streams/inspect.py) nor what its events become
(streams/rewrite.py).

Everything happens in the callback that brought the bytes (DESIGN section 3, push relay). A relay reports once, by
`exchange.settled`: None when the answer is on its way whole, else the fault.
"""

import msgspec

from trunkline.engine import answer_head
from trunkline.engine.answer_head import Derived, derive
from trunkline.engine.relay import (
    EVENTS,
    EVENTS_TYPE,
    JSON_TYPE,
    MAX_ERROR,
    MAX_WHOLE,
    NO_EVENTS,
    OVER,
    RAW,
    WHOLE,
    Relay,
)
from trunkline.engine.whole import refusal
from trunkline.errors import CUT, DIVERGED, ERROR_IN_200, ERROR_IN_STREAM, MALFORMED, Fault
from trunkline.streams.fold import Folder
from trunkline.streams.inspect import INSPECTORS, ChatInspector, StreamInspector
from trunkline.wire.chunked import SIZE_LINES
from trunkline.wire.encoding import BadEncodingError, Inflater
from trunkline.wire.head import ResponseHead
from trunkline.wire.values import SSE_SURFACES, Call

MAX_HELD_EVENTS = 1024 * 1024
"""Bytes of events without content that are held before the stream is committed all the same."""

INFLATED_TURN = 256
"""Bytes of a compressed answer that are worked on in one turn of the loop: a thousand times as many may be in them."""

_BEGINNINGS = (b"data", b"event", b"id", b"retry", b":", b"\xef\xbb\xbf")
"""Of streams of events."""


class Receiving(Relay):
    """Takes the bytes of one answer."""

    # net.http1_client.Receiver

    def on_answer(self, head: ResponseHead, body: bytes) -> None:
        try:
            if body and (head.memo or self._derived(head)).plain:
                self.head = head
                self.status = head.status
                self.bytes_in = len(body)
                self.first_byte_at = self.connection.clock.read()
                self._phase = OVER
                self._settle_whole(body, True)
                return
            self.on_head(head, len(body))
            if body and self._phase != OVER:
                self.on_body(body)
            if self._phase != OVER:
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
            self._phase = WHOLE
        elif call.method == b"HEAD":
            self._phase = WHOLE
            return
        elif derived.kind == answer_head.EVENTS:
            self._read_events(call)
        elif derived.kind == answer_head.JSON and length <= MAX_WHOLE:
            self._phase = WHOLE
        elif length == 0:
            self._phase = WHOLE
            return
        elif call.surface in SSE_SURFACES and call.method == b"POST" and is_page(head):
            self.fail(Fault(MALFORMED, "the upstream answered 200 with an HTML page; check `url`"))
            return
        elif self.splice is not None:
            self.fail(Fault(MALFORMED, NO_EVENTS))
            return
        elif call.surface in SSE_SURFACES and self._owner.streams and call.method == b"POST":
            self._doubtful = True  # events under another name, perhaps
            self.retyped = EVENTS_TYPE
            self._read_events(call)
        else:
            self._phase = RAW
            return
        if derived.coding is not None:
            try:
                self._inflater = Inflater(derived.coding)
                self.connection.turn = INFLATED_TURN
            except BadEncodingError as error:
                self.fail(Fault(MALFORMED, f"the upstream's answer cannot be read: {error}"))

    def _read_events(self, call: Call) -> None:
        self._phase = EVENTS
        self._inspector = inspector = INSPECTORS.get(call.surface, StreamInspector)()
        owner = self._owner
        folds = call.surface in SSE_SURFACES and call.method == b"POST" and not owner.events_asked
        self.rewriter = rewriter = owner.rewriter(folds=folds)
        if rewriter is not None and isinstance(inspector, ChatInspector):
            inspector.rewrite(rewriter, b"")
        if folds:
            self._fold = Folder(call.surface)

    def on_body(self, data: bytes) -> None:
        try:
            self._take(data)
        except Exception as error:  # noqa: BLE001 # what went wrong with a part must not pass for an answer without it
            self._owner.broke(error)

    def _take(self, data: bytes) -> None:
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
        if self._phase == EVENTS:
            self._event_bytes(data)
        elif self._phase == RAW:
            if self._owner.committed or self._begin_raw():
                self._owner.send(data)
        elif self._phase == WHOLE:
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
        elif self._phase == EVENTS:
            self._end_of_events(framed)
        elif self._phase == RAW:
            self._close()
            # Close-delimited is the one framing that cannot tell an end from a cut.
            if self._owner.committed or self._begin_raw():
                self._owner.settled(self, None)
        elif self._phase == WHOLE:
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
            elif inspector.way is not self._way:
                self._change_way(inspector.way)
            return
        if self._doubtful:
            self._doubtful = False
            begun = data.lstrip()[:5]
            if not any(begun.startswith(one) or one.startswith(begun) for one in _BEGINNINGS):
                self.fail(Fault(MALFORMED, NO_EVENTS))
                return
        if self._fold is not None:
            self._fold_in(self._fold, out)
            return
        shows = inspector.content if self.rewriter is None else self.rewriter.content
        if inspector.fault is not None and not shows:
            self._broke_off(inspector.fault)
            return
        if out and not inspector.content and self._held_size + len(out) > MAX_HELD_EVENTS:
            # A flood of comments must neither fill the memory nor pass for an answer.
            out = inspector.spare(out)
        if out:
            self._held.append(out)
            self._held_size += len(out)
        if shows or self._held_size > MAX_HELD_EVENTS:
            self._commit_events(inspector)
        elif inspector.content and isinstance(inspector, ChatInspector):
            self._skim(inspector)

    def _skim(self, inspector: ChatInspector) -> None:
        """Nothing is committed by thoughts that the client does not get: let them pass by undecoded all the same."""
        if inspector.frame is None or inspector.way != () or self._inflater is not None:
            self.connection.repeats = None
        else:
            self.connection.forward = self._withhold
            self.connection.repeats = inspector.repeats

    def _commit_events(self, inspector: StreamInspector) -> None:
        self._owner.commit(self, None)
        if held := self._take_held():
            if self.transcript is not None:
                self.transcript.events(held)
            self._owner.send(held)
        if self.transcript is not None and isinstance(inspector, ChatInspector):
            inspector.keep, inspector.keep_odd = self.transcript.keep, self.transcript.odd
            inspector.keep_told = self.transcript.events
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

    def _fold_in(self, fold: Folder, out: bytes) -> None:
        """More events for a client that waits for one body."""
        assert self._inspector is not None
        if self._inspector.fault is not None:
            self._broke_off(self._inspector.fault)
            return
        fold.feed(out)
        if fold.size > MAX_WHOLE:
            self.fail(
                Fault(MALFORMED, f"the upstream's stream is longer than a body may be, {MAX_WHOLE} bytes")
            )

    def _open_short_way(self, inspector: StreamInspector) -> None:
        """Let the connection forward what repeats the last event but for its text: framed for the client already."""
        forward = self._owner.framed()
        if forward is not None and self._inflater is None and isinstance(inspector, ChatInspector):
            self._forward = self.connection.forward = forward
            self.connection.repeats = inspector.repeats
            if inspector.frame is None:
                inspector.way = None  # what it says is of a frame that was given up
            self._change_way(inspector.way)

    def _change_way(self, way: tuple[bytes, ...] | None) -> None:
        """From now on what comes the short way goes on differently."""
        self._way = way
        if self._forward is None:
            return
        if way is None:
            self.connection.forward = self._forward
            return
        if not way:
            self.connection.forward = self._withhold
            return
        inspector = self._inspector
        assert isinstance(inspector, ChatInspector)
        assert inspector.frame is not None
        skipped, left_out = map(len, inspector.frame)
        forward, before, after = self._forward, way[0], way[1] + b"\r\n"
        around = len(way[0]) + len(way[1])

        def translate(data: bytes) -> None:
            size = len(data)
            text = data[len(SIZE_LINES[size]) + skipped : size - left_out]
            out = b"%x\r\n%b%b%b" % (around + len(text), before, text, after)
            self.withheld += size - len(out)
            if self.transcript is not None:
                self.transcript.events(text.join(way))
            forward(out)

        self.connection.forward = translate

    def _withhold(self, data: bytes) -> None:
        """Thoughts that the client does not get."""
        self.withheld += len(data)

    def finish_early(self) -> None:
        self.connection.abort()
        self._end_of_events(True)

    def _end_of_events(self, framed: bool) -> None:
        inspector = self._inspector
        assert inspector is not None
        self._close()
        fault = inspector.end(framed=framed)
        if fault is None and self.splice is not None and not self.splice.joined:
            fault = Fault(DIVERGED, "the second answer is shorter than what was sent of the first")
        owner, rewriter, fold = self._owner, self.rewriter, self._fold
        if fault is not None:
            owner.settled(self, fault)
            return
        rest = b""
        if rewriter is not None:
            rest = rewriter.done()
            self.only_thoughts = rewriter.only_thoughts
        if fold is not None:
            fold.feed(rest)
            self.retyped = JSON_TYPE
            owner.deliver(self, fold.result())
            return
        if self.splice is not None:
            rest = self.splice.feed(rest)
        if not owner.committed:
            owner.commit(self, None)
            rest = self._take_held() + rest
        if rest:
            owner.send(rest)
        owner.settled(self, None)


def is_page(head: ResponseHead) -> bool:
    """Whether an answer is made for browsers: of a portal, a login, a proxy."""
    return head.fields.get(b"content-type", b"").lower().startswith((b"text/html", b"application/xhtml"))
