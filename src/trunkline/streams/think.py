"""Thoughts among the text of an answer: `<think>...</think>` blocks, told from the answer as the text comes.

Owns the settings of `think:` and what is wrong with them. Does not own where the text stands in an event (rewrite.py).
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

MAX_TAG = 256
"""Characters of a tag, its attributes included. What goes on for longer is text."""

Mode = Literal["keep", "strip", "split"]
Unclosed = Literal["drop", "leak"]


class ThinkSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What becomes of thoughts that a model writes into its answer."""

    mode: Annotated[
        Mode,
        Meta(
            description="keep: the text is not touched. strip: blocks of thoughts are removed from it. "
            "split: they are moved to a field of their own, `reasoning_content` or the one that `reasoning` names."
        ),
    ] = "strip"
    tags: Annotated[
        list[list[str]],
        Meta(
            description="Pairs of start and end tag, `[[<think>, </think>], ...]`. Any text, compared exactly; a block "
            "ends with the first end tag of the pair that began it, blocks do not nest. Where several start tags "
            "begin at one place, the longest wins. Default: <think> and </think>."
        ),
    ] = msgspec.field(default_factory=lambda: [["<think>", "</think>"]])
    attributes: Annotated[
        bool,
        Meta(
            description='Whether `<think lang="en">` begins a block too, for start tags that end in `>`: blank space '
            f"behind the name and no more than {MAX_TAG} characters in all. `<think/>` is text."
        ),
    ] = True
    implicit_open: Annotated[
        bool,
        Meta(
            description="Whether what stands before the first end tag is thoughts if no block began before it, for "
            "models whose prompt ends in the start tag. The answer is held back until that is known; after "
            "1,048,576 characters without a tag it is taken for an answer."
        ),
    ] = False
    unclosed: Annotated[
        Unclosed,
        Meta(
            description="What a block without an end tag is. drop: thoughts. leak: answer, its start tag included, "
            "given out at the end; of 1,048,576 characters and more it is thoughts again."
        ),
    ] = "drop"
    trim: Annotated[
        bool,
        Meta(
            description="Whether blanks behind a block are dropped: all up to the first visible character of the "
            "answer; behind a block further down only blank lines after its own line."
        ),
    ] = False


def problems(settings: ThinkSettings) -> str:
    """What is wrong with settings beyond their types, "" if nothing is."""
    return _wrong_tags(settings.tags)


def _wrong_tags(tags: list[list[str]]) -> str:
    if not tags:
        return "tags: at least one pair of tags is needed (mode `keep` leaves the text alone)"
    starts: set[str] = set()
    for at, pair in enumerate(tags):
        if len(pair) != 2:
            return f"tags[{at}]: a pair is a start tag and an end tag, not {len(pair)} texts"
        start, end = pair
        if not start or not end:
            return f"tags[{at}]: a tag must not be empty"
        if max(len(start), len(end)) > MAX_TAG:
            return f"tags[{at}]: a tag has at most {MAX_TAG} characters"
        if start == end:
            return f"tags[{at}]: start and end are the same"
        if start in starts:
            return f"tags[{at}]: the start tag stands in an earlier pair already"
        starts.add(start)
    return ""
