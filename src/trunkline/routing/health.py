"""What questions to a backend, asked without a call, say about it: rise and fall.

Owns the settings of active health checks and the count of their answers. Does not own the asking (engine), nor what
calls themselves say (breaker.py).

    up    --- `fall` bad answers in a row --->  down
    down  --- `rise` good answers in a row -->  up
"""

from typing import Annotated

import msgspec
from msgspec import Meta


class HealthSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Questions to a backend whether it is well; those that are not get no calls."""

    interval: Annotated[
        float, Meta(ge=0, description="Seconds between two questions (a tenth more or less); 0: none.")
    ] = 0.0
    timeout: Annotated[float, Meta(gt=0, description="Seconds that the backend has for its answer.")] = 5.0
    path: Annotated[
        str | None, Meta(description="What is asked for. Default: what the provider has for it.")
    ] = None
    rise: Annotated[int, Meta(ge=1, description="Good answers in a row after which it is well again.")] = 2
    fall: Annotated[int, Meta(ge=1, description="Bad answers in a row after which it is not well.")] = 3


class Health:
    """What is known of one backend's health; up until something else is known."""

    __slots__ = ("_against", "_settings", "since", "up")

    def __init__(self, settings: HealthSettings) -> None:
        self._settings = settings
        self._against = 0  # answers in a row that speak against the present state
        self.up = True
        self.since = 0.0

    def __repr__(self) -> str:
        return f"<Health {'up' if self.up else 'down'}, {self._against} against it>"

    def observe(self, good: bool, now: float) -> bool:
        """Take an answer; gives whether the state changed."""
        if good == self.up:
            self._against = 0
            return False
        self._against += 1
        if self._against < (self._settings.fall if self.up else self._settings.rise):
            return False
        self.up = good
        self.since = now
        self._against = 0
        return True
