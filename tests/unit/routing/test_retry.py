"""routing/retry.py: what comes after a failed attempt, in which order."""

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.routing.world import Draws, eject, fault, route, target
from trunkline import errors
from trunkline.errors import KINDS, Fault, Kind
from trunkline.routing.balancers.base import Rng
from trunkline.routing.faults import TABLE
from trunkline.routing.models import Strategy
from trunkline.routing.retry import MAX_ATTEMPTS, next_step
from trunkline.routing.retry_budget import RetryBudget
from trunkline.routing.route import Pick, Route
from trunkline.routing.target import RetryPolicy, Target
from trunkline.routing.tries import Evict, Fallback, GiveUp, Next, Retry, Step, Tries, Wait

HALF = Draws(0.5)


class Play:
    """One call over a route; `fail` reports a failure and asks what comes next."""

    def __init__(self, one: Route, *, deadline: float = 1000.0, rng: Rng = HALF, spent: bool = False) -> None:
        self.rng = rng
        self.now = 0.0
        self.tries = Tries(one, Pick(0, one.tiers[0].candidates[0]), streamed=True, deadline=deadline)
        self.budget = RetryBudget(0.0)
        while spent and self.budget.take(0.0, 0):
            pass

    def fail(
        self,
        kind: Kind = errors.SERVER_ERROR,
        retry_after: float | None = None,
        *,
        probe: bool = False,
        whole: Fault | None = None,
    ) -> Step:
        failed = whole or fault(kind, retry_after)
        self.tries.target.failed(failed, self.now, self.now)
        return next_step(self.tries, failed, self.now, self.rng, self.budget, 0, probe=probe)

    def run(self, kinds: Sequence[Kind]) -> str:
        """Where the call goes: R again, the backend's name, . for the end."""
        path = ""
        for kind in kinds:
            step = self.fail(kind)
            if isinstance(step, Next | Fallback):
                path += step.pick.candidate.target.backend.name
            else:
                path += "R" if isinstance(step, Retry) else "."
        return path


def targets(names: str, retry: RetryPolicy = RetryPolicy()) -> list[Target]:  # noqa: B008 - frozen
    return [target(name, retry=retry) for name in names]


E500, E429, CONNECT, FIRST = (
    errors.SERVER_ERROR,
    errors.RATE_LIMIT,
    errors.CONNECT,
    errors.FIRST_TOKEN_TIMEOUT,
)


@pytest.mark.parametrize(
    ("strategy", "kinds", "path"),
    [
        # the same target first, then the next, fallbacks last
        ("priority", [E500] * 9, "RRbRRfRR."),
        ("priority", [E429] * 9, "RRbRRfRR."),
        # what had its time, or cannot be reached, is not asked again while there are others
        ("priority", [FIRST] * 3, "bf."),
        ("priority", [errors.CONNECT_TIMEOUT] * 3, "bf."),
        ("priority", [errors.IDLE_TIMEOUT] * 3, "bf."),
        ("priority", [CONNECT] * 5, "bfRR."),
        ("priority", [errors.AUTH] * 3, "bf."),
        ("priority", [errors.MODEL_NOT_FOUND] * 3, "bf."),
        ("priority", [E500, FIRST, E500], "RbR"),
        # pools: siblings at once, then the same rule
        ("round_robin", [E500] * 7, "bRRfRR."),
        ("weighted", [E500, FIRST, E500], "bfR"),
        ("cost", [E500] * 4, "bRRf"),
        # nobody else's fault
        ("priority", [errors.CONTENT_FILTER], "."),
        ("priority", [errors.INVALID_REQUEST], "."),
        ("priority", [errors.REFUSED_BY_UPSTREAM], "."),
        ("priority", [errors.CLIENT_GONE], "."),
        ("priority", [errors.TOTAL_TIMEOUT], "."),
    ],
)
def test_the_order(strategy: Strategy, kinds: list[Kind], path: str) -> None:
    play = Play(route(targets("ab"), targets("f"), strategy=strategy))
    assert play.run(kinds) == path


def test_a_fallback_says_which_model_and_the_end_which_fault() -> None:
    play = Play(route(targets("a"), targets("f")))
    step = play.fail(FIRST)
    assert isinstance(step, Fallback)
    assert step.model == "m1"
    end = play.fail(errors.CONTENT_FILTER)
    assert isinstance(end, GiveUp)
    assert end.fault.kind is errors.CONTENT_FILTER


def test_pauses_grow_up_to_a_limit_and_are_random_below_it() -> None:
    policy = RetryPolicy(max_retries=8, backoff_base=2.0, backoff_max=10.0)
    for part in (0.0, 0.25, 0.999):
        play = Play(route(targets("a", retry=policy)), rng=Draws(part))
        steps = [play.fail() for _ in range(4)]
        play.tries.route.tiers[0].candidates[0].target.breaker.success(0.0, 0.0)
        steps += [play.fail() for _ in range(3)]
        assert steps == [Retry(part * longest) for longest in (2, 4, 8, 10, 10, 10, 10)]


@pytest.mark.parametrize(
    ("seconds", "deadline", "step"),
    [
        (2.0, 1000.0, Retry(2.1)),
        (0.0, 1000.0, Retry(0.0)),
        (5.0, 1000.0, Retry(5.25)),
        (5.1, 1000.0, None),
        (2.0, 2.0, None),
    ],
)
def test_a_time_that_the_upstream_names_is_obeyed_if_it_is_short_and_fits(
    seconds: float, deadline: float, step: Step | None
) -> None:
    play = Play(route(targets("a"), targets("f")), deadline=deadline)
    found = play.fail(E429, seconds)
    assert found == step if step is not None else isinstance(found, Fallback)


def test_with_nobody_else_a_long_wait_goes_to_the_client() -> None:
    found = Play(route(targets("a"))).fail(E429, 60.0)
    assert isinstance(found, GiveUp)
    assert found.fault.retry_after == 60.0


def test_an_empty_budget_refuses_repeats_and_never_another_available_target() -> None:
    assert Play(route(targets("ab"), targets("f")), spent=True).run([E500] * 3) == "bf."
    assert Play(route(targets("ab"), strategy="latency"), spent=True).run([E500] * 2) == "b."


def test_there_is_no_time_after_the_deadline() -> None:
    play = Play(route(targets("ab")), deadline=5.0)
    play.now = 5.0
    assert play.run([E500]) == "."


def test_a_probe_that_failed_goes_to_the_next_at_once() -> None:
    play = Play(route(targets("ab")))
    assert isinstance(play.fail(probe=True), Next)


def test_a_breaker_that_tripped_meanwhile_ends_the_repeats() -> None:
    one = route(targets("ab"))
    for _ in range(3):
        one.tiers[0].candidates[0].target.failed(fault(), 0.0, 0.0)
    assert Play(one).run([E500, E500]) == "Rb"


def test_the_only_target_is_repeated_even_if_its_breaker_has_tripped() -> None:
    one = route(targets("a"))
    eject(one.tiers[0].candidates[0].target, 0.0)
    assert Play(one).run([E500] * 3) == "RR."


def test_the_last_resort_comes_after_all_others_and_takes_from_the_budget() -> None:
    them = targets("abc")
    eject(them[2], 1.0)
    eject(them[1], 0.0)
    play = Play(route(them))
    play.now = 2.0
    assert play.run([FIRST] * 3) == "bc."
    assert play.budget.taken == 2
    play = Play(route(them), spent=True)
    assert play.run([FIRST]) == "."


def test_a_backend_at_fault_takes_all_its_targets_out_of_the_call() -> None:
    a = target("a")
    same = Target(a.backend, "other")
    assert Play(route([a, same, *targets("b")])).run([errors.AUTH]) == "b"
    assert Play(route([a, same, *targets("b")])).run([E500] * 3) == "RRa"


def test_a_target_that_stands_twice_is_tried_once() -> None:
    a, b = targets("ab")
    assert Play(route([a], [a, b])).run([FIRST, FIRST]) == "b."


def test_busy_ones_are_tried_before_a_repeat_of_what_cannot_be_reached() -> None:
    a, b = targets("ab")
    b.failed(fault(E429, retry_after=60.0), 0.0, 0.0)
    assert Play(route([a, b])).run([CONNECT] * 2) == "bR"


def test_a_place_at_another_target_comes_after_all_that_can_be_asked_and_before_the_last_resort() -> None:
    a, b, c, d = target("a"), target("b"), target("c", limit=1), target("d")
    c.begin(0.0)
    eject(d, 0.0)
    for tried in (a, b):
        tried.backend.retry = RetryPolicy(0)
    play = Play(route([a, b, c], [d]))
    assert play.run([E500]) == "b"
    assert isinstance(play.fail(E500), Wait)
    step = next_step(play.tries, fault(E500), 0.0, HALF, play.budget, 0, waits=False)
    assert isinstance(step, Fallback)
    assert step.pick.candidate.target is d


def test_nobody_waits_for_a_place_where_the_request_was_tried_or_does_not_fit() -> None:
    a, b = targets("ab", RetryPolicy(0))
    a.backend.limit = 1
    play = Play(route([a, b]))
    assert play.run([E500]) == "b"
    a.begin(0.0)
    assert isinstance(play.fail(E500), GiveUp)


def test_a_missing_model_may_be_loading_where_that_is_so() -> None:
    policy = RetryPolicy(retry_404=True)
    assert Play(route(targets("ab", retry=policy))).run([errors.MODEL_NOT_FOUND] * 3) == "RRb"


def test_a_refusal_for_length_is_never_repeated() -> None:
    play = Play(route(targets("ab"), evict=True))
    assert play.fail(errors.CONTEXT_OVERFLOW) == Evict()


def test_a_fleet_is_not_walked_through() -> None:
    play = Play(route([target(str(at)) for at in range(100)], strategy="round_robin"))
    assert play.run([FIRST] * MAX_ATTEMPTS)[-1] == "."
    assert play.tries.attempts == MAX_ATTEMPTS


@given(
    shape=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    strategy=st.sampled_from(["priority", "round_robin", "latency"]),
    kinds=st.lists(st.sampled_from(list(KINDS.values())), min_size=30, max_size=30),
    seed=st.integers(0, 1000),
)
def test_every_call_ends_and_asks_nobody_too_often(
    shape: list[int], strategy: Strategy, kinds: list[Kind], seed: int
) -> None:
    tiers = [[target(f"{tier}.{at}") for at in range(count)] for tier, count in enumerate(shape)]
    play = Play(route(*tiers, strategy=strategy), rng=Random(seed))
    asked = {play.tries.target: 1}
    for kind in kinds:
        before = play.tries.target
        step = play.fail(kind)
        if isinstance(step, GiveUp):
            break
        if isinstance(step, Retry):
            assert TABLE[kind].again != "no"
            assert 0.0 <= step.delay <= 10.0
        else:
            assert play.tries.target is not before
            assert play.tries.target not in asked
        asked[play.tries.target] = asked.get(play.tries.target, 0) + 1
    else:
        pytest.fail("the call does not end")
    assert max(asked.values()) <= 3
