"""routing/route.py: tiers, and who is asked when nobody is sound."""

from random import Random

import pytest

from tests.unit.routing.world import candidates, eject, fault, pool, route, target
from trunkline import errors
from trunkline.errors import Fault
from trunkline.routing.backend import CapabilitySettings
from trunkline.routing.balancers.latency import Latency
from trunkline.routing.models import Strategy
from trunkline.routing.needs import Needs
from trunkline.routing.route import BALANCERS, OF_CONTEXT, Pick, Pool, Route, able
from trunkline.routing.target import Target

RNG = Random(1)


def first(one: Route, now: float = 1.0, needs: Needs | None = None) -> Target:
    found = one.first(RNG, now, streamed=True, needs=needs)
    assert isinstance(found, Pick)
    return found.candidate.target


def test_the_first_target_then_the_fallbacks() -> None:
    a, b, c = target("a"), target("b"), target("c")
    one = route([a, b], [c])
    assert first(one) is a
    eject(a, 0.0)
    assert first(one) is b
    eject(b, 0.0)
    assert one.sound(RNG, 1.0, streamed=True) == Pick(1, one.tiers[1].candidates[0])
    assert repr(one) == "<Route m0: m0 > m1>"
    assert repr(one.tiers[0]) == "<Pool m0: 2 by priority>"


def test_busy_ones_come_after_all_that_are_sound_and_the_one_that_is_free_first_before() -> None:
    a, b, c = target("a"), target("b"), target("c")
    one = route([a, b], [c])
    for which, seconds in ((a, 30.0), (b, 20.0)):
        which.failed(fault(errors.RATE_LIMIT, retry_after=seconds), 0.0, 0.0)
    assert first(one) is c
    eject(c, 0.0)
    assert first(one) is b


def test_the_last_resort_is_the_one_that_is_out_longest() -> None:
    a, b, c = target("a"), target("b"), target("c")
    one = route([a, b], [c])
    eject(a, 2.0)
    eject(c, 1.0)
    for _ in range(3):
        b.backend.checked(False, 1.5)
    assert first(one, 3.0) is c
    assert one.busy(3.0) is None
    assert one.last_resort(3.0, lambda candidate: candidate.target is not c) == Pick(
        0, one.tiers[0].candidates[1]
    )


def test_nobody_is_asked_who_is_full_or_draining() -> None:
    a, b = target("a", limit=1), target("b")
    one = route([a, b])
    a.begin(0.0)
    b.backend.drain(True, 0.0)
    found = one.first(RNG, 0.0, streamed=True)
    assert isinstance(found, Fault)
    assert found.kind is errors.NO_BACKEND
    assert found.message == "no backend of `m0` can take a call now (draining, full)"
    assert found.retry_after == 1.0


def test_the_refusal_says_when_someone_is_free() -> None:
    a, b = target("a", limit=1), target("b", limit=1)
    one = route([a, b])
    for which, seconds in ((a, 500.0), (b, 300.0)):
        which.failed(fault(errors.RATE_LIMIT, retry_after=seconds), 0.0, 0.0)
        which.begin(0.0)
    found = one.first(RNG, 0.0, streamed=True)
    assert isinstance(found, Fault)
    assert found.retry_after == 120.0
    found = one.first(RNG, 290.0, streamed=True)
    assert isinstance(found, Fault)
    assert found.retry_after == 10.0


def test_slow_ones_stand_behind_the_others_of_their_model_and_before_the_fallbacks() -> None:
    slow, quick, other = target("a", slow_above=1.0), target("b"), target("c")
    slow.begin(0.0).committed(True, 2.0)
    assert first(route([slow, quick], [other]), 2.0) is quick
    assert first(route([slow], [other]), 2.0) is slow


def test_what_is_needed_leaves_out_those_that_lack_it_unless_all_do() -> None:
    blind, seeing = target("a", abilities=CapabilitySettings(vision=False)), target("b")
    one = route([blind], [seeing])
    assert one.choosy
    assert first(one) is blind
    assert first(one, needs=Needs(vision=True)) is seeing
    assert one.anyone(Needs(vision=True))
    assert not able(Needs(vision=True))(one.tiers[0].candidates[0])
    eject(seeing, 0.0)
    assert first(one, needs=Needs(vision=True)) is seeing
    assert not route([seeing], [target("c")]).choosy


def test_if_nobody_has_what_is_needed_that_is_no_reason() -> None:
    blind, small = (
        target("a", abilities=CapabilitySettings(vision=False)),
        target("b", abilities=CapabilitySettings(context_window=5, vision=False)),
    )
    one = route([blind], [small])
    assert not one.anyone(Needs(vision=True))
    assert one.anyone(Needs(tokens=6))
    assert not route([blind]).choosy, "with one target there is no choice"


def test_what_is_worth_a_look_in_a_request_is_what_somebody_lacks() -> None:
    kinds = [
        CapabilitySettings(vision=False, context_window=50),
        CapabilitySettings(tools=False, json_schema=True, context_window=20),
        CapabilitySettings(),
    ]
    targets = [target(name, abilities=kind) for name, kind in zip("abc", kinds, strict=True)]
    assert route(targets[:2], targets[2:]).lacks == Needs(tools=True, vision=True, tokens=20)
    assert route(targets[2:]).lacks == Needs()


def test_a_place_that_comes_free_is_better_than_who_is_ejected() -> None:
    full, out = target("a", limit=1), target("b")
    one = route([full], [out])
    trial = full.begin(0.0)
    eject(out, 0.0)
    assert one.full(0.0)
    assert not one.full(0.0, lambda candidate: candidate.target is out)
    found = one.first(RNG, 0.0, streamed=True)
    assert isinstance(found, Fault)
    trial.end(None, 0.0)
    assert not one.full(0.0)
    assert first(one, 0.0) is full


def test_another_is_anyone_who_could_be_asked() -> None:
    a, b, c = target("a"), target("b"), target("c")
    one = route([a, b], [c])
    assert one.another(a, 0.0)
    eject(b, 0.0)
    c.failed(fault(errors.RATE_LIMIT, retry_after=9.0), 0.0, 0.0)
    assert one.another(a, 1.0)
    eject(c, 0.0)
    assert not one.another(a, 1.0)
    assert not route([a]).another(a, 0.0)
    two = route([target("d"), target("e"), target("f")])
    d, e, f = (candidate.target for candidate in two.tiers[0].candidates)
    assert two.another(d, 0.0, lambda candidate: candidate.target is e)
    assert not two.another(e, 0.0, lambda candidate: candidate.target is e)
    assert two.another(f, 0.0)


@pytest.mark.parametrize("strategy", list(BALANCERS))
def test_plain_is_what_needs_no_watching(strategy: Strategy) -> None:
    a, b = target("a"), target("b")
    one = route([a, b], strategy=strategy)
    assert one.plain() == (Pick(0, one.tiers[0].candidates[0]) if strategy == "priority" else None)
    assert a.counted == (strategy in ("least_busy", "latency"))
    assert route([target("l", limit=3)]).plain() is None
    blind = target("v", abilities=CapabilitySettings(vision=False))
    assert route([blind, target("w")]).plain() is None
    assert route([blind]).plain() is not None, "there is nobody to choose"


def test_plain_is_the_first_by_priority() -> None:
    them = candidates(2)
    low = type(them[0])(them[1].target, priority=1, place=1)
    assert Route("m", [Pool("m", "priority", [them[0], low])]).plain() == Pick(0, low)


def test_streams_and_other_calls_have_their_own_latencies() -> None:
    one = pool("m", [target("a"), target("b")], "latency")
    assert isinstance(one.streams, Latency)
    assert one.streams is not one.whole
    one.candidates[0].target.latency[True].observe(1.0, 0.0)
    one.candidates[1].target.latency[False].observe(1.0, 0.0)
    assert one.pick(RNG, 0.0, streamed=True) is one.candidates[1]
    assert one.pick(RNG, 0.0, streamed=False) is one.candidates[0]


def test_the_pool_of_a_tier_and_that_for_what_is_too_long() -> None:
    big = pool("big", [target("c")])
    one = route([target("a")], [target("b")], context=big)
    assert [one.pool(tier) for tier in (0, 1, OF_CONTEXT)] == [*one.tiers, big]
    assert big not in one.tiers


def test_alone_is_who_has_neither_a_sibling_nor_a_fallback() -> None:
    big = pool("big", [target("d")])
    assert route([target("a")]).alone
    assert route([target("a")], context=big).alone, "for length, not for slowness"
    assert not route([target("a"), target("b")]).alone
    assert not route([target("a")], [target("b")]).alone
