"""streams/tool_calls.py: deltas of tool calls that can be joined, whatever shape they come in."""

import json
from itertools import pairwise
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.lib.streaming._deltas import accumulate_delta

from trunkline.streams.tool_calls import MAX_CALLS, ToolCalls, _Arguments, mended


def call(index: Any = 0, name: Any = "", arguments: Any = "", id: Any = "", **more: Any) -> dict[str, Any]:
    """A delta of a call; what is "" is left out."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value != ""}
    fields = {"index": index, "id": id, **more, **({"function": function} if function else {})}
    return {key: value for key, value in fields.items() if value != ""}


def written(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def rewritten(*deltas: list[Any]) -> list[list[Any]]:
    calls = ToolCalls("call_r_")
    edits = [calls.mend(delta) for delta in deltas]
    return [
        delta if edit is None else json.loads(bytes(mended(written(delta), edit)))
        for delta, edit in zip(deltas, edits, strict=True)
    ]


def joined(deltas: list[list[Any]]) -> list[dict[str, Any]]:
    """The calls as OpenAI's own client joins them."""
    acc: dict[object, object] = {}
    for delta in deltas:
        acc = accumulate_delta(acc, {"tool_calls": json.loads(json.dumps(delta))})
    return cast("list[dict[str, Any]]", acc["tool_calls"])


def brief(*deltas: list[Any]) -> list[tuple[str, str, str]]:
    """Id, name and arguments of the calls that a client has in the end."""
    out = rewritten(*deltas)
    for delta in out:
        assert all(type(one["index"]) is int for one in delta)
    calls = joined(out)
    assert [one["index"] for one in calls] == list(range(len(calls)))
    assert {one["type"] for one in calls} == {"function"}
    return [(one["id"], one["function"]["name"], one["function"].get("arguments", "")) for one in calls]


def test_calls_as_openai_tells_them_stay_as_they_are() -> None:
    calls = ToolCalls("call_r_")
    for delta in (
        [call(0, "f", id="a", type="function") | {"function": {"name": "f", "arguments": ""}}],
        [call(0, arguments='{"x"')],
        [call(0, arguments=":1}")],
        [call(1, "g", "{}", id="b", type="function")],
        [call(0, arguments=" "), call(1, arguments=" ")],
    ):
        assert calls.mend(delta) is None
    assert repr(calls) == "<ToolCalls 2 begun>"
    assert calls.any
    assert not ToolCalls("").any


def test_vllm_begins_without_arguments() -> None:
    first = {"id": "chatcmpl-tool-1", "type": "function", "index": 0, "function": {"name": "get_weather"}}
    assert rewritten([first], [call(0, arguments='"')]) == [[first], [call(0, arguments='"')]]


@pytest.mark.parametrize("odd", [None, "x", {}, 1, [], ["x", None, 1]])
def test_what_is_no_list_of_calls_stays(odd: Any) -> None:
    assert ToolCalls("").mend(odd) is None


ONE = [("a", "f", '{"x":1}')]
TWO = [("a", "f", '{"x":1}'), ("b", "f", '{"y":2}')]
SHAPES: dict[str, tuple[list[list[Any]], list[tuple[str, str, str]]]] = {
    "no index": ([[call("", "f", '{"x"', "a")], [call("", arguments=":1}")]], ONE),
    "index null": ([[call(None, "f", '{"x"', "a")], [call(None, arguments=":1}")]], ONE),
    "index of another type": ([[call("0", "f", '{"x"', "a")], [call("0", arguments=":1}")]], ONE),
    "index a bool": ([[call(False, "f", '{"x":1}', "a")], [call(True, "f", '{"y":2}', "b")]], TWO),
    "index from 1": ([[call(1, "f", '{"x"', "a")], [call(1, arguments=":1}")]], ONE),
    "id again": ([[call(0, "f", '{"x"', "a")], [call(0, arguments=":1}", id="a")]], ONE),
    "id and name again": ([[call(0, "f", '{"x"', "a")], [call(0, "f", ":1}", "a")]], ONE),
    "another id each time": ([[call(0, "f", '{"x"', "a")], [call(0, arguments=":1}", id="z")]], ONE),
    "id null later": ([[call(0, "f", '{"x"', "a")], [call(0, arguments=":1}", id=None, type=None)]], ONE),
    "name null later": ([[call(0, "f", '{"x"', "a")], [call(0, None, ":1}")]], ONE),
    "arguments null": ([[call(0, "f", None, "a")], [call(0, arguments='{"x":1}')], [call(0, "", None)]], ONE),
    "arguments an object": ([[call(0, "f", {"x": 1}, "a")]], ONE),
    "type null": ([[call(0, "f", '{"x":1}', "a", type=None)]], ONE),
    "name later": ([[call(0, id="a")], [call(0, "f")], [call(0, "f", '{"x":1}')]], ONE),
    "name in pieces": ([[call(0, "get_", id="a")], [call(0, "it")]], [("a", "get_it", "")]),
    "function null": ([[call(0, id="a", function=None)]], [("a", "", "")]),
    "two by index": (
        [
            [call(0, "f", '{"x"', "a"), call(1, "f", '{"y"', "b")],
            [call(1, arguments=":2}")],
            [call(0, "", ":1}")],
        ],
        TWO,
    ),
    "two by index, ids again": (
        [
            [call(0, "f", '{"x"', "a"), call(1, "f", '{"y"', "b")],
            [call(1, arguments=":2}", id="b"), call(0, "", ":1}", id="a")],
        ],
        TWO,
    ),
    "two of the same id": (
        [[call(0, "f", '{"x":1}', "a"), call(1, "f", '{"y":2}', "a")]],
        [TWO[0], ("a", *TWO[1][1:])],
    ),
    "Gemini: all of index 0": ([[call(0, "f", '{"x":1}', "a")], [call(0, "f", '{"y":2}', "b")]], TWO),
    "Gemini: in one delta": ([[call(0, "f", '{"x":1}', "a"), call(0, "f", '{"y":2}', "b")]], TWO),
    "LMDeploy: all of index 0, in pieces": (
        [
            [call(0, "f", "", "a")],
            [call(0, None, '{"x":1}') | {"id": ""}],
            [call(0, "f", "", "b")],
            [call(0, None, '{"y":2}') | {"id": ""}],
        ],
        TWO,
    ),
    "no index, ids": ([[call("", "f", '{"x":1}', "a"), call("", "f", '{"y":2}', "b")]], TWO),
    "no index, ids again": (
        [[call("", "f", '{"x"', "a")], [call("", arguments=":1}", id="a")], [call("", "f", '{"y":2}', "b")]],
        TWO,
    ),
    "no index, an id without a name": (
        [[call("", "f", "{}", "a")], [call("", arguments="{}", id="b")]],
        [("a", "f", "{}"), ("b", "", "{}")],
    ),
    "no index, one id": (
        [[call("", "f", '{"x":1}', "a"), call("", "g", '{"y":2}')]],
        [TWO[0], ("call_r_1", "g", '{"y":2}')],
    ),
    "nothing but names": (
        [[call("", "f", '{"x":1}'), call("", "f", '{"y":2}')]],
        [("call_r_0", *TWO[0][1:]), ("call_r_1", *TWO[1][1:])],
    ),
    "nothing but names again": (
        [[call("", "f", '{"x"')], [call("", "f", ":1}")], [call("", "f", '{"y":2}')]],
        [("call_r_0", *TWO[0][1:]), ("call_r_1", *TWO[1][1:])],
    ),
    "names of index 0": (
        [[call(0, "f", '{"x":1}')], [call(0, "f", '{"y"')], [call(0, "f", ":2}")]],
        [("call_r_0", *TWO[0][1:]), ("call_r_1", *TWO[1][1:])],
    ),
    "no id": ([[call(0, "f", '{"x"')], [call(0, arguments=":1}")]], [("call_r_0", *ONE[0][1:])]),
    "an id too late": ([[call(0, "f", '{"x"')], [call(0, "f", ":1}", "a")]], [("call_r_0", *ONE[0][1:])]),
    "arguments before all else": ([[call("", arguments="{}")]], [("call_r_0", "", "{}")]),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_calls_of_any_shape_can_be_joined(shape: str) -> None:
    deltas, expected = SHAPES[shape]
    assert brief(*deltas) == expected


def test_what_nobody_knows_here_survives() -> None:
    more = {"extra_content": {"google": {"thought_signature": "s"}}}
    (first,), (second,) = rewritten([call(0, "f", "{}", **more)], [{"index": 0, "x": 1}])
    assert first == {
        "index": 0,
        **more,
        "id": "call_r_0",
        "type": "function",
        "function": {"name": "f", "arguments": "{}"},
    }
    assert second == {"index": 0, "x": 1}
    custom = {"index": 0, "id": "a", "type": "custom", "custom": {"name": "c", "input": "i"}}
    assert rewritten([custom]) == [[custom]]


def test_no_more_calls_are_told_apart_than_anybody_needs() -> None:
    calls = ToolCalls("")
    for index in range(MAX_CALLS):
        calls.mend([call(index, "f", "{}", f"id{index}")])
    assert calls.mend([call(MAX_CALLS, "f", "{}", "more")]) is None
    assert repr(calls) == f"<ToolCalls {MAX_CALLS} begun>"


_arguments = st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=5), max_size=3).map(
    json.dumps
)


@given(
    st.lists(
        st.tuples(st.sampled_from(["f", "g"]), _arguments, st.lists(st.integers(0, 12), max_size=3)),
        min_size=1,
    ),
    st.sampled_from(["index", "index 0", "no index"]),
    st.sampled_from(["ids", "no ids"]),
    st.sampled_from(["once", "again"]),
)
def test_calls_in_a_row_stay_apart(
    calls: list[tuple[str, str, list[int]]], index: str, ids: str, told: str
) -> None:
    deltas: list[list[Any]] = []
    for at, (name, arguments, cuts) in enumerate(calls):
        # No empty piece: where there are no ids, a name behind whole arguments begins the next call.
        bounds = sorted({0, *(min(cut, len(arguments)) for cut in cuts), len(arguments)})
        for turn, (begin, end) in enumerate(pairwise(bounds)):
            place = {"index": at, "index 0": 0, "no index": ""}[index]
            named = turn == 0 or told == "again"
            one = call(
                place,
                name if named else "",
                arguments[begin:end],
                f"id{at}" if ids == "ids" and named else "",
            )
            deltas.append([one])
    expected = [
        (f"id{at}" if ids == "ids" else f"call_r_{at}", name, arguments)
        for at, (name, arguments, _) in enumerate(calls)
    ]
    assert brief(*deltas) == expected


@given(_arguments, st.lists(st.integers(0, 40), max_size=6), st.sampled_from(["", " ", "}", "]"]))
def test_arguments_are_whole_where_json_ends(text: str, cuts: list[int], more: str) -> None:
    text = more.strip("}]") + text + more.strip()
    arguments = _Arguments()
    for begin, end in pairwise(sorted({0, *(min(cut, len(text)) for cut in cuts), len(text)})):
        arguments.add(text[begin:end])
        assert arguments.whole == (end >= len(text.rstrip()) - len(more.strip()))
        assert repr(arguments).endswith("whole>" if arguments.whole else " deep>")


@pytest.mark.parametrize("text", ["", '"{}"', '{"a":"}', '{"a":"\\"}', '{"a":[{}]', "1"])
def test_arguments_that_are_not_whole(text: str) -> None:
    arguments = _Arguments()
    for one in text:
        arguments.add(one)
    assert not arguments.whole


def test_a_call_costs_its_length_however_often_its_name_is_said() -> None:
    """Each piece is looked at once: twice the pieces are about twice the work."""
    seen: list[int] = []

    class Counted(_Arguments):
        def add(self, text: str) -> None:
            seen.append(len(self._begun + text))
            super().add(text)

    calls = ToolCalls("")
    calls.mend([call(0, "f", '"a')])
    calls._begun[0].arguments = Counted()
    for _ in range(1000):
        calls.mend([call(0, "f", '\\"aaaaaaa')])
    assert sum(seen) <= 1000 * 12


def test_what_is_mended_stays_as_it_is_written_otherwise() -> None:
    raw = msgspec.Raw(b'[{"function":{"name":"f","arguments":{"x":1e999,"y":1.10}},"n":1.10}, 5]')
    edits = ToolCalls("").mend([{"function": {"name": "f", "arguments": {"x": 0, "y": 1.1}}, "n": 1.1}, 5])
    assert edits is not None
    assert bytes(mended(raw, edits)) == (
        b'[{"index":0,"function":{"name":"f","arguments":"{\\"x\\":1e999,\\"y\\":1.10}"},"n":1.10,'
        b'"id":"0","type":"function"},5]'
    )
