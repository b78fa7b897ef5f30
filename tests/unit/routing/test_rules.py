"""routing/rules.py: which model, by what is in a request."""

from typing import Any

import msgspec
import pytest

from trunkline.routing.asked import Asked
from trunkline.routing.backend import BackendSettings
from trunkline.routing.models import KnownModels, PublicModels
from trunkline.routing.rules import (
    MAX_TEXT,
    Rule,
    Rules,
    RuleSettings,
    View,
    WhenSettings,
    doubts,
    first_match,
    parse_span,
    problems,
)

DESIGN: list[dict[str, Any]] = [
    {"for": ["auto"], "when": {"contains_any": ["code", "programming"]}, "use": "code-llama"},
    {"for": ["auto"], "when": {"max_chars": 50}, "use": "fast-model"},
    {"for": ["auto"], "use": "general-model"},
]


def settings(*items: dict[str, Any]) -> list[RuleSettings]:
    return msgspec.convert(list(items), list[RuleSettings])


def use(view: View, *items: dict[str, Any], model: str = "auto") -> str | None:
    found = first_match(Rules(settings(*items)).of(model), view)
    return None if found is None else found.use


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("Write CODE", "code-llama"),
        ("Programming!", "code-llama"),
        ("decoder", "code-llama"),
        ("x" * 50, "fast-model"),
        ("x" * 51, "general-model"),
        ("", "fast-model"),
        ("x" * 60 + "code", "code-llama"),
    ],
)
def test_the_example_of_the_contract(text: str, model: str) -> None:
    assert use(View(asked=Asked(text)), *DESIGN) == model


@pytest.mark.parametrize(
    ("condition", "length", "holds"),
    [
        ("shorter_than", 49, True),
        ("shorter_than", 50, False),
        ("max_chars", 50, True),
        ("max_chars", 51, False),
        ("min_chars", 50, True),
        ("min_chars", 49, False),
        ("longer_than", 51, True),
        ("longer_than", 50, False),
    ],
)
def test_lengths(condition: str, length: int, holds: bool) -> None:
    found = use(View(asked=Asked("ü" * length)), {"when": {condition: 50}, "use": "x"})
    assert (found == "x") == holds


@pytest.mark.parametrize(
    ("when", "view", "holds"),
    [
        ({}, View(), True),
        ({"contains_all": ["a", "B"]}, View(asked=Asked("b A")), True),
        ({"contains_all": ["a", "b"]}, View(asked=Asked("a")), False),
        ({"contains_any": ["STRASSE"]}, View(asked=Asked("Die Straße")), True),
        ({"contains_any": ["x"]}, View(asked=Asked("y")), False),
        ({"tools": True}, View(asked=Asked(tools=True)), True),
        ({"tools": True}, View(), False),
        ({"tools": False}, View(asked=Asked(tools=True)), False),
        ({"images": True}, View(asked=Asked(images=True)), True),
        ({"images": True}, View(), False),
        ({"json_schema": True}, View(asked=Asked(json_schema=True)), True),
        ({"json_schema": True}, View(), False),
        ({"stream": False}, View(), True),
        ({"stream": False}, View(stream=True), False),
        ({"headers": {"X-Team": "a*"}}, View(headers={b"x-team": b"abc"}), True),
        ({"headers": {"x-team": "*"}}, View(headers={b"x-team": b""}), True),
        ({"headers": {"x-team": "A*"}}, View(headers={b"x-team": b"abc"}), False),
        ({"headers": {"x-team": "a", "x-b": "1"}}, View(headers={b"x-team": b"a"}), False),
        ({"keys": ["team-*"]}, View(key="team-a"), True),
        ({"keys": ["team-*"]}, View(key="other"), False),
        ({"key_tags": ["gold", "silver"]}, View(tags=("silver",)), True),
        ({"key_tags": ["gold"]}, View(tags=()), False),
        ({"tools": True, "max_chars": 3}, View(asked=Asked("long text", tools=True)), False),
    ],
)
def test_conditions(when: dict[str, Any], view: View, holds: bool) -> None:
    assert (use(view, {"when": when, "use": "x"}) == "x") == holds


MONDAY, SUNDAY = 0, 6


@pytest.mark.parametrize(
    ("time", "days", "minute", "weekday", "holds"),
    [
        ("09:00-17:30", [], 9 * 60, MONDAY, True),
        ("09:00-17:30", [], 17 * 60 + 30, MONDAY, False),
        ("9:00 - 17:30", ["mon"], 600, SUNDAY, False),
        ("22:00-06:00", [], 23 * 60, MONDAY, True),
        ("22:00-06:00", [], 5 * 60 + 59, MONDAY, True),
        ("22:00-06:00", [], 6 * 60, MONDAY, False),
        ("22:00-06:00", ["sun"], 3 * 60, MONDAY, True),
        ("22:00-06:00", ["mon"], 3 * 60, MONDAY, False),
        ("00:00-24:00", [], 1439, MONDAY, True),
        (None, ["sun", "mon"], 0, SUNDAY, True),
        (None, ["tue"], 0, SUNDAY, False),
    ],
)
def test_time_of_day(time: str | None, days: list[str], minute: int, weekday: int, holds: bool) -> None:
    view = View(minute=minute, weekday=weekday)
    assert (use(view, {"when": {"time": time, "days": days}, "use": "x"}) == "x") == holds


def test_rules_are_for_models_by_name_or_glob_or_for_all() -> None:
    rules = Rules(
        settings(
            {"for": ["a", "b-*"], "use": "1"},
            {"use": "2"},
            {"for": ["c"], "when": {"tools": True}, "use": "3"},
        )
    )
    assert [[rule.use for rule in rules.of(name)] for name in ("a", "b-1", "c", "A")] == [
        ["1", "2"],
        ["1", "2"],
        ["2", "3"],
        ["2"],
    ]
    assert repr(rules) == "<Rules: 3>"
    assert repr(rules.of("a")[0]) == "<Rule 0 -> 1>"
    assert first_match((), View()) is None
    assert rules.of("a")[1].place == 1


@pytest.mark.parametrize("text", ["", "9-17", "25:00-03:00", "09:00-24:30", "09:60-10:00", "24:00-01:00"])
def test_what_is_no_span(text: str) -> None:
    with pytest.raises(ValueError, match="expected a span like"):
        parse_span(text)


def known(*names: str) -> KnownModels:
    backend = BackendSettings(name="b", url="http://h", models=list(names) if names else None)
    return KnownModels(PublicModels({}), [backend])


def test_what_is_wrong_is_told_with_its_place() -> None:
    wrong = settings(
        {"for": [], "when": {"time": "9"}, "use": "a"},
        {"when": {"time": "09:00-9:00", "contains_any": ["x", ""], "contains_all": [""]}, "use": "b-*"},
        {"when": {"headers": {"X-Team:": "*", "X-Team": "*"}}, "use": "model-b"},
        {"use": " a"},
    )
    assert list(problems(wrong, known("a", "model-a"))) == [
        ((0, "for"), "is empty, so the rule is for no model"),
        ((0, "when", "time"), "expected a span like 09:00-17:30, not '9'"),
        ((1, "use"), "must be one model, not several"),
        ((1, "when", "time"), "ends when it begins; the whole day is 00:00-24:00"),
        ((1, "when", "contains_any", 1), "is empty, and so is in every text"),
        ((1, "when", "contains_all", 0), "is empty, and so is in every text"),
        ((2, "use"), "no model is called `model-b`; did you mean `model-a`?"),
        ((2, "when", "headers", "X-Team:"), "is not the name of a header"),
        ((3, "use"), "has a blank at one end of its name"),
    ]
    assert not list(problems(settings(*DESIGN), known()))
    assert not list(problems(settings({"when": {"time": "09:00-10:00"}, "use": "a"}), known("a")))


NEVER = "is never asked: rule [0] before it always matches"


@pytest.mark.parametrize(
    ("first", "second", "reached"),
    [
        ({}, {}, False),
        ({}, {"for": ["a"], "when": {"tools": True}}, False),
        ({"for": ["a", "b-*"]}, {"for": ["a", "b-1"]}, False),
        ({"for": ["a"]}, {"for": ["a", "c"]}, True),
        ({"for": ["a"]}, {}, True),
        ({"when": {"stream": False}}, {}, True),
    ],
)
def test_a_rule_behind_one_that_always_matches_is_doubtful(
    first: dict[str, Any], second: dict[str, Any], reached: bool
) -> None:
    found = doubts(settings(first | {"use": "a"}, second | {"use": "a"}), known())
    assert list(found) == ([] if reached else [((1,), NEVER)])


def test_a_model_of_rules_only_needs_one_that_always_matches() -> None:
    assert not list(doubts(settings(*DESIGN), known("x")))
    assert not list(doubts(settings(*DESIGN[:2]), known()))
    assert not list(doubts(settings({"for": ["a", "m*"], "when": {"tools": True}, "use": "a"}), known("a")))
    words = "`auto` is a model of rules only, and all of them have `when`: a call that matches none gets 404"
    assert list(doubts(settings(*DESIGN[:2]), known("x"))) == [((0, "for", 0), words)]


@pytest.mark.parametrize(
    "wrong", [{"use": ""}, {}, {"use": "x", "when": {"odd": 1}}, {"use": "x", "when": {"days": ["Mo"]}}]
)
def test_what_cannot_be_written(wrong: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        settings(wrong)


def test_words_are_looked_for_in_the_beginning_of_a_very_long_text() -> None:
    rule = Rule(RuleSettings(when=WhenSettings(contains_any=["code"]), use="m"), 0)
    for before, found in ((0, True), (MAX_TEXT - 4, True), (MAX_TEXT, False)):
        assert rule.matches(View(asked=Asked("x" * before + "code"))) is found
