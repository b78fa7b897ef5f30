"""Calls of the tools that a chat request offers: which are made, with which arguments, and how they are shown.

The simulator calls a tool when the request insists on one (`tool_choice`), or when the item `tools` says so and the
last message is not yet a tool's result. It fills in every property of the function's schema by its type.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from trunkline.simulator.answer import Refusal
from trunkline.simulator.surfaces.base import Ask, Message, encode
from trunkline.simulator.text import digest, fragments, words


class Function(msgspec.Struct):
    """A function that a tool offers, or the one `tool_choice` names."""

    name: str
    parameters: dict[str, Any] = {}


class Tool(msgspec.Struct):
    """One tool, or a `tool_choice` that names one."""

    function: Function | None = None


class ToolCall(msgspec.Struct, frozen=True):
    """One call: `pieces` are the parts of its arguments' JSON text, one event each."""

    id: str
    name: str
    pieces: list[str]

    def whole(self) -> dict[str, Any]:
        """As it stands in a message."""
        function = {"name": self.name, "arguments": "".join(self.pieces)}
        return {"id": self.id, "type": "function", "function": function}

    def deltas(self, index: int) -> Iterator[dict[str, Any]]:
        """As it comes in a stream: id and name first, then the arguments."""
        yield {"index": index, "id": self.id, "type": "function"} | {
            "function": {"name": self.name, "arguments": ""}
        }
        for piece in self.pieces:
            yield {"index": index, "function": {"arguments": piece}}


def tool_calls(
    ask: Ask, messages: list[Message], tools: list[Tool], tool_choice: str | Tool | None, *key: object
) -> list[ToolCall]:
    """The calls that answer this request: none, if it is answered with text. Raises `Refusal`."""
    offered = [tool.function for tool in tools if tool.function is not None]
    functions = _insisted(offered, tool_choice)
    if not functions and offered and tool_choice != "none" and messages[-1].role != "tool":
        functions = [offered[number % len(offered)] for number in range(ask.fault.tools or 0)]
    return [
        _call(function, digest(*key, *_more(function, number))) for number, function in enumerate(functions)
    ]


def _more(function: Function, number: int) -> tuple[object, ...]:
    """What tells calls of one answer apart."""
    return (function.name, number) if number else (function.name,)


def _insisted(offered: list[Function], tool_choice: str | Tool | None) -> list[Function]:
    """The function that the request insists on, if it does."""
    if isinstance(tool_choice, Tool) and tool_choice.function is not None:
        name = tool_choice.function.name
        found = next((function for function in offered if function.name == name), None)
        if found is None:
            raise Refusal(400, f"tool_choice names {name}, which tools does not have", param="tool_choice")
        return [found]
    if tool_choice != "required":
        return []
    if not offered:
        raise Refusal(400, "tool_choice is required, but there are no tools", param="tool_choice")
    return offered[:1]


def _call(function: Function, key: str) -> ToolCall:
    arguments = encode(_arguments(function, key)).decode()
    return ToolCall(f"call_{key[:24]}", function.name, fragments(arguments))


def _arguments(function: Function, key: str) -> dict[str, Any]:
    """A value for every property of the function's schema, by its type."""
    properties: dict[str, Any] = function.parameters.get("properties") or {}
    by_type: dict[str, Any] = {
        "integer": 1,
        "number": 1.5,
        "boolean": True,
        "array": [],
        "object": {},
        "null": None,
    }
    return {
        name: by_type.get(schema.get("type", "string"), words(digest(key, name), 1)[0].rstrip("."))
        for name, schema in properties.items()
    }
