"""providers/overflow.py: where numbers are looked for, what is left out, and that nothing breaks or blocks it."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import Overflow
from trunkline.providers import overflow
from trunkline.providers.overflow import parse, read
from trunkline.providers.overflow_patterns import CAPS, PATTERNS

OPENAI = "This model's maximum context length is 4097 tokens. However, your messages resulted in 5613 tokens."
FOUND = Overflow(4097, 5613, None, None, 1516)
LLAMA = {"code": 400, "message": "m", "type": "exceed_context_size_error", "n_prompt_tokens": 9, "n_ctx": 8}
CODE = {"error": {"message": "m", "code": "context_length_exceeded"}}


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": OPENAI, "type": "t", "code": "c"}},
        {"error": {"message": [{"error": {"message": OPENAI}}]}},
        {"error": OPENAI},
        {"object": "error", "message": OPENAI, "type": "BadRequestError", "param": None, "code": 400},
        {"detail": OPENAI},
        {"detail": [{"loc": ["body"], "msg": OPENAI, "type": "value_error"}]},
        {"error": OPENAI, "error_type": "validation"},
        {"message": OPENAI, "code": 422, "type": "Validation"},
        {"type": "error", "error": {"type": "invalid_request_error", "message": OPENAI}},
        {"error": {"message": "Provider returned error", "metadata": {"raw": json.dumps({"error": OPENAI})}}},
        {
            "error": {
                "message": f"litellm.BadRequestError: - {json.dumps({'error': {'message': OPENAI}})}. Received"
            }
        },
        {
            "errors": [
                {"message": f"AiError: {json.dumps({'object': 'error', 'message': OPENAI})}", "code": 8007}
            ]
        },
        [{"error": {"code": 400, "message": OPENAI, "status": "INVALID_ARGUMENT"}}],
        {"base_resp": {"status_code": 2013, "status_msg": OPENAI}},
        {"error": "ERROR_PROVIDER", "details": {"title": "Server Error", "detail": f"adapter: {OPENAI}"}},
        {"error_code": "BAD_REQUEST", "message": OPENAI.upper()},
        OPENAI,
    ],
)
def test_every_form_of_body(body: Any) -> None:
    raw = json.dumps(body).encode()
    for status in (200, 400, 413, 422, 500):
        assert parse(status, raw) == FOUND
    assert parse(200, b"data: " + raw + b"\n\n") == FOUND
    assert parse(200, b": ping\n\nevent: error\r\ndata: " + raw + b"\r\n\r\ndata: [DONE]\r\n\r\n") == FOUND


@pytest.mark.parametrize(
    "body",
    [
        {"error": LLAMA},
        LLAMA,
        {"error": {"message": "failed", "metadata": {"raw": json.dumps({"error": LLAMA})}}},
        [{"error": {**LLAMA, "n_ctx": 8.0}}],
    ],
)
def test_fields_come_before_words(body: Any) -> None:
    raw = json.dumps(body).encode()
    assert parse(200, raw) == parse(500, raw) == Overflow(8, 9, None, None, 1)
    assert parse(200, b"data: {}\n\ndata: " + raw + b"\n\n") == Overflow(8, 9, None, None, 1)


@pytest.mark.parametrize("value", [None, True, "9", -1, 10**15, [9]])
def test_fields_that_are_no_counts(value: Any) -> None:
    body = json.dumps({"error": {"message": "failed", "n_prompt_tokens": value, "n_ctx": 8}}).encode()
    assert parse(400, body) is None


@pytest.mark.parametrize(
    "body",
    [
        CODE,
        {"error": {"message": "m", "type": "exceed_context_size_error"}},
        {"error": {"message": "litellm.ContextWindowExceededError: litellm.BadRequestError: mock"}},
        {"error": {"message": "rate limits do not matter here", "code": "context_length_exceeded"}},
        {"base_resp": {"status_code": 1039, "status_msg": "token limit"}},
        {"error": {"code": "1261", "message": "Prompt 超长"}},
        {
            "error": {
                "message": "Invalid 'input': string too long. Expected a string with maximum length 10485760"
            }
        },
        {
            "error": {
                "message": "Invalid 'messages[0].content': string too long. Expected a string with maximum"
            }
        },
    ],
)
def test_an_overflow_without_numbers(body: Any) -> None:
    assert parse(200, json.dumps(body).encode()) == Overflow()


def test_the_code_of_github_models() -> None:
    message = "Request body too large for gpt-4o model. Max size: 8000 tokens."
    body = {"error": {"code": "tokens_limit_reached", "message": message, "details": message}}
    assert parse(413, json.dumps(body).encode()) == Overflow(8000)


def test_a_code_with_a_message() -> None:
    body = {"error": {"message": OPENAI + " Your rate limit is fine.", "code": "context_length_exceeded"}}
    assert parse(400, json.dumps(body).encode()) == FOUND
    assert parse(400, b'{"error":{"code":"context_length_exceeded"}}') == Overflow()


@pytest.mark.parametrize(
    ("status", "found"), [(413, Overflow()), (400, Overflow()), (429, None), (500, None)]
)
def test_the_status_gates_vague_words(status: int, found: Overflow | None) -> None:
    body = b'{"error":{"message":"Request exceeds the maximum size"}}'
    assert parse(status, body) == found
    inside = json.dumps(
        {"error": {"message": "Please reduce the length of the messages", "code": status}}
    ).encode()
    assert parse(200, inside) == found
    assert parse(200, b"data: " + inside + b"\n\n") == found


@pytest.mark.parametrize(
    "body",
    [
        {
            "error": {"message": "Invalid request"},
            "request": {"messages": [{"role": "user", "content": OPENAI}]},
        },
        {"detail": [{"loc": ["body", "x"], "msg": "Field required", "type": "missing", "input": OPENAI}]},
        {
            "error": {
                "message": "1 validation error:\n  {'msg': 'Field required', 'input': {'content': \"" + OPENAI
            }
        },
        {"error": {"message": f"Invalid value: '{OPENAI}'. Supported values are: 'auto' and 'none'."}},
        {"error": {"message": "the prompt was flagged by our content filter: " + OPENAI}},
        {"choices": [{"message": {"role": "assistant", "content": OPENAI}}], "usage": {"prompt_tokens": 5}},
        {"choices": [{"delta": {"content": OPENAI}}]},
        {"message": {"role": "assistant", "content": OPENAI}, "done": True},
        {"response": OPENAI, "done": True},
        {"type": "message", "content": [{"type": "text", "text": OPENAI}]},
        {},
        [],
        None,
        17,
    ],
)
def test_what_users_and_models_wrote_is_not_read(body: Any) -> None:
    raw = json.dumps(body).encode()
    for status in (200, 400, 422, 500):
        assert parse(status, raw) is None
        assert parse(status, b"data: " + raw + b"\n\n") is None


@pytest.mark.parametrize(
    "body", [b"", b" ", b"<html><h1>413 Request Entity Too Large</h1></html>", b"data:\n\n"]
)
def test_bodies_that_say_nothing(body: bytes) -> None:
    assert [parse(status, body) for status in (200, 400, 413, 500)] == [None] * 4


def test_an_overlong_body_is_no_text() -> None:
    body = json.dumps(
        {"messages": OPENAI, "pad": "x" * overflow.MAX_BODY, "error": {"message": OPENAI}}
    ).encode()
    assert parse(400, body) is None
    assert parse(400, OPENAI.encode() + b"x" * overflow.MAX_BODY) == FOUND


def test_a_cap_is_told_by_read_alone() -> None:
    body = json.dumps({"error": {"message": CAPS[0].sample, "code": "invalid_value"}}).encode()
    assert parse(400, body) is None
    assert read(400, body) == Overflow(16384, output=32000, too_long="cap")


def test_an_escaped_comparison() -> None:
    body = (
        rb'{"error":{"message":"x {\"error\":\"prompt is too long: 203557 tokens \\u003e 200000 maximum\"}"}}'
    )
    assert parse(400, body) == Overflow(200000, 203557, None, None, 3557)


def test_deep_and_wide_bodies() -> None:
    assert parse(400, b'{"error":' * 50_000) is None
    assert parse(400, b"[" * 20 + json.dumps({"error": LLAMA}).encode() + b"]" * 20) is None
    wide = json.dumps([{}] * 500 + [{"error": LLAMA}]).encode()
    assert parse(400, wide) is None


HOSTILE = [
    *("(", "1 ", "1,111 ", " 111", "max_tokens ", "prompt ", "[", '{"error":', "\\", '"', "1.1.1", "1 + 1 "),
    *(
        "model's ",
        "context ",
        "(1 - 1",
        "input_value = ",
        "in the completion (",
        "error 400",
        "上下文",
        "at least ",
    ),
    *('data: {"error":{"message":"x"}}\n\n', ": \n\n"),
    *(row.sample for row in (*PATTERNS, *CAPS)),
]


@pytest.mark.parametrize("piece", HOSTILE, ids=lambda piece: piece[:30])
def test_hostile_bodies_take_bounded_time(piece: str) -> None:
    text = piece * (8 * 1024 * 1024 // len(piece.encode()) + 1)
    bodies = [text.encode()[: 8 * 1024 * 1024]]
    bodies.append(
        json.dumps({"error": {"message": text[:900_000], "detail": text[:9000]}}).encode()[: 1024 * 1024]
    )
    began = time.process_time()
    for body in bodies:
        assert parse(400, body) is None or parse(400, body)
    # Measured: some 10 ms each. An exponential pattern would not end at all.
    assert time.process_time() - began < 5


words = st.lists(
    st.sampled_from([*" ".join(row.sample for row in (*PATTERNS, *CAPS)).split(), "9" * 40, "\x00"]),
    max_size=40,
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words.map(" ".join),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["error", "message", "detail", "metadata", "raw", "code", "type", "n_ctx", "n_prompt_tokens"]
            ),
            inner,
            max_size=5,
        )
    ),
)


@given(st.integers(100, 599), st.binary(max_size=200) | values.map(lambda value: json.dumps(value).encode()))
def test_never_raises_and_never_contradicts_itself(status: int, body: bytes) -> None:
    found = read(status, body)
    for data in (body, b"data: " + body + b"\n\n"):
        parsed = parse(status, data)
        assert parsed is None or parsed.too_long != "cap"
    if found is not None:
        for value in (found.limit, found.input, found.output, found.total, found.excess):
            assert value is None or 0 <= value <= 10**13
