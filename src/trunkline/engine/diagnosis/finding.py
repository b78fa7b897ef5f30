"""What a diagnosis finds out, as values: one finding per step, all steps of a backend.

Owns their shape and what follows from it (is a backend well?). Does not own how anything is found out (the files of
the steps), in which order (walk.py), nor how it is printed (cli/doctor.py).
"""

from typing import Literal

import msgspec

State = Literal["ok", "warn", "fail", "skipped"]


class Finding(msgspec.Struct, frozen=True):
    """What one step found. `fix`: one sentence on what to do; `link`: a page about it. `ends`: no step can follow."""

    state: State
    says: str
    fix: str = ""
    link: str = ""
    ends: bool = False


class Step(msgspec.Struct, frozen=True):
    """One step as it is reported. `seconds` is what it took; 0.0 where it was skipped."""

    name: str
    state: State
    seconds: float
    says: str
    fix: str = ""
    link: str = ""


class Diagnosis(msgspec.Struct, frozen=True):
    """All steps of one backend. `place` is scheme, host and port; a path may hold a secret."""

    name: str
    provider: str
    place: str
    steps: tuple[Step, ...]

    @property
    def well(self) -> bool:
        """Whether nothing failed; a warning is not a failure."""
        return all(step.state != "fail" for step in self.steps)


def ok(says: str) -> Finding:
    """Nothing is wrong."""
    return Finding("ok", says)


def warn(says: str, fix: str) -> Finding:
    """It works, or may; something about it should be looked at."""
    return Finding("warn", says, fix)


def fail(says: str, fix: str, *, link: str = "", ends: bool = True) -> Finding:
    """It does not work."""
    return Finding("fail", says, fix, link, ends)


def skipped(says: str) -> Finding:
    """There is nothing to find out, or no way to."""
    return Finding("skipped", says)


def from_message(message: str, *, ends: bool = True) -> Finding:
    """A failure in the form of the net ring's messages: `what failed: why; what to do`."""
    says, mark, fix = message.rpartition("; ")
    return fail(says, fix, ends=ends) if mark else fail(message, "see the message", ends=ends)
