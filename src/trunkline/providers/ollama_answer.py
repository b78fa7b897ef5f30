"""Answers of Ollama's `/api/chat` as answers of OpenAI's chat completions.

Owns the translation of its stream (`NativeAnswer`: lines of JSON to server-sent events) and of its whole answer
(`whole`). Does not own the request (ollama_request.py) nor what the events mean to the gateway (streams/chat.py, which
reads them as if an upstream had sent them). Id and time are arguments: Ollama gives none of OpenAI's form.

    {"message": {"content": "x"}, "done": false}         a chunk with `content`; the first one has the role
    {"message": {"thinking": "x"}, ...}                  a chunk with `reasoning`, the name Ollama's own /v1 uses
    {"message": {"tool_calls": [...]}, ...}              calls with index and id, their arguments as text
    {"done": true, "done_reason": "stop", counts}        finish_reason; a chunk with usage and no choices; `[DONE]`
    {"error": "..."}                                     an error event, and nothing after it

A line without a line end is read when the stream has ended properly; blanks before a line are no part of it. One that
is no JSON object is left out, as a malformed event is; of any other all is told that can be read (ollama_line.py). One
over `LIMIT` cannot be passed on untranslated, as such an event would be, so it ends the stream with an error. Without
`done` no `[DONE]` is made up: the stream stays incomplete, and is judged as one.

Shapes: docs/api.md and `ChatResponse` in api/types.go of ollama/ollama.
"""

import re
from typing import Any

import msgspec
from msgspec import UNSET

from trunkline.providers.ollama_line import UNREADABLE, Line, Message, ToolCall, read
from trunkline.wire import sse
from trunkline.wire.error_body import extract_message

LIMIT = sse.LIMIT
"""Bytes of one line."""

_REASONS = frozenset(("stop", "length", "content_filter", "tool_calls", "function_call"))
_DONE = b"data: [DONE]\n\n"
_TOO_LONG = f"a line of Ollama's answer is longer than {LIMIT} bytes"
_NOTHING: dict[str, Any] = {}
# What is blank before a line, lines too, costs next to nothing, and the pattern cannot fail.
_LINES = re.compile(rb"\s*+([^\n]*)").findall

_encode = msgspec.json.encode


class NativeAnswer:
    """Translates one stream: bytes in any chunking in, whole events out.

    `model` stands in where Ollama names none. `malformed`: lines that were no JSON objects.
    """

    __slots__ = ("_begun", "_buffer", "_calls", "_created", "_model", "_over", "_request_id", "malformed")

    def __init__(self, model: str, *, request_id: str, created: int) -> None:
        self._model = model
        self._request_id = request_id
        self._created = created
        self._buffer = bytearray()
        self._calls = 0
        self._begun = False
        self._over = False
        self.malformed = 0

    def __repr__(self) -> str:
        return f"<NativeAnswer {len(self._buffer)} bytes pending, {self._calls} calls, over={self._over}>"

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; give the events of the lines that are complete."""
        if self._over:
            return b""
        end = data.rfind(b"\n") + 1
        buffer = self._buffer
        if not end:
            buffer += data if buffer else data.lstrip()
            return self._check_size()
        lines: list[bytes] = _LINES(bytes(buffer) + data[:end])
        buffer.clear()
        buffer += data[end:].lstrip()
        out = b"".join([self._line(line) for line in lines if line])
        return out + self._check_size()

    def end(self) -> bytes:
        """The body ended as its framing says; give the events of a last line that has no line end."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return self._line(rest)

    def _check_size(self) -> bytes:
        if len(self._buffer) <= LIMIT or self._over:
            return b""
        return self._fail(_TOO_LONG)

    def _fail(self, message: str, code: str = "", kind: str = "") -> bytes:
        self._over = True
        self._buffer.clear()
        error = {"message": message, "type": kind or "api_error", "param": None, "code": code or None}
        return sse.encode(_encode({"error": error}))

    def _line(self, line: bytes) -> bytes:
        if self._over:
            return b""
        if len(line) > LIMIT:
            return self._fail(_TOO_LONG)
        if not line:
            return b""
        try:
            said = read(line.decode())  # not bytes: what the decoder skips must be UTF-8, too
            if said.error:
                info = extract_message(line)
                return self._fail(info.message or "Ollama reported an error", info.code, info.type)
            return self._events(said)
        except UNREADABLE:
            self.malformed += 1
            return b""

    def _events(self, said: Line) -> bytes:
        self._model = said.model or self._model
        deltas = self._deltas(said.message or Message())
        if not deltas and (not self._begun or said.logprobs):
            deltas = [{"content": ""}]
        if not self._begun:
            self._begun = True
            deltas[0] = {"role": "assistant", **deltas[0]}
        out: list[bytes] = []
        for delta in deltas:
            choice: dict[str, Any] = {"index": 0, "delta": delta, "finish_reason": None}
            if said.logprobs and not out:
                choice["logprobs"] = {"content": said.logprobs}
            out.append(self._chunk({"choices": [choice]}))
        if said.done:
            self._over = True
            reason = _finish_reason(said, self._calls)
            out.append(self._chunk({"choices": [{"index": 0, "delta": _NOTHING, "finish_reason": reason}]}))
            usage = _usage(said)
            if usage is not None:
                out.append(self._chunk({"choices": [], "usage": usage}))
            out.append(_DONE)
        return b"".join(out)

    def _deltas(self, message: Message) -> list[dict[str, Any]]:
        """What a line adds, thoughts apart from what follows them: clients take a delta for one or the other."""
        deltas: list[dict[str, Any]] = []
        if message.thinking:
            deltas.append({"reasoning": message.thinking})
        if message.content:
            deltas.append({"content": message.content})
        if message.tool_calls:
            calls = _tool_calls(message.tool_calls, self._request_id, self._calls)
            self._calls += len(calls)
            deltas.append({"tool_calls": calls})
        return deltas

    def _chunk(self, rest: dict[str, Any]) -> bytes:
        head = {
            "id": self._request_id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
        }
        return sse.encode(_encode({**head, **rest}))


def whole(body: bytes, model: str, *, request_id: str, created: int) -> bytes | None:
    """Translate the answer to a request with `stream: false` into a chat.completion.

    None: it is none (an error, no JSON, not done, something else than text), and is to be judged as it came.
    """
    try:
        said = read(body.decode())
        if said.error or not said.done:
            return None
        message = said.message or Message()
        if message.content is UNSET:
            return None
        calls = _tool_calls(message.tool_calls or [], request_id, 0)
    except UNREADABLE:
        return None
    made: dict[str, Any] = {"role": "assistant", "content": message.content or ("" if not calls else None)}
    if message.thinking:
        made["reasoning"] = message.thinking
    if calls:
        made["tool_calls"] = [{key: value for key, value in call.items() if key != "index"} for call in calls]
    choice: dict[str, Any] = {
        "index": 0,
        "message": made,
        "finish_reason": _finish_reason(said, len(calls)),
        "logprobs": {"content": said.logprobs} if said.logprobs else None,
    }
    answer: dict[str, Any] = {
        "id": request_id,
        "object": "chat.completion",
        "created": created,
        "model": said.model or model,
        "choices": [choice],
    }
    usage = _usage(said)
    return _encode(answer if usage is None else {**answer, "usage": usage})


def _tool_calls(calls: list[ToolCall], request_id: str, first: int) -> list[dict[str, Any]]:
    """Calls in OpenAI's form. Ollama's own index is not taken: some of its parsers give each call the same."""
    return [
        {
            "index": index,
            "id": call.id or f"call_{request_id}_{index}",
            "type": "function",
            "function": {"name": call.function.name, "arguments": _text(call.function.arguments)},
        }
        for index, call in enumerate(calls, first)
    ]


def _text(arguments: msgspec.Raw) -> str:
    """Arguments as text of JSON; an object in Ollama's answers."""
    held = bytes(arguments)
    if held in (b"", b"null"):
        return "{}"
    return msgspec.json.decode(held, type=str) if held.startswith(b'"') else held.decode()


def _finish_reason(said: Line, calls: int) -> str:
    """OpenAI's word: `load` and `unload` (there were no messages) and words to come are a stop."""
    reason = said.done_reason if said.done_reason in _REASONS else "stop"
    return "tool_calls" if calls and reason == "stop" else reason


def _usage(said: Line) -> dict[str, int] | None:
    """What was counted; a prompt that the cache held counts nothing in some versions."""
    if said.prompt_eval_count is None and said.eval_count is None:
        return None
    prompt, completion = said.prompt_eval_count or 0, said.eval_count or 0
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
