"""client/count.py: what is counted of texts and requests, and what is said not to be."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.client.count import Count, UncountableError, count, measure, measure_request

# The example of OpenAI's cookbook, and what its API counts for it.
COOKBOOK = [
    {
        "role": "system",
        "content": "You are a helpful, pattern-following assistant that translates corporate jargon "
        "into plain English.",
    },
    {"role": "system", "name": "example_user", "content": "New synergies will help drive top-line growth."},
    {
        "role": "system",
        "name": "example_assistant",
        "content": "Things working well together will increase revenue.",
    },
    {
        "role": "system",
        "name": "example_user",
        "content": "Let's circle back when we have more bandwidth to touch base on opportunities "
        "for increased leverage.",
    },
    {
        "role": "system",
        "name": "example_assistant",
        "content": "Let's talk later when we're less busy about how to do better.",
    },
    {
        "role": "user",
        "content": "This late pivot means we don't have time to boil the ocean for the client deliverable.",
    },
]


@pytest.mark.parametrize(
    ("model", "tokens"), [("gpt-3.5-turbo", 129), ("gpt-4-0613", 129), ("gpt-4o", 124), ("gpt-4o-mini", 124)]
)
def test_a_chat_is_counted_as_the_api_does(model: str, tokens: int) -> None:
    assert measure(COOKBOOK, model) == Count(
        tokens=tokens,
        model=model,
        encoding="o200k_base" if "4o" in model else "cl100k_base",
        exact=True,
    )
    assert measure_request({"model": model, "messages": COOKBOOK}).tokens == tokens
    assert measure_request({"model": "other", "messages": COOKBOOK}, model).model == model


def test_a_text() -> None:
    assert count("hello world", "gpt-4o") == 2
    assert count("") == 0
    assert count("<|endoftext|>", "gpt-4") > 1, "in a text it is no token of its own"
    assert measure("hello world", "text-embedding-3-small").exact


def test_a_model_that_is_not_known_is_counted_as_the_newest_ones() -> None:
    found = measure("hello world", "llama3")
    assert (found.tokens, found.encoding, found.exact) == (2, "o200k_base", False)
    assert found.notes == (
        "the tokenizer of `llama3` is not known: this is what OpenAI's newest models would count",
    )
    assert measure("hello").notes == ("no model is named: this is what OpenAI's newest models would count",)


def of(*messages: dict[str, Any], **fields: Any) -> Count:
    return measure_request({"model": "gpt-4o", "messages": list(messages), **fields})


def test_parts_that_are_text_are_the_text() -> None:
    text = {"type": "text", "text": "hello world"}
    plain = of({"role": "user", "content": "hello world"})
    assert of({"role": "user", "content": [text]}) == plain
    both = of({"role": "user", "content": [text, {"type": "image_url", "image_url": {"url": "data:"}}, {}]})
    assert (both.tokens, both.exact) == (plain.tokens, False)
    assert both.left_out == ("messages[0]: image_url", "messages[0]: a part without a type")
    assert both.notes == ("not counted: messages[0]: image_url, messages[0]: a part without a type",)
    refused = [{"type": "refusal", "refusal": "hello world"}]
    assert of({"role": "user", "content": refused}) == plain


def test_calls_of_tools_are_counted_as_their_text() -> None:
    called = {"id": "1", "type": "function", "function": {"name": "hello", "arguments": " world"}}
    found = of({"role": "assistant", "content": None, "tool_calls": [called, "?"]})
    assert (found.tokens, found.exact) == (3 + 1 + 2 + 3, False)
    assert found.notes[0].startswith("how calls of tools are written")
    older = of(
        {"role": "assistant", "function_call": called["function"]},
        {"role": "assistant", "function_call": None},
    )
    assert older.tokens == 3 + 1 + 2 + 3 + 1 + 3
    assert len(older.notes) == 1


def test_what_else_a_request_has_is_said_not_to_be_counted() -> None:
    found = of(
        {"role": "user", "content": "x"}, tools=[{}], functions=[], response_format={"type": "json_object"}
    )
    assert found.left_out == ("tools", "response_format")


@pytest.mark.parametrize(
    ("value", "tokens"),
    [
        ("hello world", 2),
        (["hello world", "hello"], 3),
        ([1, 2, 3], 3),
        ([[1, 2], [3]], 3),
        ([], 0),
    ],
)
@pytest.mark.parametrize("field", ["prompt", "input"])
def test_prompts_and_inputs(field: str, value: Any, tokens: int) -> None:
    found = measure_request({"model": "text-embedding-3-small", field: value})
    assert (found.tokens, found.exact) == (tokens, True)


def test_messages_of_responses() -> None:
    said = {"role": "user", "content": [{"type": "input_text", "text": "hello world"}]}
    found = measure_request({"model": "gpt-4o", "input": [said, {"type": "item_reference"}, {}]})
    assert found.tokens == 3 * 3 + 1 + 2 + 3
    assert (found.exact, found.left_out) == (False, ("input[1]: item_reference", "input[2]: no message"))


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({}, "there is nothing to count: neither `messages` nor `prompt` nor `input`"),
        ({"messages": "hi"}, "`messages` must be a list"),
        ({"messages": [1]}, "`messages[0]` must be an object"),
        ({"messages": [{"role": 5}]}, "`messages[0].role` must be text"),
        ({"messages": [{"role": "user", "content": 5}]}, "`messages[0].content` must be a list"),
        (
            {"messages": [{"role": "user", "content": ["x"]}]},
            "`a part of messages[0].content` must be an object",
        ),
        ({"prompt": 5}, "`prompt` must be a list"),
        ({"prompt": [None]}, "`prompt` must be text, a list of texts, or tokens"),
    ],
)
def test_what_is_no_request(request_: dict[str, Any], says: str) -> None:
    with pytest.raises(UncountableError) as raised:
        measure_request(request_)
    assert str(raised.value) == says


@given(st.text(), st.sampled_from(["gpt-4", "gpt-4o"]))
def test_any_text_has_a_count_between_none_and_its_bytes(text: str, model: str) -> None:
    assert (0 if not text else 1) <= count(text, model) <= len(text.encode())
    assert count([{"role": "user", "content": text}], model) == 3 + 1 + count(text, model) + 3
