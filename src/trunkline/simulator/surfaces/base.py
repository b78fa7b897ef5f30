"""What every surface gets and what they share: the question asked, the words of the reply, reading JSON bodies."""

from typing import Any, Final, TypeVar

import msgspec

from trunkline.simulator.answer import Refusal
from trunkline.simulator.faults import Fault
from trunkline.simulator.request import Request
from trunkline.simulator.text import digest, fragments, words

CREATED: Final = 1_700_000_000
"""The moment in which every answer was made: bodies can then be compared byte for byte."""

T = TypeVar("T")


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One request as a surface sees it. `model` is the name as sent, `base` the same without its fault."""

    request: Request
    path: str  # without query and /v1
    model: str
    base: str
    fault: Fault
    seed: int
    models: tuple[str, ...]
    model_list: str = "openai"  # the shape of the list
    words: int | None = None  # of each text; None: 8 to 24

    def decode(self, shape: type[T]) -> T:
        """The JSON body as `shape`. Raises `Refusal`."""
        try:
            return msgspec.json.decode(self.request.body, type=shape)
        except msgspec.ValidationError as error:
            raise Refusal(400, str(error), code="invalid_type") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Refusal(400, f"the body is not valid JSON: {error}", code="invalid_json") from None

    def id(self, prefix: str) -> str:
        """An id for the answer: the same for the same question."""
        return prefix + digest(self.seed, self.base, self.request.body)[:24]

    def reply(self, question: str, limit: int | None, choice: int = 0) -> tuple[list[str], bool]:
        """The pieces of the reply, and whether `limit` cut them. Raises `Refusal` for a limit below 1."""
        if limit is not None and limit < 1:
            raise Refusal(400, f"max_tokens must be at least 1, not {limit}", param="max_tokens")
        if self.fault.text is None:
            pieces = words(digest(self.seed, self.base, question, choice), self.fault.words or self.words)
        else:
            pieces = fragments(self.fault.text)
        if self.fault.big_event is not None:
            pieces.insert(0, "x" * self.fault.big_event)
        return pieces[:limit], limit is not None and limit < len(pieces)

    def check_window(self, read: int, limit: int | None) -> None:
        """Refuse what does not fit into the window, in OpenAI's words. Raises `Refusal`."""
        window, wanted = self.fault.window, read + (limit or 0)
        if window is None or wanted <= window:
            return
        said = f"This model's maximum context length is {window} tokens. However, "
        if limit is None:
            said += f"your messages resulted in {read} tokens. Please reduce the length of the messages."
        else:
            said += f"you requested {wanted} tokens ({read} in the messages, {limit} in the completion). "
            said += "Please reduce the length of the messages or completion."
        raise Refusal(400, said, code="context_length_exceeded", param="messages")


class Part(msgspec.Struct):
    """One part of a message's content."""

    type: str = "text"
    text: str = ""


class Message(msgspec.Struct):
    """One message of any of the chat-like surfaces."""

    role: str = "user"
    content: str | list[Part] | None = None

    @property
    def text(self) -> str:
        """All text in it."""
        if isinstance(self.content, list):
            return " ".join(part.text for part in self.content)
        return self.content or ""


def last_user_text(messages: list[Message]) -> str:
    """The question."""
    return next((message.text for message in reversed(messages) if message.role == "user"), "")


def encode(value: Any) -> bytes:
    """JSON bytes."""
    return msgspec.json.encode(value)
