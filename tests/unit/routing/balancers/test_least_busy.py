"""routing/balancers/least_busy.py."""

from collections import Counter
from random import Random

from tests.unit.routing.world import candidates, eject
from trunkline.routing.balancers.least_busy import LeastBusy
from trunkline.routing.balancers.two_choices import FEW


def test_among_few_it_is_the_least_busy() -> None:
    them = candidates(FEW)
    for one in them:
        one.target.inflight = 3
    them[4].target.inflight = 2
    balancer = LeastBusy(them)
    rng = Random(1)
    assert {balancer.pick(rng, 0.0) for _ in range(50)} == {them[4]}
    eject(them[4].target, 0.0)
    assert them[4] not in {balancer.pick(rng, 1.0) for _ in range(50)}


def test_weight_is_how_many_it_can_carry() -> None:
    them = candidates(2, (3, 1))
    balancer = LeastBusy(them)
    rng = Random(1)
    for _ in range(400):
        found = balancer.pick(rng, 0.0)
        assert found is not None
        found.target.begin(0.0)
    assert abs(them[0].target.inflight - 300) <= 3
    none = candidates(2, (0, 1))
    assert Counter(LeastBusy(none).pick(rng, 0.0) for _ in range(20)) == {none[1]: 20}


def test_among_many_loads_stay_even() -> None:
    them = candidates(100)
    balancer = LeastBusy(them)
    rng = Random(1)
    for _ in range(2000):
        found = balancer.pick(rng, 0.0)
        assert found is not None
        found.target.begin(0.0)
    assert max(one.target.inflight for one in them) - min(one.target.inflight for one in them) <= 6
