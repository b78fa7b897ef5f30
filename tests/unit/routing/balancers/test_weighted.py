"""routing/balancers/weighted.py."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.routing.world import Draws, candidates, eject
from trunkline.routing.balancers.weighted import Weighted

RNG = Draws(0.5)


def places(balancer: Weighted, count: int, now: float = 1.0) -> list[int]:
    found = [balancer.pick(RNG, now) for _ in range(count)]
    return [-1 if one is None else one.place for one in found]


def test_turns_are_spread() -> None:
    balancer = Weighted(candidates(3, (5, 1, 1)))
    for _ in range(3):
        turns = "".join("abc"[place] for place in places(balancer, 7))
        assert sorted(turns) == list("aaaaabc")
        assert "aaaa" not in turns


@given(st.lists(st.sampled_from([0.5, 1, 2, 3, 5, 10, 100]), min_size=1, max_size=12))
def test_weights_hold_within_two_percent_of_the_calls(weights: list[float]) -> None:
    counts = Counter(places(Weighted(candidates(len(weights), weights)), 10_000))
    for place, weight in enumerate(weights):
        share = weight / sum(weights)
        assert abs(counts[place] / 10_000 - share) <= 0.02 * share + 0.0002


def test_weight_zero_gets_calls_only_when_no_other_can() -> None:
    them = candidates(3, (0, 1, 0))
    balancer = Weighted(them)
    assert set(places(balancer, 20)) == {1}
    assert balancer.score(them[0], 0.0) == float("inf")
    eject(them[1].target, 0.0)
    assert places(balancer, 2) == [0, 0]


def test_who_cannot_be_asked_loses_its_turns_and_gets_its_share_when_it_is_back() -> None:
    them = candidates(3, (2, 1, 1))
    balancer = Weighted(them)
    eject(them[0].target, 0.0)
    assert Counter(places(balancer, 1000)) == {1: 500, 2: 500}
    assert Counter(places(balancer, 1000, now=6.0))[0] in range(499, 502)


def test_nobody_loses_a_turn_while_nobody_can_be_asked() -> None:
    them = candidates(2, (3, 1))
    balancer = Weighted(them)
    scores = [balancer.score(one, 0.0) for one in them]
    assert balancer.pick(RNG, 0.0, lambda _: False) is None
    assert [balancer.score(one, 0.0) for one in them] == scores
