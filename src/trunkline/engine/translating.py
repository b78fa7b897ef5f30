"""One attempt's answer in another API than the client's: read as if the upstream had spoken chat completions.

Owns where the translation stands: of a stream in front of the inspector, behind the decompression; of a whole answer
before it is judged. Does not own the translations (providers/dialects.py), nor what becomes of an answer from there on
(receiving.py, relay.py). Errors are read as they come: their form is known anyway.

What is not the upstream's answer to what it was asked never gets to the client untranslated: it is a fault.
"""

import time

from msgspec import structs

from trunkline.engine import answer_head
from trunkline.engine.answer_head import Derived
from trunkline.engine.owner import Owner
from trunkline.engine.receiving import Receiving, is_page
from trunkline.engine.relay import EVENTS_TYPE, JSON_TYPE, MAX_WHOLE
from trunkline.engine.whole import check_json
from trunkline.errors import MALFORMED, Fault
from trunkline.net.http1_client import ClientConnection
from trunkline.providers.dialects import Dialect, Translation
from trunkline.streams.inspect import StreamInspector
from trunkline.wire.head import ResponseHead
from trunkline.wire.values import Call


class Translating(Receiving):
    """Takes the bytes of one answer in a dialect. `model` stands in where the upstream names none."""

    takes_whole = False  # a stream may have a length, too

    _translation: Translation | None = None
    _failed = False

    def __init__(self, owner: Owner, connection: ClientConnection, dialect: Dialect, model: str) -> None:
        super().__init__(owner, connection)
        self._dialect = dialect
        self._model = model

    def _derived(self, head: ResponseHead) -> Derived:
        """What the head says. The content-type of a success does not count: it has the form that was asked for."""
        derived = super()._derived(head)
        if head.status >= 300 or is_page(head):
            return derived
        kind = answer_head.EVENTS if self._owner.streams else answer_head.JSON
        return structs.replace(derived, kind=kind, plain=False)

    # event streams

    def _read_events(self, call: Call) -> None:
        self._translation = self._dialect.stream(self._model, request_id=self._id(), created=int(time.time()))
        self.retyped = EVENTS_TYPE
        super()._read_events(call)

    def _event_bytes(self, data: bytes) -> None:
        assert self._translation is not None
        events = self._translation.feed(data)
        if events:
            super()._event_bytes(events)

    def _open_short_way(self, inspector: StreamInspector) -> None:
        """There is none: what comes is not what goes on."""

    def _end_of_events(self, framed: bool) -> None:
        assert self._translation is not None
        if framed and (rest := self._translation.end()):
            self._close()  # first: whatever comes of these events, the connection may be another call's by now
            super()._event_bytes(rest)
            if self._failed:
                return
        super()._end_of_events(framed)

    def fail(self, fault: Fault) -> None:
        self._failed = True
        super().fail(fault)

    # whole answers

    def _settle_whole(self, body: bytes, framed: bool) -> None:
        if body:
            whole = self._dialect.whole(body, self._model, request_id=self._id(), created=int(time.time()))
            if whole is None:
                found = check_json(self._owner, body, framed=framed)
                if not isinstance(found, Fault):
                    found = Fault(MALFORMED, f"the upstream's answer is none of {self._dialect.path}")
                self._owner.settled(self, found)
                return
            body = whole
            self.retyped = JSON_TYPE
        super()._settle_whole(body, framed)

    def _begin_raw(self) -> bool:
        self.fail(Fault(MALFORMED, f"the upstream's answer is longer than {MAX_WHOLE} bytes"))
        return False

    def _id(self) -> str:
        return f"chatcmpl-{self._owner.call.request_id.decode()}"
