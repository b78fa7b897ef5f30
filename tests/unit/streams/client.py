"""A client behind the relay of the engine: the loop of engine/receiving.py and net/http1_client.py, without sockets.

What the client gets is `given`, as bytes; `told` reads it as a client does.
"""

import json
from collections.abc import Iterable
from typing import Any, cast

from tests.unit.streams.events import framed
from trunkline.streams.chat import ChatInspector
from trunkline.streams.rewrite import Rewriter
from trunkline.wire.chunked import SIZE_LINES
from trunkline.wire.sse import Decoder


class Client:
    """Takes what an upstream writes. `held`: the rewriter takes over at the first content, as it does in the engine."""

    def __init__(self, by: Rewriter, *, held: bool = False) -> None:
        self.rewriter = by
        self.inspector = ChatInspector()
        self.given = b""
        self.short = 0
        """Reads that went the short way."""
        self._way: tuple[bytes, ...] | None = None
        self._held: bytes | None = b"" if held else None
        if not held:
            self.inspector.rewrite(by, b"")

    def read(self, data: bytes) -> None:
        """Bytes that were decoded from whatever framing there is."""
        out = self.inspector.feed(data)
        if self._held is None:
            self.given += out
            self._way = self.inspector.way
        else:
            self._held += out
            if self.inspector.content:
                self.given += self.inspector.rewrite(self.rewriter, self._held)
                self._held = None

    def reads_short(self, data: bytes) -> bool:
        """One read of one chunk of the chunked coding, if it need not be looked at."""
        chunk = framed(data)
        if self._held is not None or not self.inspector.repeats(chunk):
            return False
        self.short += 1
        way = self._way
        if way is None:
            self.given += data
        elif way:
            self.given += taken(self.inspector, chunk).join(way)
        return True

    def read_all(self, chunks: Iterable[bytes]) -> "Client":
        """Reads of one chunk each, the short way where it is open, and the end of the answer."""
        for data in chunks:
            if not self.reads_short(data):
                self.read(data)
        if self._held:
            self.given += self.rewriter.feed(self._held)
        self.given += self.rewriter.done()
        return self


def taken(inspector: ChatInspector, chunk: bytes) -> bytes:
    """The text of a chunk that repeats, as engine/receiving.py takes it out."""
    assert inspector.frame is not None
    before, after = inspector.frame
    size = len(chunk)
    return chunk[len(SIZE_LINES[size]) + len(before) : size - len(after)]


def told(given: bytes) -> list[dict[str, Any]]:
    """The chunks of a stream that ends as it should."""
    events = [event.data for event in Decoder().feed(given)]
    assert events.pop() == b"[DONE]"
    assert b"[DONE]" not in events
    return [json.loads(data) for data in events]


def joined(chunks: list[dict[str, Any]], field: str = "content", index: int = 0) -> str:
    """What a client joins of one field of one choice."""
    texts: list[str] = []
    for chunk in chunks:
        for choice in chunk["choices"]:
            if choice["index"] == index:
                text = choice.get("delta", choice).get(field)
                if isinstance(text, list):
                    parts = cast("list[dict[str, Any]]", text)
                    texts += [part["text"] for part in parts if part["type"] == "text"]
                else:
                    texts.append(text or "")
    return "".join(texts)


def finishes(chunks: list[dict[str, Any]]) -> list[tuple[int, str]]:
    """The finish_reasons, by choice."""
    return [
        (choice["index"], choice["finish_reason"])
        for chunk in chunks
        for choice in chunk["choices"]
        if choice.get("finish_reason") is not None
    ]


def usages(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The counts that a client sees."""
    return [chunk["usage"] for chunk in chunks if chunk.get("usage") is not None]
