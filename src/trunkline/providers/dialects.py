"""APIs of their own that servers have beside OpenAI's, and that do more.

Owns the table of dialects, which rows name (`Profile.dialect`). Does not own the translations (ollama_request.py,
ollama_answer.py), nor when a dialect is spoken (engine/shaping.py) and where its answers are read
(engine/translating.py).
"""

from collections.abc import Callable
from typing import Protocol

import msgspec

from trunkline.errors import Fault
from trunkline.providers import ollama_answer, ollama_request
from trunkline.providers.shape import Shaped

Fields = dict[str, msgspec.Raw]


class Translation(Protocol):
    """One stream on its way: bytes in any chunking in, whole events of chat completions out."""

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes."""
        ...

    def end(self) -> bytes:
        """The body ended as its framing says."""
        ...


class Request(Protocol):
    """Chat completions' fields in, the dialect's out."""

    def __call__(self, fields: Fields, *, strict: bool = False) -> Shaped | Fault:
        """`strict`: what cannot be asked there is a Fault and no note."""
        ...


class Stream(Protocol):
    """Makes the translation of a stream."""

    def __call__(self, model: str, *, request_id: str, created: int) -> Translation:
        """`model` stands in where the server names none; `created`: seconds since 1970."""
        ...


class Whole(Protocol):
    """A whole answer in, a chat.completion out."""

    def __call__(self, body: bytes, model: str, *, request_id: str, created: int) -> bytes | None:
        """None: it is none."""
        ...


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """How chats are asked for in another API.

    `path`: below the server's root. `fields`: of chat completions' and more, what only this API does; `asked`: those
    of them that a request has, [] if it loses nothing on the usual path.
    """

    path: str
    fields: frozenset[str]
    asked: Callable[[Fields], list[str]]
    request: Request
    stream: Stream
    whole: Whole


DIALECTS: dict[str, Dialect] = {
    "ollama": Dialect(
        path=ollama_request.PATH,
        fields=ollama_request.NATIVE,
        asked=ollama_request.asked_natively,
        request=ollama_request.native_request,
        stream=ollama_answer.NativeAnswer,
        whole=ollama_answer.whole,
    )
}
