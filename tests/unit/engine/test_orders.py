"""engine/orders.py: which levels hold for an attempt, and what they come to."""

from typing import Any

import msgspec
import pytest

from trunkline.config.levels import Group, Level, Levels
from trunkline.engine.names import Named
from trunkline.engine.orders import Ordering, Orders, ordering_of
from trunkline.policy.overrides import Overrides, written
from trunkline.streams.answer import AnswerSettings
from trunkline.streams.think import ThinkSettings

STRIP, KEEP, SPLIT = (ThinkSettings(mode=mode) for mode in ("strip", "keep", "split"))
OWN, FALLBACK, CONTEXT = 0, 1, -1
TIERS = {OWN: ("chat", "chat@v"), FALLBACK: ("other", "other"), CONTEXT: ("", "big")}


def sets(**fields: object) -> Overrides:
    return written({name: msgspec.Raw(msgspec.json.encode(value)) for name, value in fields.items()}, {})


def fills(**fields: object) -> Overrides:
    return written({}, {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in fields.items()})


def ordering(
    named: Named | None = None,
    key: Overrides | None = None,
    tags: tuple[str, str] = ("<a>", "</a>"),
    **levels: Any,
) -> Ordering:
    found = ordering_of(
        Levels(tags=tags, **levels), named or Named("chat", "chat"), TIERS, frozenset(("a", "b")), key
    )
    assert found is not None
    return found


def sent(orders: Orders, **fields: object) -> dict[str, object]:
    raw = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in fields.items()}
    if orders.overrides is not None:
        raw, _ = orders.overrides.apply(raw)
    return {name: msgspec.json.decode(value) for name, value in raw.items()}


def test_without_levels_there_is_nothing() -> None:
    named = Named("chat", "chat")
    assert ordering_of(Levels(), named, TIERS, frozenset("a"), None) is None
    elsewhere = Levels(backends={"c": Level(overrides=sets(x=1))}, models={"m": Level(think=STRIP)})
    assert ordering_of(elsewhere, named, TIERS, frozenset("a"), None) is None


def test_the_more_specific_level_wins() -> None:
    named = Named("chat", "chat", Group(overrides=sets(a=3, b=3, c=3)), (Level(overrides=sets(a=4, b=4)),))
    one = ordering(
        named,
        sets(a=5),
        backends={"a": Level(overrides=sets(a=1, b=1, c=1, d=1, e=1))},
        models={"chat": Level(overrides=sets(a=2, b=2, c=2, d=2))},
    )
    assert one.edits
    assert sent(one.at(OWN, "a", "chat")) == {"a": 5, "b": 4, "c": 3, "d": 2, "e": 1}
    assert sent(one.at(OWN, "b", "chat")) == {"a": 5, "b": 4, "c": 3, "d": 2}
    assert one.at(OWN, "b", "chat") is one.at(OWN, "b", "chat")
    assert repr(one) == "<Ordering for chat>"


def test_a_fallback_has_the_params_of_its_own_model_and_those_of_the_request() -> None:
    named = Named("chat", "chat", levels=(Level(overrides=sets(v=1)),))
    one = ordering(
        named, models={"chat": Level(overrides=sets(a=1)), "other": Level(overrides=sets(b=1), rename=True)}
    )
    assert sent(one.at(OWN, "a", "chat")) == {"a": 1, "v": 1}
    assert sent(one.at(FALLBACK, "a", "chat")) == {"b": 1, "v": 1}
    assert sent(one.at(CONTEXT, "a", "chat")) == {"v": 1}
    assert one.at(FALLBACK, "a", "chat").answer == AnswerSettings(model="other")
    assert one.at(OWN, "a", "chat").answer is None


def test_backends_and_keys_are_for_requests_that_generate_text() -> None:
    one = ordering(
        None,
        sets(k=1),
        backends={"a": Level(overrides=sets(b=1), think=STRIP)},
        models={"chat": Level(overrides=Overrides(append="X", force=sets(m=1, stream=True).force))},
    )
    for surface in ("completions", "responses", "messages"):
        assert sent(one.at(OWN, "a", surface)) == {"b": 1, "m": 1, "stream": True, "k": 1}
    embeddings = one.at(OWN, "a", "embeddings")
    assert (sent(embeddings), embeddings.answer) == ({"m": 1}, None)
    assert "messages" in sent(one.at(OWN, "a", "chat"))


@pytest.mark.parametrize("overrides", [fills(stream=True), sets(stream=None), sets(stream=True)])
def test_a_stream_is_never_asked_for_where_there_is_none(overrides: Overrides) -> None:
    one = ordering(models={"chat": Level(overrides=overrides)})
    assert one.at(OWN, "a", "embeddings") == Orders()
    assert sent(one.at(OWN, "a", "embeddings"), stream=False) == {"stream": False}


def test_answers_alone_change_no_request() -> None:
    one = ordering(backends={"a": Level(think=STRIP)})
    assert not one.edits
    assert one.at(OWN, "a", "chat") == Orders(answer=AnswerSettings(think=STRIP))
    assert one.at(OWN, "b", "chat") == Orders()


def test_answers_are_as_the_most_specific_level_says() -> None:
    named = Named("chat", "chat", levels=(Level(reasoning="wrap", rename=True), Level(think=SPLIT)))
    one = ordering(
        named,
        backends={"a": Level(think=STRIP, reasoning="strip", rename=False)},
        models={"chat": Level(think=KEEP)},
    )
    assert one.at(OWN, "a", "chat").answer == AnswerSettings(SPLIT, "wrap", "chat@v")
    one = ordering(
        backends={"a": Level(think=STRIP, rename=True)}, models={"chat": Level(think=KEEP, rename=False)}
    )
    assert one.at(OWN, "a", "chat").answer is None


def test_thoughts_are_wrapped_in_the_tags_that_they_have_here() -> None:
    own = ThinkSettings(mode="keep", tags=[["[T]", "[/T]"]])
    levels = {"a": Level(reasoning="wrap", think=own), "b": Level(reasoning="wrap")}
    one = ordering(backends=levels)
    assert one.at(OWN, "a", "chat").answer == AnswerSettings(own, "wrap")
    assert one.at(OWN, "b", "chat").answer == AnswerSettings(ThinkSettings(mode="keep", tags=ENV), "wrap")


ENV = [["<a>", "</a>"]]
GROUPED: list[tuple[Group, ThinkSettings | None, ThinkSettings | None]] = [
    # the group, what is below it, what comes of them
    (Group(), None, None),
    (Group(), STRIP, STRIP),
    (Group(filters=True), None, ThinkSettings(tags=ENV)),
    (Group(filters=True), SPLIT, STRIP),
    (Group(filters=False), STRIP, None),
    (Group(filters=True, start="<t>"), None, ThinkSettings(tags=[["<t>", "</a>"]])),
    (Group(filters=True, start="<t>", end="</t>"), SPLIT, ThinkSettings(tags=[["<t>", "</t>"]])),
    (Group(start="<t>", end="</t>"), STRIP, ThinkSettings(tags=[["<t>", "</t>"]])),
    (Group(start="<t>", end="</t>"), None, None),
    (Group(start="<t>", end="</t>"), KEEP, None),
    (Group(filters=True), ThinkSettings(mode="keep", trim=True), ThinkSettings(trim=True)),
]


@pytest.mark.parametrize(("group", "below", "think"), GROUPED)
def test_thoughts_as_a_group_wants_them(
    group: Group, below: ThinkSettings | None, think: ThinkSettings | None
) -> None:
    one = ordering(Named("chat", "chat", group), backends={"a": Level(think=below)})
    answer = one.at(OWN, "a", "chat").answer
    assert (None if answer is None else answer.think) == think
