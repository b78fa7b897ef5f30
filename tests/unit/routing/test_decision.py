"""routing/decision.py: the candidates and what spoke against them."""

from random import Random

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.routing.world import eject, fault, route, target
from trunkline.errors import RATE_LIMIT
from trunkline.routing.backend import CapabilitySettings
from trunkline.routing.decision import decide, foremost
from trunkline.routing.models import Strategy
from trunkline.routing.needs import Needs
from trunkline.routing.route import Pick


def test_all_candidates_with_reasons() -> None:
    a, b, c = target("a"), target("b", abilities=CapabilitySettings(tools=False)), target("c")
    d = target("d")
    one = route([a, b], [c, d], strategy="least_busy")
    eject(c, 0.0)
    a.begin(0.0)
    found = decide(one, 1.0, streamed=True, needs=Needs(tools=True))
    assert found.model == "m0"
    assert [(one.tier, one.model, one.backend, one.score, one.against) for one in found.candidates] == [
        (0, "m0", "a", 2.0, ""),
        (0, "m0", "b", 1.0, "no tools"),
        (1, "m1", "c", 1.0, "ejected"),
        (1, "m1", "d", 1.0, ""),
    ]
    assert found.candidates[0].strategy == "least_busy"
    assert msgspec.json.decode(msgspec.json.encode(found))["candidates"][0]["target"] == "m"


def test_asking_changes_no_turn() -> None:
    one = route([target("a"), target("b")], strategy="round_robin")
    first = decide(one, 0.0, streamed=False)
    assert first == decide(one, 0.0, streamed=False)


def test_an_endless_score_is_none() -> None:
    one = route([target("a")], strategy="cost")
    assert decide(one, 0.0, streamed=False).candidates[0].score is None


@given(
    strategy=st.sampled_from(["priority", "round_robin", "weighted", "cost", "least_busy", "latency"]),
    calls=st.integers(0, 5),
    ejected=st.sets(st.integers(0, 4)),
    busy=st.sets(st.integers(0, 4)),
    unable=st.sets(st.integers(0, 4)),
    tools=st.booleans(),
    streamed=st.booleans(),
)
def test_the_foremost_is_the_one_that_is_picked(
    strategy: Strategy,
    calls: int,
    ejected: set[int],
    busy: set[int],
    unable: set[int],
    tools: bool,
    streamed: bool,
) -> None:
    """Two candidates in each tier: no strategy has a choice of its own then, but for equals."""
    targets = [
        target(f"b{at}", abilities=CapabilitySettings(tools=False if at in unable else None))
        for at in range(4)
    ]
    one = route(targets[:2], targets[2:], strategy=strategy)
    for at, each in enumerate(targets):
        if at in ejected:
            eject(each, 0.0)
        if at in busy:
            each.failed(fault(RATE_LIMIT, retry_after=float(9 - at)), 0.0, 0.0)
        for _ in range(at if strategy in ("least_busy", "latency") else 0):
            each.begin(0.0)
    needs = Needs(tools=True) if tools and one.anyone(Needs(tools=True)) else None
    for _ in range(calls):
        one.first(Random(1), 1.0, streamed=streamed, needs=needs)
    expected = foremost(one, 1.0, streamed=streamed, needs=needs)
    assert expected == foremost(one, 1.0, streamed=streamed, needs=needs)
    assert expected is not None
    found = one.first(Random(2), 1.0, streamed=streamed, needs=needs)
    assert isinstance(found, Pick)
    assert found.candidate.target is expected.candidate.target
    assert found.tier == expected.tier


def test_a_slow_one_is_foremost_where_no_other_is_sound_and_a_full_one_never() -> None:
    slow, full = target("a", slow_above=0.1), target("b", limit=1)
    slow.begin(0.0).committed(True, 1.0)
    full.begin(0.0)
    found = foremost(route([full], [slow]), 1.0, streamed=True)
    assert found is not None
    assert (found.tier, found.candidate.target) == (1, slow)
    assert foremost(route([full]), 1.0, streamed=True) is None
    ejected = target("c")
    eject(ejected, 1.0)
    assert foremost(route([full, ejected]), 1.0, streamed=True) is None, "a place that comes free is better"
