"""The streams of /responses and /messages, whose events name their type in the data.

Owns which types show a client something and which end an answer. Does not own what all streams have in common
(base.py).
"""

import re

import msgspec

from trunkline.streams.base import StreamInspector, is_utf8, stream_fault
from trunkline.wire.openai import Message, Response, decode_typed_event, present
from trunkline.wire.sse import Event

_DONE = b"[DONE]"
_EVENT_TYPE = re.compile(rb"(?:event: ?([\w.]+)\r?\n|data: ?\{\"type\": ?\"([\w.]+)\")")


class _TypedInspector(StreamInspector):
    """Surfaces whose events name their type in the data."""

    __slots__ = ()

    _PRELUDE: frozenset[str] = frozenset()
    """Types that show a client nothing yet."""
    _TERMINAL: frozenset[str] = frozenset()
    """Types that end an answer."""
    _SIGN_OF_LIFE = ""
    """The type that says nothing else."""

    def _inspect(self, event: Event, raw: bytes) -> bytes:
        payload = event.data
        if payload == _DONE:
            return raw
        try:
            value = decode_typed_event(payload)
        except msgspec.ValidationError:
            return raw if self._odd_shape(payload) else b""
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            self.malformed += 1
            return b""
        if not payload.isascii() and not is_utf8(payload):
            self.malformed += 1
            return b""
        kind = value.type
        if kind == "error" or (not kind and value.error) or (kind == "response.failed" and not self.content):
            self.fault = stream_fault(payload)
            return raw
        if isinstance(value.message, Message) and present(value.message.usage):
            self.usage = self._earlier = value.message.usage
        elif isinstance(value.response, Response) and present(value.response.usage):
            self.usage = value.response.usage
        elif present(value.usage):
            self.usage = value.usage
        if kind in self._TERMINAL:
            self.terminal = self.content = True
        elif kind not in self._PRELUDE:
            self.content = True
        return raw

    def _needed(self, event: Event) -> bool:
        return event.data == _DONE or decode_typed_event(event.data).type != self._SIGN_OF_LIFE

    def _oversize(self, beginning: bytes) -> None:
        # The last event of /responses holds the whole answer, which is over the limit if that has images.
        named = _EVENT_TYPE.match(beginning)
        if named is not None and (named[1] or named[2]).decode("ascii") in self._TERMINAL:
            self.terminal = True

    def _finished(self) -> bool:
        return self.terminal


class ResponsesInspector(_TypedInspector):
    """/responses: complete with response.completed, response.incomplete or response.failed."""

    __slots__ = ()

    _PRELUDE = frozenset(
        (
            "response.created",
            "response.queued",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "keepalive",
        )
    )
    _TERMINAL = frozenset(("response.completed", "response.incomplete", "response.failed"))
    _SIGN_OF_LIFE = "keepalive"


class MessagesInspector(_TypedInspector):
    """/messages (Anthropic): complete with message_stop."""

    __slots__ = ()

    _PRELUDE = frozenset(("message_start", "ping", "content_block_start"))
    _TERMINAL = frozenset(("message_stop",))
    _SIGN_OF_LIFE = "ping"
