"""wire/usage.py: the dialects of the captures, and nonsense that must not become a count."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.wire.usage import Usage, _parse_any, merge, parse_usage, render_usage

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
        Usage(110, 5, cache_write_tokens=100),
    ),
    ("messages", {"output_tokens": 15}, Usage(0, 15)),
    (
        "chat",
        {"prompt_n": 9, "predicted_n": 4, "cache_n": 24, "prompt_ms": 12.5},
        Usage(33, 4, 0, 24, 0, "timings"),
    ),
    ("chat", {"prompt_n": 9, "predicted_n": 4}, Usage(9, 4, source="timings")),
    # OpenRouter
    (
        "chat",
        {
            "prompt_tokens": 194,
            "completion_tokens": 2,
            "total_tokens": 196,
            "cost": 0.95,
            "cost_details": {"upstream_inference_cost": 19},
            "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 100, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
        Usage(194, 2, 196, cache_write_tokens=100, cost=0.95),
    ),
    ("chat", {**_OPENAI, "cost": 0}, Usage(41, 64, 105, cost=0.0)),
    ("chat", {**_OPENAI, "cost": 0.5, "cost_usd": 0.25}, Usage(41, 64, 105, cost=0.25)),
    ("chat", {**_OPENAI, "cost": None}, Usage(41, 64, 105)),
    ("chat", {**_OPENAI, "cost": "0.5"}, Usage(41, 64, 105)),
    ("chat", {**_OPENAI, "cost": -0.5}, Usage(41, 64, 105)),
    ("chat", {**_OPENAI, "cost": 1e300}, Usage(41, 64, 105)),
    ("chat", {**_OPENAI, "cost": True}, Usage(41, 64, 105)),
    # Perplexity
    (
        "chat",
        {**_OPENAI, "cost": {"request_cost": 0.006, "total_cost": 0.007}},
        Usage(41, 64, 105, cost=0.007),
    ),
    ("chat", {**_OPENAI, "cost": {"total_cost": None}}, Usage(41, 64, 105)),
    # OpenAI's models that hear and speak
    (
        "chat",
        {
            **_OPENAI,
            "prompt_tokens_details": {"cached_tokens": 0, "text_tokens": 11, "audio_tokens": 30},
            "completion_tokens_details": {"text_tokens": 14, "audio_tokens": 50},
        },
        Usage(41, 64, 105, prompt_audio_tokens=30, completion_audio_tokens=50),
    ),
    (
        "chat",
        {**_OPENAI, "completion_tokens_details": {"audio_tokens": 99}},
        Usage(41, 64, 105, 0, 0, "upstream", 0, 0, 64),
    ),
    # LiteLLM in front of Anthropic
    (
        "chat",
        {**_OPENAI, "cache_read_input_tokens": 24, "cache_creation_input_tokens": 8},
        Usage(41, 64, 105, 24, cache_write_tokens=8),
    ),
    # xAI, as told in https://github.com/vercel/ai/pull/12425
    (
        "chat",
        {
            "prompt_tokens": 12,
            "completion_tokens": 1,
            "total_tokens": 399,
            "completion_tokens_details": {"reasoning_tokens": 386},
        },
        Usage(12, 387, 399, 0, 386),
    ),
    (
        "responses",
        {
            "input_tokens": 12,
            "output_tokens": 1,
            "total_tokens": 399,
            "output_tokens_details": {"reasoning_tokens": 386},
        },
        Usage(12, 387, 399, 0, 386),
    ),
    (
        "responses",
        {
            "input_tokens": 33,
            "input_tokens_details": {
                "cached_tokens": 0,
                "cache_write_tokens": 30,
                "input_tokens_per_turn": [],
            },
            "output_tokens": 16,
            "output_tokens_details": {"reasoning_tokens": 0, "tool_output_tokens": 0},
            "total_tokens": 49,
        },
        Usage(33, 16, 49, cache_write_tokens=30),
    ),
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
        assert usage.cache_write_tokens <= usage.prompt_tokens
        assert usage.source in ("upstream", "timings")


def test_two_reports_of_one_stream() -> None:
    start = parse_usage(b'{"input_tokens":1,"output_tokens":1,"cache_read_input_tokens":32}', "messages")
    delta = parse_usage(b'{"output_tokens":15}', "messages")
    assert merge(start, delta) == Usage(33, 15, 0, 32)
    assert merge(Usage(3, cost=0.5, cache_write_tokens=2), Usage(3, 4)) == Usage(
        3, 4, cost=0.5, cache_write_tokens=2
    )
    assert merge(Usage(3, 4, cost=0.5), Usage(3, 4, cost=0.0)) == Usage(3, 4, cost=0.0)
    assert merge(None, delta) == delta
    assert merge(start, None) == start
    assert merge(None, None) is None


def test_what_was_measured_never_outdoes_what_was_counted() -> None:
    timings = Usage(33, 4, 0, 24, source="timings")
    assert merge(Usage(41, 64, 105), timings) == merge(timings, Usage(41, 64, 105)) == Usage(41, 64, 105, 24)
    assert merge(Usage(9, 1, source="timings"), timings) == timings


_CAPTURES = [  # every form that the servers of the captures send
    ("chat", {"completion_tokens": 4, "prompt_tokens": 31, "total_tokens": 35}, Usage(31, 4, 35)),
    (
        "chat",
        {
            "prompt_tokens": 34,
            "total_tokens": 57,
            "completion_tokens": 23,
            "prompt_tokens_details": None,
            "completion_tokens_details": None,
        },
        Usage(34, 23, 57),
    ),
    (
        "chat",
        {
            "completion_tokens": 4,
            "prompt_tokens": 2,
            "total_tokens": 6,
            "completion_tokens_details": None,
            "prompt_tokens_details": {"audio_tokens": None, "cached_tokens": 1, "text_tokens": None},
        },
        Usage(2, 4, 6, 1),
    ),
    (
        "responses",
        {
            "input_tokens": 36,
            "input_tokens_details": {"audio_tokens": None, "cached_tokens": 0, "cached_tokens_details": None},
            "output_tokens": 87,
            "output_tokens_details": {"audio_tokens": None, "reasoning_tokens": None, "text_tokens": None},
            "total_tokens": 123,
            "cost": None,
        },
        Usage(36, 87, 123),
    ),
]


@pytest.mark.parametrize(("surface", "body", "usage"), _CAPTURES)
def test_forms_of_real_servers(surface: str, body: Any, usage: Usage) -> None:
    assert parse_usage(json.dumps(body).encode(), surface) == usage


_FULL = Usage(41, 64, 105, 24, 7, "upstream", 8, 3, 5, 0.25)


def test_a_value_becomes_the_object_that_clients_of_openai_read() -> None:
    assert json.loads(render_usage(_FULL)) == {
        **_OPENAI,
        "prompt_tokens_details": {"cached_tokens": 24, "cache_write_tokens": 8, "audio_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 7, "audio_tokens": 5},
        "cost": 0.25,
    }
    assert render_usage(Usage(3, 4)) == b'{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}'
    assert json.loads(render_usage(Usage(3, 4, source="timings"))) == json.loads(render_usage(Usage(3, 4)))
    assert json.loads(render_usage(Usage(3, 4, source="estimated")))["estimated"] is True


_tokens = st.integers(0, 10**9)


@given(
    st.builds(
        Usage,
        prompt_tokens=_tokens,
        completion_tokens=st.integers(1, 10**9),
        total_tokens=st.just(0),
        cached_tokens=_tokens,
        cache_write_tokens=_tokens,
        prompt_audio_tokens=_tokens,
        completion_audio_tokens=_tokens,
        cost=st.none() | st.floats(0, 1000),
    )
)
def test_what_is_rendered_is_read_as_it_was(usage: Usage) -> None:
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    clipped = msgspec.structs.replace(
        usage,
        total_tokens=prompt + completion,
        cached_tokens=min(usage.cached_tokens, prompt),
        cache_write_tokens=min(usage.cache_write_tokens, prompt),
        prompt_audio_tokens=min(usage.prompt_audio_tokens, prompt),
        completion_audio_tokens=min(usage.completion_audio_tokens, completion),
    )
    assert parse_usage(render_usage(usage), "chat") == clipped


_COUNTS = st.one_of(
    st.none(), st.integers(-2, 200), st.just(10**13), st.floats(0, 9), st.text(max_size=2), st.booleans()
)
_DETAILS = st.one_of(
    st.none(),
    st.dictionaries(
        st.sampled_from(["cached_tokens", "reasoning_tokens", "audio_tokens", "cache_write_tokens"]), _COUNTS
    ),
    st.text(max_size=2),
)
_COUNTED = [
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "prompt_cache_hit_tokens",
    "cache_creation_input_tokens",
    "cost",
    "cost_usd",
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
