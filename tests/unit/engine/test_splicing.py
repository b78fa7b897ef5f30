"""engine/splicing.py: whether, where and with which request a cut answer is asked for again."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.engine.world import NOW, World, call, decoded, user
from tests.unit.streams.answers import answer, chunk
from trunkline.engine.choices import Choice
from trunkline.engine.failover import Failover
from trunkline.engine.splicing import Splicing, could_splice, named
from trunkline.errors import CONTENT_FILTER, CUT, IDLE_TIMEOUT, INVALID_REQUEST, SERVER_ERROR, Fault
from trunkline.routing.route import Pick
from trunkline.streams.continuation import Continuation
from trunkline.streams.divergence import MOST_IN_ROW
from trunkline.wire.values import Call

Make = Callable[..., World]
BROKE_OFF = Fault(CUT, "cut")
SILENT = Fault(IDLE_TIMEOUT, "silent")
TEXT = "Enough text to be gone on with by another. "
AT = [{"backend": name, "model": "x"} for name in "abc"]
FALLS_BACK: dict[str, Any] = {"m": {"targets": [AT[0]], "fallbacks": ["f"]}, "f": {"targets": [AT[1]]}}


class Cut:
    """A stream of which the client has had a beginning, and what is done when it breaks off."""

    def __init__(self, world: World, what: Call | None = None, events: list[bytes] | None = None) -> None:
        self.world = world
        self.call = what or call(messages=user("hi"), stream=True, max_tokens=50)
        choice = world.choices.find("m")
        assert isinstance(choice, Choice)
        pick = choice.route.first(world.rng, NOW, streamed=True)
        assert isinstance(pick, Pick)
        self.failover = Failover(
            world.runtime, self.call, choice.route, pick, streamed=True, deadline=NOW + 100, needs=None
        )
        self.tries = self.failover.tries
        self.splicing = Splicing()
        for data in events or [chunk(role="assistant", content=""), chunk(content=TEXT)]:
            self.splicing.transcript.events(data)

    def begin(self, fault: Fault = BROKE_OFF) -> str:
        """Who is asked; "" nobody."""
        world = self.world
        found = self.splicing.begin(world.runtime, self.call, world.upstreams, self.failover, fault, None)
        return "" if found is None else found.candidate.target.backend.name


def test_the_next_sound_target_is_asked_the_same(make: Make) -> None:
    cut = Cut(make({}, {}, models=FALLS_BACK))
    assert cut.begin() == "b"
    assert (cut.splicing.cut, cut.splicing.why, cut.splicing.fields) == (BROKE_OFF, "", None)
    assert cut.tries.target.backend.name == "b", "it is the one under way now"
    assert cut.world.retries.taken == 1
    joint = cut.splicing.joint
    assert joint is not None
    assert joint.feed(b"".join(answer("second", [TEXT]))) != b""
    assert joint.joined
    assert repr(cut.splicing) == "<Splicing <Splice 0 characters to repeat>>"


def test_with_nobody_else_the_same_target_is_asked_if_that_may_help(make: Make) -> None:
    for fault, who in ((BROKE_OFF, "a"), (SILENT, "")):
        cut = Cut(make({}))
        assert cut.begin(fault) == who
        assert cut.splicing.why == ("" if who else "no target is left to ask")
    world = make({})
    cut = Cut(world)
    for _ in range(5):
        world.board.target("a", "m").failed(Fault(SERVER_ERROR, "m"), NOW, NOW)
    assert cut.begin() == "", "it is ejected"


def test_who_was_tried_for_this_call_is_not_asked_for_the_rest(make: Make) -> None:
    world = make({}, {}, {}, models={"m": {"targets": AT}})
    cut = Cut(world)
    second = next(pick for pick in cut.tries.route.candidates() if pick.candidate.target.backend.name == "b")
    cut.tries.move(second)
    assert cut.begin() == "c"


@pytest.mark.parametrize(
    ("fields", "events", "fault", "why"),
    [
        ({"n": 2}, None, BROKE_OFF, "more than one choice was asked for"),
        ({"logprobs": True}, None, BROKE_OFF, "logprobs were asked for"),
        ({"messages": user("x" * 33_000)}, None, BROKE_OFF, "the prompt is over"),
        ({}, [chunk(tool_calls=[{"index": 0}])], BROKE_OFF, "a tool call was begun"),
        ({}, answer("first", ["all"]), BROKE_OFF, "the answer was whole"),
        ({}, [chunk(content="x" * 8001)], BROKE_OFF, "more than 8000 characters were sent"),
        ({}, None, Fault(CONTENT_FILTER, "m"), "the failure is the client's own"),
        ({}, None, Fault(INVALID_REQUEST, "m"), "the failure is the client's own"),
    ],
)
def test_what_cannot_be_joined_is_not_asked_for_and_takes_nothing(
    make: Make, fields: dict[str, Any], events: list[bytes] | None, fault: Fault, why: str
) -> None:
    world = make({}, {}, models=FALLS_BACK)
    what = call("chat", **({"messages": user("hi"), "stream": True} | fields))
    cut = Cut(world, what, events)
    assert cut.begin(fault) == ""
    assert cut.splicing.why.startswith(why)
    assert (cut.splicing.joint, cut.splicing.cut) == (None, fault)
    assert world.retries.taken == 0
    assert len(cut.tries.tried) == 1


def test_it_takes_a_repeat_from_the_budget(make: Make) -> None:
    world = make({}, {}, models=FALLS_BACK)
    while world.retries.take(NOW, 0):
        pass
    cut = Cut(world)
    assert cut.begin() == ""
    assert cut.splicing.why == "the retry budget is used up"


def test_who_said_something_else_three_times_is_left_out_for_a_while(make: Make) -> None:
    world = make({}, {}, {}, models={"m": {"targets": AT}})
    for _ in range(MOST_IN_ROW):
        cut = Cut(world)
        assert cut.begin() == "b"
        joint = cut.splicing.joint
        assert joint is not None
        joint.feed(chunk(content="Something else"))
        assert joint.diverged
        cut.splicing.over(world.runtime, cut.call)
    cut = Cut(world)
    assert cut.begin() == "c"
    assert world.divergences.skipped("m", named(world.board.target("b", "x")), NOW)


def test_an_answer_that_came_to_the_cut_ends_the_row_and_one_that_did_not_says_nothing(make: Make) -> None:
    world = make({}, {}, models=FALLS_BACK)

    def one(text: str) -> None:
        cut = Cut(world)
        assert cut.begin() == "b"
        assert cut.splicing.joint is not None
        cut.splicing.joint.feed(chunk(content=text))
        cut.splicing.over(world.runtime, cut.call)

    one("else")
    one("else")
    one(TEXT[:5])
    one(TEXT + "more")
    one("else")
    one("else")
    assert not world.divergences.skipped("m", "b/x", NOW)
    one("else")
    assert world.divergences.skipped("m", "b/x", NOW)


CONTINUES = {"on_cut": "continue"}


def test_a_target_that_takes_a_prefill_is_asked_for_the_rest_alone(make: Make) -> None:
    cut = Cut(make(CONTINUES, {"prefill": "plain"}, models=FALLS_BACK))
    assert cut.begin() == "b"
    assert isinstance(cut.splicing.joint, Continuation)
    assert cut.splicing.fields is not None
    asked = decoded(cut.splicing.fields)
    assert asked["messages"] == [*user("hi"), {"role": "assistant", "content": TEXT}]
    assert asked["max_tokens"] == 49
    refusal = Fault(INVALID_REQUEST, "no prefill", status=400)
    assert cut.splicing.restart(cut.failover, refusal) is cut.tries.pick
    assert not isinstance(cut.splicing.joint, Continuation)
    assert cut.splicing.fields is None, "the request as it was"
    assert cut.splicing.restart(cut.failover, refusal) is None, "once"


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [(CONTINUES, {}, TEXT), ({}, {"prefill": "plain"}, TEXT), (CONTINUES, {"prefill": "plain"}, "Too short")],
)
def test_else_it_is_asked_from_the_start(
    make: Make, first: dict[str, Any], second: dict[str, Any], text: str
) -> None:
    cut = Cut(make(first, second, models=FALLS_BACK), events=[chunk(content=text)])
    assert cut.begin() == "b"
    assert cut.splicing.fields is None
    assert cut.splicing.joint is not None
    assert not isinstance(cut.splicing.joint, Continuation)
    assert cut.splicing.restart(cut.failover, Fault(INVALID_REQUEST, "m")) is None


@pytest.mark.parametrize("fault", [BROKE_OFF, Fault(CONTENT_FILTER, "m"), Fault(SERVER_ERROR, "m")])
def test_only_a_refusal_leads_to_a_second_question(make: Make, fault: Fault) -> None:
    cut = Cut(make(CONTINUES, {"prefill": "plain"}, models=FALLS_BACK))
    assert cut.begin() == "b"
    assert cut.splicing.restart(cut.failover, fault) is None


def test_text_is_kept_only_where_it_could_be_of_use(make: Make) -> None:
    plain = make({}).upstreams["a"]
    short, long = user("hi"), user("x" * 40_000)
    assert could_splice(call(messages=short), plain)
    assert could_splice(call(messages=short), make(CONTINUES).upstreams["a"])
    assert not could_splice(call(messages=short), make({"on_cut": "error"}).upstreams["a"])
    for surface in ("completions", "responses", "messages", "other"):
        assert not could_splice(call(surface, messages=short), plain)
    assert not could_splice(call(messages=long), plain)
    assert could_splice(call("chat", messages=long, temperature=0), plain)
