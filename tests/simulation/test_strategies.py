"""What each strategy does to latency and success when some backends are bad; and that docs/routing.md says so."""

import pytest

from tests.simulation.page import PAGE, renewed
from tests.simulation.world import FAILING, REFUSING, SLOW, Outcome, Simulation, outcomes
from trunkline.routing.route import BALANCERS
from trunkline.routing.tries import Tries


@pytest.fixture(scope="module")
def found() -> list[Outcome]:
    return outcomes()


def by(found: list[Outcome], strategy: str) -> Outcome:
    return next(one for one in found if one.strategy == strategy)


def test_every_call_is_answered_under_every_strategy(found: list[Outcome]) -> None:
    assert [one.strategy for one in found] == list(BALANCERS)
    assert {one.strategy: one.failed for one in found} == dict.fromkeys(BALANCERS, 0)


def test_latency_beats_round_robin_by_three_at_the_99th_percentile(found: list[Outcome]) -> None:
    assert by(found, "latency").percentile(0.99) * 3 <= by(found, "round_robin").percentile(0.99)


def test_bad_backends_cost_few_attempts(found: list[Outcome]) -> None:
    assert all(one.attempts <= 1.5 * len(one.times) for one in found)
    assert by(found, "latency").attempts <= 1.05 * len(by(found, "latency").times)


@pytest.mark.parametrize("seed", [2, 3])
def test_it_is_no_matter_of_one_seed(seed: int) -> None:
    latency = Simulation("latency", seed).run()
    turns = Simulation("round_robin", seed).run()
    assert latency.percentile(0.99) * 3 <= turns.percentile(0.99)
    assert latency.failed == turns.failed == 0


def test_nothing_is_left_over() -> None:
    run = Simulation("least_busy", 4)
    run.run(500)
    assert [one.target.inflight for one in run.route.tiers[0].candidates] == [0] * 10


def test_the_bad_ones_are_asked_less(found: list[Outcome]) -> None:
    run = Simulation("latency", 5)
    asked = [0] * 10
    attempt = run.attempt

    def counted(tries: Tries, came: float) -> None:
        asked[tries.pick.candidate.place] += 1
        attempt(tries, came)

    run.attempt = counted
    run.run(3000)
    good = [count for place, count in enumerate(asked) if place not in (SLOW, FAILING, REFUSING)]
    assert asked[SLOW] < min(good) / 5
    assert asked[REFUSING] < min(good) / 5
    assert asked[FAILING] < min(good)


def test_the_page_in_docs_is_up_to_date(found: list[Outcome]) -> None:
    text = PAGE.read_text()
    assert text == renewed(text, found), "run: python -m tests.simulation.page"
