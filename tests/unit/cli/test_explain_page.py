"""cli/explain_page.py: the answers of the admin port as text."""

from typing import Any

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
    "usage": {"prompt_tokens": 16, "completion_tokens": 20},
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
