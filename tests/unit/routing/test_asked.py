"""routing/asked.py: what requests of every surface ask."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.routing.asked import MAX_READ, Asked, read_asked

IMAGE = {"type": "image_url", "image_url": {"url": "data:,"}}


def read(**fields: Any) -> Asked:
    return read_asked(msgspec.json.decode(msgspec.json.encode(fields), type=dict[str, msgspec.Raw]))


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"messages": [user("one"), {"role": "assistant", "content": "two"}]}, "one"),
        ({"messages": [user("one"), user("two"), {"role": "tool", "content": "x"}]}, "two"),
        ({"messages": [user([{"type": "text", "text": "a"}, IMAGE, {"type": "text", "text": "b"}])]}, "a\nb"),
        ({"messages": [user("q"), user([{"type": "tool_result", "content": "r"}])]}, "q"),
        ({"messages": [{"role": "system", "content": "s"}]}, ""),
        ({"input": "one"}, "one"),
        ({"input": [user([{"type": "input_text", "text": "one"}]), {"type": "reasoning"}]}, "one"),
        ({"input": ["embed", "these"]}, "these"),
        ({"input": [1, 2, 3]}, ""),
        ({"input": [[1], [2]]}, ""),
        ({"prompt": "one"}, "one"),
        ({"prompt": ["one", "two"]}, "one\ntwo"),
        ({"query": "one", "documents": ["x"]}, "one"),
        ({"messages": "odd"}, ""),
        ({"messages": [1, None, {"role": "user"}, user(5), user([7, {"type": "text", "text": 5}])]}, ""),
        ({}, ""),
    ],
)
def test_the_last_text_of_the_user(fields: dict[str, Any], text: str) -> None:
    assert read(**fields).text == text


@pytest.mark.parametrize(
    ("fields", "images"),
    [
        ({"messages": [user([IMAGE]), user("and now?")]}, True),
        ({"messages": [user([{"type": "image", "source": None}])]}, True),
        ({"input": [user([{"type": "input_image", "image_url": "x"}])]}, True),
        ({"messages": [user([{"type": "text", "text": "image_url"}])]}, False),
    ],
)
def test_images(fields: dict[str, Any], images: bool) -> None:
    assert read(**fields).images is images


@pytest.mark.parametrize(
    ("fields", "tools"),
    [
        ({"tools": [1]}, True),
        ({"functions": [1]}, True),
        ({"tools": []}, False),
        ({"tools": None}, False),
        ({}, False),
    ],
)
def test_tools(fields: dict[str, Any], tools: bool) -> None:
    assert read(**fields).tools is tools


@pytest.mark.parametrize(
    ("fields", "schema"),
    [
        ({"response_format": {"type": "json_schema", "json_schema": None}}, True),
        ({"response_format": {"type": "json_object"}}, False),
        ({"text": {"format": {"type": "json_schema"}}}, True),
        ({"output_format": {"type": "json_schema"}}, True),
        ({"response_format": "json_schema", "text": "x"}, False),
    ],
)
def test_a_schema(fields: dict[str, Any], schema: bool) -> None:
    assert read(**fields).json_schema is schema


def test_a_value_that_cannot_be_read_is_none() -> None:
    assert read_asked({"messages": msgspec.Raw(b"[" * 100_000), "tools": msgspec.Raw(b"\xff")}) == Asked()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["role", "content", "type", "text", "format"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(messages=JSON, other=JSON, text=JSON)
def test_nothing_raises(messages: Any, other: Any, text: Any) -> None:
    found = read(messages=messages, input=other, text=text, tools=other, response_format=text)
    assert isinstance(found.text, str)


def fields_of(**values: Any) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in values.items()}


def test_of_a_conversation_that_is_too_long_only_its_size_is_read() -> None:
    text = "code " * (MAX_READ // 5)
    long = fields_of(
        messages=[{"role": "user", "content": text}, {"role": "user", "content": "last"}], tools=[{}]
    )
    found = read_asked(long)
    assert (found.text, found.images, found.tools) == ("", False, True)
    assert found.length > MAX_READ
    url = {"url": "data:image/png;base64," + "A" * MAX_READ}
    assert read_asked(fields_of(messages=[{"content": [{"type": "image_url", "image_url": url}]}])).images
    assert Asked("four").length == 4
