"""engine/failover.py: a request that is made smaller step by step, and what is told of it."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.unit.engine.world import NOW, World, call, decoded, user
from trunkline.engine.choices import Choice
from trunkline.engine.failover import Failover, fields_of
from trunkline.errors import (
    CONTEXT_OVERFLOW,
    INVALID_REQUEST,
    MAX_TOKENS_TOO_LARGE,
    SERVER_ERROR,
    UNFIT,
    Fault,
    Overflow,
)
from trunkline.routing.route import Pick
from trunkline.routing.tries import Evict, Fallback, GiveUp, LowerMaxTokens, Next, Retry, Wait
from trunkline.wire.values import Call

Make = Callable[..., World]
AT_A, AT_B, AT_C = ({"backend": name, "model": "x"} for name in "abc")
BROKEN = Fault(SERVER_ERROR, "m", status=500)


def failover(world: World, what: Call, deadline: float = NOW + 100.0) -> Failover:
    choice = world.choices.find("m")
    assert isinstance(choice, Choice)
    pick = choice.route.first(world.rng, NOW, streamed=False)
    assert isinstance(pick, Pick)
    return Failover(world.runtime, what, choice.route, pick, streamed=False, deadline=deadline, needs=None)


def too_long(prompt: int, limit: int) -> Fault:
    return Fault(CONTEXT_OVERFLOW, "m", overflow=Overflow(limit=limit, input=prompt, total=prompt))


def no_room(limit: int, prompt: int, answer: int) -> Fault:
    return Fault(
        CONTEXT_OVERFLOW,
        "m",
        overflow=Overflow(limit=limit, input=prompt, output=answer, total=prompt + answer, too_long="output"),
    )


EVICTS: dict[str, Any] = {
    "m": {"targets": [AT_A], "evict": True, "fallbacks": ["f"]},
    "f": {"targets": [AT_B]},
}
LONG = user(*(f"text {at} " * 100 for at in range(9)))


def test_a_failure_of_the_upstreams_changes_nothing_in_the_request(make: Make) -> None:
    one = failover(make({}, {}, models=EVICTS), call(messages=LONG))
    steps = [one.after(BROKEN, NOW, probe=False) for _ in range(4)]
    assert [type(step) for step in steps] == [Retry, Retry, Fallback, Retry]
    assert (one.fields, one.evicted, one.note) == (None, b"", "")
    assert repr(one).startswith("<Failover ")


def test_turns_go_until_there_are_none_and_what_went_is_told(make: Make) -> None:
    what = call(messages=LONG, temperature=0.5)
    one = failover(make({}, {}, models=EVICTS), what)
    sizes = [len(LONG)]
    gone = 0
    while isinstance(step := one.after(too_long(1000 * sizes[-1], 500 * sizes[-1]), NOW, probe=False), Evict):
        assert one.fields is not None
        messages = decoded(one.fields)["messages"]
        assert messages[-1] == LONG[-1]
        assert [m for m in LONG if m in messages] == messages, "the rest stays, in order"
        assert {name: one.fields[name] for name in ("model", "temperature")} == {
            name: fields_of(what)[name] for name in ("model", "temperature")
        }
        assert len(messages) < sizes[-1]
        gone += sizes[-1] - len(messages)
        assert one.note.startswith(f"{sizes[-1] - len(messages)} messages left out, about ")
        assert one.evicted == b"messages=%d, turns=%d" % (gone, gone // 2)
        sizes.append(len(messages))
    assert 2 <= len(sizes) <= 4, "three rounds at most"
    assert isinstance(step, Fallback)
    assert one.note == "", "that step changed nothing"
    assert one.fields is not None, "the fallback gets the request that was made smaller"


@pytest.mark.parametrize("fields", [{"messages": user("only one")}, {"prompt": "text"}, {"messages": "odd"}])
def test_where_nothing_can_go_the_next_step_comes_at_once(make: Make, fields: dict[str, Any]) -> None:
    one = failover(make({}, {}, models=EVICTS), call(**fields))
    assert isinstance(one.after(too_long(1000, 500), NOW, probe=False), Fallback)
    assert (one.fields, one.evicted, one.note) == (None, b"", "")


def test_a_body_that_is_no_object_has_no_fields() -> None:
    for body in (b"", b"[1]", b"\xff"):
        what = call()
        what.body = body
        assert fields_of(what) == {}
    what = call()
    what.fields = {"x": msgspec.Raw(b"1")}
    assert fields_of(what) is what.fields


@pytest.mark.parametrize(
    ("given", "name"),
    [({"max_tokens": 900}, "max_tokens"), ({"max_completion_tokens": 900}, "max_completion_tokens")],
)
def test_the_answers_limit_is_lowered_for_the_target_that_refused_it(
    make: Make, given: dict[str, int], name: str
) -> None:
    two: dict[str, Any] = {"m": {"targets": [AT_A, AT_B]}}
    one = failover(make({"max_retries": 0}, {}, models=two), call("chat", messages=user("x"), **given))
    assert isinstance(one.after(no_room(1000, 400, 900), NOW, probe=False), LowerMaxTokens)
    assert one.fields is not None
    assert decoded(one.fields)[name] == 600
    assert one.note == "the limit for the answer lowered to 600 tokens"
    assert one.evicted == b""
    assert isinstance(one.after(BROKEN, NOW, probe=False), Next)
    assert one.fields is None, "another target has limits of its own"


def test_a_limit_that_is_not_over_what_fits_is_not_raised(make: Make) -> None:
    cap = Fault(MAX_TOKENS_TOO_LARGE, "m", overflow=Overflow(limit=5000, output=900, too_long="cap"))
    one = failover(make({}, models={"m": {"targets": [AT_A]}}), call(messages=user("x"), max_tokens=900))
    assert isinstance(one.after(cap, NOW, probe=False), GiveUp)
    assert one.fields is None


def test_a_lowered_limit_stays_while_the_same_target_is_repeated_and_turns_that_went_stay_for_all(
    make: Make,
) -> None:
    one = failover(make({}, {}, models=EVICTS), call(messages=LONG, max_tokens=900))
    assert isinstance(one.after(too_long(9000, 5000), NOW, probe=False), Evict)
    assert isinstance(one.after(no_room(5000, 4500, 900), NOW, probe=False), LowerMaxTokens)
    assert one.fields is not None
    lowered = decoded(one.fields)
    assert lowered["max_tokens"] == 500
    assert len(lowered["messages"]) < len(LONG)
    assert isinstance(one.after(BROKEN, NOW, probe=False), Retry)
    assert decoded(one.fields)["max_tokens"] == 500
    while not isinstance(one.after(BROKEN, NOW, probe=False), Fallback):
        pass
    assert one.fields is not None
    assert decoded(one.fields)["max_tokens"] == 900
    assert len(decoded(one.fields)["messages"]) < len(LONG)


def test_a_refusal_for_length_is_what_the_client_is_told_unless_it_is_its_own_fault(make: Make) -> None:
    one = failover(make({}, {}, models=EVICTS), call(messages=user("only one")))
    assert one.last_word(BROKEN) is BROKEN
    long = too_long(1000, 500)
    assert isinstance(one.after(long, NOW, probe=False), Fallback)
    assert one.last_word(BROKEN) is long, "what came later came of it"
    refusal = Fault(INVALID_REQUEST, "m")
    assert one.last_word(refusal) is refusal


def test_a_target_that_was_not_sent_the_request_has_no_last_word(make: Make) -> None:
    one = failover(make({"max_retries": 0}, {}, models={"m": {"targets": [AT_A, AT_B]}}), call())
    unfit = Fault(UNFIT, "a parameter")
    assert one.last_word(unfit) is unfit
    assert isinstance(one.after(BROKEN, NOW, probe=False), Next)
    assert isinstance(one.after(unfit, NOW, probe=False), GiveUp)
    assert one.last_word(unfit) is BROKEN


def test_a_place_at_another_target_is_waited_for_unless_that_cannot_be(make: Make) -> None:
    world = make({"max_retries": 0}, {"max_concurrency": 1}, models={"m": {"targets": [AT_A, AT_B]}})
    world.board.target("b", "x").begin(NOW)
    one = failover(world, call())
    assert isinstance(one.after(BROKEN, NOW, probe=False), Wait)
    assert isinstance(one.after(BROKEN, NOW, probe=False, waits=False), GiveUp)


def test_a_limit_may_be_forgotten(make: Make) -> None:
    one = failover(make({}, models={"m": {"targets": [AT_A]}}), call(messages=user("x"), max_tokens=900))
    assert isinstance(one.after(no_room(1000, 400, 900), NOW, probe=False), LowerMaxTokens)
    one.forget_limit()
    assert one.fields is None
