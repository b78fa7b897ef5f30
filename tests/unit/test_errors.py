"""errors.py: what the numbers of a refusal for length say about the answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import Overflow


@pytest.mark.parametrize(
    ("overflow", "room"),
    [
        (Overflow(32768, 20956, 16744, 37700, 4932, too_long="output"), 11812),
        (Overflow(32768, 32767, 2, too_long="output"), 1),
        (Overflow(output=5000, excess=1000, too_long="output"), 4000),
        (Overflow(16384, output=32000, too_long="cap"), 16384),
        (Overflow(100, 100, 50, too_long="output"), None),
        (Overflow(100, 101, 50, too_long="output"), None),
        (Overflow(output=50, excess=50, too_long="output"), None),
        (Overflow(output=50, excess=0, too_long="output"), None),
        (Overflow(100, output=50, too_long="output"), None),
        (Overflow(too_long="output"), None),
        (Overflow(too_long="cap"), None),
        (Overflow(0, too_long="cap"), None),
        (Overflow(100, 60, 50, 110, 10), None),
    ],
)
def test_the_longest_answer_that_fits(overflow: Overflow, room: int | None) -> None:
    assert overflow.room == room


@given(st.integers(1, 300_000), st.integers(1, 300_000), st.integers(1, 300_000))
def test_window_and_excess_tell_the_same(limit: int, prompt: int, output: int) -> None:
    whole = Overflow(limit, prompt, output, too_long="output")
    over = Overflow(output=output, excess=max(prompt + output - limit, 0), too_long="output")
    if prompt + output > limit:
        assert whole.room == over.room
        assert whole.room is None or 0 < whole.room < output
