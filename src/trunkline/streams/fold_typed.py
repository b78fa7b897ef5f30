"""The events of /responses and of /messages as the one answer that they are.

Owns what becomes of each event. Does not own reading events (fold.py), nor how pieces are joined (pieces.py).

/responses says the whole answer in its last event. /messages says it in blocks, each of which begins with what it has
besides its text: https://docs.anthropic.com/en/docs/build-with-claude/streaming.
"""

from typing import Any

import msgspec

from trunkline.streams.pieces import Fields, Grown, Tally, rendered, weak
from trunkline.streams.raw import index_of, object_of, text_of
from trunkline.wire.openai import ABSENT

_FINAL = frozenset(("response.completed", "response.incomplete", "response.failed"))
_EMPTY_LIST = msgspec.Raw(b"[]")


class ResponsesFold:
    """The answer of /responses: what the last event has.

    ChatGPT's own backend leaves `output` empty there; then it is what the items were when they were done.
    """

    __slots__ = ("_items", "_response", "_tally")

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._items: dict[int, msgspec.Raw] = {}
        self._response: dict[str, msgspec.Raw] | None = None

    def __repr__(self) -> str:
        return f"<ResponsesFold of {len(self._items)} items>"

    def read(self, name: str, fields: dict[str, msgspec.Raw]) -> None:
        """Take one event. `name`: the type that it has if its data do not say."""
        kind = text_of(fields.get("type", ABSENT)) or name
        if kind == "response.output_item.done":
            index = index_of(fields.get("output_index", ABSENT))
            item = fields.get("item")
            if index is not None and item is not None:
                self._tally.size += len(item) - len(self._items.get(index, ABSENT))
                self._items[index] = item.copy()
        elif kind in _FINAL:
            response = object_of(fields.get("response", ABSENT))
            self._response = {field: raw.copy() for field, raw in response.items()}
            self._tally.size += sum(map(len, response.values()))

    def answer(self) -> dict[str, Any] | None:
        """The whole answer; None if it was not told."""
        if not self._response:
            return None
        if self._items and weak(self._response.get("output", _EMPTY_LIST)):
            return self._response | {"output": [self._items[index] for index in sorted(self._items)]}
        return self._response


class MessagesFold:
    """The answer of /messages so far."""

    __slots__ = ("_blocks", "_message", "_tally")

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._message = Fields(tally)
        self._blocks: dict[int, _Block] = {}

    def __repr__(self) -> str:
        return f"<MessagesFold of {len(self._blocks)} blocks>"

    def read(self, name: str, fields: dict[str, msgspec.Raw]) -> None:
        """Take one event. `name`: the type that it has if its data do not say."""
        kind = text_of(fields.get("type", ABSENT)) or name
        if kind == "message_start":
            self._take(object_of(fields.get("message", ABSENT)))
        elif kind == "message_delta":
            self._take(object_of(fields.pop("delta", ABSENT)))
            fields.pop("type", None)
            self._take(fields)
        elif kind in ("content_block_start", "content_block_delta"):
            index = index_of(fields.get("index", ABSENT))
            if index is None:
                return
            block = self._blocks.get(index)
            if block is None:
                block = self._blocks[index] = _Block(self._tally)
            block.begin(object_of(fields.get("content_block", ABSENT)))
            block.add(object_of(fields.get("delta", ABSENT)))

    def answer(self) -> dict[str, Any] | None:
        """The whole answer; None if it was not begun."""
        if not self._message.values:
            return None
        message: dict[str, Any] = rendered(self._message)
        if self._blocks:
            message["content"] = [self._blocks[index].answer() for index in sorted(self._blocks)]
        return message

    def _take(self, fields: dict[str, msgspec.Raw]) -> None:
        for name, raw in fields.items():
            if name == "usage":  # its counts are totals, and those that do not apply are left out
                for field, count in object_of(raw).items():
                    self._message.within(name).last(field, count)
            else:
                self._message.last(name, raw)


class _Block:
    """One block of content so far."""

    __slots__ = ("_fields", "_input")

    def __init__(self, tally: Tally) -> None:
        self._fields = Fields(tally)
        self._input = Fields(tally)

    def __repr__(self) -> str:
        return f"<_Block {self._fields}>"

    def begin(self, fields: dict[str, msgspec.Raw]) -> None:
        """Take what the block begins with."""
        for name, raw in fields.items():
            if name in ("type", "id", "name"):
                self._fields.last(name, raw)
            else:
                self._fields.grow(name, raw)

    def add(self, fields: dict[str, msgspec.Raw]) -> None:
        """Take a delta: a field of it adds to the field of that name."""
        for name, raw in fields.items():
            if name == "partial_json":
                self._input.grow(name, raw)
            elif name == "citation":
                self._fields.grow("citations", msgspec.Raw(b"[%b]" % bytes(raw)))
            elif name == "signature":  # one delta has all of it, as the SDKs take it
                self._fields.last(name, raw)
            elif name != "type":
                self._fields.grow(name, raw)

    def answer(self) -> dict[str, Any]:
        """The block as the whole answer has it. An `input` that is no JSON is not told."""
        block: dict[str, Any] = rendered(self._fields)
        pieces = self._input.values.get("partial_json")
        if isinstance(pieces, Grown):
            value = text_of(pieces.raw()).encode()
            if object_of(value):
                block["input"] = msgspec.Raw(value)
        return block
