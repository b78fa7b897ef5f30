"""Event streams made of chunks (chat and plain completions), and where upstreams put the usage in them.

The habits were seen on real servers: the fault item `usage` picks one. Without it the stream does as OpenAI does:
one chunk with `choices: []` before [DONE], only when asked, and `usage: null` in the chunks before.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from trunkline.simulator.answer import Event, Tag
from trunkline.simulator.surfaces.base import encode
from trunkline.simulator.surfaces.sloppiness import sloppy

DONE = Event(b"[DONE]", tag="done")


class Usage(msgspec.Struct):
    """Words in and words out."""

    prompt_tokens: int
    completion_tokens: int = 0
    total_tokens: int = 0

    def plus(self, tokens: int) -> "Usage":
        """The usage after so many more words came out."""
        out = self.completion_tokens + tokens
        return Usage(self.prompt_tokens, out, self.prompt_tokens + out)


class Choice(msgspec.Struct):
    """One chunk to be: its only choice, why it is there, and how many words it adds."""

    value: dict[str, Any]
    tag: Tag = "content"
    tokens: int = 0


def chunk_events(
    base: dict[str, Any],
    choices: Iterable[Choice],
    prompt_tokens: int,
    *,
    asked: bool,
    habit: str | None,
    slips: str | None = None,
) -> Iterator[Event]:
    """The events of one stream. `asked`: the client sent include_usage; `slips`: the chat server's sloppiness."""
    usage = Usage(prompt_tokens).plus(0)
    choices = list(choices)
    total = usage.plus(sum(choice.tokens for choice in choices))
    last = len(choices) - 1
    for index, choice in enumerate(choices):
        usage = usage.plus(choice.tokens)
        chunk = base | {"choices": [choice.value]}
        if habit == "cumulative":
            chunk["usage"] = usage
        elif habit == "finish" and index == last:
            chunk["usage"] = total
        elif asked and habit is None:
            chunk["usage"] = None
        for sent in sloppy(chunk, index, slips):
            yield Event(encode(sent), tag=choice.tag)
    if habit == "always" or (asked and habit in (None, "whole_object")):
        whole = {"object": "chat.completion"} if habit == "whole_object" else {}
        yield Event(encode(base | whole | {"choices": [], "usage": total}), tag="usage")
    elif asked and habit == "empty_choice":
        yield Event(encode(base | {"choices": [{"index": 0, "delta": {}}], "usage": total}), tag="usage")
    yield DONE
