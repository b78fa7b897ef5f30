"""policy/overflow_recovery.py: a request that was too long is made smaller, never the same again."""

from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import Overflow
from trunkline.policy.overflow_recovery import lower_limit, tokens_to_free


def request(**fields: Any) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in fields.items()}


def to_free(overflow: Overflow, prompt: int = 1000, window: int | None = None, **fields: Any) -> int:
    return tokens_to_free(overflow, request(model="m", **fields), "chat", prompt_tokens=prompt, window=window)


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
        # the window that the refusal names, not the one that was thought to be
        (Overflow(4097, 5613, None, 5613, 1516), {"window": 8192}, 1516 + 256),
        (Overflow(4097, 5613), {"window": 8192}, 1516 + 256),
        (Overflow(), {"prompt": 4000, "window": 8192}, 1000 + 256),
        (Overflow(), {"prompt": 4000}, 1000 + 256),
        (Overflow(output=5), {"prompt": 0}, 1),
    ],
)
def test_how_much_goes(overflow: Overflow, known: dict[str, Any], tokens: int) -> None:
    assert to_free(overflow, **known) == tokens


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
        ("chat", {"max_tokens": -1}, {"max_tokens": 5}),
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


_counts = st.none() | st.integers(0, 300_000)
_asked = st.none() | st.integers(-1, 300_000)
_words: tuple[Literal["prompt", "output", "cap"], ...] = ("prompt", "output", "cap")
_overflows = st.builds(
    Overflow, _counts, _counts, _counts, _counts, _counts, st.booleans(), st.sampled_from(_words)
)


@given(_overflows, _asked, st.integers(0, 300_000), _counts)
def test_something_always_goes(
    overflow: Overflow, asked: int | None, prompt: int, window: int | None
) -> None:
    assert to_free(overflow, prompt, window, max_tokens=asked) > 0


@given(st.none() | st.integers(1, 100_000), st.integers(1, 100_000))
def test_a_lowered_limit_is_lower(asked: int | None, tokens: int) -> None:
    lowered = lower_limit(request(max_tokens=asked), "chat", tokens)
    if lowered is None:
        assert asked is not None
        assert asked <= tokens
    else:
        assert lowered == request(max_tokens=tokens)
        assert asked is None or tokens < asked
