"""What an answer says, whole or streamed: what must be equal with and without the gateway.

Owns reading answers of chat and completions, and what must hold of the form of every stream that the gateway sends.
Ids, times, the cut into events and what servers add of their own are not in it.
"""

import json
from typing import Any, NamedTuple, cast

from tests.e2e.exchange import Answer


class Choice:
    """One choice: its text and what else it has, put together from all its deltas."""

    def __init__(self) -> None:
        self.text = ""
        self.reasoning = ""
        self.tool_calls: list[dict[str, str]] = []
        self.finish: list[str] = []
        self.logprobs: list[Any] = []

    def take(self, part: dict[str, Any]) -> None:
        """A message, or the next delta."""
        self.text += part.get("content") or ""
        self.reasoning += part.get("reasoning_content") or part.get("reasoning") or ""
        calls: list[dict[str, Any]] = part.get("tool_calls") or []
        for position, call in enumerate(calls):
            index = call.get("index", position)
            while len(self.tool_calls) <= index:
                self.tool_calls.append({"name": "", "arguments": ""})
            function: dict[str, Any] = call.get("function") or {}
            for field, value in function.items():
                self.tool_calls[index][field] += value or ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Choice) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]  # it changes as it is read

    def __repr__(self) -> str:
        return f"<Choice {vars(self)}>"


class Said(NamedTuple):
    """Everything that an answer says."""

    choices: dict[int, Choice]
    usage: dict[str, Any] | None

    @property
    def text(self) -> str:
        """Of the only choice."""
        (choice,) = self.choices.values()
        return choice.text


def whole(answer: Answer) -> Said:
    """What a JSON body says."""
    body = json.loads(answer.body)
    return Said(_choices([body]), _usage(body))


def streamed(answer: Answer) -> Said:
    """What a stream says. Of several usages, as some servers send, the last counts."""
    told = [usage for event in events(answer) if (usage := _usage(event)) is not None]
    return Said(_choices(events(answer)), told[-1] if told else None)


def events(answer: Answer) -> list[dict[str, Any]]:
    """The events of a stream, without [DONE]."""
    return [json.loads(data) for data in _data(answer) if data != "[DONE]"]


def check_form(answer: Answer, *, usage: bool) -> None:
    """What holds of every stream that ended well, whatever the upstream sent. `usage`: it was asked for."""
    data, sent = _data(answer), events(answer)
    assert data.index("[DONE]") == len(data) - 1, data[-3:]
    assert len({(event["id"], event["object"], event["created"], event["model"]) for event in sent}) == 1
    told = [event for event in sent if event.get("usage") is not None]
    assert len(told) == usage, told
    assert all(event["choices"] or event in told for event in sent)
    for index in _choices(sent):
        deltas = [each for event in sent for each in event["choices"] if each["index"] == index]
        finished = [each["finish_reason"] for each in deltas if each.get("finish_reason")]
        assert len(finished) == 1, finished
        if sent[0]["object"] == "chat.completion.chunk":
            assert deltas[0]["delta"]["role"] == "assistant"


def close_to(value: Any) -> Any:
    """The value with numbers rounded: the last digits of a probability depend on what else was computed beside it."""
    if isinstance(value, float):
        return round(value, 2)
    if isinstance(value, dict):
        return {name: close_to(item) for name, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [close_to(item) for item in cast("list[Any]", value)]
    return value


def _data(answer: Answer) -> list[str]:
    lines = answer.body.decode().replace("\r\n", "\n").split("\n")
    return [line.removeprefix("data:").strip() for line in lines if line.startswith("data:")]


def _choices(parts: list[dict[str, Any]]) -> dict[int, Choice]:
    found: dict[int, Choice] = {}
    for each in (each for part in parts for each in part["choices"]):
        choice = found.setdefault(each["index"], Choice())
        choice.take(each.get("message") or each.get("delta") or {"content": each.get("text")})
        if each.get("finish_reason"):
            choice.finish.append(each["finish_reason"])
        if each.get("logprobs"):
            choice.logprobs += _probabilities(each["logprobs"])
    return found


def _probabilities(logprobs: dict[str, Any]) -> list[Any]:
    """One item per token; completions have a list per field."""
    if logprobs.get("content") is not None:
        return close_to(logprobs["content"])
    return [close_to(item) for item in zip(logprobs["tokens"], logprobs["token_logprobs"], strict=True)]


def _usage(part: dict[str, Any]) -> dict[str, Any] | None:
    told = part.get("usage")
    if told is None:
        return None
    told = {name: value for name, value in told.items() if value is not None}
    if "cached_tokens" in (details := told.get("prompt_tokens_details", {})):
        # Some keep the prompt of the request before, and that was the same one.
        told["prompt_tokens_details"] = details | {"cached_tokens": "some"}
    return told
