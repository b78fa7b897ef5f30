from typing import Any

import msgspec
import pytest

from trunkline.errors import INVALID_REQUEST, Fault
from trunkline.providers.ollama_messages import native_messages

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def translated(*messages: dict[str, Any]) -> list[dict[str, Any]]:
    made = native_messages(msgspec.Raw(msgspec.json.encode(messages)))
    assert not isinstance(made, Fault), made
    return msgspec.json.decode(msgspec.json.encode(made))


def refused(*messages: Any) -> tuple[str, str | None]:
    fault = native_messages(msgspec.Raw(msgspec.json.encode(messages)))
    assert isinstance(fault, Fault)
    assert fault.kind is INVALID_REQUEST
    return fault.message, fault.param


def test_plain_text_goes_on_byte_for_byte() -> None:
    raw = msgspec.Raw(b'[{"role":"user","content":"h\\u0069 \xc3\xbc"},{"role":"user","content":""}]')
    made = native_messages(raw)
    assert msgspec.json.encode(made) == bytes(raw)


@pytest.mark.parametrize(
    ("message", "result"),
    [
        ({"role": "developer", "content": "be brief"}, {"role": "system", "content": "be brief"}),
        ({"role": "assistant", "content": None}, {"role": "assistant", "content": ""}),
        ({"role": "assistant"}, {"role": "assistant", "content": ""}),
        (
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "user", "content": "a\nb"},
        ),
        (
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}, {"type": "text"}]},
            {"role": "assistant", "content": "no\n"},
        ),
        (
            {"role": "assistant", "content": "4", "reasoning_content": "2+2"},
            {"role": "assistant", "content": "4", "thinking": "2+2"},
        ),
        (
            {"role": "assistant", "content": "4", "reasoning": "2+2", "reasoning_content": "no"},
            {"role": "assistant", "content": "4", "thinking": "2+2"},
        ),
        (
            {"role": "assistant", "content": "4", "reasoning": {"effort": "low"}, "reasoning_content": ""},
            {"role": "assistant", "content": "4"},
        ),
        (
            {"role": "user", "content": "x", "images": [PIXEL]},
            {"role": "user", "content": "x", "images": [PIXEL]},
        ),
        ({"role": "user", "content": "x", "images": None}, {"role": "user", "content": "x"}),
        (
            {"role": "tool", "tool_name": "t", "content": "1"},
            {"role": "tool", "content": "1", "tool_name": "t"},
        ),
        (
            {"role": "function", "name": "f", "content": "1"},
            {"role": "tool", "content": "1", "tool_name": "f"},
        ),
        (
            {"role": "tool", "tool_call_id": "lost", "content": "1"},
            {"role": "tool", "content": "1", "tool_call_id": "lost"},
        ),
    ],
)
def test_one_message(message: dict[str, Any], result: dict[str, Any]) -> None:
    assert translated(message) == [result]


@pytest.mark.parametrize(
    "url",
    [
        f"data:image/png;base64,{PIXEL}",
        f"data:;base64,{PIXEL}",
        f"DATA:image/png;charset=utf-8;Base64,{PIXEL}",
    ],
)
@pytest.mark.parametrize("form", ["text", "object"])
def test_images_lose_what_stands_around_their_data(url: str, form: str) -> None:
    part = {"type": "image_url", "image_url": url if form == "text" else {"url": url, "detail": "low"}}
    content = [{"type": "text", "text": "what is this?"}, part, part]
    assert translated({"role": "user", "content": content}) == [
        {"role": "user", "content": "what is this?", "images": [PIXEL, PIXEL]}
    ]


@pytest.mark.parametrize(
    "url", ["https://example.com/cat.png", "data:image/svg+xml,<svg/>", PIXEL, "", 7, {}, None]
)
def test_images_elsewhere_are_refused_by_place(url: object) -> None:
    content = [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": url}]
    message, param = refused({"role": "system", "content": "x"}, {"role": "user", "content": content})
    assert param == "messages[1].content[1].image_url"
    assert "base64" in message


def test_what_has_no_place_in_a_message_is_refused() -> None:
    sound = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
    assert refused({"role": "user", "content": [sound]}) == (
        "`messages[0].content[0]`: Ollama takes no parts of type 'input_audio'",
        "messages[0].content[0]",
    )
    assert refused({"role": "user", "content": 7})[1] == "messages[0].content"
    assert refused({"role": "user", "content": [7]})[1] == "messages[0].content"
    assert refused({"content": "x"}) == (
        "`messages`: Object missing required field `role` - at `$[0]`",
        "messages",
    )
    assert refused(7)[1] == "messages"


def test_tool_calls_and_their_results() -> None:
    """The example of Ollama's documentation, as OpenAI's clients write it."""
    call = {"id": "call_1", "type": "function", "function": {"name": "get_temperature"}}
    call["function"] = {"name": "get_temperature", "arguments": '{"city": "New York", "days": 1e0}'}
    history = [
        {"role": "user", "content": "What is the temperature in New York?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "22°C"},
    ]
    assert translated(*history)[1:] == [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {
                    "id": "call_1",
                    "function": {"name": "get_temperature", "arguments": {"city": "New York", "days": 1}},
                }
            ],
        },
        {"role": "tool", "content": "22°C", "tool_name": "get_temperature", "tool_call_id": "call_1"},
    ]


def test_of_equal_ids_the_last_call_is_meant() -> None:
    def calls(name: str) -> dict[str, Any]:
        return {
            "role": "assistant",
            "tool_calls": [{"id": "1", "function": {"name": name, "arguments": "{}"}}],
        }

    result = {"role": "tool", "tool_call_id": "1", "content": ""}
    made = translated(calls("a"), result, calls("b"), result)
    assert [made[1]["tool_name"], made[3]["tool_name"]] == ["a", "b"]


@pytest.mark.parametrize(
    ("arguments", "result"),
    [
        (b'"{\\"a\\": 1.50}"', b'{"a": 1.50}'),
        (b'{"a":  1e3}', b'{"a":  1e3}'),
        (b'""', b"{}"),
        (b'" "', b"{}"),
        (b"null", b"{}"),
    ],
)
def test_arguments_are_objects(arguments: bytes, result: bytes) -> None:
    raw = b'[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":%b}}]}]' % arguments
    made = native_messages(msgspec.Raw(raw))
    assert b'{"name":"f","arguments":%b}' % result in msgspec.json.encode(made)


@pytest.mark.parametrize("arguments", ['{"a":', "[1]", "x", [1], 7])
def test_arguments_that_are_none_are_refused(arguments: object) -> None:
    calls = [
        {"function": {"name": "f"}},
        {"function": {"name": "f", "arguments": arguments}},
    ]
    assert (
        refused({"role": "assistant", "tool_calls": calls})[1]
        == "messages[0].tool_calls[1].function.arguments"
    )
