"""What spoke against targets at an earlier moment: the log from which a call is explained afterwards.

Owns the log of changes and the reading of it. Does not own the reasons (target.py) nor what is made of them
(decision.py).

A target that nothing was ever said against costs nothing here: only changes are written down, and each with what held
*before* it. So the state at a moment is what the first change from then on tells of before, or what holds now where no
change came since; the log must reach back to the moment asked for, not further. A change at that very moment is
taken for later: it is mostly what the call that asks did itself.
"""

from collections import deque

import msgspec

KEPT = 2_000
"""Changes; a backend at its `max_concurrency` makes two per call."""


class Standing(msgspec.Struct, frozen=True, gc=False):
    """What speaks against a target. `reason`: a `target.Reason`, "" nothing; `until`: when that is over, 0.0 unknown.

    An ejection that is over leaves a breaker half open (`probing`); a wait that is over leaves nothing.
    """

    reason: str = ""
    until: float = 0.0

    def at(self, moment: float) -> str:
        """What of it held at a moment: who is not asked does not notice when a time is over."""
        if not self.until or moment < self.until:
            return self.reason
        return "probing" if self.reason == "ejected" else ""


NOTHING = Standing()


class Change(msgspec.Struct, frozen=True, gc=False):
    """One change of one target, and what held before."""

    at: float
    backend: str
    model: str
    before: Standing


class Changes:
    """The last changes of all targets on one event loop."""

    __slots__ = ("_log", "_since")

    def __init__(self, kept: int = KEPT) -> None:
        self._log: deque[Change] = deque(maxlen=kept)
        self._since = float("-inf")  # everything after it is here

    def __repr__(self) -> str:
        return f"<Changes: {len(self._log)} kept>"

    def note(self, change: Change) -> None:
        """Write one down; the oldest goes if there is no room."""
        log = self._log
        if len(log) == log.maxlen:
            self._since = log[0].at
        log.append(change)

    def before(self, moment: float) -> dict[tuple[str, str], Standing] | None:
        """What held at a moment, by backend and model, where it has changed since; None: that is not known any more."""
        if moment <= self._since:
            return None
        found: dict[tuple[str, str], Standing] = {}
        for change in self._log:
            if change.at >= moment:
                found.setdefault((change.backend, change.model), change.before)
        return found
