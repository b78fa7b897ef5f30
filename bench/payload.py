"""The bytes on the wire: one request and its answers, of the size that real clients and servers send.

Owns the bodies and nothing else. The answer of `CHAT_ANSWER` is OpenAI's field for field; `render_event` is one event
of a stream, about 245 bytes like those of OpenAI and llama.cpp.
"""

import json
import random
import string
from typing import Literal

KEY = "sk-bench-0123456789abcdef0123456789abcdef"
"""The key that Trunkline, vllm-router's clients and LiteLLM get as `Authorization: Bearer`."""

MODEL = "chat"
PATH = "/v1/chat/completions"

_SYSTEM = "You are a careful assistant. Answer in plain words and keep it short."
_QUESTION = (
    "A tank holds 240 litres. One pipe fills it in 6 hours and another empties it in 10 hours. If both are open "
    "and the tank starts empty, how long until it is full? Explain each step of the calculation."
)

_REPLY = (
    "The first pipe adds 40 litres an hour and the second takes 24 away, so the tank gains 16 litres an hour. "
    "240 divided by 16 is 15: it is full after 15 hours."
)
_MESSAGE = 3 * (len(_QUESTION) + len(_REPLY)) + 50
"""Bytes of one message of a history, on average and rounded up."""


def render_request(*, model: str = MODEL, size: int = 0) -> bytes:
    """Return a chat completion request body: 405 bytes, or with a history of earlier turns nearly `size`."""
    history: list[dict[str, str]] = []
    while (len(history) + 2) * _MESSAGE <= size:
        history += [
            {"role": "user", "content": f"{len(history)}. {_QUESTION * 6}"},
            {"role": "assistant", "content": f"{len(history)}. {_REPLY * 6}"},
        ]
    messages = [{"role": "system", "content": _SYSTEM}, *history, {"role": "user", "content": _QUESTION}]
    body = {"model": model, "messages": messages, "temperature": 0.7, "max_tokens": 256}
    return json.dumps(body).encode()


Kind = Literal["alike", "varied", "thinking"]
"""Of the events of a stream: they differ in their text alone; in more than that (`render_event`); half of them are
thoughts in tags (`render_thoughts`)."""


def render_stream_request(interval_ms: int, kind: Kind = "alike") -> bytes:
    """Return the body that asks for a stream. `interval_ms` 0: as fast as possible.

    Both travel in the text, so that they reach the upstream through any gateway.
    """
    question = f"{_QUESTION} interval={interval_ms} {kind}"
    messages = [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": question}]
    body = {"model": MODEL, "messages": messages, "temperature": 0.7, "max_tokens": 256, "stream": True}
    return json.dumps(body).encode()


def render_head(body: bytes, *, host: str = "127.0.0.1", path: str = PATH) -> bytes:
    """Return the request head that goes before the body."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\n"
        f"Accept: */*\r\nUser-Agent: bench\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()


CHAT_ANSWER = json.dumps(
    {
        "id": "chatcmpl-9f2c41d07ab84c55b1d6e0a3",
        "object": "chat.completion",
        "created": 1760000000,
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": _REPLY,
                },
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 71, "completion_tokens": 45, "total_tokens": 116},
        "system_fingerprint": "fp_44709d6fcb",
    }
)
"""A whole answer, about 500 bytes."""

_ALPHABET = string.ascii_letters + string.digits
_WORDS = [
    "the",
    "tank",
    "gains",
    "sixteen",
    "litres",
    "an",
    "hour",
    "so",
    "it",
    "is",
    "full",
    "after",
    "fifteen",
    "hours",
]


def render_thoughts() -> list[bytes]:
    """Return 256 events: a block of thoughts in tags, each tag an event of its own, and an answer."""
    texts = ["<think>", *[""] * 126, "</think>", *[""] * 128]
    return [render_event(index, text=text) for index, text in enumerate(texts)]


def render_event(index: int, rng: random.Random | None = None, *, text: str = "") -> bytes:
    """Return one `chat.completion.chunk` event, framed as one HTTP chunk; its `text` is a word if it is not given.

    With an `rng` it ends in the field that OpenAI adds by default: `obfuscation`, random text of random length.
    """
    delta = {"content": text or " " + _WORDS[index % len(_WORDS)]}
    event: dict[str, object] = {
        "id": "chatcmpl-9f2c41d07ab84c55b1d6e0a3",
        "object": "chat.completion.chunk",
        "created": 1760000000,
        "model": MODEL,
        "system_fingerprint": "fp_44709d6fcb",
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}],
    }
    if rng is not None:
        event["obfuscation"] = "".join(rng.choices(_ALPHABET, k=rng.randint(2, 16)))
    data = b"data: " + json.dumps(event, separators=(",", ":")).encode() + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)
