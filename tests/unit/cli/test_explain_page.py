"""cli/explain_page.py: the answers of the admin port as text."""

from typing import Any

import pytest

from trunkline.cli.explain_page import call_lines, request_lines

CANDIDATES: list[dict[str, Any]] = [
    {
        "tier": 0, "model": "chat", "strategy": "priority", "backend": "one", "target": "llama", "score": 0.0,
        "against": "ejected",
    },
    {
        "tier": 1, "model": "ok", "strategy": "cost", "backend": "second", "target": "m", "score": None, "against": "",
    },
]  # fmt: skip
USAGE: dict[str, Any] = {
    "prompt_tokens": 16, "completion_tokens": 20, "total_tokens": 36, "cached_tokens": 0, "reasoning_tokens": 0,
    "source": "upstream", "cache_write_tokens": 0, "prompt_audio_tokens": 0, "completion_audio_tokens": 0, "cost": None,
}  # fmt: skip
CALL: dict[str, Any] = {
    "id": "req_1",
    "at": "2026-11-21T03:00:00.123Z",
    "ago": 12.0,
    "key": "team",
    "surface": "chat",
    "model": "chat",
    "streamed": True,
    "status": 200,
    "fault": "",
    "seconds": 1.25,
    "head_after": 1.2,
    "bytes_in": 208,
    "bytes_out": 5901,
    "usage": USAGE,
    "led": "rules[0]",
    "route": "chat",
    "pin": "",
    "candidates": CANDIDATES,
    "scores": "now",
    "attempts": [
        {
            "backend": "one",
            "model": "llama",
            "why": "first in `chat`",
            "after": 0.0,
            "seconds": 0.8,
            "first_byte": 0.7,
            "status": 500,
            "fault": "server_error",
            "notes": ["`top_k` left out"],
            "usage": None,
            "maybe_billed": 12,
        },
        {
            "backend": "second",
            "model": "m",
            "why": "",
            "after": 0.8,
            "seconds": 0.4,
            "first_byte": None,
            "status": 0,
            "fault": "",
            "notes": [],
            "usage": USAGE,
            "maybe_billed": 0,
        },
    ],
    "evicted": "messages=2, turns=1",
    "ending": "the client got the answer of second (200) after 1.2 s",
    "remarks": ["so it is"],
}


def test_a_call() -> None:
    assert call_lines(CALL) == [
        "call req_1",
        "  came      2026-11-21 03:00:00.123 UTC, 12.0 s ago",
        "  asked     chat, streamed, model `chat`, with key team",
        "  led       by rules[0] to `chat`",
        "  took      1.2 s, 208 bytes in, 5901 out",
        "  used      16 + 20 tokens",
        "",
        "candidates when it came (scores: now)",
        "  tier  model  strategy  backend  model there  score  state",
        "  0     chat   priority  one      llama        0      ejected: its breaker is open",
        "  1     ok     cost      second   m            -      nothing against it",
        "",
        "attempts",
        "  1. after 0 ms: one, model `llama`",
        "     why: first in `chat`",
        "     500 server_error: the upstream failed; took 800 ms, first byte after 700 ms",
        "     changed: `top_k` left out",
        "     perhaps billed: about 12 tokens",
        "  2. after 800 ms: second, model `m`",
        "     ok; took 400 ms",
        "",
        "left out of the request: messages=2, turns=1",
        "",
        "the client got the answer of second (200) after 1.2 s",
        "note: so it is",
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "16 + 20 tokens"),
        ({"cached_tokens": 8, "reasoning_tokens": 7}, "16 (8 cached) + 20 (7 reasoning) tokens"),
        (
            {
                "cache_write_tokens": 2,
                "prompt_audio_tokens": 3,
                "completion_audio_tokens": 4,
                "cost": 0.00125,
            },
            "16 (2 written to the cache, 3 audio) + 20 (4 audio) tokens, for which the upstream charges $0.001250",
        ),
        ({"source": "timings"}, "16 + 20 tokens, from the upstream's timings"),
        ({"source": "estimated"}, "about 16 + 20 tokens: an estimate, for the upstream did not say"),
    ],
)
def test_what_was_used_and_who_says_so(changes: dict[str, Any], words: str) -> None:
    usage = {**USAGE, **changes}
    assert f"  used      {words}" in call_lines({**CALL, "usage": usage})
    failed = {**CALL["attempts"][0], "usage": usage}
    lines = call_lines({**CALL, "attempts": [failed]})
    assert f"     used: {words}" in lines
    assert not [line for line in lines if "perhaps billed" in line], "that is the same prompt"


def test_a_call_that_was_refused() -> None:
    nothing: dict[str, Any] = {
        "usage": None,
        "led": "",
        "candidates": [],
        "scores": "",
        "attempts": [],
        "evicted": "",
    }
    lines = call_lines({**CALL, **nothing, "pin": "one", "streamed": False, "key": "", "remarks": []})
    assert lines == [
        "call req_1",
        "  came      2026-11-21 03:00:00.123 UTC, 12.0 s ago",
        "  asked     chat, model `chat`, with key -",
        "  pinned    to one",
        "  took      1.2 s, 208 bytes in, 5901 out",
        "",
        "the client got the answer of second (200) after 1.2 s",
    ]


def test_a_request() -> None:
    told: dict[str, Any] = {
        "model": "auto",
        "surface": "chat",
        "key": "anonymous",
        "led": "router",
        "route": "chat",
        "pin": "one",
        "needs": {"tools": True, "vision": False, "json_schema": False, "tokens": 12},
        "candidates": CANDIDATES,
        "first": {
            "backend": "second",
            "target": "m",
            "why": "its turn in `ok`",
            "by_chance": True,
            "changes": ["`model` is `m` there"],
        },
        "refused": None,
    }
    lines = request_lines(told)
    assert lines[:6] == [
        "chat, model `auto`, with key anonymous",
        "led by router to `chat`",
        "only one may be asked",
        "needs tools",
        "",
        "candidates now",
    ]
    assert lines[-2:] == [
        "asked first: second, model `m`: its turn in `ok`; chance may draw another",
        "  changed for it: `model` is `m` there",
    ]


def test_a_request_that_would_be_refused() -> None:
    refused = {"status": 404, "code": "model_not_found", "message": "there is no model `x`"}
    told = {"model": "x", "surface": "chat", "key": "k", "led": "", "route": "x", "pin": "", "needs": None}
    lines = request_lines({**told, "candidates": [], "first": None, "refused": refused})
    assert lines == [
        "chat, model `x`, with key k",
        "",
        "the client would get 404 (model_not_found): there is no model `x`",
    ]
