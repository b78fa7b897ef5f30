"""A moving average that believes bad news at once and good news slowly: peak EWMA.

Owns one number that ages. Does not own what is measured, nor what is made of it (balancers/latency.py).

A sample above the value replaces it. A sample below it pulls the value down by the share that the time since the last
sample asks for, so many quick answers in one moment do not wash a peak away. Read without new samples, the value
falls by the same law: a target that was slow and is not asked any more looks better with time, and is asked again.
The method is that of Finagle's and Linkerd's balancers.
"""

from math import exp

TAU = 10.0
"""Seconds in which a peak falls to 37 %: Linkerd's default, and of the size of a breaker's ejection."""


class PeakEwma:
    """The average; 0.0 while nothing is known."""

    __slots__ = ("_at", "_tau", "value")

    def __init__(self, tau: float = TAU) -> None:
        self._tau = tau
        self.value = 0.0
        """What it was at the last sample."""
        self._at = 0.0

    def __repr__(self) -> str:
        return f"<PeakEwma {self.value:.3f} at {self._at:.3f}>"

    def observe(self, sample: float, now: float) -> None:
        """Take a sample."""
        value = self.value
        if sample >= value:
            self.value = sample
        else:
            self.value = sample + (value - sample) * exp(min(self._at - now, 0.0) / self._tau)
        self._at = now

    def read(self, now: float) -> float:
        """The value as it is now."""
        value = self.value
        return value and value * exp(min(self._at - now, 0.0) / self._tau)
