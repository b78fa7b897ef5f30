"""The readers of the three surfaces against the rules of completeness, in any order of events and cut anywhere.

The model knows the rules in words: what shows a client something, what ends an answer, what is an error. Every step
is a place where the stream could have been cut, so the verdict is asked for after each.
"""

from typing import ClassVar, Literal

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.unit.streams.client import taken
from tests.unit.streams.events import (
    BLOCK,
    COMMENT,
    CREATED,
    DELTA,
    DONE,
    ERRORS,
    LAST,
    MALFORMED,
    START,
    TEXT,
    USED,
    delta,
    event,
    framed,
    rewriter,
    typed,
)
from trunkline.streams.answer import AnswerSettings
from trunkline.streams.chat import ChatInspector
from trunkline.streams.inspect import INSPECTORS
from trunkline.streams.rewrite import Rewriter
from trunkline.streams.think import ThinkSettings

Says = Literal[
    "comment",  # nothing, and it is no event
    "broken",  # not JSON: left out
    "nothing",  # a sign of life, a prelude
    "usage",
    "opens",  # a choice, without content
    "shows",  # content
    "odd",  # nobody knows what: passes for content
    "finishes",  # a choice, with a reason
    "done",  # the mark of the end of a chat, behind which nobody looks
    "ends",  # the answer
    "fails",  # the answer failed: an error as long as the client has nothing
    "error",
]


class Sent(msgspec.Struct, frozen=True):
    """One event of an upstream, and what it says, of which choice."""

    raw: bytes
    says: Says
    choice: int = 0


class Model:
    """What is known of a stream of which these events have arrived whole."""

    def __init__(self) -> None:
        self.given = b""
        self.content = self.failed = False
        self.error = b""
        self.told = 0
        self._begun: set[int] = set()
        self._finished: set[int] = set()
        self._over = self._done = False

    def arrive(self, sent: Sent) -> None:
        if self.failed or self._done:
            return
        says = sent.says
        self._done = says == "done"
        if says == "error" or (says == "fails" and not self.content):
            self.failed, self.error = True, sent.raw
            return
        self.told += says not in ("comment", "broken", "done")
        if says in ("opens", "shows", "finishes"):
            self._begun.add(sent.choice)
        if says == "finishes":
            self._finished.add(sent.choice)
        if says in ("ends", "done", "fails"):
            self._over = True
        if says in ("shows", "odd", "finishes", "ends"):
            self.content = True
        if says != "broken":
            self.given += sent.raw

    @property
    def complete(self) -> bool:
        """The answer is there, all of it."""
        finished = bool(self._begun) and self._begun == self._finished
        return not self.failed and self.told > 0 and (self._over or finished)


class Machine(RuleBasedStateMachine):
    """An upstream writes events, and the reader gets its bytes in pieces of any size."""

    surface: ClassVar[str]
    events: ClassVar[list[Sent]]

    def __init__(self) -> None:
        super().__init__()
        self.inspector = INSPECTORS[self.surface]()
        self.model = Model()
        self.way: list[Sent] = []  # events that have not arrived whole
        self.begun = 0  # bytes of the first of them that have arrived
        self.given = b""

    @rule(data=st.data())
    def write(self, data: st.DataObject) -> None:
        says = data.draw(st.sampled_from(sorted({sent.says for sent in self.events})))
        self.way.append(data.draw(st.sampled_from([sent for sent in self.events if sent.says == says])))

    @precondition(lambda self: self.way)
    @rule(size=st.integers(1, 500))
    def read(self, size: int) -> None:
        self._read(size)

    @precondition(lambda self: self.way)
    @rule()
    def read_all(self) -> None:
        self._read(sum(len(sent.raw) for sent in self.way))

    def _read(self, size: int) -> None:
        coming = b"".join([sent.raw for sent in self.way])[self.begun :]
        out = self.inspector.feed(coming[:size])
        self.given += out
        self.begun += min(size, len(coming))
        while self.way and self.begun >= len(self.way[0].raw):
            sent = self.way.pop(0)
            self.begun -= len(sent.raw)
            self.model.arrive(sent)

    def expected(self) -> bytes:
        """What was given of the events of the model."""
        return self.model.given

    @invariant()
    def the_verdict_is_right(self) -> None:
        for by_itself in (True, False):
            fault = self.inspector.end(framed=by_itself)
            assert (fault is None) == self.model.complete
            assert (fault is self.inspector.fault) or not self.model.failed
        assert (self.inspector.fault is not None) == self.model.failed

    @invariant()
    def what_goes_on_is_right(self) -> None:
        assert self.given == self.expected()
        assert self.inspector.said == self.model.error
        assert self.inspector.content == self.model.content


class Chat(Machine):
    """With several choices; and an event that repeats the last one but for its text may take the short way.

    What is given goes through a rewriter, which is to do the same with each event however it came.
    """

    surface = "chat"
    events: ClassVar[list[Sent]] = [
        *[
            sent
            for choice in range(2)
            for sent in (
                Sent(delta(index=choice, role="assistant", content=""), "opens", choice),
                Sent(delta("", index=choice), "opens", choice),
                Sent(delta(index=choice, content="word"), "shows", choice),
                Sent(delta(index=choice, content='"'), "shows", choice),
                Sent(delta(index=choice, reasoning_content="hm"), "shows", choice),
                Sent(delta(index=choice, tool_calls=[{"index": 0}]), "shows", choice),
                Sent(delta("stop", index=choice), "finishes", choice),
                Sent(delta("length", index=choice, content="x"), "finishes", choice),
            )
        ],
        Sent(event({"choices": [], "prompt_filter_results": []}), "nothing"),
        Sent(event({"choices": "odd"}), "odd"),
        Sent(USED, "usage"),
        Sent(DONE, "done"),
        Sent(COMMENT, "comment"),
        *[Sent(event(payload), "broken") for payload in MALFORMED],
        *[Sent(error, "error") for error in ERRORS],
    ]

    @initialize(include_usage=st.booleans(), think=st.sampled_from([None, ThinkSettings(tags=[["o", "r"]])]))
    def send_on(self, include_usage: bool, think: ThinkSettings | None) -> None:
        assert isinstance(self.inspector, ChatInspector)

        def anew() -> Rewriter:
            return rewriter(AnswerSettings(think=think), include_usage=include_usage)

        self.anew = anew
        self.inspector.rewrite(anew(), b"")

    def expected(self) -> bytes:
        return self.anew().feed(self.model.given)

    @precondition(lambda self: not self.way)
    @rule(choice=st.integers(0, 1), text=st.sampled_from(["other", "", "two words", '"', "\n"]))
    def repeat(self, choice: int, text: str) -> None:
        assert isinstance(self.inspector, ChatInspector)
        raw = delta(index=choice, content=text)
        kept: list[bytes] = []
        self.inspector.keep = kept.append
        if self.inspector.repeats(framed(raw)):
            self.model.arrive(Sent(raw, "shows" if text else "opens", choice))
            way = self.inspector.way
            said = taken(self.inspector, framed(raw))
            self.given += raw if way is None else said.join(way) if way else b""
            assert kept == [text.encode()]
        else:
            assert not kept


TYPED: list[Sent] = [
    Sent(COMMENT, "comment"),
    Sent(DONE, "comment"),
    Sent(event({}), "shows"),
    Sent(event([1]), "shows"),
    Sent(event(b"{bad"), "broken"),
    Sent(event(b'{"type":"ping","x":"\xff"}'), "broken"),
    Sent(typed("error", error={"message": "it broke"}), "error"),
    Sent(event({"error": {"message": "it broke"}}), "error"),
    Sent(event({"message": "it broke"}, b"error"), "error"),
    Sent(event(b"it broke", b"error"), "error"),
]


class Responses(Machine):
    surface = "responses"
    events: ClassVar[list[Sent]] = [
        *TYPED,
        Sent(CREATED, "nothing"),
        *[
            Sent(typed(f"response.{kind}"), "nothing")
            for kind in ("queued", "in_progress", "output_item.added", "content_part.added")
        ],
        Sent(typed("keepalive"), "nothing"),
        Sent(TEXT, "shows"),
        Sent(typed("response.output_item.done"), "shows"),
        Sent(typed("response.completed", response={}), "ends"),
        Sent(typed("response.incomplete", response={}), "ends"),
        Sent(typed("response.failed", response={}), "fails"),
    ]


class Messages(Machine):
    surface = "messages"
    events: ClassVar[list[Sent]] = [
        *TYPED,
        Sent(START, "nothing"),
        Sent(BLOCK, "nothing"),
        Sent(typed("ping"), "nothing"),
        Sent(DELTA, "shows"),
        Sent(LAST, "shows"),
        Sent(typed("message_stop"), "ends"),
    ]


TestChat = Chat.TestCase
TestResponses = Responses.TestCase
TestMessages = Messages.TestCase
