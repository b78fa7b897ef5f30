"""The events of chat/completions and completions as the client gets them.

Owns what a client may rely on (clients.md R13 to R16), whichever server answers: a role in the first delta, the same
id, created and model in all chunks, the right `object`, one finish_reason for each choice, tool calls that can be
joined, one usage chunk where it was asked for and none where not, `[DONE]` behind what is whole; and thoughts where
the operator wants them. Does not own when a stream is whole (chat.py), how fields are changed (editing.py), nor which
bytes are sent when (engine/receiving.py).

An event is handed on by the inspector as it decoded it, and one that needs no change goes out as the upstream's own
bytes. Only what is changed, or was held before content, is decoded again: a change is made in the object as it was
written, so that fields nobody knows here survive byte for byte.

Usage is told once, when all choices that were asked for have finished, or at the end: counts that grow with each chunk
are collapsed into the last, even for a client that asked for them with each chunk, because clients add up what they
see.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from trunkline.streams.answer import AnswerSettings
from trunkline.streams.editing import ChoiceEdit, apply, choice_says, parts_of, says
from trunkline.streams.lenient import read_chunk
from trunkline.streams.raw import BAD_JSON, NULL, decode_object, decode_objects, encode, raw_of
from trunkline.streams.think import Room
from trunkline.streams.thoughts import Thoughts, spells
from trunkline.streams.tool_calls import ToolCalls
from trunkline.wire import sse
from trunkline.wire.openai import ABSENT, Choice, Chunk, Delta, decode_chunk
from trunkline.wire.sse import EventSplitter, Fragment, parse_event

OBJECTS = {"chat": "chat.completion.chunk", "completions": "text_completion"}
"""What the chunks of each surface call themselves."""
_MAX_EARLY = 16
"""Chunks that wait until the id is known; Azure sends one."""
_DONE = b"[DONE]"
_LAST = b"data: [DONE]\n\n"
_NO_DELTA = Delta()
_REPEATED = frozenset(
    ("id", "object", "created", "model", "choices", "system_fingerprint", "service_tier", "obfuscation")
)
"""Keys of a chunk that say nothing that the chunk before has not said."""
_COUNTS = frozenset(("usage",))

_decode_shown = msgspec.json.Decoder(list[Choice] | None).decode


class _ChoiceState:
    """What the client knows of one choice."""

    __slots__ = ("called", "calls", "finished", "role", "thoughts")

    def __init__(self, thoughts: Thoughts | None, calls: ToolCalls, *, role: bool) -> None:
        self.thoughts = thoughts
        self.calls = calls
        self.role = role  # was sent, or there is none
        self.called = False  # by function_call, as it was before there were tool calls
        self.finished = False

    @property
    def finish(self) -> str:
        """Why it ends, if the upstream does not say."""
        return "tool_calls" if self.calls.any else "function_call" if self.called else "stop"


class Rewriter:
    """Rewrites one answer, whichever streams it is joined of.

    `request_id` names an answer that has no id, `created` (seconds since 1970) dates it, `asked` is the model of one
    that names none. `choices`: how many were asked for. `estimate` gives a usage object for a stream that never said
    what it used; None: none is said.
    """

    def __init__(
        self,
        surface: str,
        settings: AnswerSettings,
        *,
        include_usage: bool,
        request_id: str,
        created: int,
        asked: str,
        choices: int = 1,
    ) -> None:
        self._chat = surface == "chat"
        self._object = OBJECTS[surface]
        self._settings = settings
        self._plain = (
            settings.think is None or settings.think.mode == "keep"
        ) and settings.reasoning == "keep"
        self._include_usage = include_usage
        self._choices = choices
        self._request_id = request_id
        self._fallback = {
            "id": raw_of(f"chatcmpl-{request_id}" if self._chat else f"cmpl-{request_id}"),
            "created": raw_of(created),
            "model": raw_of(asked),
        }
        self._identity = {"model": raw_of(settings.model)} if settings.model else {}
        self._id = self._created = self._model = ABSENT  # those that all chunks have, once that is settled
        self._early: list[tuple[Chunk, bytes, bytes]] = []
        self._states: dict[int, _ChoiceState] = {}
        self._usage = b""  # as the upstream told it last
        self._total = b""  # the chunk that tells it, if it is one already
        self._usage_told = not include_usage
        self._room = Room()
        self._splitter = EventSplitter()
        self._news: dict[str, bytes] = {}
        self._turns = 0  # of the news
        self._ended = False
        self.estimate: Callable[[], bytes] | None = None
        self.content = False
        """Whether something that a client sees is in what was given out so far (DESIGN section 3)."""

    def __repr__(self) -> str:
        return f"<Rewriter of {self._object}, {len(self._states)} choices>"

    @property
    def only_thoughts(self) -> bool:
        """Whether a choice had thoughts and no answer."""
        return any(
            state.thoughts is not None and state.thoughts.only and state.finish == "stop"
            for state in self._states.values()
        )

    def condition(self, index: int) -> int:
        """A number: while it is the same and above 0, chunks of that choice that differ in text fare the same."""
        state = self._states.get(index)
        if state is None:
            return 0
        condition = 1 if state.thoughts is None else state.thoughts.condition
        return condition and condition + 4 * self._turns

    def marks(self, index: int) -> str:
        """The characters without which a text is not cut by thoughts."""
        thoughts = self._states[index].thoughts
        return "" if thoughts is None else thoughts.marks

    # what comes

    def feed(self, data: bytes) -> bytes:
        """Whole events that nobody keeps decoded; none of them is an error."""
        return b"".join([self._event(raw) for raw in self._splitter.feed(data)])

    def _event(self, raw: bytes) -> bytes:
        if type(raw) is Fragment:
            self.content = True  # as far as anybody can tell
            return bytes(raw)
        event = parse_event(raw)
        if event is None:
            return raw
        if event.data == _DONE:
            return self.done(raw)
        payload = event.data
        try:
            chunk = decode_chunk(payload)
        except BAD_JSON:
            found = read_chunk(payload)
            if found is None:
                self.content = True
                return raw
            chunk, payload, same = found
            raw = raw if same else sse.encode(payload)
        return self.chunk(chunk, payload, raw)

    def chunk(self, chunk: Chunk, payload: bytes, raw: bytes) -> bytes:
        """One event: `chunk` and `payload` are its data. Gives `raw`, the event in place of it, or nothing."""
        if self._id is ABSENT:
            self._early.append((chunk, payload, raw))
            return self._settle_identity() if self._learn_identity(chunk) else b""
        choices = chunk.choices
        same = (
            chunk.id == self._id
            and chunk.created == self._created
            and chunk.model == self._model
            and chunk.object == self._object
        )
        if chunk.usage is not ABSENT and chunk.usage != NULL:
            if says(chunk.usage):
                self._usage, self._total = bytes(chunk.usage), b""
            if self._only_counts(choices):
                return self._counted(chunk, payload, raw if same and choices == [] else b"")
            same = False
        edits: dict[int, ChoiceEdit] = {}
        for at, choice in enumerate(choices or ()):
            index = choice.index or 0
            state = self._states.get(index) or self._begin(index)
            edit = self._edit(state, choice, payload, at)
            if edit is not None:
                edits[at] = edit
                same = same and not edit.changes
        if not same:
            return self._rendered(payload, edits)
        if not self.content:
            self.content = _shown(choices)
        return raw

    def done(self, raw: bytes = _LAST) -> bytes:
        """The end of an answer that is whole; `raw`: the upstream's `[DONE]`."""
        if self._ended:
            return b""
        self._ended = True
        early = self._settle_identity() if self._id is ABSENT else b""
        return b"%b%b%b%b" % (early, self._release(last=True), self._told_usage(), raw)

    def release(self) -> bytes:
        """What was held back of an answer that ends in the middle."""
        if self._ended:
            return b""
        early = self._settle_identity() if self._id is ABSENT else b""
        return early + self._release(last=False)

    # who answers

    def _learn_identity(self, chunk: Chunk) -> bool:
        """Keep the first id, created and model that say anything. Gives whether no other chunk need be waited for."""
        identity = self._identity
        for name in self._fallback:
            value: msgspec.Raw = getattr(chunk, name)
            if name not in identity and says(value) and bytes(value) != b"0":  # Azure: "" and 0 in the first
                identity[name] = msgspec.Raw(bytes(value))
        return bool(chunk.choices) or len(identity) == len(self._fallback) or len(self._early) == _MAX_EARLY

    def _settle_identity(self) -> bytes:
        """From here on all chunks say the same; gives those that waited for it."""
        self._identity = identity = {**self._fallback, **self._identity}
        self._id, self._created, self._model = identity["id"], identity["created"], identity["model"]
        early, self._early = self._early, []
        return b"".join([self.chunk(*one) for one in early])

    # one choice

    def _begin(self, index: int) -> _ChoiceState:
        thoughts = None if self._plain else Thoughts(self._settings, self._room)
        calls = ToolCalls(f"call_{self._request_id}_{len(self._states)}_")
        state = self._states[index] = _ChoiceState(thoughts, calls, role=not self._chat)
        return state

    def _edit(self, state: _ChoiceState, choice: Choice, payload: bytes, at: int) -> ChoiceEdit | None:
        """What has to be changed in a choice of a chunk; None: nothing, and it is not the first of this choice.

        `at`: where it stands in `payload`.
        """
        delta, finish, thoughts = choice.delta or _NO_DELTA, choice.finish_reason, state.thoughts
        calls = delta.tool_calls
        if delta.function_call:
            state.called = True
        if state.role and finish is None and thoughts is None and calls is None and choice.index is not None:
            return None
        edit = ChoiceEdit(not state.role, {}, {})
        if choice.index is None:
            edit.choice["index"] = 0
        if not state.role:
            state.role = True
            if not delta.role:
                edit.delta["role"] = "assistant"
        last = False
        if finish is not None:
            last = bool(finish) and not state.finished
            if not last:  # some write "" where there is none yet, and some tell it twice
                edit.choice["finish_reason"] = None
            state.finished = state.finished or last
        if calls is not None:
            if not calls:
                edit.delta["tool_calls"] = None  # some clients take an empty list for a call
            else:
                edit.calls = state.calls.mend(calls)
        if thoughts is not None:
            said = delta if self._chat else Delta(content=choice.text)
            if type(said.content) is list:
                said.content = parts_of(payload, at)
            self._place(edit, said.content, thoughts.sort(said, last=last))
        return edit if edit.first or edit.changes else None

    def _place(self, edit: ChoiceEdit, content: Any, sorted_: dict[str, Any]) -> None:
        """Make changes of text those of a choice."""
        if "content" in sorted_:
            edit.respelt = not spells(sorted_["content"], content)
        if self._chat:
            edit.delta.update(sorted_)
            return
        if "content" in sorted_:
            sorted_["text"] = sorted_.pop("content") or ""
        edit.choice.update(sorted_)

    def _rendered(self, payload: bytes, edits: dict[int, ChoiceEdit]) -> bytes:
        """The event with its changes; nothing if they left nothing in it."""
        fields = decode_object(payload)
        self._hide_usage(fields)
        if edits:
            choices = decode_objects(fields["choices"])
            vanished = [apply(choices[at], edit) for at, edit in edits.items()]
            if any(vanished) and not self._says_more(fields):
                said = [
                    choice_says(one, first=at in edits and edits[at].first) for at, one in enumerate(choices)
                ]
                if not any(said):
                    return b""
            fields["choices"] = raw_of(choices)
        return self._told(fields)

    def _says_more(self, fields: dict[str, msgspec.Raw], but: frozenset[str] = frozenset()) -> bool:
        """Whether a chunk has anything beside its choices that the last such chunk had not."""
        news = {
            name: bytes(value)
            for name, value in fields.items()
            if name not in _REPEATED and name not in but and says(value)
        }
        if not any(self._news.get(name) != value for name, value in news.items()):
            return False
        self._news = news
        self._turns += 1
        return True

    def _told(self, fields: dict[str, msgspec.Raw]) -> bytes:
        """A chunk as one of this answer."""
        fields.update(self._identity)
        fields["object"] = raw_of(self._object)
        if not self.content:
            self.content = _shown(_decode_shown(fields.get("choices", NULL)))
        return sse.encode(encode(fields))

    # usage

    def _only_counts(self, choices: list[Choice] | None) -> bool:
        """Whether a chunk with usage says nothing else: `choices` are empty, or hold an empty one (LiteLLM)."""
        for choice in choices or ():
            delta = choice.delta or _NO_DELTA
            state = self._states.get(choice.index or 0)
            if choice.finish_reason or choice.text or delta.has_content() or state is None or not state.role:
                return False
        return True

    def _counted(self, chunk: Chunk, payload: bytes, raw: bytes) -> bytes:
        """A chunk that only counts; `raw`: the event, if it can be the one that the client gets."""
        states = self._states.values()
        if not self._usage_told and says(chunk.usage) and states and all(state.finished for state in states):
            self._total = raw or self._told({**decode_object(payload), "choices": raw_of([])})
            # Where another choice may yet begin, this is not the whole, unless the stream ends.
            return self._told_usage() if len(states) >= self._choices else b""
        fields = decode_object(payload)
        if not self._says_more(fields, but=_COUNTS):
            return b""
        self._hide_usage(fields)
        empty: dict[str, Any] = {"delta": {}} if self._chat else {"text": ""}
        # Not without a choice: old clients take `choices[0]` of each chunk that they did not ask for.
        fields["choices"] = raw_of([{"index": 0, **empty, "finish_reason": None}])
        return self._told(fields)

    def _hide_usage(self, fields: dict[str, msgspec.Raw]) -> None:
        if fields.get("usage", NULL) != NULL:
            if self._include_usage:
                fields["usage"] = NULL
            else:
                del fields["usage"]

    def _told_usage(self) -> bytes:
        """The one usage chunk of an answer that ends, if the client asked and had none."""
        if self._usage_told:
            return b""
        self._usage_told = True
        if self._total:
            return self._total
        usage = self._usage or (self.estimate() if self.estimate is not None else b"")
        return self._told({"choices": raw_of([]), "usage": msgspec.Raw(usage)}) if usage else b""

    # the end

    def _release(self, *, last: bool) -> bytes:
        """Text that was held back, and, at the end of what is whole, finish_reasons that were never told."""
        choices: list[dict[str, Any]] = []
        for index, state in self._states.items():
            ends = last and not state.finished
            said: dict[str, Any] = {}
            if state.thoughts is not None:
                sorted_ = state.thoughts.sort(_NO_DELTA, last=True)
                # That there is no answer is said plainly where the answer ends.
                said = {key: value for key, value in sorted_.items() if value or (ends and value is not None)}
            if not said and not ends:
                continue
            state.finished = True
            finish = state.finish if ends else None
            placed = {"delta": said} if self._chat else {"text": said.pop("content", ""), **said}
            choices.append({"index": index, **placed, "finish_reason": finish})
        return self._told({"choices": raw_of(choices)}) if choices else b""


def _shown(choices: list[Choice] | None) -> bool:
    """Whether a client sees anything of the choices of a chunk."""
    for choice in choices or ():
        if choice.finish_reason or choice.text or (choice.delta is not None and choice.delta.has_content()):
            return True
    return False
