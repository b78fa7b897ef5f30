"""POST /embeddings, /rerank and /moderations: numbers about texts."""

import base64
import struct
from typing import Any

import msgspec

from trunkline.simulator.answer import Answer, Refusal, json_answer
from trunkline.simulator.surfaces.base import Ask
from trunkline.simulator.text import count, digest, vector

DIMENSIONS = 16
"""Of a vector when the request does not say: enough to tell vectors apart, short enough to read."""
UNSAFE = "unsafe"
"""The word that moderation flags."""


class EmbeddingsRequest(msgspec.Struct):
    """What is read of a request; other fields are accepted and ignored."""

    input: str | list[str | int | list[int]]
    encoding_format: str = "float"
    dimensions: int | None = None


def embeddings(ask: Ask) -> Answer:
    """One vector per text (or token list), as numbers or as base64 of little-endian single floats."""
    call = ask.decode(EmbeddingsRequest)
    dimensions = DIMENSIONS if call.dimensions is None else call.dimensions
    if not 1 <= dimensions <= 4096:
        raise Refusal(400, "dimensions must be from 1 to 4096", param="dimensions")
    if call.encoding_format not in ("float", "base64"):
        raise Refusal(400, "encoding_format must be float or base64", param="encoding_format")
    if not call.input:
        raise Refusal(400, "input must not be empty", param="input")
    one = isinstance(call.input, str) or isinstance(
        call.input[0], int
    )  # a list of numbers is one text in tokens
    inputs: list[Any] = [call.input] if one else list(call.input)
    data: list[dict[str, Any]] = []
    for index, text in enumerate(inputs):
        numbers = vector(digest(ask.seed, ask.base, text), dimensions)
        packed = base64.b64encode(struct.pack(f"<{dimensions}f", *numbers)).decode()
        value = packed if call.encoding_format == "base64" else numbers
        data.append({"object": "embedding", "index": index, "embedding": value})
    tokens = sum(count(text) if isinstance(text, str) else len(text) for text in inputs)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return json_answer({"object": "list", "data": data, "model": ask.model, "usage": usage})


class Document(msgspec.Struct):
    """A document given as an object."""

    text: str


class RerankRequest(msgspec.Struct):
    """What is read of a request; other fields are accepted and ignored."""

    query: str
    documents: list[str | Document]
    top_n: int | None = None
    return_documents: bool = True


def rerank(ask: Ask) -> Answer:
    """Score documents by the share of the query's words they have."""
    call = ask.decode(RerankRequest)
    texts = [item if isinstance(item, str) else item.text for item in call.documents]
    wanted = set(call.query.lower().split())
    results: list[dict[str, Any]] = []
    for index, text in enumerate(texts):
        score = len(wanted & set(text.lower().split())) / (len(wanted) or 1)
        document = {"document": {"text": text}} if call.return_documents else {}
        results.append({"index": index, "relevance_score": round(score, 6)} | document)
    results.sort(key=lambda result: (-result["relevance_score"], result["index"]))
    tokens = count(call.query) + sum(map(count, texts))
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return json_answer(
        {"id": ask.id("rerank-"), "model": ask.model, "results": results[: call.top_n], "usage": usage}
    )


class ModerationRequest(msgspec.Struct):
    """What is read of a request; other fields are accepted and ignored."""

    input: str | list[str]


def moderations(ask: Ask) -> Answer:
    """Flag the texts that have the word `unsafe` in them."""
    call = ask.decode(ModerationRequest)
    results: list[dict[str, Any]] = []
    for text in [call.input] if isinstance(call.input, str) else call.input:
        flagged = UNSAFE in text.lower().split()
        scores = {"violence": 0.99 if flagged else 0.01, "hate": 0.01}
        categories = {name: score > 0.5 for name, score in scores.items()}
        results.append({"flagged": flagged, "categories": categories, "category_scores": scores})
    return json_answer({"id": ask.id("modr-"), "model": ask.model, "results": results})
