"""The events of chat/completions and completions as the client gets them.

Owns what a client may rely on (clients.md R13 to R16), whichever server answers: a role in the first delta, the same
id, created and model in all chunks, the right `object`, one finish_reason for each choice, tool calls that can be
joined, one usage chunk where it was asked for and none where not, `[DONE]` behind what is whole; and thoughts where
the operator wants them. Does not own when a stream is whole (chat.py) nor which bytes are sent when (engine/relay.py).

An event is decoded once, by the inspector, and handed on: one that needs no change goes out as the upstream's own
bytes. A change is made in the object as it was written, so that fields nobody knows here survive byte for byte.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from trunkline.streams.answer import AnswerSettings
from trunkline.streams.thoughts import Thoughts
from trunkline.streams.tool_calls import ToolCalls
from trunkline.wire import sse
from trunkline.wire.openai import ABSENT, Choice, Chunk, Delta, decode_chunk, present
from trunkline.wire.sse import EventSplitter, Fragment, parse_event

OBJECTS = {"chat": "chat.completion.chunk", "completions": "text_completion"}
"""What the chunks of each surface call themselves."""
_DONE = b"[DONE]"
_LAST = b"data: [DONE]\n\n"
_NULL = msgspec.Raw(b"null")
_NO_DELTA = Delta()
_NOTHING = (b"", b"null", b'""', b"[]", b"{}")
_EMPTY_IDENTITY = (*_NOTHING, b"0")  # Azure's first chunk has an empty id and model, and created 0
_REPEATED = frozenset(
    ("id", "object", "created", "model", "choices", "system_fingerprint", "service_tier", "obfuscation")
)
"""Keys of a chunk that say nothing that the chunk before has not said."""

_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_choices = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode
_encode = msgspec.json.Encoder().encode


class _ChoiceState:
    """What the client knows of one choice."""

    __slots__ = ("calls", "finished", "role", "thoughts")

    def __init__(self, thoughts: Thoughts | None, prefix: str) -> None:
        self.thoughts = thoughts
        self.calls = ToolCalls(prefix)
        self.role = False  # was sent
        self.finished = False


class _Edit(msgspec.Struct, gc=False):
    """Changes of one choice: new values by key, None for keys that go. `first`: the client knew nothing of it."""

    delta: dict[str, Any]
    choice: dict[str, Any]
    first: bool


class Rewriter:
    """Rewrites one answer, whichever streams it is joined of.

    `request_id` names an answer that has no id, `created` (seconds since 1970) dates it, `asked` is the model of one
    that names none. `estimate` gives a usage object for a stream that never said what it used; None: none is said.
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
    ) -> None:
        self._chat = surface == "chat"
        self._object = OBJECTS[surface]
        self._settings = settings
        self._plain = (
            settings.think is None or settings.think.mode == "keep"
        ) and settings.reasoning == "keep"
        self._include_usage = include_usage
        self._request_id = request_id
        self._fallback = {
            "id": msgspec.Raw(_encode(f"chatcmpl-{request_id}" if self._chat else f"cmpl-{request_id}")),
            "created": msgspec.Raw(b"%d" % created),
            "model": msgspec.Raw(_encode(asked)),
        }
        self._identity: dict[str, msgspec.Raw] = {}
        if settings.model:
            self._identity["model"] = msgspec.Raw(_encode(settings.model))
        self._id = self._created = self._model = ABSENT  # those that all chunks have, once there was one
        self._states: dict[int | None, _ChoiceState] = {}
        self._usage = b""  # as the upstream told it last
        self._usage_told = not include_usage
        self._splitter = EventSplitter()
        self._news: dict[str, msgspec.Raw] = {}
        self._ended = False
        self.estimate: Callable[[], bytes] | None = None

    def __repr__(self) -> str:
        return f"<Rewriter of {self._object}, {len(self._states)} choices>"

    @property
    def only_thoughts(self) -> bool:
        """Whether no choice had an answer, and one had thoughts."""
        found = [state.thoughts for state in self._states.values() if state.thoughts is not None]
        return any(thoughts.only for thoughts in found)

    def condition(self, index: int | None) -> int:
        """A number: while it is the same and above 0, chunks of that choice that differ in text fare the same."""
        state = self._states.get(index)
        if state is None:
            return 0
        condition = 1 if state.thoughts is None else state.thoughts.condition
        return condition * 2 + state.finished if condition else 0

    def marks(self, index: int | None) -> str:
        """The characters without which a text is not cut by thoughts."""
        thoughts = self._states[index].thoughts
        return "" if thoughts is None else thoughts.marks

    # what comes

    def feed(self, data: bytes) -> bytes:
        """Whole events that nobody has decoded."""
        return b"".join([self._event(raw) for raw in self._splitter.feed(data)])

    def _event(self, raw: bytes) -> bytes:
        event = None if type(raw) is Fragment else parse_event(raw)
        if event is None:
            return bytes(raw)
        if event.data == _DONE:
            return self.done(raw)
        try:
            chunk = decode_chunk(event.data)
            return raw if chunk.error or chunk.object == "error" else self.chunk(chunk, event.data, raw)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return raw

    def chunk(self, chunk: Chunk, payload: bytes, raw: bytes) -> bytes:
        """One event: `chunk` and `payload` are its data. Gives `raw`, the event in place of it, or nothing."""
        choices = chunk.choices
        if self._id is ABSENT and not self._learn_identity(chunk):
            same = not self._settings.model  # nothing that a client reads yet: Azure's prompt_filter_results
        else:
            same = (
                chunk.id == self._id
                and chunk.created == self._created
                and chunk.model == self._model
                and chunk.object == self._object
            )
        if chunk.usage is not ABSENT and present(chunk.usage):
            self._usage = bytes(chunk.usage)
            if self._only_usage(choices):
                if self._usage_told or not all(state.finished for state in self._states.values()):
                    return b""  # another one will be told at the end, or was
                return self._told_usage(raw if same and choices is not None and not choices else b"")
            same = False
        edits: dict[int, _Edit] = {}
        for at, choice in enumerate(choices or ()):
            state = self._states.get(choice.index) or self._begin(choice.index)
            edit = self._read(state, choice)
            if edit is not None:
                edits[at] = edit
                same = same and not edit.delta and not edit.choice
        return raw if same else self._rendered(payload, edits)

    def done(self, raw: bytes = _LAST) -> bytes:
        """The end of an answer that is whole; `raw`: the upstream's `[DONE]`."""
        if self._ended:
            return b""
        self._ended = True
        return b"%b%b%b" % (self._release(last=True), self._told_usage(), raw)

    def release(self) -> bytes:
        """What was held back of an answer that ends in the middle."""
        return b"" if self._ended else self._release(last=False)

    # one chunk

    def _learn_identity(self, chunk: Chunk) -> bool:
        """Keep the first id, created and model that say anything: they hold for all chunks. Gives whether all are."""
        identity = self._identity
        for name in ("id", "created", "model"):
            value: msgspec.Raw = getattr(chunk, name)
            if name not in identity and bytes(value) not in _EMPTY_IDENTITY:
                identity[name] = msgspec.Raw(bytes(value))
        if not chunk.choices:
            return False
        for name, value in self._fallback.items():
            identity.setdefault(name, value)
        self._id, self._created, self._model = identity["id"], identity["created"], identity["model"]
        return True

    def _begin(self, index: int | None) -> _ChoiceState:
        thoughts = None if self._plain else Thoughts(self._settings)
        state = self._states[index] = _ChoiceState(thoughts, f"call_{self._request_id}_{len(self._states)}_")
        state.role = not self._chat
        return state

    def _only_usage(self, choices: list[Choice] | None) -> bool:
        """Whether a chunk with usage says nothing else: `choices` are empty, or hold an empty one (LiteLLM)."""
        for choice in choices or ():
            delta = choice.delta or _NO_DELTA
            state = self._states.get(choice.index)
            if choice.finish_reason or choice.text or delta.has_content() or state is None or not state.role:
                return False
        return True

    def _read(self, state: _ChoiceState, choice: Choice) -> _Edit | None:
        """What has to be changed in a choice of a chunk; None: nothing."""
        delta, finish, thoughts = choice.delta or _NO_DELTA, choice.finish_reason, state.thoughts
        if state.role and finish is None and thoughts is None and delta.tool_calls is None:
            return None
        edit = _Edit({}, {}, first=not state.role)
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
        if delta.tool_calls is not None:
            mended = state.calls.mend(delta.tool_calls)
            if not delta.tool_calls:
                edit.delta["tool_calls"] = None  # some clients take an empty list for a call
            elif mended is not None:
                edit.delta["tool_calls"] = mended
        if thoughts is not None:
            if self._chat:
                edit.delta.update(thoughts.sort(delta, last=last))
            else:
                sorted_ = thoughts.sort(Delta(content=choice.text), last=last)
                if "content" in sorted_:
                    edit.choice["text"] = sorted_["content"] or ""
        return edit

    def _rendered(self, payload: bytes, edits: dict[int, _Edit]) -> bytes:
        """The event with its changes; nothing if they left nothing in it."""
        fields = _decode_object(payload)
        if "usage" in fields and present(fields["usage"]):
            if self._include_usage:
                fields["usage"] = _NULL
            else:
                del fields["usage"]
        if edits:
            choices = _decode_choices(fields["choices"])
            vanished = [_apply(choices[at], edit) for at, edit in edits.items()]
            if any(vanished) and not self._says_more(fields):
                known = (edits[at].first if at in edits else False for at in range(len(choices)))
                if not any(_says(choice, first) for choice, first in zip(choices, known, strict=True)):
                    return b""
            fields["choices"] = msgspec.Raw(_encode(choices))
        return self._told(fields)

    def _says_more(self, fields: dict[str, msgspec.Raw]) -> bool:
        """Whether a chunk has anything beside its choices that the last such chunk had not."""
        news = {
            name: value
            for name, value in fields.items()
            if name not in _REPEATED and bytes(value) not in _NOTHING
        }
        same = news == self._news
        self._news = {name: msgspec.Raw(bytes(value)) for name, value in news.items()}
        return not same

    def _told(self, fields: dict[str, msgspec.Raw]) -> bytes:
        """A chunk as one of this answer."""
        fields.update(self._identity)
        fields["object"] = msgspec.Raw(_encode(self._object))
        return sse.encode(_encode(fields))

    # the end

    def _release(self, *, last: bool) -> bytes:
        """Text that was held back, and, at the end of what is whole, finish_reasons that were never told."""
        choices: list[dict[str, Any]] = []
        for index, state in self._states.items():
            if state.finished:
                continue
            delta: dict[str, Any] = {}
            if state.thoughts is not None:
                sorted_ = state.thoughts.sort(_NO_DELTA, last=True)
                delta = {key: value for key, value in sorted_.items() if value is not None}
            if not delta and not last:
                continue
            finish = ("tool_calls" if state.calls.any else "stop") if last else None
            text = {"delta": delta} if self._chat else {"text": delta.get("content", "")}
            choices.append({"index": index or 0, **text, "finish_reason": finish})
            state.finished = True
        return self._told({"choices": msgspec.Raw(_encode(choices))}) if choices else b""

    def _told_usage(self, raw: bytes = b"") -> bytes:
        """The one usage chunk, for a client that asked. `raw`: the upstream's, if it can be that one."""
        if self._usage_told:
            return b""
        self._usage_told = True
        if raw:
            return raw
        usage = self._usage or (self.estimate() if self.estimate is not None else b"")
        if not usage:
            return b""
        return self._told({"choices": msgspec.Raw(b"[]"), "usage": msgspec.Raw(usage)})


def _apply(choice: dict[str, msgspec.Raw], edit: _Edit) -> bool:
    """Make the changes of one choice; gives whether something of it vanished."""
    raw = choice.get("delta", ABSENT)
    delta = _decode_object(raw) if present(raw) else {}
    vanished = _change(delta, edit.delta)
    if edit.delta:
        choice["delta"] = msgspec.Raw(_encode(delta))
    vanished = _change(choice, edit.choice) or vanished
    if "finish_reason" in edit.choice:
        choice["finish_reason"] = _NULL
    if vanished and not _text(delta, choice) and "logprobs" in choice:
        choice["logprobs"] = _NULL  # they spell the text that is not there any more
    return vanished


def _change(fields: dict[str, msgspec.Raw], changes: dict[str, Any]) -> bool:
    vanished = False
    for key, value in changes.items():
        had = bytes(fields.get(key, b"")) not in _NOTHING
        vanished = vanished or (had and not value)
        if value is None:
            fields.pop(key, None)
        else:
            fields[key] = msgspec.Raw(_encode(value))
    return vanished


def _text(delta: dict[str, msgspec.Raw], choice: dict[str, msgspec.Raw]) -> bool:
    """Whether there is text."""
    return any(
        bytes(fields.get(key, b"")) not in _NOTHING for fields, key in ((delta, "content"), (choice, "text"))
    )


def _says(choice: dict[str, msgspec.Raw], first: bool) -> bool:
    """Whether a choice of a chunk says anything; its role counts if the client had none (`first`)."""
    raw = choice.get("delta", ABSENT)
    delta = _decode_object(raw) if present(raw) else {}
    if any(bytes(value) not in _NOTHING for key, value in delta.items() if first or key != "role"):
        return True
    return any(bytes(value) not in _NOTHING for key, value in choice.items() if key not in ("index", "delta"))
