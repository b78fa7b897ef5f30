"""Which targets are not worth a splice for a while, because their answers differ each time.

Owns that memory, for whoever keeps one. Does not own the comparison (splice.py). A model with a temperature says
something else each time; after three differences in a row the second prompt is saved for ten minutes, then one more
try tells whether that has changed.
"""

MOST_IN_ROW = 3
SKIP = 600.0
"""Seconds; both DESIGN section 3."""
_MAX_KNOWN = 4096
"""Pairs; models may be named by clients, and their names must not grow the memory."""


class Divergences:
    """By (model, target): how many answers in a row differed, and until when none is asked for."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[int, float]] = {}

    def __repr__(self) -> str:
        return f"<Divergences of {len(self._known)} pairs>"

    def skipped(self, model: str, target: str, now: float) -> bool:
        """Whether no splice is to be tried there now."""
        in_row, until = self._known.get((model, target), (0, 0.0))
        return in_row >= MOST_IN_ROW and now < until

    def observe(self, model: str, target: str, now: float, *, diverged: bool) -> None:
        """Note what a splice came to: the second answer differed, or it came to where the first was cut."""
        in_row, _ = self._known.pop((model, target), (0, 0.0))
        if diverged:
            if len(self._known) >= _MAX_KNOWN:
                del self._known[next(iter(self._known))]  # the one that was seen longest ago
            self._known[model, target] = (in_row + 1, now + SKIP)
