"""The deltas of tool calls as clients join them.

Owns what a client's way of joining needs (clients.md R14): an `index` in each, `id`, `type` and `function.name` in the
first of a call and not again (the SDKs join them like text), `arguments` as text. Does not own when a call counts as
begun (splice.py, transcript.py).

Seen in the wild: no index, or null (Gemini and many small servers); the index 0 for each of several calls, told apart
by their ids alone (Gemini); id or name in every delta; `"id": ""` or null in later ones; arguments as an object.
"""

from typing import Any, cast

import msgspec

_encode = msgspec.json.Encoder().encode
MAX_CALLS = 1024
"""Calls of one answer that are told apart; each is remembered."""


class _Begun(msgspec.Struct, gc=False):
    """A call that the client knows of. `theirs`: the index that the upstream gave it."""

    id: str
    name: str
    theirs: int


class ToolCalls:
    """The calls of one choice. `prefix`: begins the ids of those that come without one."""

    __slots__ = ("_begun", "_prefix")

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._begun: list[_Begun] = []

    def __repr__(self) -> str:
        return f"<ToolCalls {len(self._begun)} begun>"

    @property
    def any(self) -> bool:
        """Whether a call was begun."""
        return bool(self._begun)

    def mend(self, deltas: Any) -> list[Any] | None:
        """The `tool_calls` of one delta as they should be; None: as they are."""
        if not isinstance(deltas, list):
            return None
        calls = cast("list[Any]", deltas)
        mended = [
            self._mend(cast("dict[str, Any]", call)) if isinstance(call, dict) else call for call in calls
        ]
        return None if mended == calls else mended

    def _mend(self, call: dict[str, Any]) -> dict[str, Any]:
        raw = call.get("function")
        function = cast("dict[str, Any]", raw) if isinstance(raw, dict) else {}
        named, said = _text(call.get("id")), _text(function.get("name"))
        at = self._place(call.get("index"), named, said)
        if at == len(self._begun) and at < MAX_CALLS:
            theirs = call.get("index")
            ours = _Begun(named or f"{self._prefix}{at}", said, theirs if type(theirs) is int else -1)
            self._begun.append(ours)
            kind = call.get("type") or "function"
            mended = {"index": at, **call, "id": ours.id, "type": kind}
            if kind == "function":
                mended["function"] = {"name": said, **function, "arguments": _arguments(function)}
        else:
            ours = self._begun[min(at, len(self._begun) - 1)]
            mended = {"index": at, **call}
            if not named or named == ours.id:
                mended.pop("id", None)
            if function:
                kept = dict(function)
                if not said or said == ours.name:
                    kept.pop("name", None)
                if kept.get("arguments") is not None:
                    kept["arguments"] = _arguments(function)
                mended["function"] = kept
        mended["index"] = at
        return mended

    def _place(self, index: Any, named: str, said: str) -> int:
        """Which call a delta belongs to; the number of those begun if it is a new one."""
        begun = self._begun
        if named:
            for at, one in enumerate(begun):
                if one.id == named and (type(index) is not int or one.theirs in (index, -1)):
                    return at
        if type(index) is int:
            for at in range(len(begun) - 1, -1, -1):
                one = begun[at]
                if one.theirs == index:
                    # Another id and a name: a call of its own, whatever its index says.
                    return len(begun) if named and said and named != one.id else at
            return len(begun)
        return len(begun) if named or said or not begun else len(begun) - 1


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _arguments(function: dict[str, Any]) -> str:
    """Arguments as the text that they are in OpenAI's API."""
    value = function.get("arguments")
    if isinstance(value, str):
        return value
    return "" if value is None else _encode(value).decode()
