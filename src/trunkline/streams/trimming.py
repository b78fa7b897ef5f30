"""Blanks behind a block of thoughts that was taken out of an answer.

Owns which of them are dropped, for a text in pieces (`Trim`) and for a whole one (`dropped`). Does not own blocks
(think.py).

Behind a block that no visible answer stands before, all blanks up to the first visible character are dropped. Behind
any other the line on which the block ends stays as it is, and if nothing else is on it, the blank lines below go: a
paragraph is not glued to the one before. A line of more than MOST_BLANKS blanks is not blank.
"""

import re
from typing import Literal

MOST_BLANKS = 256
"""On a line; they are held back until the line is known to be blank."""
_REST_OF_LINE = re.compile(r"[^\S\n]*\n")
_LINES = re.compile(rf"(?:[^\S\n]{{0,{MOST_BLANKS}}}\n)*+")


class Trim:
    """What behind a block is given out of an answer that comes in pieces; `active`: some may yet be dropped."""

    __slots__ = ("_blanks", "_stage")

    def __init__(self) -> None:
        self._stage: Literal["", "leading", "line", "lines"] = ""
        self._blanks = ""

    def __repr__(self) -> str:
        return f"<Trim {self._stage or 'nothing'}>"

    @property
    def active(self) -> bool:
        return bool(self._stage)

    def begin(self, *, visible: bool) -> None:
        """A block has ended; `visible`: there was answer before it."""
        self._stage = "line" if visible else "leading"

    def end(self) -> str:
        """Another block begins, or the text is over: the blanks that were held back."""
        blanks, self._stage, self._blanks = self._blanks, "", ""
        return blanks

    def keep(self, text: str) -> str:
        """What of the answer is given out now."""
        line = ""
        if self._stage == "leading":
            text = text.lstrip()
            self._stage = "" if text else "leading"
        elif self._stage == "line":
            rest = _REST_OF_LINE.match(text)
            if rest is not None:
                self._stage = "lines"
                line, text = rest.group(), text[rest.end() :]
            elif text.strip():
                self._stage = ""
        if self._stage != "lines":
            return text
        text = self._blanks + text
        text = text[_end_of_lines(text, 0) :]
        if len(text) <= MOST_BLANKS and not text.strip():
            self._blanks = text
            return line
        self._stage = self._blanks = ""
        return line + text


def dropped(answer: str, *, visible: bool) -> tuple[int, int]:
    """From where to where the whole answer between a block and the next is dropped."""
    if not visible:
        return 0, len(answer) - len(answer.lstrip())
    rest = _REST_OF_LINE.match(answer)
    return (0, 0) if rest is None else (rest.end(), _end_of_lines(answer, rest.end()))


def _end_of_lines(text: str, at: int) -> int:
    """Where the blank lines end that begin there."""
    found = _LINES.match(text, at)
    return found.end() if found else at
