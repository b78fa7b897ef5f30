"""routing/balancers/base.py, and the suite that runs over every balancer."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.routing.world import candidates, eject, fault, target
from trunkline import errors
from trunkline.routing.balancers.base import Candidate, first_open, open_to, slow_one
from trunkline.routing.models import Strategy
from trunkline.routing.route import BALANCERS

EVERY = pytest.mark.parametrize("strategy", list(BALANCERS))


def test_open_to_what_is_usable_and_allowed() -> None:
    one = candidates(1)[0]
    assert open_to(one, 0.0, None)
    assert not open_to(one, 0.0, lambda _: False)
    eject(one.target, 0.0)
    assert not open_to(one, 1.0, None)
    assert open_to(one, 5.0, None)


def test_the_first_open_one_of_an_order() -> None:
    a, b, c = candidates(3)
    eject(c.target, 0.0)
    assert first_open([c, b, a], 1.0, None) is b
    assert first_open([c, b, a], 1.0, lambda one: one is a) is a
    assert first_open([c], 1.0, None) is first_open([], 1.0, None) is None


def test_the_slow_ones_stand_behind() -> None:
    quick, slow = Candidate(target("a")), Candidate(target("b", slow_above=1.0), place=1)
    slow.target.begin(0.0).committed(True, 2.0)
    assert slow_one([quick, slow], 2.0, None) is slow
    assert slow_one([quick, slow], 2.0, lambda one: one is quick) is None


@EVERY
def test_it_finds_the_only_one_that_can_be_asked(strategy: Strategy) -> None:
    them = candidates(20)
    for one in them:
        if one.place != 13:
            eject(one.target, 0.0)
    balancer = BALANCERS[strategy](them)
    rng = Random(1)
    assert {balancer.pick(rng, 1.0) for _ in range(50)} == {them[13]}


@EVERY
def test_it_finds_nobody_where_there_is_nobody(strategy: Strategy) -> None:
    them = candidates(3)
    balancer = BALANCERS[strategy](them)
    assert balancer.pick(Random(1), 0.0, lambda _: False) is None
    for one in them:
        one.target.failed(fault(errors.RATE_LIMIT, retry_after=9.0), 0.0, 0.0)
    assert balancer.pick(Random(1), 1.0) is None
    assert balancer.pick(Random(1), 9.0) is not None


@EVERY
@given(data=st.data())
def test_asked_again_without_those_that_were_tried_it_gives_all_once(
    strategy: Strategy, data: st.DataObject
) -> None:
    them = candidates(data.draw(st.integers(1, 25)))
    out = data.draw(st.sets(st.integers(0, len(them) - 1)))
    for place in out:
        eject(them[place].target, 0.0)
    balancer = BALANCERS[strategy](them)
    rng = Random(data.draw(st.integers(0, 100)))
    tried: list[Candidate] = []
    while (found := balancer.pick(rng, 1.0, lambda one: one not in tried)) is not None:
        tried.append(found)
    assert sorted(one.place for one in tried) == [place for place in range(len(them)) if place not in out]


@EVERY
def test_of_a_thousand_it_looks_at_two_at_most(strategy: Strategy) -> None:
    looked: list[Candidate] = []

    def allowed(one: Candidate) -> bool:
        looked.append(one)
        return True

    balancer = BALANCERS[strategy](candidates(1000))
    for _ in range(100):
        assert balancer.pick(Random(1), 0.0, allowed) is not None
    assert len(looked) <= 200


@EVERY
def test_every_candidate_has_a_score(strategy: Strategy) -> None:
    them = candidates(4)
    balancer = BALANCERS[strategy](them)
    balancer.pick(Random(1), 0.0)
    assert all(balancer.score(one, 0.0) >= 0 for one in them)


@pytest.mark.parametrize("strategy", ["round_robin", "weighted", "least_busy", "latency"])
@pytest.mark.parametrize("count", [2, 10, 40])
def test_equals_share(strategy: Strategy, count: int) -> None:
    them = candidates(count)
    balancer = BALANCERS[strategy](them)
    rng = Random(7)
    picks = 10_000
    counts = Counter(balancer.pick(rng, 0.0) for _ in range(picks))
    assert len(counts) == count
    # Random ones stray by the square root of what they expect.
    assert max(abs(seen - picks / count) for seen in counts.values()) < 5 * (picks / count) ** 0.5
