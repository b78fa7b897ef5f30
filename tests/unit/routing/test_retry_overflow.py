"""routing/retry_overflow.py: never again at the same size."""

from random import Random

import pytest

from tests.unit.routing.world import pool, route, target
from trunkline import errors
from trunkline.errors import Fault, Overflow
from trunkline.routing.backend import CapabilitySettings
from trunkline.routing.retry_overflow import after_overflow
from trunkline.routing.route import Pick, Route
from trunkline.routing.target import Target
from trunkline.routing.tries import Evict, Fallback, GiveUp, LowerMaxTokens, Next, Step, Tries

RNG = Random(1)
LONG = Overflow(limit=4096, input=5000, excess=904)


def sized(name: str, window: int) -> Target:
    return target(name, abilities=CapabilitySettings(context_window=window))


def begun(one: Route) -> Tries:
    return Tries(one, Pick(0, one.tiers[0].candidates[0]), streamed=True, deadline=100.0)


def step(tries: Tries, overflow: Overflow | None = LONG) -> Step:
    kind = errors.CONTEXT_OVERFLOW
    if overflow is not None and overflow.too_long != "prompt":
        kind = errors.MAX_TOKENS_TOO_LARGE
    return after_overflow(tries, Fault(kind, "m", overflow=overflow), 0.0, RNG)


def asked(found: Step) -> str:
    assert isinstance(found, Next | Fallback)
    return found.pick.candidate.target.backend.name


@pytest.mark.parametrize(
    ("overflow", "tokens"),
    [
        (Overflow(limit=4096, input=3000, output=2000, too_long="output"), 1096),
        (Overflow(output=2000, excess=904, too_long="output"), 1096),
        (Overflow(limit=8192, too_long="cap"), 8192),
    ],
)
def test_an_answer_that_may_not_be_so_long_is_asked_for_shorter(overflow: Overflow, tokens: int) -> None:
    assert step(begun(route([target()], [target("b")])), overflow) == LowerMaxTokens(tokens)


def test_each_limit_is_lower_than_the_last_and_there_are_three() -> None:
    tries = begun(route([target()], [target("b")]))
    cap = Overflow(limit=1000, too_long="cap")
    limits = [step(tries, cap) for _ in range(3)]
    assert limits == [LowerMaxTokens(1000), LowerMaxTokens(500), LowerMaxTokens(250)]
    assert isinstance(step(tries, cap), GiveUp)
    tries = begun(route([target()]))
    step(tries, cap)
    assert step(tries, Overflow(limit=700, too_long="cap")) == LowerMaxTokens(700)


def test_a_limit_that_nobody_names_is_not_guessed() -> None:
    assert isinstance(step(begun(route([target()])), Overflow(too_long="cap")), GiveUp)
    assert asked(step(begun(route([target()], [target("b")])), Overflow(limit=9, too_long="output"))) == "b"


def test_no_room_for_an_answer_is_a_prompt_that_is_too_long() -> None:
    full = Overflow(limit=4096, input=4096, output=10, too_long="output")
    assert asked(step(begun(route([target()], [target("b")])), full)) == "b"


def test_a_larger_window_of_the_same_model_comes_first() -> None:
    one = route([target("a"), target("unknown"), sized("same", 4096), sized("large", 8192)], [target("f")])
    tries = begun(one)
    found = step(tries)
    assert isinstance(found, Next)
    assert asked(found) == "large"
    assert asked(step(tries, Overflow(limit=8192, input=9000))) == "f"


def test_then_the_fallback_for_such_prompts() -> None:
    one = route([target("a")], [target("f")], context=pool("big", [sized("big", 128_000)]), evict=True)
    tries = begun(one)
    found = step(tries)
    assert isinstance(found, Fallback)
    assert (asked(found), found.model) == ("big", "big")
    assert step(tries, Overflow(limit=128_000, input=200_000)) == Evict()


def test_one_that_is_known_to_be_too_small_is_not_asked() -> None:
    context = pool("small", [sized("small", 2048)])
    one = route([target("a")], [sized("f1", 4500)], [sized("f2", 5000)], context=context)
    assert asked(step(begun(one))) == "f2"


def test_eviction_has_three_rounds_and_then_the_fallbacks_come() -> None:
    tries = begun(route([target("a"), target("sibling")], [target("f")], evict=True))
    assert [step(tries) for _ in range(3)] == [Evict()] * 3
    assert asked(step(tries)) == "f"
    found = step(tries)
    assert isinstance(found, GiveUp)
    assert found.fault.kind is errors.CONTEXT_OVERFLOW


@pytest.mark.parametrize("overflow", [LONG, Overflow(limit=100), None])
def test_eviction_needs_no_numbers(overflow: Overflow | None) -> None:
    assert step(begun(route([target()], evict=True)), overflow) == Evict()


def test_without_numbers_the_windows_that_are_known_tell() -> None:
    one = route([sized("a", 4096)], [sized("f1", 4096)], [sized("f2", 4097)])
    assert asked(step(begun(one), None)) == "f2"
    assert asked(step(begun(route([target("a")], [sized("f", 5)])), None)) == "f"
    more = route([target("a")], [sized("f1", 149)], [sized("f2", 150)])
    assert asked(step(begun(more), Overflow(limit=100, excess=50))) == "f2"


def test_siblings_of_unknown_size_are_not_sent_the_same() -> None:
    tries = begun(route([target("a"), target("b")]))
    assert isinstance(step(tries), GiveUp)
    assert not tries.allowed()(tries.route.tiers[0].candidates[1])
