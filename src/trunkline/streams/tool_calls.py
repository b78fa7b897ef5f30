"""The deltas of tool calls as clients join them.

Owns what a client's way of joining needs (clients.md R14): an `index` in each, `id`, `type` and `function.name` in the
first of a call and not again (the SDKs join them like text), `arguments` as text. Does not own when a call counts as
begun (splice.py, transcript.py).

Seen in the wild: no index, or null (Gemini and many small servers); the index 0 for each of several calls (Gemini,
LMDeploy); id or name in every delta, or another id in every delta; `"id": ""` or null in later ones; arguments as an
object. So a delta begins a call if its index is new. Under an index that is known one with another id and a name does;
without an index, one with another id or another name; and where there are no ids, one with a name once the arguments
so far are whole. All else adds to the last call of its index, without an index to the last.
"""

import re
from typing import Any, cast

import msgspec

from trunkline.streams.raw import NULL, encode, items_of, object_of, quoted, raw_of
from trunkline.wire.openai import present

MAX_CALLS = 1024
"""Calls of one answer that are told apart; each is remembered."""
# A string that is whole, or (kept as group 1) the beginning of one up to the end of the text.
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"|("(?:[^"\\]++|\\.)*+\\?)\Z', re.DOTALL)


class CallEdit(msgspec.Struct, gc=False):
    """Changes of one delta of a call: new values by key, None for keys that go.

    `quotes`: its arguments become the text that they are in OpenAI's API.
    """

    call: dict[str, Any]
    function: dict[str, Any]
    quotes: bool = False


class _Begun(msgspec.Struct, gc=False):
    """A call that the client knows of.

    `named`: the upstream gave it its id; where it did not, the end of its `arguments` tells it from the next.
    """

    named: bool
    name: str
    arguments: "_Arguments"


class _Arguments:
    """Whether the arguments of a call are whole, told from pieces, each of which is looked at once."""

    __slots__ = ("_begun", "_depth", "whole")

    def __init__(self) -> None:
        self._begun = ""  # what a string that goes on begins with
        self._depth = 0
        self.whole = False

    def __repr__(self) -> str:
        return f"<_Arguments {'whole' if self.whole else f'{self._depth} deep'}>"

    def add(self, text: str) -> None:
        """Take the next piece."""
        plain, quote, string = _STRING.sub(r"\1", self._begun + text).partition('"')
        escapes = len(string) - len(string.rstrip("\\"))
        self._begun = quote + "\\" * (escapes % 2)
        opened = plain.count("{") + plain.count("[")
        closed = plain.count("}") + plain.count("]")
        self._depth += opened - closed
        if opened or closed or quote:
            self.whole = self._depth <= 0 and not quote and plain.rstrip().endswith(("}", "]"))


class ToolCalls:
    """The calls of one choice. `prefix`: begins the ids of those that come without one."""

    __slots__ = ("_begun", "_ids", "_indexed", "_last", "_prefix")

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._begun: list[_Begun] = []
        # Which call it is, by what the upstream gave it: id, id and index, index alone.
        self._ids: dict[str, int] = {}
        self._indexed: dict[tuple[str, int | None], int] = {}
        self._last: dict[int, int] = {}

    def __repr__(self) -> str:
        return f"<ToolCalls {len(self._begun)} begun>"

    @property
    def any(self) -> bool:
        """Whether a call was begun."""
        return bool(self._begun)

    def mend(self, deltas: Any) -> list[CallEdit | None] | None:
        """How the `tool_calls` of one delta have to be changed, each in its place; None: nothing has to."""
        if not isinstance(deltas, list):
            return None
        calls = cast("list[Any]", deltas)
        edits = [
            self._mend(cast("dict[str, Any]", call)) if isinstance(call, dict) else None for call in calls
        ]
        return edits if any(edits) else None

    def _mend(self, call: dict[str, Any]) -> CallEdit | None:
        raw = call.get("function")
        function = cast("dict[str, Any]", raw) if isinstance(raw, dict) else {}
        given, named, name = call.get("index"), _text(call.get("id")), _text(function.get("name"))
        index = given if type(given) is int else None
        at = self._place(index, named, name)
        if at == MAX_CALLS:
            return None
        edit = CallEdit({} if index == at else {"index": at}, {})
        if at == len(self._begun):
            self._begin(at, index, named, name)
            self._first(edit, call, function, named or f"{self._prefix}{at}", name)
        else:
            self._later(edit, call, function, self._begun[at], name)
        if "arguments" in function:
            arguments = function["arguments"]
            edit.quotes = not isinstance(arguments, str)
            ours = self._begun[at]
            if not ours.named:
                ours.arguments.add(encode(arguments).decode() if edit.quotes else arguments)
        return edit if edit.call or edit.function or edit.quotes else None

    def _begin(self, at: int, index: int | None, named: str, name: str) -> None:
        self._begun.append(_Begun(bool(named), name, _Arguments()))
        if named:
            self._ids.setdefault(named, at)
            self._indexed[named, index] = at
        if index is not None:
            self._last[index] = at

    def _first(
        self, edit: CallEdit, call: dict[str, Any], function: dict[str, Any], named: str, name: str
    ) -> None:
        """The delta that begins a call."""
        if call.get("id") != named:
            edit.call["id"] = named
        kind = call.get("type") or "function"
        if call.get("type") != kind:
            edit.call["type"] = kind
        # vLLM has no arguments in the first, and all clients know that.
        if kind == "function" and function.get("name") != name:
            edit.function["name"] = name

    def _later(
        self, edit: CallEdit, call: dict[str, Any], function: dict[str, Any], ours: _Begun, name: str
    ) -> None:
        """A delta that adds to a call."""
        if "id" in call:
            edit.call["id"] = None
        if "type" in call and not call["type"]:
            edit.call["type"] = None
        if "name" in function and (not name or name == ours.name):
            edit.function["name"] = None
        elif not ours.name:
            ours.name = name

    def _place(self, index: int | None, named: str, name: str) -> int:
        """Which call a delta belongs to; the number of those begun if it is a new one."""
        begun = self._begun
        if named:
            if index is None:
                at = self._ids.get(named)
            else:
                at = self._indexed.get((named, None), self._indexed.get((named, index)))
            if at is not None:
                return at
        last = len(begun) - 1 if index is None else self._last.get(index, -1)
        if last < 0:
            return len(begun)
        one = begun[last]
        if not one.named:
            new = bool(name) and one.arguments.whole
        elif named:
            new = bool(name) or index is None
        else:
            new = index is None and bool(name) and name != one.name
        return len(begun) if new else last


def mended(calls: msgspec.Raw, edits: list[CallEdit | None]) -> msgspec.Raw:
    """The `tool_calls` of a delta with their changes; all else as it was written."""
    items = items_of(calls)
    for at, edit in enumerate(edits):
        if edit is not None:
            items[at] = raw_of(_edited(object_of(items[at]), edit))
    return raw_of(items)


def _edited(fields: dict[str, msgspec.Raw], edit: CallEdit) -> dict[str, msgspec.Raw]:
    if "index" in edit.call:
        fields = {"index": NULL, **fields}
    _set(fields, edit.call)
    if edit.function or edit.quotes:
        function = object_of(fields.get("function", NULL))
        _set(function, edit.function)
        if edit.quotes:
            arguments = function["arguments"]
            function["arguments"] = quoted(arguments) if present(arguments) else raw_of("")
        fields["function"] = raw_of(function)
    return fields


def _set(fields: dict[str, msgspec.Raw], values: dict[str, Any]) -> None:
    for key, value in values.items():
        if value is None:
            del fields[key]
        else:
            fields[key] = raw_of(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
