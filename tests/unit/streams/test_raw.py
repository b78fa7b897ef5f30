"""streams/raw.py: JSON values as they are written."""

import msgspec
import pytest

from trunkline.streams.raw import (
    NULL,
    decode_objects,
    index_of,
    items_of,
    kind_of,
    object_of,
    quoted,
    raw_of,
    text_of,
    values_of,
)


def test_values_as_json() -> None:
    assert (bytes(raw_of({"a": "ä"})), bytes(NULL)) == ('{"a":"ä"}'.encode(), b"null")
    assert [bytes(one["x"]) for one in decode_objects(b'[{"x": 1.0}, {"x":1e400}]')] == [b"1.0", b"1e400"]


@pytest.mark.parametrize(
    "bad", [b"", b"5", b"nul", b'{"a":', b"[1", b'"\xff"', b"[" * 100_000, b'{"a":' * 100_000]
)
def test_what_is_no_such_value(bad: bytes) -> None:
    assert object_of(bad) == {}
    assert items_of(bad) == values_of(bad) == []
    assert text_of(bad) == ""
    assert index_of(bad) == (5 if bad == b"5" else None)


def test_readers() -> None:
    assert {name: bytes(raw) for name, raw in object_of(b'{"a": 1.0}').items()} == {"a": b"1.0"}
    assert [bytes(raw) for raw in items_of(b"[1, {}]")] == [b"1", b"{}"]
    assert values_of(b'[1, {"a": null}]') == [1, {"a": None}]
    assert text_of(b'"\\u00e4"') == "ä"
    assert kind_of(raw_of({})) == b"{"


def test_text_that_came_as_a_value() -> None:
    assert bytes(quoted(raw_of("x"))) == b'"x"'
    assert bytes(quoted(msgspec.Raw(b'{"a":1e3,"b":"c"}'))) == b'"{\\"a\\":1e3,\\"b\\":\\"c\\"}"'
