"""streams/lenient.py: JSON that is not quite what it should be, read all the same."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.streams.lenient import read_chunk, small, valid


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (rb'"\ud83d"', "\ufffd"),
        (rb'"\ude00 ok"', "\ufffd ok"),
        (rb'"\ud83d\ude00"', "\U0001f600"),
        (rb'"\uD83D\uDE00\uD83D"', "\U0001f600\ufffd"),
        (rb'"\ud83d\u0061"', "\ufffda"),
        (rb'"\\ud83d \\\ud83d"', "\\ud83d \\\ufffd"),
        (rb'"\ud83d\ud83d\ude00"', "\ufffd\U0001f600"),
        (rb'[NaN,-Infinity,Infinity,"NaN \" Infinity",-1.5]', [None, None, None, 'NaN " Infinity', -1.5]),
    ],
)
def test_what_is_no_json_is_read(text: bytes, read: Any) -> None:
    assert msgspec.json.decode(valid(text)) == read


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (b"[1e999,-1E+400,1e-999]", [0, 0, 0.0]),
        (b"[" + b"9" * 5000 + b"]", [0]),
        (
            rb'["1e999 \" 1e999",1e99,123456789012345678901234567890]',
            ['1e999 " 1e999', 1e99, int("1234567890" * 3)],
        ),
    ],
)
def test_numbers_that_fit_nowhere(text: bytes, read: Any) -> None:
    assert msgspec.json.decode(small(text)) == read


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e99, 1e99) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(_json, st.booleans())
def test_json_stays_as_it_is(value: Any, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).encode()
    assert valid(text) == text
    assert msgspec.json.decode(small(text)) == value


def chunk(*choices: Any, **more: Any) -> bytes:
    return json.dumps({"choices": list(choices), **more}, separators=(",", ":")).encode()


SAID = {"index": 0, "delta": {"content": "x"}}


@pytest.mark.parametrize(
    ("payload", "mended", "same"),
    [
        (chunk(SAID), chunk(SAID), True),
        (
            chunk({**SAID, "n": [1]}).replace(b"[1]", b"1e999"),
            chunk({**SAID, "n": [1]}).replace(b"[1]", b"1e999"),
            True,
        ),
        (chunk({**SAID, "n": [1]}).replace(b"[1]", b"NaN"), chunk({**SAID, "n": None}), False),
        (chunk(SAID).replace(b'"x"', rb'"\ud83d"'), chunk(SAID).replace(b'"x"', rb'"\ufffd"'), True),
        (chunk(None, SAID, "x"), chunk(SAID), False),
        (chunk({**SAID, "index": "0"}), chunk(SAID), False),
        (chunk({**SAID, "index": "12"}), chunk({**SAID, "index": 12}), False),
        (chunk({**SAID, "index": "9999999999"}), chunk(SAID), False),
        (chunk({**SAID, "index": {}}), chunk(SAID), False),
        (chunk({**SAID, "finish_reason": 5}), chunk({**SAID, "finish_reason": None}), False),
        (chunk({"text": ["x"]}), chunk({"text": None}), False),
    ],
)
def test_a_chunk_is_read(payload: bytes, mended: bytes, same: bool) -> None:
    found = read_chunk(payload)
    assert found is not None
    assert found[1:] == (mended, same)
    assert len(found[0].choices or ()) == 1


@pytest.mark.parametrize(
    "payload",
    [
        *(b"", b"x", b"[1]", b'"\xff"', b"[" * 9999, b'{"choices":[{"delta":{"content":"a'),
        *(b'{"choices":"odd"}', b'{"choices":[{"delta":"x"}]}'),
    ],
)
def test_what_cannot_be_read_even_so(payload: bytes) -> None:
    assert read_chunk(payload) is None
