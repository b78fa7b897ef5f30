"""Whole answers, and the ways of telling one in a stream: for the tests of fold*.py and unfold*.py."""

import json
from itertools import pairwise
from typing import Any, cast

from hypothesis import strategies as st

from tests.unit.streams.events import event
from trunkline.streams.fold import Folder

_words = st.text(max_size=12)
_said = st.text(min_size=1, max_size=12)
_numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
_unknown = st.dictionaries(
    st.sampled_from(["citations", "search_results", "timings", "provider", "x_groq"]),
    st.none()
    | _numbers
    | _words
    | st.lists(_words, max_size=3)
    | st.dictionaries(_words, _numbers, max_size=3),
)
_usage = st.fixed_dictionaries(
    {
        "prompt_tokens": st.integers(0, 99),
        "completion_tokens": st.integers(0, 99),
        "total_tokens": st.integers(0, 99),
        "cost": _numbers,
    }
)
_THOUGHTS = {"reasoning.text": "text", "reasoning.summary": "summary", "reasoning.encrypted": "data"}


def _token(draw: st.DrawFn) -> dict[str, Any]:
    return {"token": draw(_words), "logprob": draw(st.floats(-9, 0)), "bytes": None, "top_logprobs": []}


@st.composite
def _messages(draw: st.DrawFn) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": draw(_words)}
    for name in ("refusal", "reasoning_content", "reasoning", "signature"):
        if draw(st.booleans()):
            message[name] = draw(_said)
    if draw(st.booleans()):
        kinds = draw(st.permutations(list(_THOUGHTS)))
        message["reasoning_details"] = [
            {"type": kind, _THOUGHTS[kind]: draw(_words), "index": place} for place, kind in enumerate(kinds)
        ]
    if draw(st.booleans()):
        message["annotations"] = draw(
            st.lists(st.fixed_dictionaries({"type": _words, "at": _numbers}), min_size=1)
        )
    if draw(st.booleans()):
        message["audio"] = {
            "id": draw(_said),
            "data": draw(_said),
            "transcript": draw(_said),
            "expires_at": 5,
        }
    if draw(st.booleans()):
        message["tool_calls"] = [
            {
                "id": f"call_{place}",
                "type": "function",
                "function": {"name": draw(_said), "arguments": draw(_words)},
                "extra_content": {"big": draw(_numbers)},
            }
            for place in range(draw(st.integers(1, 3)))
        ]
    if draw(st.booleans()):
        message["function_call"] = {"name": draw(_said), "arguments": draw(_words)}
    if not message["content"] and message.keys() & {"tool_calls", "function_call", "refusal", "audio"}:
        message["content"] = None
    return message


@st.composite
def chat_answers(draw: st.DrawFn) -> dict[str, Any]:
    """Answers of chat/completions."""
    choices: list[dict[str, Any]] = []
    for index in range(draw(st.integers(1, 3))):
        choice: dict[str, Any] = {"index": index, "message": draw(_messages())}
        if draw(st.booleans()):
            tokens = [_token(draw) for _ in range(draw(st.integers(0, 3)))]
            choice["logprobs"] = draw(st.sampled_from([None, {"content": tokens, "refusal": None}]))
        choice["finish_reason"] = draw(st.sampled_from(["stop", "length", "tool_calls"]))
        if draw(st.booleans()):
            choice["stop_reason"] = draw(_numbers)
        choices.append(choice)
    return _top(draw, "chat.completion", choices)


@st.composite
def text_answers(draw: st.DrawFn) -> dict[str, Any]:
    """Answers of completions."""
    choices: list[dict[str, Any]] = []
    for index in range(draw(st.integers(1, 3))):
        tokens = draw(st.lists(_words, max_size=3))
        logprobs = {
            "tokens": tokens,
            "token_logprobs": [-0.25 for _ in tokens],
            "top_logprobs": [{token: -0.25} for token in tokens],
            "text_offset": list(range(len(tokens))),
        }
        choices.append(
            {"index": index, "text": draw(_words), "logprobs": draw(st.sampled_from([None, logprobs]))}
            | {"finish_reason": "stop"}
        )
    return _top(draw, "text_completion", choices)


def _top(draw: st.DrawFn, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "id": draw(_said),
        "object": kind,
        "created": draw(st.integers(1)),
        "model": "m",
    }
    if draw(st.booleans()):
        answer["system_fingerprint"] = draw(_said)
    return answer | draw(_unknown) | {"choices": choices, "usage": draw(_usage)}


def folded(surface: str, *events: bytes) -> Any:
    """What the events come to, each fed alone."""
    folder = Folder(surface)
    for data in events:
        folder.feed(data)
    return json.loads(folder.result())


def data_of(events: bytes) -> list[Any]:
    """The data of events, `[DONE]` as it is."""
    lines = [line[6:] for line in events.decode().split("\n") if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


@st.composite
def rechunked(draw: st.DrawFn, events: bytes) -> list[bytes]:
    """The chunks of an answer with each text and each list of logprobs cut anywhere, in its order."""
    out: list[bytes] = []
    for chunk in data_of(events):
        if chunk == "[DONE]" or not chunk["choices"]:
            out.append(event(chunk.encode() if isinstance(chunk, str) else chunk))
            continue
        choice = chunk["choices"][0]
        pieces: list[dict[str, Any]] = []
        for name, value in choice.get("delta", {"text": choice.get("text")}).items():
            pieces += [{name: piece} for piece in draw(_pieces(name, value))]
        kept = {name: value for name, value in choice.items() if name not in ("delta", "text", "logprobs")}
        for piece in pieces:
            between = {"index": choice["index"]} | (piece if "text" in piece else {"delta": piece})
            out.append(event({"object": "chunk", "choices": [between], "id": chunk["id"]}))
        logged = {"index": choice["index"], "delta": dict[str, Any]()}
        out += [
            event({"choices": [logged | {"logprobs": logprobs}]})
            for logprobs in draw(_log_pieces(choice.get("logprobs", "none")))
        ]
        out.append(event(chunk | {"choices": [kept]}))
    return out


@st.composite
def _log_pieces(draw: st.DrawFn, logprobs: Any) -> list[Any]:
    if not isinstance(logprobs, dict):
        return [] if logprobs == "none" else [logprobs]
    fields = cast("dict[str, Any]", logprobs)
    at = draw(st.integers(0, 3))
    return [
        {name: value and value[:at] for name, value in fields.items()},
        {name: value and value[at:] for name, value in fields.items()},
    ]


@st.composite
def _pieces(draw: st.DrawFn, name: str, value: Any) -> list[Any]:
    """A field of a delta in pieces that come to the same."""
    if name in ("role", "content") and not value:
        return [value]
    if name in ("function_call", "audio"):
        return [{field: piece} for field, text in value.items() for piece in draw(_field(field, text))]
    if name == "tool_calls":
        function = value[0]["function"]
        begun = value[0] | {"function": {"name": function["name"]}}
        pieces = draw(cut(function["arguments"]))
        return [[begun], *([{"index": begun["index"], "function": {"arguments": piece}}] for piece in pieces)]
    if name == "reasoning_details":
        return [[piece] for entry in value for piece in draw(_entry(entry))]
    if name == "annotations":
        return [[item] for item in value]
    return [value] if name == "role" else draw(cut(value))


@st.composite
def _field(draw: st.DrawFn, name: str, value: Any) -> list[Any]:
    return draw(cut(value)) if name in ("arguments", "data", "transcript") else [value]


@st.composite
def _entry(draw: st.DrawFn, entry: dict[str, Any]) -> list[dict[str, Any]]:
    name = _THOUGHTS[entry["type"]]
    return [entry] if name == "data" else [entry | {name: piece} for piece in draw(cut(entry[name]))]


@st.composite
def cut(draw: st.DrawFn, text: str) -> list[str]:
    """A text in pieces, some of them empty."""
    places = draw(st.lists(st.integers(0, len(text)), max_size=4))
    return [text[start:end] for start, end in pairwise(sorted([0, *places, len(text)]))]
