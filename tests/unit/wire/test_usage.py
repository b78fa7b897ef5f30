"""wire/usage.py: the dialects of the captures, and nonsense that must not become a count."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.wire.usage import Usage, _parse_any, merge, parse_usage

_OPENAI = {"prompt_tokens": 41, "completion_tokens": 64, "total_tokens": 105}
_ROWS: list[tuple[str, Any, Usage | None]] = [
    ("chat", _OPENAI, Usage(41, 64, 105)),
    (
        "chat",
        {
            **_OPENAI,
            "prompt_tokens_details": {"cached_tokens": 24, "audio_tokens": None},
            "completion_tokens_details": {"reasoning_tokens": 7},
        },
        Usage(41, 64, 105, 24, 7),
    ),
    (
        "chat",
        {**_OPENAI, "prompt_tokens_details": None, "completion_tokens_details": None},
        Usage(41, 64, 105),
    ),
    (
        "chat",
        {**_OPENAI, "prompt_tokens_details": [1, 2, 3], "completion_tokens_details": "many"},
        Usage(41, 64, 105),
    ),
    ("chat", {**_OPENAI, "prompt_tokens_details": {"cached_tokens": "24"}}, Usage(41, 64, 105)),
    ("chat", {**_OPENAI, "prompt_tokens_details": {"cached_tokens": 99}}, Usage(41, 64, 105, 41)),
    (
        "chat",
        {**_OPENAI, "prompt_cache_hit_tokens": 32, "prompt_cache_miss_tokens": 9},
        Usage(41, 64, 105, 32),
    ),
    ("chat", {**_OPENAI, "total_tokens": None}, Usage(41, 64)),
    ("chat", {"prompt_tokens": 41.0, "completion_tokens": 64.0}, Usage(41, 64)),
    ("embeddings", {"prompt_tokens": 8, "total_tokens": 8}, Usage(8, 0, 8)),
    ("embeddings", {"prompt_tokens": 8, "completion_tokens": None, "total_tokens": 8}, Usage(8, 0, 8)),
    (
        "responses",
        {
            "input_tokens": 33,
            "output_tokens": 16,
            "total_tokens": 49,
            "input_tokens_details": {"cached_tokens": 32},
            "output_tokens_details": {"reasoning_tokens": 4},
        },
        Usage(33, 16, 49, 32, 4),
    ),
    ("messages", {"cache_read_input_tokens": 32, "input_tokens": 1, "output_tokens": 6}, Usage(33, 6, 0, 32)),
    (
        "messages",
        {
            "input_tokens": 10,
            "output_tokens": 5,
            "cache_read_input_tokens": None,
            "cache_creation_input_tokens": 100,
        },
        Usage(110, 5),
    ),
    ("messages", {"output_tokens": 15}, Usage(0, 15)),
    ("chat", {"prompt_n": 9, "predicted_n": 4, "cache_n": 24, "prompt_ms": 12.5}, Usage(33, 4, 0, 24)),
    ("chat", {"prompt_n": 9, "predicted_n": 4}, Usage(9, 4)),
    ("chat", {"prompt_tokens": "41", "completion_tokens": 64}, None),
    ("chat", {"prompt_tokens": 41, "completion_tokens": 6.5}, None),
    ("chat", {"prompt_tokens": 41, "completion_tokens": -1}, None),
    ("chat", {"prompt_tokens": True, "completion_tokens": 1}, None),
    ("chat", {"prompt_tokens": 10**30, "completion_tokens": 1}, None),
    ("messages", {"input_tokens": "1", "output_tokens": 6, "cache_read_input_tokens": 32}, None),
    ("chat", {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, None),
    ("chat", {"prompt_tokens": None, "completion_tokens": None}, None),
    ("chat", {}, None),
    ("chat", None, None),
    ("chat", [], None),
    ("chat", "usage", None),
]


@pytest.mark.parametrize(("surface", "body", "usage"), _ROWS)
def test_dialects(surface: str, body: Any, usage: Usage | None) -> None:
    raw = json.dumps(body).encode()
    assert parse_usage(raw, surface) == usage
    assert parse_usage(msgspec.Raw(raw), surface) == usage


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[" * 100_000, b'{"a":' * 100_000])
def test_bytes_that_are_no_object(raw: bytes) -> None:
    assert parse_usage(raw, "chat") is None


_FIELDS = [
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "prompt_n",
    "cache_n",
    "prompt_tokens_details",
]
_values = st.none() | st.booleans() | st.integers(-5, 99) | st.integers() | st.floats() | st.text(max_size=3)


@given(
    st.dictionaries(st.sampled_from(_FIELDS), _values | st.dictionaries(st.just("cached_tokens"), _values)),
    st.sampled_from(["chat", "responses", "messages"]),
)
def test_counts_are_sane_whatever_comes(body: dict[str, Any], surface: str) -> None:
    usage = parse_usage(json.dumps(body).encode(), surface)
    if usage is not None:
        assert usage.prompt_tokens + usage.completion_tokens > 0
        assert 0 <= usage.cached_tokens <= usage.prompt_tokens
        assert 0 <= usage.reasoning_tokens <= usage.completion_tokens
        assert usage.source == "upstream"


def test_two_reports_of_one_stream() -> None:
    start = parse_usage(b'{"input_tokens":1,"output_tokens":1,"cache_read_input_tokens":32}', "messages")
    delta = parse_usage(b'{"output_tokens":15}', "messages")
    assert merge(start, delta) == Usage(33, 15, 0, 32)
    assert merge(None, delta) == delta
    assert merge(start, None) == start
    assert merge(None, None) is None


_COUNTS = st.one_of(
    st.none(), st.integers(-2, 200), st.just(10**13), st.floats(0, 9), st.text(max_size=2), st.booleans()
)
_DETAILS = st.one_of(
    st.none(),
    st.dictionaries(st.sampled_from(["cached_tokens", "reasoning_tokens", "audio_tokens"]), _COUNTS),
    st.text(max_size=2),
)
_COUNTED = [
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "prompt_cache_hit_tokens",
    "input_tokens",
    "prompt_n",
]


@given(
    st.dictionaries(st.sampled_from(_COUNTED), _COUNTS),
    st.dictionaries(st.sampled_from(["prompt_tokens_details", "completion_tokens_details"]), _DETAILS),
    st.sampled_from(["chat", "messages"]),
)
def test_the_short_way_for_the_plain_form_gives_what_the_long_way_gives(
    counts: dict[str, Any], details: dict[str, Any], surface: str
) -> None:
    raw = msgspec.json.encode({**counts, **details})
    assert parse_usage(raw, surface) == _parse_any(raw, surface)
