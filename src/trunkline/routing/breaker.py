"""Whether calls are let through to a target or backend, by what became of the last ones: the circuit breaker.

Owns its states, their table and the counts behind them. Does not own what counts as a failure (faults.py), nor who is
asked instead (route.py). Time is an argument; nothing happens by itself.

A breaker is *closed* as long as things go well: every call passes. Many failures in a row, or a high share of
failures over a window, *trip* it: it is *open*, the target is ejected and gets no calls. When the ejection is over it
is *half open*: one call is let through as a probe, the others are not. If the probe goes well the breaker closes; if
not it opens again, for twice as long, up to a limit. A probe that ends without saying anything (its client left, the
upstream was busy) leaves the place to the next one.

Attempts that began before the present state say nothing about it: the last answer of a stream that was open when the
breaker tripped does not close it, and failures that arrive late do not open it again.

The window opens with the first failure, and successes are counted while it is open only: so a sound target has
nothing to count, and costs nothing (`quiet`).
"""

import enum
from typing import Annotated

import msgspec
from msgspec import Meta


class BreakerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a target or backend gets no calls for a while."""

    failures: Annotated[int, Meta(ge=1, description="Failures in a row that eject it.")] = 5
    rate: Annotated[float, Meta(gt=0, le=1, description="Share of failures in a window that ejects it.")] = (
        0.5
    )
    min_calls: Annotated[
        int, Meta(ge=1, description="Calls in a window below which the share says nothing.")
    ] = 20
    window: Annotated[float, Meta(gt=0, description="Seconds of the window, from its first failure on.")] = (
        30.0
    )
    base_ejection: Annotated[
        float, Meta(gt=0, description="Seconds of the first ejection; each failed probe doubles them.")
    ] = 5.0
    max_ejection: Annotated[float, Meta(gt=0, description="Seconds that no ejection exceeds.")] = 8.0


class State(enum.StrEnum):
    """What a breaker lets through: all, nothing, one probe."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Event(enum.StrEnum):
    """What can happen to a breaker."""

    SUCCESS = "success"
    FAILURE = "failure"
    TRIP = "trip"
    TIME = "ejection over"


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.CLOSED, Event.SUCCESS): State.CLOSED,
    (State.CLOSED, Event.FAILURE): State.CLOSED,
    (State.CLOSED, Event.TRIP): State.OPEN,
    # Calls that were let through although it was open, because there was nothing else to ask.
    (State.OPEN, Event.SUCCESS): State.CLOSED,
    (State.OPEN, Event.FAILURE): State.OPEN,
    (State.OPEN, Event.TIME): State.HALF_OPEN,
    (State.HALF_OPEN, Event.SUCCESS): State.CLOSED,
    (State.HALF_OPEN, Event.FAILURE): State.OPEN,
}
"""What is not here cannot happen."""


class Breaker:
    """One breaker. `since`: when the present state began; `until`: when an ejection is over."""

    __slots__ = (
        "_bad", "_good", "_row", "_settings", "_times", "_window_at", "ejected_at", "probing", "since", "state",
        "until",
    )  # fmt: skip

    def __init__(self, settings: BreakerSettings) -> None:
        self._settings = settings
        self.state = State.CLOSED
        self.since = float("-inf")
        self.until = 0.0
        self.ejected_at = 0.0  # when the first of the ejections in a row began
        self.probing = False
        self._times = 0  # ejections in a row
        self._row = 0  # failures in a row
        self._window_at = 0.0
        self._good = 0
        self._bad = 0

    def __repr__(self) -> str:
        return f"<Breaker {self.state}, {self._row} failures in a row, {self._times} ejections>"

    @property
    def failures(self) -> int:
        """Failures in a row."""
        return self._row

    @property
    def ejections(self) -> int:
        """Ejections in a row, the present one among them."""
        return self._times

    def window(self, now: float) -> tuple[int, int, float] | None:
        """Of the window that is open: calls, failures among them, seconds left. None: none is."""
        left = self._window_at + self._settings.window - now
        if self.state is not State.CLOSED or not self._bad or left <= 0:
            return None
        return self._bad + self._good, self._bad, left

    @property
    def quiet(self) -> bool:
        """Whether there is nothing to count: a success would change nothing."""
        return self.state is State.CLOSED and not self._bad

    def look(self, now: float) -> State:
        """The state at this time."""
        if self.state is State.OPEN and now >= self.until:
            self._go(Event.TIME, now)
        return self.state

    def admits(self, now: float) -> bool:
        """Whether a call may pass; in half open it has to take the probe before the next one asks."""
        state = self.look(now)
        return state is State.CLOSED or (state is State.HALF_OPEN and not self.probing)

    def take_probe(self) -> bool:
        """The call that is about to begin is the probe, if one is wanted."""
        if self.state is not State.HALF_OPEN or self.probing:
            return False
        self.probing = True
        return True

    def release_probe(self) -> None:
        """The probe is over, whatever came of it."""
        self.probing = False

    def success(self, began: float, now: float) -> None:
        """An attempt that began at `began` went well."""
        if began < self.since:
            return
        self._go(Event.SUCCESS, now)
        self._row = 0
        if self._bad:
            self._good += 1
            if now - self._window_at >= self._settings.window:
                self._bad = self._good = 0

    def failure(self, began: float, now: float) -> None:
        """An attempt that began at `began` failed in a way that counts."""
        if began < self.since:
            return
        if self._go(Event.FAILURE, now) is not State.CLOSED:
            return
        if not self._bad or now - self._window_at >= self._settings.window:
            self._window_at = now
            self._bad = self._good = 0
        self._bad += 1
        self._row += 1
        of = self._settings
        calls = self._bad + self._good
        if self._row >= of.failures or (calls >= of.min_calls and self._bad >= of.rate * calls):
            self._go(Event.TRIP, now)

    def _go(self, event: Event, now: float) -> State:
        before = self.state
        after = self.state = TRANSITIONS[before, event]
        if after is before:
            return after
        if after is State.CLOSED:
            self._row = self._good = self._bad = 0
        elif after is State.OPEN:
            # A target that stayed well for the longest ejection begins anew.
            if before is State.CLOSED and now - self.since >= self._settings.max_ejection:
                self._times = 0
            if before is State.CLOSED:
                self.ejected_at = now
            ejection = self._settings.base_ejection * 2.0 ** min(self._times, 20)
            self.until = now + min(ejection, self._settings.max_ejection)
            self._times += 1
        self.since = now
        self.probing = False
        return after
