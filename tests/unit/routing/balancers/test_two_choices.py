"""routing/balancers/two_choices.py: the worse of two is never taken."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.routing.world import Draws, candidates, eject
from trunkline.routing.balancers.base import Candidate
from trunkline.routing.balancers.two_choices import FEW, TwoChoices, better_of_two


@given(
    loads=st.lists(st.integers(0, 5), min_size=2, max_size=30),
    first=st.floats(0, 0.999),
    second=st.floats(0, 0.999),
)
def test_the_worse_of_the_two_that_were_drawn_is_never_taken(
    loads: list[int], first: float, second: float
) -> None:
    them = candidates(len(loads))
    seen: list[int] = []

    def cost(one: Candidate, now: float) -> float:
        seen.append(loads[one.place])
        return loads[one.place]

    found = better_of_two(them, cost, Draws(first, second), 0.0, None)
    assert found is not None
    assert len(seen) == 2
    assert loads[found.place] == min(seen)


def place(one: Candidate, now: float) -> float:
    return one.place


def test_of_two_it_is_always_the_better() -> None:
    them = candidates(2)
    rng = Random(3)
    assert {better_of_two(them, place, rng, 0.0, None) for _ in range(100)} == {them[0]}


def test_the_only_one_needs_no_drawing() -> None:
    them = candidates(1)
    draws = Draws(0.5)
    assert better_of_two(them, place, draws, 0.0, None) is them[0]
    assert better_of_two(them, place, draws, 0.0, lambda _: False) is None
    assert draws.count == 0


def test_where_few_can_be_asked_all_are_looked_at() -> None:
    them = candidates(100)
    for one in them:
        if one.place not in (40, 41):
            eject(one.target, 0.0)
    for first, second in ((0.0, 0.1), (0.9, 0.99)):
        assert better_of_two(them, place, Draws(first, second), 1.0, None) is them[40]
    assert better_of_two(them, lambda one, now: -one.place, Draws(0.0), 1.0, None) is them[41]


def test_one_or_none_may_be_left() -> None:
    them = candidates(3)
    eject(them[0].target, 0.0)
    eject(them[2].target, 0.0)
    assert better_of_two(them, place, Draws(0.0), 1.0, None) is them[1]
    assert better_of_two(them, place, Draws(0.0), 1.0, lambda one: one is not them[1]) is None


def test_many_are_not_all_looked_at() -> None:
    them = candidates(1000)
    looked: list[Candidate] = []

    def allowed(one: Candidate) -> bool:
        looked.append(one)
        return True

    better_of_two(them, place, Random(1), 0.0, allowed)
    assert len(looked) == 2


@given(count=st.integers(FEW + 1, 60), seed=st.integers(0, 2**32), loads=st.randoms(use_true_random=False))
def test_among_many_each_is_looked_at_twice_in_a_round_and_the_worse_is_never_taken(
    count: int, seed: int, loads: Random
) -> None:
    them = candidates(count)
    load = [loads.randrange(5) for _ in them]
    seen: list[int] = []

    def cost(one: Candidate, now: float) -> float:
        seen.append(one.place)
        return load[one.place]

    two, rng = TwoChoices(them), Random(seed)
    while not seen or seen[-1] != count - 1:  # the first round begins anywhere
        seen.clear()
        assert two.pick(cost, rng, 0.0, None) is not None
    seen.clear()
    for _ in them:
        found = two.pick(cost, rng, 0.0, None)
        assert found is not None
        first, other = seen[-2:]
        assert first != other
        assert load[found.place] == min(load[first], load[other])
    assert {place: seen.count(place) for place in seen} == dict.fromkeys(range(count), 2)


def test_among_few_and_where_some_cannot_be_asked_chance_decides() -> None:
    few, many = candidates(FEW), candidates(FEW + 1)
    draws = Draws(0.0, 0.5)
    assert TwoChoices(few).pick(place, draws, 0.0, None) is few[0]
    assert draws.count == 2
    for one in many[2:]:
        eject(one.target, 0.0)
    two, rng = TwoChoices(many), Random(1)
    assert {two.pick(place, rng, 1.0, None) for _ in range(40)} == {many[0]}
    assert two.pick(place, rng, 1.0, lambda one: one.place == 1) is many[1]
