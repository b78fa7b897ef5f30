"""streams/pieces.py: values joined as they are written."""

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from trunkline.streams.pieces import COST, Entries, Fields, Grown, Tally, rendered, weak


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(value if isinstance(value, bytes) else json.dumps(value).encode())


def _json(value: Any) -> Any:
    return json.loads(msgspec.json.encode(rendered(value)))


@given(st.lists(st.text(), min_size=1))
def test_strings_are_joined(texts: list[str]) -> None:
    tally = Tally()
    grown = Grown(json.dumps(texts[0]).encode(), tally)
    for text in texts[1:]:
        grown.add(json.dumps(text, ensure_ascii=False).encode())
    assert json.loads(bytes(grown.raw())) == "".join(texts)
    assert tally.size == len(grown) == len(bytes(grown.raw())) - 2


@given(st.lists(st.lists(st.integers() | st.floats(allow_nan=False)), min_size=1), st.sampled_from([None, 1]))
def test_lists_are_joined(lists: list[list[float]], indent: int | None) -> None:
    grown = Grown(json.dumps(lists[0], indent=indent).encode(), Tally())
    for items in lists[1:]:
        grown.add(json.dumps(items, indent=indent).encode())
    assert json.loads(bytes(grown.raw())) == [item for items in lists for item in items]


def test_values_stay_as_they_are_written() -> None:
    tally = Tally()
    fields = Fields(tally)
    fields.last("big", _raw(b"123456789012345678901234567890"))
    fields.last("float", _raw(b"1.50E+3"))
    fields.grow("text", _raw(b'"\\u003c"'))
    fields.grow("text", _raw(b'"<"'))
    assert msgspec.json.encode(rendered(fields)) == (
        b'{"big":123456789012345678901234567890,"float":1.50E+3,"text":"\\u003c<"}'
    )
    assert tally.size == COST + len("bigfloattext") + 30 + 7 + 7


def test_of_same_fields_the_first_that_says_something_counts() -> None:
    fields = Fields(Tally())
    for created, model in ((0, ""), (5, None), (6, "m"), (0, "n")):
        fields.first("created", _raw(created))
        fields.first("model", _raw(model))
    fields.first("none", _raw(None))
    assert _json(fields) == {"created": 5, "model": "m", "none": None}


def test_of_others_the_last_that_says_something_counts() -> None:
    tally = Tally()
    fields = Fields(tally)
    values: list[Any] = [None, {"a": 1}, {}, [], "", None]
    for value in values:
        fields.last("filter", _raw(value))
    for value in ("", 0, False, None):
        fields.last("flag", _raw(value))
    assert _json(fields) == {"filter": {"a": 1}, "flag": False}
    assert tally.size == COST + len('filter{"a": 1}flagfalse')


def test_what_grows() -> None:
    fields = Fields(Tally())
    for value in (None, "a", None, "", "b"):
        fields.grow("text", _raw(value))
    for value in ([], [1], None, [2, 3]):
        fields.grow("list", _raw(value))
    for value in ("a", 5, "b", None):
        fields.grow("mixed", _raw(value))
    for value in ("", ["a"]):
        fields.grow("parts", _raw(value))
    assert _json(fields) == {"text": "ab", "list": [1, 2, 3], "mixed": "b", "parts": ["a"]}


def test_what_says_something() -> None:
    fields = Fields(Tally())
    assert not fields.says("absent")
    nothing: dict[str, Any] = {"null": None, "empty": "", "list": []}
    for name, value in nothing.items():
        fields.grow(name, _raw(value))
        assert not fields.says(name)
    for name in ("object", "entries"):
        held = fields.within(name) if name == "object" else fields.entries(name)
        assert not fields.says(name)
        if isinstance(held, Fields):
            held.last("a", _raw(None))
        else:
            held.add([_raw({"type": "x"})])
        assert fields.says(name)
        assert (fields.within(name) if name == "object" else fields.entries(name)) is held
    fields.grow("text", _raw("a"))
    assert fields.says("text")
    assert weak(_raw([]))
    assert not weak(_raw(0))
    assert repr(fields) == "<Fields null, empty, list, object, entries, text>"
    assert len(fields) == 6


def _entries(*deltas: list[Any]) -> Any:
    entries = Entries(Tally())
    for delta in deltas:
        entries.add([_raw(item) for item in delta])
    return _json(entries)


def test_thoughts_are_joined_by_type_and_index() -> None:
    form = {"format": "anthropic-claude-v1"}
    assert _entries(
        [{"type": "reasoning.text", "text": "Let", "index": 0} | form],
        [{"type": "reasoning.summary", "summary": "Su", "index": 0}],
        [
            {"type": "reasoning.text", "text": " me", "index": 0},
            {"type": "reasoning.text", "text": "!", "index": 0},
        ],
        [{"type": "reasoning.text", "text": "other", "index": 1}],
        [{"type": "reasoning.summary", "summary": "m", "index": 0}],
        [{"type": "reasoning.text", "text": None, "signature": "Et8", "index": 0} | form],
    ) == [
        {"type": "reasoning.text", "text": "Let me!", "index": 0, "signature": "Et8"} | form,
        {"type": "reasoning.summary", "summary": "Sum", "index": 0},
        {"type": "reasoning.text", "text": "other", "index": 1},
    ]


def test_without_an_index_a_delta_goes_on_with_the_entry_before() -> None:
    text, other = {"type": "reasoning.text", "text": "a"}, {"type": "reasoning.summary", "summary": "s"}
    assert _entries([text], [text]) == [text | {"text": "aa"}]
    assert _entries([text, text]) == [text, text]
    assert _entries([text], [other], [text]) == [text, other, text]
    assert _entries([text | {"index": 0}], [text]) == [text | {"index": 0}, text]
    assert _entries([text | {"index": None}], [text]) == [text | {"index": None, "text": "aa"}]


def test_entries_that_do_not_come_in_pieces() -> None:
    encrypted = {"type": "reasoning.encrypted", "data": "xx", "index": 0}
    assert _entries([encrypted], [encrypted]) == [encrypted, encrypted]
    assert _entries(["no object", {}, 5, {"untyped": 1}]) == [{"untyped": 1}]


def test_parts_within_parts() -> None:
    def thought(text: str) -> dict[str, Any]:
        return {"type": "thinking", "thinking": [{"type": "text", "text": text}]}

    assert _entries([thought("Ok")], [thought("ay") | {"closed": True}]) == [
        thought("Okay") | {"closed": True}
    ]


def test_they_tell_what_they_are() -> None:
    tally = Tally()
    assert repr(Grown(b'"abc"', tally)) == '<Grown " of 3 bytes>'
    assert repr(tally) == "<Tally of 3 bytes>"
    entries = Entries(tally)
    entries.add([_raw({"type": "x"})])
    assert repr(entries) == "<Entries [<Fields type>]>"
