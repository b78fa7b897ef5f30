"""Chunks of a chat stream as careless servers send them: right in the main, and wrong in one of the small things.

Owns what the fault item `sloppy` does to chunks. Each habit was seen on real servers; clients stumble over them.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

Chunk = dict[str, Any]


def _role(chunk: Chunk, _number: int) -> Iterator[Chunk]:
    """No delta says whose it is."""
    yield chunk | {
        "choices": [
            choice | {"delta": {name: value for name, value in choice["delta"].items() if name != "role"}}
            for choice in chunk["choices"]
        ]
    }


def _ids(chunk: Chunk, number: int) -> Iterator[Chunk]:
    """Every chunk has an id and a time of its own."""
    yield chunk | {"id": f"{chunk['id']}-{number}", "created": chunk["created"] + number}


def _object(chunk: Chunk, _number: int) -> Iterator[Chunk]:
    """No chunk says that it is one."""
    yield {name: value for name, value in chunk.items() if name != "object"}


def _finish(chunk: Chunk, _number: int) -> Iterator[Chunk]:
    """What ends a choice comes twice."""
    yield chunk
    if any(choice["finish_reason"] for choice in chunk["choices"]):
        yield chunk


def _calls(chunk: Chunk, _number: int) -> Iterator[Chunk]:
    """Calls have no index, and null where there is nothing new; deltas without any have an empty list of them."""

    def bare(call: dict[str, Any]) -> dict[str, Any]:
        function = {"name": None} | call["function"]
        return (
            {"id": None, "type": None}
            | {k: v for k, v in call.items() if k != "index"}
            | {"function": function}
        )

    yield chunk | {
        "choices": [
            choice
            | {
                "delta": choice["delta"]
                | {"tool_calls": list(map(bare, choice["delta"].get("tool_calls", [])))}
            }
            for choice in chunk["choices"]
        ]
    }


HABITS: Final[dict[str, Callable[[Chunk, int], Iterator[Chunk]]]] = {
    "role": _role,
    "ids": _ids,
    "object": _object,
    "finish": _finish,
    "calls": _calls,
}


def sloppy(chunk: Chunk, number: int, habit: str | None) -> Iterator[Chunk]:
    """The chunk as a server with that habit sends it; `number` is its place in the stream."""
    if habit is None:
        yield chunk
    else:
        yield from HABITS[habit](chunk, number)
