"""What is read of one object: all that can be, however odd the rest is."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from trunkline.providers.ollama_line import UNREADABLE, Line, read

_GOOD = b"""
{"model":"m","message":{"role":"assistant","content":"c","thinking":"t","images":[7],
"tool_calls":[{"id":"i","function":{"name":"f","arguments":{"a": 1.0}}}]},
"done":true,"done_reason":"stop","prompt_eval_count":3,"eval_count":2,"logprobs":[{"logprob": -0.10}],"error":{"a":1}}
"""


def test_a_field_too_many_of_the_wrong_type_takes_nothing_else_along() -> None:
    expected = read(_GOOD.decode())
    assert read(_GOOD.decode().replace('"model":"m"', '"model":7')) == msgspec.structs.replace(
        expected, model=""
    )
    call = expected.message.tool_calls[0] if expected.message and expected.message.tool_calls else None
    assert call is not None
    assert bytes(call.function.arguments) == b'{"a": 1.0}'
    assert [bytes(item) for item in expected.logprobs or []] == [b'{"logprob": -0.10}']


@pytest.mark.parametrize("text", ["", "x", "[]", "null", "7", '"{}"', "{", '{"done":1', "[" * 100_000])
def test_what_is_no_object(text: str) -> None:
    with pytest.raises(UNREADABLE):
        read(text)


def test_counts_are_read_together_or_not_at_all() -> None:
    assert read('{"prompt_eval_count":7,"eval_count":null,"done":0}').prompt_eval_count == 7
    for odd in ('"7"', "-1", "1.5", "1e300", "true", "[]"):
        line = read(f'{{"prompt_eval_count":7,"eval_count":{odd}}}')
        assert (line.prompt_eval_count, line.eval_count) == (None, None), odd


def test_content_that_is_no_text_is_told_from_none() -> None:
    for text, content in (("null", None), ("7", UNSET), ('"c"', "c")):
        message = read(f'{{"message":{{"content":{text}}},"done":"no"}}').message
        assert message is not None
        assert message.content == content


_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["name", "function", "id"]), inner)
    ),
    max_leaves=5,
)
_MESSAGE = st.fixed_dictionaries(
    {"content": st.just("text")}, optional={"thinking": _VALUES, "tool_calls": _VALUES}
)


@given(
    st.fixed_dictionaries(
        {"message": _MESSAGE},
        optional={name: _VALUES for name in Line.__struct_fields__ if name != "message"},
    )
)
def test_text_is_read_whatever_stands_beside_it(fields: dict[str, Any]) -> None:
    line = read(msgspec.json.encode(fields).decode())
    assert line.message is not None
    assert line.message.content == "text"
