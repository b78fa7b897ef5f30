"""Tags in a text that comes in pieces: where one is, and where one may yet come to be.

Owns what tags can be, how they are found, and how much of a text must wait for its next piece. Does not own what
stands between tags (think.py).

A tag is any text, compared exactly. One that begins a block and ends in `>` may have attributes: blank space behind
its name, then anything but `<` and `>`, and no `/` at its end, for `<think />` begins nothing. Of tags that begin at
one place the longest wins, and one as it is written before one with attributes.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

MAX_TAG = 256
"""Characters of a tag, its attributes included. What goes on for longer is text."""


def wrong_tags(pairs: Sequence[Sequence[str]]) -> str:
    """Why pairs of start and end tag cannot work, "" if they can."""
    if not pairs:
        return "tags: at least one pair of tags is needed"
    starts: set[str] = set()
    for at, pair in enumerate(pairs):
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


class Tags:
    """Tags of which one may come next; `first`: the characters that they begin with.

    `following`: the tags that may come after each of them, None for an end tag.
    """

    __slots__ = ("first", "_find", "_following", "_grows", "_prefixes")

    def __init__(self, following: "Mapping[str, Tags | None]", *, attributes: bool) -> None:
        tags = sorted(following, key=len, reverse=True)
        named = [
            tag for tag in tags if attributes and following[tag] and tag[-1] == ">" and 1 < len(tag) < MAX_TAG
        ]
        self.first = "".join(sorted({tag[0] for tag in tags}))
        self._following = [following[tag] for tag in (*tags, *named)]
        # A class of first characters in front of all lets the search run through plain text quickly.
        rests = [(tag[0], re.escape(tag[1:])) for tag in tags]
        rests += [(tag[0], _with_attributes(tag, 1) + "(?<!/)>") for tag in named]
        each = "|".join(f"((?<={re.escape(first)}){rest})" for first, rest in rests)
        self._find = re.compile(f"[{re.escape(self.first)}](?:{each})" if tags else "(?!)").search
        prefixes = {tag[:length] for tag in tags for length in range(1, len(tag))}
        self._prefixes = tuple(sorted(prefixes, key=len, reverse=True))
        growing = "|".join(_with_attributes(tag, 0) for tag in named)
        self._grows = re.compile(f"(?:{growing})\\Z").search if named else None

    def __repr__(self) -> str:
        return f"<Tags from {self.first!r}>"

    def find(self, text: str, at: int, *, final: bool) -> tuple[int, re.Match[str] | None]:
        """Up to where a text has none of them for certain, and the one that stands there if that is certain too.

        `final`: nothing comes after this text.
        """
        end = len(text) if final else self._may_grow(text, at)
        tag = self._find(text, at)
        return (end, None) if tag is None or end <= tag.start() else (tag.start(), tag)

    def after(self, tag: re.Match[str]) -> "Tags | None":
        """The tags that may come after the one that was found."""
        assert tag.lastindex is not None  # each tag is a group
        return self._following[tag.lastindex - 1]

    def _may_grow(self, text: str, at: int) -> int:
        """Where the end of a text begins that may be the beginning of a tag."""
        begin = len(text)
        if text.endswith(self._prefixes, at):
            begin -= next(len(prefix) for prefix in self._prefixes if text.endswith(prefix, at))
        grows = self._grows and self._grows(text, max(at, len(text) - MAX_TAG))
        return min(begin, grows.start()) if grows else begin


def _with_attributes(tag: str, at: int) -> str:
    """The pattern of a start tag from `at` on with its attributes, without the `>`."""
    return rf"{re.escape(tag[at:-1])}\s[^<>]{{0,{MAX_TAG - 1 - len(tag)}}}"


@lru_cache(maxsize=256)
def tags_of(pairs: tuple[tuple[str, ...], ...], *, attributes: bool) -> tuple[Tags, Tags]:
    """The tags outside of blocks, and those of a text that may have begun inside of one: their end tags too.

    Raises ValueError for pairs that cannot work; without any nothing is a tag.
    """
    if pairs and (problem := wrong_tags(pairs)):
        raise ValueError(problem)
    ends = {end: Tags({end: None}, attributes=attributes) for _, end in pairs}
    starts = {start: ends[end] for start, end in pairs}
    either: dict[str, Tags | None] = {**dict.fromkeys(ends), **starts}
    return Tags(starts, attributes=attributes), Tags(either, attributes=attributes)
