"""The events of a stream as the one JSON body that the upstream would have given without `stream`.

Owns reading the events and what they cost. Does not own what they mean (fold_chat.py, fold_typed.py), nor whether the
stream is whole and sound: that is the inspector's verdict (inspect.py), and what it gives is what is fed here.

What cannot be merged is skipped: nothing that an upstream says makes this raise.
"""

import msgspec

from trunkline.streams.fold_chat import ChatFold
from trunkline.streams.fold_typed import MessagesFold, ResponsesFold
from trunkline.streams.lenient import valid
from trunkline.streams.pieces import Tally
from trunkline.streams.raw import object_of
from trunkline.wire.sse import DECODER_LIMIT, EventSplitter, Fragment, parse_event

_encode = msgspec.json.Encoder().encode


class Folder:
    """Feed it the events, then ask for the result. `surface`: one of `wire.values.SSE_SURFACES`."""

    __slots__ = ("_fold", "_pending", "_splitter", "_tally")

    def __init__(self, surface: str) -> None:
        self._splitter = EventSplitter(DECODER_LIMIT)
        self._pending = 0
        self._tally = tally = Tally()
        self._fold: ChatFold | ResponsesFold | MessagesFold
        if surface == "responses":
            self._fold = ResponsesFold(tally)
        elif surface == "messages":
            self._fold = MessagesFold(tally)
        else:
            self._fold = ChatFold(tally, completions=surface == "completions")

    def __repr__(self) -> str:
        return f"<Folder {self.size} bytes, {self._fold}>"

    @property
    def size(self) -> int:
        """Bytes held, about: to be bounded by who feeds."""
        return self._tally.size + self._pending

    def feed(self, events: bytes) -> None:
        """Take the next events, as an inspector gives them. One over 16 MiB is not read."""
        self._pending += len(events)
        for raw in self._splitter.feed(events):
            self._pending -= len(raw)
            event = None if type(raw) is Fragment else parse_event(raw)
            if event is not None and (fields := object_of(event.data) or object_of(valid(event.data))):
                self._fold.read((event.event or b"").decode("latin-1"), fields)

    def result(self) -> bytes:
        """The body; empty if the events told no answer."""
        answer = self._fold.answer()
        return b"" if answer is None else _encode(answer)
