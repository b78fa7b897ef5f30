"""policy/overflow_recovery.py: what is done about a refusal for length, and never the same size twice."""

from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import Overflow
from trunkline.policy.overflow_recovery import (
    MAX_ROUNDS,
    Evict,
    GiveUp,
    Larger,
    Lower,
    Means,
    Step,
    lower_limit,
    next_step,
    too_small,
)

ALL = Means(context_fallback=True, evict=True, fallbacks=True)
NOTHING = GiveUp("nothing larger, and nothing may be evicted")


def request(**fields: Any) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in fields.items()}


def step(
    overflow: Overflow, means: Means, *, prompt: int = 1000, window: int | None = None, **fields: Any
) -> Step:
    return next_step(
        overflow, request(model="m", **fields), "chat", means, prompt_tokens=prompt, window=window
    )


@pytest.mark.parametrize(
    ("overflow", "fields", "expected"),
    [
        # vLLM: 16744 asked for, 20956 in the prompt, 32768 in all
        (Overflow(32768, 20956, 16744, 37700, 4932, too_long="output"), {"max_tokens": 16744}, Lower(11812)),
        (Overflow(32768, 32767, 2, too_long="output"), {"max_completion_tokens": 2}, Lower(1)),
        (Overflow(output=5000, excess=1000, too_long="output"), {"max_tokens": 5000}, Lower(4000)),
        (Overflow(16384, output=32000, too_long="cap"), {"max_tokens": 32000}, Lower(16384)),
        (Overflow(16384, too_long="cap"), {"max_tokens": 16385.0}, Lower(16384)),
        # a limit that the request does not name was put in on the way
        (Overflow(100, 60, 50, too_long="output"), {}, Lower(40)),
        (Overflow(100, 60, 50, too_long="output"), {"max_tokens": None}, Lower(40)),
        # it would be no smaller
        (Overflow(100, 60, 50, too_long="output"), {"max_tokens": 40}, Larger(100, context_fallback=True)),
        (Overflow(too_long="output"), {"max_tokens": 40}, Larger(None, context_fallback=True)),
        (Overflow(100, 100, 50, too_long="output"), {"max_tokens": 50}, Larger(100, context_fallback=True)),
    ],
)
def test_an_answer_that_is_too_long(overflow: Overflow, fields: dict[str, Any], expected: Step) -> None:
    assert step(overflow, ALL, **fields) == expected


def test_a_cap_is_all_that_can_be_done_about_a_cap() -> None:
    reason = "the model gives no answer that long, and a shorter one cannot be asked for"
    assert step(Overflow(too_long="cap"), ALL, max_tokens=9) == GiveUp(reason)
    assert step(Overflow(9, too_long="cap"), ALL, max_tokens=9) == GiveUp(reason)


PROMPT = Overflow(4097, 5613, None, 5613, 1516)


def test_a_prompt_that_is_too_long_takes_the_first_step_left() -> None:
    assert step(PROMPT, ALL) == Larger(4097, context_fallback=True)
    assert step(PROMPT, Means(evict=True, fallbacks=True)) == Evict(1516 + 256)
    assert step(PROMPT, Means(evict=True, fallbacks=True, rounds=MAX_ROUNDS)) == Larger(
        4097, context_fallback=False
    )
    assert step(PROMPT, Means(fallbacks=True)) == Larger(4097, context_fallback=False)
    assert step(PROMPT, Means()) == NOTHING
    assert step(PROMPT, Means(evict=True, rounds=MAX_ROUNDS)) == GiveUp("it was made smaller 3 times")


def test_the_window_is_what_the_refusal_says_else_what_is_known() -> None:
    means = Means(context_fallback=True)
    assert step(PROMPT, means, window=8192) == Larger(4097, context_fallback=True)
    assert step(Overflow(), means, window=8192) == Larger(8192, context_fallback=True)


@pytest.mark.parametrize(
    ("overflow", "known", "tokens"),
    [
        # both are counted: that much, and no more
        (Overflow(8192, 9739, 512, 10251, 2059), {}, 2059),
        (Overflow(8192, 9739, 512), {}, 1547),
        # the prompt alone: room for the answer too
        (Overflow(8192, 9739, None, 9739, 1547), {"max_tokens": 100}, 1647),
        (Overflow(8192, 9739, None, 9739, 1547), {"max_tokens": 9999}, 1547 + 2048),
        (Overflow(excess=65590), {}, 65590 + 256),
        # it stopped counting: the estimate, if that says more
        (Overflow(8192, 8193, 512, 8705, 513, at_least=True), {"prompt": 12192}, 4000),
        (Overflow(8192, 8193, 512, 8705, 513, at_least=True), {"prompt": 800}, 513),
        # no numbers: the estimate over the window, or a quarter
        (Overflow(), {"prompt": 12192, "window": 8192}, 4000 + 256),
        (Overflow(), {"prompt": 4000, "window": 8192}, 1000 + 256),
        (Overflow(), {"prompt": 4000}, 1000 + 256),
        (Overflow(output=5), {"prompt": 0}, 1),
    ],
)
def test_how_much_goes(overflow: Overflow, known: dict[str, Any], tokens: int) -> None:
    assert step(overflow, Means(evict=True), **known) == Evict(tokens)


@pytest.mark.parametrize(
    ("surface", "fields", "expected"),
    [
        ("chat", {"max_tokens": 9, "x": 1}, {"max_tokens": 5, "x": 1}),
        (
            "chat",
            {"max_tokens": 9, "max_completion_tokens": 4},
            {"max_tokens": 5, "max_completion_tokens": 4},
        ),
        ("chat", {"max_completion_tokens": 9}, {"max_completion_tokens": 5}),
        ("chat", {"max_tokens": "odd"}, {"max_tokens": 5}),
        ("chat", {"max_tokens": True}, {"max_tokens": 5}),
        ("chat", {"max_tokens": 5}, None),
        ("completions", {}, {"max_tokens": 5}),
        ("messages", {"max_tokens": 6}, {"max_tokens": 5}),
        ("responses", {"max_tokens": 4}, {"max_tokens": 4, "max_output_tokens": 5}),
        ("embeddings", {}, None),
    ],
)
def test_lowering(surface: str, fields: dict[str, Any], expected: dict[str, Any] | None) -> None:
    before = request(**fields)
    after = lower_limit(before, surface, 5)
    assert after == (None if expected is None else request(**expected))
    assert before == request(**fields)


@pytest.mark.parametrize("raw", [b'"\\ud83d"', b"1e999", b"[" * 9999, b"nonsense"])
def test_a_limit_that_cannot_be_read_is_replaced(raw: bytes) -> None:
    lowered = lower_limit({"max_tokens": msgspec.Raw(raw)}, "chat", 5)
    assert lowered == request(max_tokens=5)


def test_windows_that_are_too_small() -> None:
    assert too_small(8192, 8191) == too_small(None, 8192) == too_small(8192, None) == ""
    assert too_small(8192, 8192) == "its window of 8192 tokens is not larger than 8192"


_counts = st.none() | st.integers(0, 300_000)
_words: tuple[Literal["prompt", "output", "cap"], ...] = ("prompt", "output", "cap")


@given(
    st.builds(Overflow, _counts, _counts, _counts, _counts, _counts, st.booleans(), st.sampled_from(_words)),
    st.none() | st.integers(1, 100_000),
    st.integers(0, 5),
    st.integers(0, 300_000),
)
def test_a_call_always_comes_to_an_end_and_never_repeats_a_size(
    overflow: Overflow, asked: int | None, rounds: int, prompt: int
) -> None:
    fields = {} if asked is None else {"max_tokens": asked}
    found = step(overflow, Means(rounds=rounds, evict=True), prompt=prompt, **fields)
    if rounds >= MAX_ROUNDS:
        assert isinstance(found, GiveUp)
    elif isinstance(found, Lower):
        assert 0 < found.tokens < (asked or 10**9)
    elif isinstance(found, Evict):
        assert found.tokens > 0
