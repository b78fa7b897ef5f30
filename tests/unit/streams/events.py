"""Events of upstreams' streams, and what reads them: for the tests of streams/."""

import copy
import json
from typing import Any

from trunkline.streams.answer import AS_IT_IS, AnswerSettings
from trunkline.streams.base import StreamInspector
from trunkline.streams.chat import ChatInspector
from trunkline.streams.inspect import INSPECTORS
from trunkline.streams.rewrite import Rewriter
from trunkline.streams.typed import MessagesInspector


def event(value: Any, name: bytes = b"") -> bytes:
    payload = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
    return (b"event: %b\n" % name if name else b"") + b"data: %b\n\n" % payload


def delta(finish: Any = None, index: int = 0, **fields: Any) -> bytes:
    choice = {"index": index, "delta": fields, "finish_reason": finish}
    return event(
        {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    )


def typed(kind: str, **fields: Any) -> bytes:
    return event({"type": kind, **fields}, kind.encode())


USAGE = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
ROLE = delta(role="assistant", content="")
WORD = delta(content="word")
STOP = delta("stop")
USED = event(
    {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": USAGE}
)
DONE = event(b"[DONE]")
COMMENT = b": keep-alive\n\n"


def read(surface: str, *chunks: bytes, by: Rewriter | None = None) -> tuple[bytes, StreamInspector]:
    inspector = INSPECTORS.get(surface, StreamInspector)()
    if by is not None:
        assert isinstance(inspector, ChatInspector)
        inspector.rewrite(by, b"")
    return b"".join([inspector.feed(chunk) for chunk in chunks]), inspector


def verdict(inspector: StreamInspector, *, framed: bool = True) -> str:
    fault = inspector.end(framed=framed)
    return "" if fault is None else fault.kind.name


def flags(inspector: StreamInspector) -> tuple[Any, ...]:
    """All that the relay reads of an inspector, and for chat what decides it later."""
    known = (inspector._open, inspector._seen) if isinstance(inspector, ChatInspector) else ()
    return (
        inspector.content,
        inspector.terminal,
        inspector.malformed,
        inspector.fault,
        inspector.mid_event,
        bytes(inspector.usage),
        inspector.usage_value("messages" if isinstance(inspector, MessagesInspector) else "chat"),
        *copy.deepcopy(known),
    )


TIMES = [{"prompt_n": 3, "cache_n": 2, "predicted_n": n} for n in (1, 2)]


ERRORS = [
    event({"error": {"message": "it broke", "code": 500}}),
    event({"error": "it broke"}),
    event({"object": "error", "message": "it broke", "type": "x", "code": 500}),
    event(
        {"error": {"message": "it broke"}, "choices": [{"index": 0, "delta": {}, "finish_reason": "error"}]}
    ),
    event({"error": {"message": "it broke"}, "choices": "odd"}),
    event({"object": "error", "message": "it broke", "choices": "odd"}),
    event({"error": {"message": "it broke"}}, b"error"),
    event({"message": "it broke"}, b"error"),
    event(b"it broke", b"error"),
]


CREATED = typed("response.created", response={"id": "r", "usage": None, "error": None})
TEXT = typed("response.output_text.delta", delta="x")


START = typed(
    "message_start", message={"usage": {"input_tokens": 1, "cache_read_input_tokens": 32, "output_tokens": 1}}
)
BLOCK = typed("content_block_start", index=0, content_block={"type": "text", "text": ""})
DELTA = typed("content_block_delta", index=0, delta={"type": "text_delta", "text": "x"})
LAST = typed("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 6})


CHAT = [
    *(
        ROLE,
        WORD,
        WORD,
        STOP,
        DONE,
        USED,
        COMMENT,
        delta(content="a\nb"),
        delta(content="ä"),
        delta(index=1, content="x"),
    ),
    *(
        delta("stop", index=1),
        event(b"{bad"),
        event(b'{"x":"\xff"}'),
        event({"choices": "odd"}),
        ERRORS[0],
        ERRORS[-1],
    ),
    *(b"data: {\ndata: }\n\n", b": c\ndata: {}\n\n"),
]
TYPED = [
    *(
        CREATED,
        TEXT,
        START,
        BLOCK,
        DELTA,
        LAST,
        typed("message_stop"),
        typed("response.completed"),
        DONE,
        COMMENT,
    ),
    *(event(b"{bad"), event([1]), typed("response.failed", response={}), typed("error", message="m")),
]
MALFORMED = [
    b'{"choices":[{"index":0,"delta":{"content":"cut',
    b"{}x",
    b"{",
    b'{"choices":[{"delta":{"content":"\xff"}}]}',
    b'{"choices":[],"unread":"\xff"}',
    b'{"choices":"odd","x":}',
    b'{"choices":[{"delta":{"content":' + b"[" * 9999,
    b"not json",
]


def framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def rewriter(
    settings: AnswerSettings = AS_IT_IS,
    surface: str = "chat",
    *,
    include_usage: bool = True,
    choices: int = 1,
) -> Rewriter:
    identity: dict[str, Any] = {"request_id": "r1", "created": 1, "asked": "asked"}
    return Rewriter(surface, settings, include_usage=include_usage, choices=choices, **identity)


def relayed(*before: bytes, by: Rewriter | None = None) -> ChatInspector:
    """One whose stream is on its way to a client."""
    inspector = ChatInspector()
    inspector.rewrite(by or rewriter(), b"")
    for chunk in before:
        inspector.feed(chunk)
    return inspector


def learned(*before: bytes) -> ChatInspector:
    return relayed(*before, WORD)
