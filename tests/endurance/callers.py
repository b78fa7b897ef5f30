"""Callers of public models who know what they must be told: each answer is judged as soon as it has come.

Owns the calls, what an answer may look like, and what is remembered of each call. Does not own the backends (chaos.py)
nor the connection (crowd.py).

Every call has a question of its own, so its text is that of no other call: a text that is mixed up, doubled or has a
hole is no beginning of the right one. Questions are numbered, so that a request can be found at the backends.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from tests.endurance.chaos import SEED
from tests.endurance.crowd import Leaving, Line, Reply, chat
from trunkline.simulator.text import digest, words

_SHORT = 0.05  # seconds: the longest that anyone waits before leaving
_LEAVING = 0.12  # share of the calls
_LATEST = 120  # seconds of a Retry-After that SDKs still obey


class Called(msgspec.Struct):
    """One call, by the number of its question.

    `outcome`: whole, error (told inside the stream), refused (no place anywhere, try again), left, or wrong.
    """

    number: int
    model: str
    stream: bool
    outcome: str = "wrong"
    request_id: str = ""
    why: str = ""


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    message: _Delta | None = None
    finish_reason: str | None = None


class _Event(msgspec.Struct):
    choices: list[_Choice] = []
    error: Any = None


_decode = msgspec.json.Decoder(_Event).decode


class Callers:
    """The clients of one gateway. `models`: the public names, each with the upstream's models that may answer."""

    def __init__(self, port: int, models: Mapping[str, tuple[str, ...]], seed: int) -> None:
        self._port = port
        self._models = models
        self._names = list(models)
        self._rng = random.Random(seed)
        self._left = 0
        self.calls: list[Called] = []

    @property
    def outcomes(self) -> Counter[str]:
        """How often the calls ended in which way."""
        return Counter(call.outcome for call in self.calls)

    @property
    def wrong(self) -> list[Called]:
        """The calls that got what nobody may get."""
        return [call for call in self.calls if call.outcome == "wrong"]

    async def run(
        self, calls: int, at_once: int, names: list[str] | None = None, *, thought: float = 0.0
    ) -> None:
        """Make so many calls, some at a time. `thought`: seconds, the longest between two calls of one client."""
        self._left += calls
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(self._member(names, thought))

    async def patient(self, model: str, calls: int) -> None:
        """Make streamed calls that wait as long as it takes, all at once."""
        async with asyncio.TaskGroup() as group:
            for _ in range(calls):
                group.create_task(self._once(model))

    async def _once(self, model: str) -> None:
        line = await Line(self._port).open()
        await self._ask(line, self._begin(model, stream=True))
        line.close()

    async def _member(self, names: list[str] | None, thought: float) -> None:
        rng = self._rng
        line = await Line(self._port).open()
        while self._left > 0:
            self._left -= 1
            if line.closed:
                line = await Line(self._port).open()
            call = self._begin(rng.choice(names or self._names), stream=rng.random() < 0.5)
            if rng.random() < _LEAVING:
                await self._leave(line, call)
            else:
                await self._ask(line, call)
            await asyncio.sleep(rng.random() * thought)
        line.close()

    def _begin(self, model: str, *, stream: bool) -> Called:
        call = Called(len(self.calls), model, stream)
        self.calls.append(call)
        return call

    # the two manners

    async def _ask(self, line: Line, call: Called) -> None:
        await line.send(chat(call.model, stream=call.stream, user=question(call)))
        reply = await line.answer()
        call.request_id = _named(reply.head)
        if reply.closes:
            line.close()
        if _refusal(reply):
            call.outcome = "refused"
        elif reply.status != 200 or not reply.whole:
            call.why = repr(reply)
        elif b"\r\ntransfer-encoding: chunked" in reply.head:
            self._judge(call, _unchunked(reply.body))
        else:
            self._judge(call, reply.body)

    async def _leave(self, line: Line, call: Called) -> None:
        rng = self._rng
        await line.send(chat(call.model, stream=call.stream, user=question(call)))
        manner, data = rng.randrange(3), b""
        if manner == 1:
            await asyncio.sleep(rng.random() * _SHORT)
        elif manner == 2:
            data = await line.receive()
            pieces = rng.randrange(3) if b"\r\ntransfer-encoding: chunked" in data else 0
            while pieces and not data.endswith(b"\r\n0\r\n\r\n"):
                pieces -= 1
                data += await line.receive()
        await line.leave(rng.choice(list(Leaving)))
        call.outcome = "left"
        head, _, body = data.partition(b"\r\n\r\n")
        if call.stream and body and head.startswith(b"HTTP/1.1 200"):
            call.request_id = _named(head.lower())
            text = "".join(_contents(_events(_unchunked(body))))
            self._expect(call, any(right.startswith(text) for right in self._right(call)), text)

    # what an answer must be

    def _right(self, call: Called) -> list[str]:
        return [canonical(model, question(call)) for model in self._models[call.model]]

    def _judge(self, call: Called, body: bytes) -> None:
        right = self._right(call)
        if not call.stream:
            choice = _decode(body).choices[0]
            assert choice.message is not None
            call.outcome = "whole"
            self._expect(call, choice.message.content in right, body)
            return
        events = _events(body)
        done = bool(events) and events[-1] == b"[DONE]"
        decoded = [_decode(data) for data in events if data != b"[DONE]"]
        text = "".join(_contents(events))
        errors = [event for event in decoded if event.error]
        if done and not errors:
            call.outcome = "whole"
            finished = any(choice.finish_reason for event in decoded for choice in event.choices)
            self._expect(call, text in right and finished and events.count(b"[DONE]") == 1, body)
        else:
            # Without a word before it the call failed before its content commit.
            told = len(errors) == 1 and decoded[-1] is errors[0] and b"[DONE]" not in events
            call.outcome = "error"
            begun = bool(text) and any(whole.startswith(text) for whole in right)
            self._expect(call, told and begun, body)

    def _expect(self, call: Called, good: bool, seen: object) -> None:
        if not good:
            call.outcome, call.why = "wrong", f"{seen!r}, not {self._right(call)}"


def question(call: Called) -> str:
    """What a call asks."""
    return f"question {call.number}"


def asked(body: str) -> int:
    """The number of the question in a request's body."""
    return int(body.partition("question ")[2].partition('"')[0])


def canonical(model: str, asking: str) -> str:
    """The text that every simulator gives as this model."""
    base, _, fault = model.partition("!")
    number = fault.partition("words=")[2].partition(";")[0]
    return "".join(words(digest(SEED, base, asking, 0), int(number or 0)))


def _refusal(reply: Reply) -> bool:
    """Whether it says that nobody has a place, and when to come again."""
    if reply.status != 503 or b'"code":"no_backend"' not in reply.body:
        return False
    seconds = reply.head.partition(b"\r\nretry-after: ")[2].partition(b"\r\n")[0]
    return seconds.isdigit() and 1 <= int(seconds) <= _LATEST


def _named(head: bytes) -> str:
    return head.partition(b"\r\nx-request-id: ")[2].partition(b"\r\n")[0].decode()


def _unchunked(body: bytes) -> bytes:
    """The chunks of a body that have come as a whole."""
    pieces: list[bytes] = []
    at = 0
    while (end := body.find(b"\r\n", at)) > 0:
        size = int(body[at:end], 16)
        at = end + 2 + size + 2
        if not size or at > len(body):
            break
        pieces.append(body[end + 2 : at - 2])
    return b"".join(pieces)


def _events(body: bytes) -> list[bytes]:
    """The data of the events that have come as a whole."""
    whole = body.replace(b"\r\n", b"\n").split(b"\n\n")[:-1]
    return [
        event.removeprefix(b"data: ")
        for block in whole
        for event in block.split(b"\n")
        if event.startswith(b"data: ")
    ]


def _contents(events: list[bytes]) -> list[str]:
    found = [_decode(data) for data in events if data != b"[DONE]"]
    deltas = [choice.delta for event in found for choice in event.choices]
    return [delta.content for delta in deltas if delta is not None and delta.content]
