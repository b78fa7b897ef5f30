"""The parts of upstream answers that the gateway reads, as typed shapes for one decode each.

Owns the shapes of stream events (chat/completions, completions, responses, messages) and of whole JSON answers.
Fields that are not named here are skipped by the decoder and still travel, as the upstream's own bytes.
`Any` stands where upstreams disagree about the type and only presence matters.
"""

from typing import Any

import msgspec

ABSENT = msgspec.Raw()


class Delta(msgspec.Struct, gc=False):
    """What one chunk adds to one choice. Every field but the role carries content (DESIGN section 3)."""

    role: Any = None
    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    reasoning_details: Any = None
    refusal: Any = None
    tool_calls: Any = None
    function_call: Any = None
    audio: Any = None

    def has_content(self) -> bool:
        """Whether a client sees anything of this: empty strings, lists and objects are nothing."""
        return bool(self.content) or self.has_more()

    def has_more(self) -> bool:
        """Whether a client sees anything of this besides `content`."""
        return bool(
            self.reasoning_content
            or self.reasoning
            or self.tool_calls
            or self.reasoning_details
            or self.refusal
            or self.function_call
            or self.audio
        )


class Choice(msgspec.Struct, gc=False):
    """One choice of a chunk; `text` is the completions surface. No `index` is 0."""

    index: int | None = None
    delta: Delta | None = None
    finish_reason: str | None = None
    text: str | None = None


class Chunk(msgspec.Struct, gc=False):
    """A data event of chat/completions or completions. `object` is "error" in the flat error form."""

    id: msgspec.Raw = ABSENT
    created: msgspec.Raw = ABSENT
    model: msgspec.Raw = ABSENT
    choices: list[Choice] | None = None
    usage: msgspec.Raw = ABSENT
    timings: msgspec.Raw = ABSENT
    error: Any = None
    object: Any = None


class Response(msgspec.Struct, gc=False):
    """The `response` object inside an event of /responses."""

    usage: msgspec.Raw = ABSENT
    error: Any = None


class Message(msgspec.Struct, gc=False):
    """The `message` object inside `message_start` of /messages."""

    usage: msgspec.Raw = ABSENT


class TypedEvent(msgspec.Struct, gc=False):
    """A data event of /responses or /messages: both name their type in the data.

    `message` is the text of an `error` event of /responses.
    """

    type: str | None = None
    response: Response | str | None = None
    message: Message | str | None = None
    usage: msgspec.Raw = ABSENT
    error: Any = None


class Whole(msgspec.Struct, gc=False):
    """A whole JSON answer of any surface."""

    usage: msgspec.Raw = ABSENT
    timings: msgspec.Raw = ABSENT
    error: Any = None
    object: Any = None


decode_chunk = msgspec.json.Decoder(Chunk).decode
decode_typed_event = msgspec.json.Decoder(TypedEvent).decode
decode_whole = msgspec.json.Decoder(Whole).decode


def present(raw: msgspec.Raw) -> bool:
    """Whether a raw field was there and is not null."""
    return len(bytes(raw)) > 4 or bytes(raw) not in (b"", b"null")
