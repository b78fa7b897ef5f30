"""One target and one fallback, and the target is down for a minute: who is asked, and when it is back."""

from random import Random

import pytest

from trunkline import errors
from trunkline.errors import Fault
from trunkline.routing.balancers.base import Candidate
from trunkline.routing.breaker import BreakerSettings
from trunkline.routing.retry import next_step
from trunkline.routing.retry_budget import RetryBudget
from trunkline.routing.route import Pick, Pool, Route
from trunkline.routing.target import BackendState, Target, Trial
from trunkline.routing.tries import Fallback, Retry, Tries

OUTAGE = 60.0
DOWN = Fault(errors.SERVER_ERROR, "down", status=503)


class Outage:
    """Calls one after another, `every` so many seconds; the target fails at once until the outage is over."""

    def __init__(self, every: float, settings: BreakerSettings) -> None:
        own = Target(BackendState("own"), "m", breaker=settings)
        other = Target(BackendState("other"), "n")
        self.own = own
        self.route = Route(
            "m", [Pool(name, "priority", [Candidate(one)]) for name, one in (("m", own), ("n", other))]
        )
        self.rng = Random(1)
        self.budget = RetryBudget(0.0)
        self.asked: list[list[Trial]] = []  # the attempts at the target, by call
        self.waits: list[float] = []
        self.back = 0.0
        now = 0.0
        while not self.back:
            now = max(self.call(now), now + every)

    def call(self, came: float) -> float:
        now = came
        self.asked.append([])
        pick = self.route.first(self.rng, now, streamed=True)
        assert isinstance(pick, Pick)
        tries = Tries(self.route, pick, streamed=True, deadline=now + 600.0)
        while True:
            trial = tries.target.begin(now)
            if tries.target is self.own:
                self.asked[-1].append(trial)
            down = tries.target is self.own and now < OUTAGE
            trial.end(DOWN if down else None, now)
            if not down:
                self.waits.append(now - came)
                if tries.target is self.own:
                    self.back = now
                return now
            step = next_step(tries, DOWN, now, self.rng, self.budget, len(self.asked), probe=trial.probe)
            assert isinstance(step, Retry | Fallback)
            now += step.delay if isinstance(step, Retry) else 0.0


@pytest.mark.parametrize("every", [0.1, 1.0, 4.0])
@pytest.mark.parametrize("longest", [8.0, 20.0])
def test_after_five_calls_the_target_sees_probes_only_and_nobody_waits(every: float, longest: float) -> None:
    run = Outage(every, BreakerSettings(max_ejection=longest))
    late = [trial for trials in run.asked[5:] for trial in trials]
    assert all(trial.probe for trial in late)
    assert len(late) <= OUTAGE / 5.0
    assert run.waits[5:] == [0.0] * len(run.waits[5:])
    assert run.back - OUTAGE <= longest + every
