"""Calls over ten backends on a virtual clock: the real balancers, breakers and retries, and upstreams made of numbers.

One backend is slow, one fails 30 % of its calls, one refuses all of them with 429; the others get slower with load.
The order of events depends on the seed alone, so two runs give the same numbers.
"""

import math
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from random import Random

import msgspec

from trunkline import errors
from trunkline.errors import Fault
from trunkline.routing.balancers.base import Candidate
from trunkline.routing.models import Strategy
from trunkline.routing.retry import next_step
from trunkline.routing.retry_budget import RetryBudget
from trunkline.routing.route import BALANCERS, Pick, Pool, Route
from trunkline.routing.target import BackendState, Target, Trial
from trunkline.routing.tries import Fallback, Next, Retry, Tries

BACKENDS = 10
SLOW, FAILING, REFUSING = 3, 5, 7
CALLS = 6000
RATE = 20.0  # calls a second
FIRST = 0.25  # seconds to the first content at an idle backend
SLOWER = 12.0  # times as long at the slow one
BY_LOAD = 0.02  # longer by this share for each call under way
SPREAD = 0.3  # sigma of the logarithm
REST = 2.0  # seconds from the first content to the end
DEADLINE = 30.0


class Outcome(msgspec.Struct):
    """What came of all calls. Times are seconds to the first content."""

    strategy: str
    times: list[float] = []
    failed: int = 0
    attempts: int = 0

    def percentile(self, share: float) -> float:
        ordered = sorted(self.times)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)]

    @property
    def success(self) -> float:
        return len(self.times) / (len(self.times) + self.failed)


def fleet() -> list[Candidate]:
    """The backends, in the order in which `priority` asks them; the failing one is the cheapest."""
    return [
        Candidate(
            Target(BackendState(f"b{at}"), "m"),
            weight=0.25 if at == SLOW else 1.0,
            price=1.0 if at == FAILING else 2.0 + at,
            place=at,
        )
        for at in range(BACKENDS)
    ]


class Simulation:
    """One run under one strategy."""

    def __init__(self, strategy: Strategy, seed: int = 1) -> None:
        self.rng = Random(seed)
        self.route = Route("m", [Pool("m", strategy, fleet())])
        self.budget = RetryBudget(0.0)
        self.outcome = Outcome(strategy)
        self.now = 0.0
        self.requests = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    def run(self, calls: int = CALLS) -> Outcome:
        at = 0.0
        for _ in range(calls):
            at += -math.log(1.0 - self.rng.random()) / RATE
            self.later(at, self.arrive)
        while self._events:
            self.now, _, happen = heappop(self._events)
            happen()
        return self.outcome

    def later(self, at: float, happen: Callable[[], None]) -> None:
        heappush(self._events, (at, next(self._order), happen))

    def arrive(self) -> None:
        self.requests += 1
        pick = self.route.first(self.rng, self.now, streamed=True)
        assert isinstance(pick, Pick)
        came = self.now
        self.attempt(Tries(self.route, pick, streamed=True, deadline=came + DEADLINE), came)

    def attempt(self, tries: Tries, came: float) -> None:
        self.outcome.attempts += 1
        candidate = tries.pick.candidate
        trial = candidate.target.begin(self.now)
        draw = self.rng.random()
        if candidate.place == REFUSING:
            refusal = Fault(errors.RATE_LIMIT, "slow down", retry_after=10.0)
            self.later(self.now + 0.02, lambda: self.fail(tries, trial, refusal, came))
        elif candidate.place == FAILING and draw < 0.3:
            broken = Fault(errors.SERVER_ERROR, "broken")
            self.later(self.now + 0.05, lambda: self.fail(tries, trial, broken, came))
        else:
            self.later(self.now + self.first_content(candidate), lambda: self.commit(trial, came))

    def first_content(self, candidate: Candidate) -> float:
        normal = math.sqrt(-2.0 * math.log(1.0 - self.rng.random())) * math.cos(math.tau * self.rng.random())
        seconds = FIRST * math.exp(SPREAD * normal) * (1.0 + BY_LOAD * candidate.target.inflight)
        return seconds * (SLOWER if candidate.place == SLOW else 1.0)

    def commit(self, trial: Trial, came: float) -> None:
        trial.committed(True, self.now)
        self.outcome.times.append(self.now - came)
        self.later(self.now + REST, lambda: trial.end(None, self.now))

    def fail(self, tries: Tries, trial: Trial, fault: Fault, came: float) -> None:
        trial.end(fault, self.now)
        step = next_step(tries, fault, self.now, self.rng, self.budget, self.requests, probe=trial.probe)
        if isinstance(step, Retry):
            self.later(self.now + step.delay, lambda: self.attempt(tries, came))
        elif isinstance(step, Next | Fallback):
            self.attempt(tries, came)
        else:
            self.outcome.failed += 1


def outcomes() -> list[Outcome]:
    """All strategies over the same ten backends."""
    return [Simulation(strategy).run() for strategy in BALANCERS]
