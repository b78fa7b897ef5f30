"""routing/balancers/round_robin.py."""

from tests.unit.routing.world import Draws, candidates, eject
from trunkline.routing.balancers.round_robin import RoundRobin

RNG = Draws(0.5)


def places(balancer: RoundRobin, count: int) -> list[int]:
    found = [balancer.pick(RNG, 1.0) for _ in range(count)]
    return [-1 if one is None else one.place for one in found]


def test_each_in_turn_from_the_first_on() -> None:
    them = candidates(3)
    balancer = RoundRobin(them)
    assert [balancer.score(one, 0.0) for one in them] == [0, 1, 2]
    assert places(balancer, 7) == [0, 1, 2, 0, 1, 2, 0]
    assert [balancer.score(one, 0.0) for one in them] == [2, 0, 1]


def test_who_cannot_be_asked_loses_its_turn() -> None:
    them = candidates(3)
    balancer = RoundRobin(them)
    eject(them[1].target, 0.0)
    assert places(balancer, 4) == [0, 2, 0, 2]
    eject(them[0].target, 0.0)
    eject(them[2].target, 0.0)
    assert places(balancer, 1) == [-1]
