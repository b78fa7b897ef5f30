"""How many tokens a text, a list of messages or a request has, counted with OpenAI's tokenizers and no network.

Owns what is counted of a request. Does not own the tokenizers (encodings.py) nor the estimates of the data path
(policy/tokens.py), which must not take the time of a count.

A text's count is exact for models of OpenAI. Of a chat it is as good as what OpenAI tells about the tokens around
messages, which holds for text: https://github.com/openai/openai-cookbook (How_to_count_tokens_with_tiktoken). What else
a request may hold (pictures, the definitions of tools) is charged by rules of each model's own; it is not counted, and
`Count.left_out` says so.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec

from trunkline.client.encodings import NEWEST, encoding_of, load

_PER_MESSAGE = 3
_PER_NAME = 1
_FOR_THE_REPLY = 3  # each answer is begun for the model
_TEXT_PARTS = frozenset(("text", "input_text", "output_text", "refusal"))
_CALLS = frozenset(("tool_calls", "function_call"))
_OF_CALLS = (
    "how calls of tools are written into a prompt OpenAI does not tell: their names and arguments are counted"
)
# Fields of a request that make its prompt longer.
_CHARGED = ("tools", "functions", "response_format", "instructions", "system")

Messages = Sequence[Mapping[str, Any]]


class UncountableError(ValueError):
    """It is not what the API takes; `str()` says where and why."""


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted. `exact`: all of it, with the model's own tokenizer; `notes` say why it is not.

    `left_out`: what of a request was not counted, as in `tools` or `messages[2]: image_url`.
    """

    tokens: int
    model: str
    encoding: str
    exact: bool
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def count(what: str | Messages, model: str = "") -> int:
    """The tokens of a text, or of a chat's messages as the prompt of an answer.

    A model that is not known is counted with the newest tokenizer, which is an approximation: `measure` tells.
    Raises UncountableError where `what` is no list of messages.
    """
    return measure(what, model).tokens


def measure(what: str | Messages, model: str = "") -> Count:
    """As `count`, with how it was counted."""
    return _measure({"prompt": what} if isinstance(what, str) else {"messages": what}, model)


def measure_request(request: Mapping[str, Any], model: str = "") -> Count:
    """The prompt of a request: of its `messages`, `prompt` or `input`. `model`: instead of the request's own.

    Raises UncountableError where there is none of them, or it is something else than the API's.
    """
    named = request.get("model")
    return _measure(request, model or (named if isinstance(named, str) else ""))


def _measure(request: Mapping[str, Any], model: str) -> Count:
    encoding = encoding_of(model)
    tokenizer = load(encoding or NEWEST)
    left_out = [name for name in _CHARGED if request.get(name)]
    notes: list[str] = []
    if encoding is None:
        whose = f"the tokenizer of `{model}` is not known" if model else "no model is named"
        notes.append(f"{whose}: this is what OpenAI's newest models would count")
    tokens = 0
    field = next((name for name in ("messages", "prompt", "input") if request.get(name) is not None), None)
    if field is None:
        raise UncountableError("there is nothing to count: neither `messages` nor `prompt` nor `input`")
    prompt = request[field]
    if field == "messages" or (field == "input" and _objects(prompt)):
        for at, message in enumerate(_list(prompt, field)):
            fields = _object(message, f"{field}[{at}]")
            if _CALLS & fields.keys() and _OF_CALLS not in notes:
                notes.append(_OF_CALLS)
            tokens += _PER_MESSAGE + (_PER_NAME if fields.get("name") else 0)
            for text in _texts(fields, f"{field}[{at}]", left_out):
                tokens += len(tokenizer.encode_ordinary(text))
        tokens += _FOR_THE_REPLY
        if field == "input":
            notes.append("of /responses OpenAI does not tell what is added to messages: this is as in a chat")
    else:
        for text in _prompts(prompt, field):
            tokens += len(tokenizer.encode_ordinary(text)) if isinstance(text, str) else text
    if left_out:
        notes.append(f"not counted: {', '.join(left_out)}")
    return Count(
        tokens=tokens,
        model=model,
        encoding=tokenizer.name,
        exact=not notes,
        left_out=tuple(left_out),
        notes=tuple(notes),
    )


def _texts(message: Mapping[str, Any], place: str, left_out: list[str]) -> Iterator[str]:
    """The texts of a message; what else is in it goes to `left_out`."""
    if "role" not in message:  # an item of /responses that is no message
        left_out.append(f"{place}: {message.get('type') or 'no message'}")
        return
    for name in ("role", "name", "refusal"):
        value = message.get(name)
        if isinstance(value, str):
            yield value
        elif value is not None:
            raise UncountableError(f"`{place}.{name}` must be text")
    content = message.get("content")
    if isinstance(content, str):
        yield content
    elif content is not None:
        for part in _list(content, f"{place}.content"):
            fields = _object(part, f"a part of {place}.content")
            text = fields.get("refusal" if fields.get("type") == "refusal" else "text")
            if fields.get("type") in _TEXT_PARTS and isinstance(text, str):
                yield text
            else:
                left_out.append(f"{place}: {fields.get('type') or 'a part without a type'}")
    calls = [call.get("function") for call in _objects(message.get("tool_calls"))]
    for call in _objects([*calls, message.get("function_call")]):
        yield from (value for name in ("name", "arguments") if isinstance(value := call.get(name), str))


def _prompts(value: Any, name: str) -> Iterator[str | int]:
    """The texts of a prompt; of what is given as tokens their number."""
    if isinstance(value, str):
        yield value
        return
    for item in _list(value, name):
        if isinstance(item, str):
            yield item
        elif isinstance(item, int):
            yield 1
        elif isinstance(item, list):
            yield len(cast("list[Any]", item))
        else:
            raise UncountableError(f"`{name}` must be text, a list of texts, or tokens")


def _list(value: Any, name: str) -> Sequence[Any]:
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return cast("Sequence[Any]", value)
    raise UncountableError(f"`{name}` must be a list")


def _object(value: Any, name: str) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return cast("Mapping[str, Any]", value)
    raise UncountableError(f"`{name}` must be an object")


def _objects(value: Any) -> list[Mapping[str, Any]]:
    """Those of the things in a list that are objects; none of what is no list."""
    items = cast("list[Any]", value) if isinstance(value, list) else []
    return [cast("Mapping[str, Any]", item) for item in items if isinstance(item, Mapping)]
