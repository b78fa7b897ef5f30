"""routing/balancers/latency.py."""

from random import Random

from tests.unit.routing.world import candidates
from trunkline.routing.balancers.latency import Latency


def test_the_quicker_of_two_is_taken() -> None:
    them = candidates(2)
    them[0].target.latency[True].observe(2.0, 0.0)
    them[1].target.latency[True].observe(0.2, 0.0)
    balancer = Latency(them)
    rng = Random(1)
    assert {balancer.pick(rng, 0.0) for _ in range(50)} == {them[1]}


def test_calls_under_way_count() -> None:
    them = candidates(2)
    for one in them:
        one.target.latency[True].observe(1.0, 0.0)
    them[1].target.begin(0.0)
    balancer = Latency(them)
    assert balancer.pick(Random(1), 0.0) is them[0]
    assert balancer.score(them[1], 0.0) == 2 * balancer.score(them[0], 0.0)


def test_a_new_one_is_tried_and_then_compared_by_its_calls() -> None:
    them = candidates(2)
    them[0].target.latency[True].observe(0.5, 0.0)
    balancer = Latency(them)
    assert balancer.pick(Random(1), 0.0) is them[1]
    trial = them[1].target.begin(0.0)
    assert balancer.pick(Random(1), 0.0) is them[0]
    trial.committed(True, 0.1)
    trial.end(None, 0.2)
    assert balancer.pick(Random(1), 0.2) is them[1]


def test_one_that_was_slow_is_asked_again_once() -> None:
    them = candidates(2)
    them[0].target.latency[True].observe(3.0, 0.0)
    them[1].target.latency[True].observe(0.25, 60.0)
    balancer = Latency(them)
    assert balancer.pick(Random(1), 60.0) is them[0]
    them[0].target.begin(60.0)
    assert balancer.pick(Random(1), 60.0) is them[1]


def test_other_calls_are_compared_by_their_own_times() -> None:
    them = candidates(2)
    them[0].target.latency[True].observe(1.0, 0.0)
    them[1].target.latency[False].observe(1.0, 0.0)
    assert Latency(them).pick(Random(1), 0.0) is them[1]
    assert Latency(them, streamed=False).pick(Random(1), 0.0) is them[0]
