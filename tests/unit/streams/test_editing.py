"""streams/editing.py: changes of some fields that leave the others byte for byte."""

from typing import Any

import msgspec
import pytest

from trunkline.streams.editing import ChoiceEdit, apply, choice_says, parts_of, says
from trunkline.streams.raw import decode_object
from trunkline.streams.tool_calls import CallEdit


def choice(text: bytes) -> dict[str, msgspec.Raw]:
    return decode_object(text)


def written(fields: dict[str, msgspec.Raw]) -> bytes:
    return msgspec.json.encode(fields)


@pytest.mark.parametrize(
    ("value", "more"),
    [
        (b"", False),
        (b"null", False),
        (b'""', False),
        (b"[]", False),
        (b"{}", False),
        (b"0", True),
        (b"false", True),
        (b'" "', True),
        (b"[0]", True),
    ],
)
def test_what_says_something(value: bytes, more: bool) -> None:
    assert says(msgspec.Raw(value)) is more


@pytest.mark.parametrize(
    ("before", "delta", "fields", "after", "vanished"),
    [
        (b'{"x": 1e400}', {}, {}, b'{"x":1e400}', False),
        (b'{"delta":{"a": 1.0,"b":2}}', {"b": 3}, {}, b'{"delta":{"a":1.0,"b":3}}', False),
        (b'{"delta":{"b":2}}', {"b": None}, {}, b'{"delta":{}}', True),
        (b'{"delta":{"b":"x"}}', {"b": ""}, {}, b'{"delta":{"b":""}}', True),
        (b'{"delta":{"b":""}}', {"b": None, "c": None}, {}, b'{"delta":{}}', False),
        (b'{"delta":null}', {"b": 1}, {}, b'{"delta":{"b":1}}', False),
        (b"{}", {"b": 1}, {}, b'{"delta":{"b":1}}', False),
        (b'{"finish_reason":"stop"}', {}, {"finish_reason": None}, b'{"finish_reason":null}', True),
        (b'{"finish_reason":""}', {}, {"finish_reason": None}, b'{"finish_reason":null}', False),
        (b'{"index":null,"text":"x"}', {}, {"index": 0, "text": "y"}, b'{"index":0,"text":"y"}', False),
        (b'{"text":"x"}', {}, {"text": ""}, b'{"text":""}', True),
    ],
)
def test_changes(
    before: bytes, delta: dict[str, Any], fields: dict[str, Any], after: bytes, vanished: bool
) -> None:
    changed = choice(before)
    assert apply(changed, ChoiceEdit(False, delta, fields)) is vanished
    assert written(changed) == after


def test_logprobs_of_what_is_spelt_otherwise_go() -> None:
    for before, after in ((b'{"logprobs":{"content":[1]}}', b'{"logprobs":null}'), (b"{}", b"{}")):
        changed = choice(before)
        apply(changed, ChoiceEdit(False, {}, {}, respelt=True))
        assert written(changed) == after


@pytest.mark.parametrize(
    ("fields", "first", "more"),
    [
        (b'{"index":1,"delta":{"content":"","tool_calls":[]},"finish_reason":null}', True, False),
        (b'{"index":1,"delta":{"role":"assistant"}}', False, False),
        (b'{"index":1,"delta":{"role":"assistant"}}', True, True),
        (b'{"delta":{"content":"x"}}', False, True),
        (b'{"delta":{"new":1}}', False, True),
        (b'{"delta":null,"finish_reason":"stop"}', False, True),
        (b'{"logprobs":{"content":[1]}}', False, True),
        (b'{"text":""}', False, False),
    ],
)
def test_whether_a_choice_says_anything(fields: bytes, first: bool, more: bool) -> None:
    assert choice_says(choice(fields), first=first) is more


def test_tool_calls_are_changed_in_their_place() -> None:
    edit = ChoiceEdit(first=False, delta={}, choice={}, calls=[None, CallEdit({"id": "a"}, {})])
    assert edit.changes
    assert not ChoiceEdit(first=True, delta={}, choice={}).changes
    one = choice(b'{"delta":{"tool_calls":[{"n":1.0},{"n":2.0}]}}')
    assert not apply(one, edit)
    assert written(one) == b'{"delta":{"tool_calls":[{"n":1.0},{"n":2.0,"id":"a"}]}}'


def test_parts_of_a_content_are_as_they_were_written() -> None:
    payload = b'{"choices":[{},{"delta":{"content":[{"n":1.0},2]}}]}'
    assert [bytes(part) for part in parts_of(payload, 1)] == [b'{"n":1.0}', b"2"]
