"""An upstream that answers by a script, for answers that the simulator does not give: `Script`, and what it is made of.

An answer is a list of steps: bytes that are written, seconds that are waited, `CUT` for the end of the connection.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from tests.contract.gateway.harness import scripted

CUT: Final = None
Step = bytes | float | None
Answer = Sequence[Step]
Ask = dict[str, Any]

_NOT_FOUND = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
SSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class Script:
    """`answers`: one per request, the last one again and again; or what makes one of a request's fields.

    Questions for models (GET) are answered with 404 and are no requests.
    """

    def __init__(self, *answers: Answer, by: Callable[[Ask], Answer] | None = None) -> None:
        self._answers = answers
        self._by = by
        self.asked: list[Ask] = []
        """What each request was, in order."""
        self.at_once = 0
        self.most = 0
        """The most requests that were in work at the same time."""

    @asynccontextmanager
    async def url(self) -> AsyncGenerator[str]:
        """Listen."""
        async with scripted(self._play) as url:
            yield url

    async def _play(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            if head.startswith(b"get /v1/models"):
                writer.write(_NOT_FOUND)
                continue
            length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0] or b"0")
            ask: Ask = json.loads(await reader.readexactly(length) or b"{}")
            self.asked.append(ask)
            self.at_once += 1
            self.most = max(self.most, self.at_once)
            try:
                if not await self._answer(ask, writer):
                    return
            finally:
                self.at_once -= 1

    async def _answer(self, ask: Ask, writer: asyncio.StreamWriter) -> bool:
        """False: the connection was cut."""
        number = len(self.asked) - 1
        answer = self._by(ask) if self._by is not None else self._answers[min(number, len(self._answers) - 1)]
        for step in answer:
            if step is None:
                return False
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
            else:
                await asyncio.sleep(step)
        return True


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _event(**choice: Any) -> bytes:
    value = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return _chunk(b"data: %b\n\n" % json.dumps(value).encode())


def words(first: int, last: int) -> list[str]:
    """Words of an answer, by their numbers."""
    return [f"w{at} " for at in range(first, last)]


def say(texts: Sequence[str]) -> list[Step]:
    """Events with content that leave one by one."""
    steps: list[Step] = []
    for text in texts:
        steps += [_event(index=0, delta={"content": text}, finish_reason=None), 0.003]
    return steps


FINISH = _event(index=0, delta={}, finish_reason="stop") + _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"


def stream(texts: Sequence[str], *end: Step) -> list[Step]:
    """A stream of these texts; it ends as it should if no other end is given."""
    return [SSE, *say(texts), *(end or (FINISH,))]


def complaint(code: int | str, message: str) -> bytes:
    """An event that tells of an error."""
    error = {"message": message, "type": "server_error", "code": code}
    return _chunk(b"data: %b\n\n" % json.dumps({"error": error}).encode())


def whole(status: int, value: Any, headers: str = "") -> bytes:
    """An answer in one piece."""
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\n{headers}content-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def reply(text: str) -> bytes:
    """A whole chat answer."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return whole(200, {"id": "y", "object": "chat.completion", "model": "m", "choices": [choice]})
