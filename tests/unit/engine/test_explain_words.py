"""engine/explain_words.py: there are words for everything."""

from typing import get_args

import pytest

from trunkline import errors
from trunkline.engine.explain_words import (
    AGAINST,
    FAULTS,
    STRATEGIES,
    fault_words,
    first_words,
    seconds_words,
)
from trunkline.routing.models import Strategy
from trunkline.routing.needs import Lack
from trunkline.routing.target import Reason


def test_every_kind_of_failure_has_words() -> None:
    assert set(FAULTS) == set(errors.KINDS)
    assert fault_words("cut") == "the answer was cut off"
    assert fault_words("of another version") == "of another version"


def test_everything_that_speaks_against_a_candidate_has_words() -> None:
    assert set(AGAINST) == {*map(str, Reason), *get_args(Lack)}


def test_every_strategy_has_words() -> None:
    assert set(STRATEGIES) == set(get_args(Strategy))


@pytest.mark.parametrize("against", ["", *map(str, Reason)])
def test_why_one_is_asked_first(against: str) -> None:
    own = first_words("cost", "chat", against, ["b (full)"], own=True)
    assert own != first_words("cost", "chat", against, ["b (full)"], own=False) or against in LAST
    assert ("passed over: b (full)" in own) is (against not in ("busy", *LAST))


LAST = ("ejected", "unhealthy")


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.0004, "0 ms"), (0.25, "250 ms"), (1.26, "1.3 s"), (75.2, "75 s")]
)
def test_durations(seconds: float, words: str) -> None:
    assert seconds_words(seconds) == words
