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

from typing import Any, cast

import msgspec

_decode: Any = msgspec.json.Decoder(Any).decode
_encode = msgspec.json.Encoder().encode
MAX_CALLS = 1024
"""Calls of one answer that are told apart; each is remembered."""


class _Begun(msgspec.Struct, gc=False):
    """A call that the client knows of.

    `named`: the upstream gave it its id. `index`: that the upstream gave it, if it gave one. `pieces`: its arguments,
    where it has no other mark to tell it from the next.
    """

    id: str
    named: bool
    name: str
    index: int | None
    pieces: list[str]


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
        index = call.get("index")
        at = self._place(
            index if type(index) is int else None, _text(call.get("id")), _text(function.get("name"))
        )
        if at == MAX_CALLS:
            return call
        if at == len(self._begun):
            return self._first(at, call, function)
        return self._later(at, call, function)

    def _first(self, at: int, call: dict[str, Any], function: dict[str, Any]) -> dict[str, Any]:
        """The delta that begins a call."""
        named, index = _text(call.get("id")), call.get("index")
        arguments = _arguments(function)
        name = _text(function.get("name"))
        ours = _Begun(
            named or f"{self._prefix}{at}",
            bool(named),
            name,
            index if type(index) is int else None,
            [] if named else [arguments],
        )
        self._begun.append(ours)
        kind = call.get("type") or "function"
        mended = {"index": at, **call, "id": ours.id, "type": kind}
        mended["index"] = at
        if kind == "function":
            mended["function"] = {**function, "name": name}
            if "arguments" in function:  # vLLM has none in the first, and all clients know that
                mended["function"]["arguments"] = arguments
        return mended

    def _later(self, at: int, call: dict[str, Any], function: dict[str, Any]) -> dict[str, Any]:
        """A delta that adds to a call."""
        ours = self._begun[at]
        mended = {"index": at, **call}
        mended["index"] = at
        mended.pop("id", None)
        if not mended.get("type"):
            mended.pop("type", None)
        if function:
            kept = dict(function)
            said = _text(function.get("name"))
            if not said or said == ours.name:
                kept.pop("name", None)
            elif not ours.name:
                ours.name = said
            if "arguments" in kept:
                kept["arguments"] = _arguments(function)
                if not ours.named:
                    ours.pieces.append(kept["arguments"])
            mended["function"] = kept
        return mended

    def _place(self, index: int | None, named: str, said: str) -> int:
        """Which call a delta belongs to; the number of those begun if it is a new one."""
        begun = self._begun
        if named:
            for at, one in enumerate(begun):
                if one.id == named and (index is None or one.index in (index, None)):
                    return at
        last = next(
            (at for at in range(len(begun) - 1, -1, -1) if index is None or begun[at].index == index), None
        )
        if last is None:
            return len(begun)
        one = begun[last]
        if not one.named:
            new = bool(said) and _whole("".join(one.pieces))
        elif named:
            new = bool(said) or index is None
        else:
            new = index is None and bool(said) and said != one.name
        return len(begun) if new else last


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _whole(arguments: str) -> bool:
    try:
        _decode(arguments)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True


def _arguments(function: dict[str, Any]) -> str:
    """Arguments as the text that they are in OpenAI's API."""
    value = function.get("arguments")
    if isinstance(value, str):
        return value
    return "" if value is None else _encode(value).decode()
