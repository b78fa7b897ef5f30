"""routing/balancers/priority.py."""

from tests.unit.routing.world import Draws, candidates, eject, target
from trunkline.routing.balancers.base import Candidate
from trunkline.routing.balancers.priority import Priority


def test_lower_first_and_equal_ones_as_written() -> None:
    them = [Candidate(target(str(at)), priority=one, place=at) for at, one in enumerate((5, 1, 5, 1))]
    balancer = Priority(them)
    order: list[int] = []
    for _ in them:
        found = balancer.pick(Draws(0.0), 0.0, lambda one: one.place not in order)
        assert found is not None
        order.append(found.place)
    assert order == [1, 3, 0, 2]
    assert [balancer.score(one, 0.0) for one in them] == [2, 0, 3, 1]


def test_it_stays_with_the_first_and_comes_back_to_it() -> None:
    them = candidates(2)
    balancer = Priority(them)
    assert {balancer.pick(Draws(0.5), 0.0) for _ in range(5)} == {them[0]}
    eject(them[0].target, 0.0)
    assert balancer.pick(Draws(0.5), 1.0) is them[1]
    assert balancer.pick(Draws(0.5), 5.0) is them[0]
    assert balancer.pick(Draws(0.5), 5.0, lambda _: False) is None
