"""routing/balancers/cost.py."""

from tests.unit.routing.world import Draws, eject, target
from trunkline.routing.balancers.base import Candidate
from trunkline.routing.balancers.cost import Cost


def test_the_cheapest_first_and_unknown_prices_last() -> None:
    prices = (None, 3.0, 0.0, 3.0)
    them = [Candidate(target(str(at)), price=one, place=at) for at, one in enumerate(prices)]
    balancer = Cost(them)
    order: list[int] = []
    while (found := balancer.pick(Draws(0.0), 0.0, lambda one: one.place not in order)) is not None:
        order.append(found.place)
    assert order == [2, 1, 3, 0]
    assert [balancer.score(one, 0.0) for one in them] == [float("inf"), 3.0, 0.0, 3.0]
    eject(them[2].target, 0.0)
    assert balancer.pick(Draws(0.0), 1.0) is them[1]
