"""The sixteen scenarios of the public failover benchmark: what the provider does, and what is asked of the gateway.

The primary and the fallback are models of one simulator, whose healthy answer has 60 words. Timings are those of the
benchmark's profile `fast`. Each scenario has checks: without a required one it failed, whatever the caller got; without
an advisory one a complete answer is only half a success. `verdict` joins them as the benchmark does.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import msgspec

from tests.failover.caller import Told
from tests.failover.harness import named
from trunkline.simulator.state import Entry

WORDS = 60
PACE = "delay_chunk=0.015"
FALLBACK = named(PACE)

Verdict = Literal["pass", "partial", "safe", "fail"]


class Seen(msgspec.Struct):
    """One run: what the caller was told, what each target saw, and whether the next call found all well."""

    told: Told
    primary: list[Entry]
    fallback: list[Entry]
    canonical: str
    probe: Told

    @property
    def complete(self) -> bool:
        """Whether the caller has the whole answer, and nothing twice."""
        return self.told.outcome == "success" and self.told.text.split() == self.canonical.split()

    def within(self, seconds: float) -> int:
        """How many requests the primary saw in the first seconds."""
        return sum(entry.received - self.primary[0].received <= seconds for entry in self.primary)


class Check(msgspec.Struct, frozen=True):
    """Something that must be so (required), or should be (advisory)."""

    weight: Literal["required", "advisory"]
    name: str
    holds: Callable[[Seen], bool]


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One fault. `cap`: the caller's patience. `asked`: requests to the primary and to the fallback, through a gateway
    with default settings. `direct`: what a caller without one gets.
    """

    name: str
    primary: str
    cap: float
    asked: tuple[int, int]
    checks: tuple[Check, ...] = ()
    fallback: str = FALLBACK
    error_wanted: bool = False
    """The answer is the error: routing around it is half a success."""
    direct: Verdict = "safe"


def _required(name: str, holds: Callable[[Seen], bool]) -> Check:
    return Check("required", name, holds)


def _advisory(name: str, holds: Callable[[Seen], bool]) -> Check:
    return Check("advisory", name, holds)


def _truncated(seen: Seen) -> bool:
    return seen.told.outcome == "success" and not seen.complete


def _waited(seen: Seen) -> bool:
    return len(seen.primary) > 1 and seen.primary[1].received - seen.primary[0].received >= 1.8


def _shrinks(seen: Seen) -> bool:
    sizes = [entry.body_length for entry in seen.primary]
    return all(after < before for before, after in pairwise(sizes))


def _refused_prefill(seen: Seen) -> bool:
    return seen.told.outcome == "error" and any("Cannot continue" in entry.body for entry in seen.fallback)


_ONE_MORE = _advisory("the primary is asked again", lambda seen: len(seen.primary) >= 2)
_FEW = _required("6 requests to the primary at most", lambda seen: len(seen.primary) <= 6)
_WHOLE = _required("no cut answer passes for a whole one", lambda seen: not _truncated(seen))
_WELL = _required("the next call finds all well", lambda seen: seen.probe.outcome == "success")
_USAGE = _advisory("usage is told", lambda seen: bool(seen.told.usage))

SCENARIOS = (
    Scenario(
        name="S01 429 once, with Retry-After",
        primary="status=429;retry_after=2;times=1",
        cap=20,
        asked=(2, 0),
        checks=(
            _ONE_MORE,
            _advisory("it waits as long as it was told", _waited),
            _required("2 requests in the first 1.5 s at most", lambda seen: seen.within(1.5) <= 2),
        ),
    ),
    Scenario(
        name="S02 429 always, without Retry-After",
        primary="status=429",
        cap=40,
        asked=(3, 1),
        checks=(_FEW, _required("4 requests in the first 3 s at most", lambda seen: seen.within(3.0) <= 4)),
    ),
    Scenario(name="S03 500 once", primary="status=500;times=1", cap=20, asked=(2, 0), checks=(_ONE_MORE,)),
    Scenario(
        name="S04 503 always",
        primary="status=503;message=The engine is overloaded",
        cap=40,
        asked=(3, 1),
        checks=(_FEW,),
    ),
    Scenario(name="S05 reset before any byte", primary="reset=accept;times=1", cap=20, asked=(2, 0)),
    Scenario(
        name="S06 silence",
        primary="delay_head=15;close=before_head",
        cap=130,
        asked=(1, 1),
        checks=(
            _required("100 s at most", lambda seen: seen.told.total <= 100),
            _advisory("one request to the silent primary", lambda seen: len(seen.primary) <= 1),
        ),
    ),
    Scenario(
        name="S07 a late first event",
        primary=f"{PACE};stall=3;after=0",
        cap=60,
        asked=(1, 0),
        checks=(_advisory("15 s at most", lambda seen: seen.told.total <= 15),),
        direct="pass",
    ),
    Scenario(
        name="S07 a very late first event",  # later than any gateway should wait, as in the benchmark's profile `full`
        primary=f"{PACE};stall=16;after=0",
        cap=60,
        asked=(1, 1),
        checks=(_advisory("15 s at most", lambda seen: seen.told.total <= 15),),
        direct="partial",
    ),
    Scenario(
        name="S08 a cut in the middle",
        primary=f"{PACE};close=body;after=41",
        cap=40,
        asked=(1, 1),
        checks=(_WHOLE,),
    ),
    Scenario(
        name="S09 silence in the middle",
        primary=f"{PACE};stall=4;after=21;close=body",
        cap=70,
        asked=(1, 1),
        checks=(_WHOLE, _WELL, _required("45 s at most", lambda seen: seen.told.total <= 45)),
    ),
    Scenario(
        name="S10 a broken event",
        primary=f"{PACE};malformed_event=11",
        cap=30,
        asked=(1, 0),
        checks=(_WHOLE, _WELL, _advisory("complete", lambda seen: seen.complete)),
        direct="pass",
    ),
    Scenario(
        name="S11 no [DONE]",
        primary=f"{PACE};no_done",
        cap=30,
        asked=(1, 0),
        checks=(_USAGE, _required("8 s at most", lambda seen: seen.told.total <= 8)),
        direct="pass",
    ),
    Scenario(
        name="S12 too long a prompt",
        primary="status=400;code=context_length_exceeded;message=This model's maximum context length is 16 tokens. "
        "However, your messages resulted in 24 tokens. Please reduce the length of the messages.",
        cap=20,
        asked=(1, 1),
        checks=(
            _required("never again at the same size", _shrinks),
            _required("2 requests to the primary at most", lambda seen: len(seen.primary) <= 2),
        ),
    ),
    Scenario(
        name="S13 a content filter",
        primary="status=400;code=content_policy_violation;message=Your request was rejected by our safety system.",
        cap=20,
        asked=(1, 0),
        checks=(_required("one request to the primary", lambda seen: len(seen.primary) == 1),),
        error_wanted=True,
        direct="pass",
    ),
    Scenario(
        name="S14 a cut, and no prefill at the fallback",
        primary=f"{PACE};close=body;after=41",
        fallback=named(f"{PACE};prefill=refuse"),
        cap=40,
        asked=(1, 1),
        checks=(
            _WHOLE,
            _required("a refused prefill is not the end", lambda seen: not _refused_prefill(seen)),
        ),
    ),
    Scenario(
        name="S16 503 always, who answered?",
        primary="status=503",
        fallback=named(PACE, "sim-large"),
        cap=40,
        asked=(3, 1),
        checks=(
            _FEW,
            _USAGE,
            _required(
                "the answer names the fallback",
                lambda seen: not seen.fallback or "sim-large" in seen.told.model,
            ),
        ),
    ),
)
"""All but S15, whose twenty calls are apart (outage.py)."""


def verdict(scenario: Scenario, seen: Seen) -> tuple[Verdict, str]:
    """What the benchmark would say, and why."""
    told = seen.told
    broken = [check for check in scenario.checks if not check.holds(seen)]
    required = [check.name for check in broken if check.weight == "required"]
    if told.outcome == "hang":
        return "fail", "the call hung"
    if told.outcome == "success" and not seen.complete and not scenario.error_wanted:
        return "fail", f"{len(told.text.split())} of {WORDS} words passed for the answer: {told.text!r}"
    if required:
        return "fail", f"not so: {', '.join(required)}"
    if scenario.error_wanted:
        return ("partial", "routed around") if told.outcome == "success" else ("pass", "")
    if not seen.complete:
        return "safe", f"an honest error: {told.error}"
    if broken:
        return "partial", f"not so: {', '.join(check.name for check in broken)}"
    return "pass", ""
