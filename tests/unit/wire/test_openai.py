"""wire/openai.py: the shapes take what upstreams send, and `present` tells a report from none."""

import msgspec
import pytest

from trunkline.wire.openai import (
    ABSENT,
    Delta,
    Message,
    Response,
    decode_chunk,
    decode_typed_event,
    decode_whole,
    present,
)


@pytest.mark.parametrize("nothing", [None, "", [], {}, 0, False])
def test_every_field_of_a_delta_is_content_unless_empty(nothing: object) -> None:
    for field in Delta.__struct_fields__:
        if field == "role":
            continue  # it is sent before there is any content
        assert not Delta(**{field: nothing}).has_content()
        assert Delta(**{field: "x"}).has_content()
        assert Delta(**{field: [{}]}).has_content()


def test_a_role_is_no_content() -> None:
    assert not Delta(role="assistant").has_content()
    assert not Delta(role="assistant").has_more()


@pytest.mark.parametrize(
    ("raw", "there"), [(b"null", False), (b"{}", True), (b"0", True), (b"true", True), (b'{"a":1}', True)]
)
def test_present(raw: bytes, there: bool) -> None:
    assert present(msgspec.Raw(raw)) is there
    assert present(decode_chunk(b'{"usage":%b}' % raw).usage) is there
    assert not present(ABSENT)


def test_a_chunk() -> None:
    chunk = decode_chunk(
        b'{"id":"x","choices":[{"delta":{"content":"a","role":"assistant"},"logprobs":null},'
        b'{"index":null,"text":"t","finish_reason":"stop"}],"usage":null,"timings":{"n":1},"error":null}'
    )
    assert chunk.choices is not None
    first, second = chunk.choices
    assert (first.index, first.finish_reason, first.text) == (None, None, None)
    assert first.delta == Delta(role="assistant", content="a")
    assert (second.index, second.delta, second.text, second.finish_reason) == (None, None, "t", "stop")
    assert (bytes(chunk.timings), chunk.error, chunk.object) == (b'{"n":1}', None, None)
    assert (bytes(chunk.id), chunk.created, chunk.model) == (b'"x"', ABSENT, ABSENT)
    assert decode_chunk(b"{}").usage is ABSENT


def test_typed_events() -> None:
    event = decode_typed_event(b'{"type":"message_start","message":{"usage":{"a":1}},"response":null}')
    assert event.message == Message(msgspec.Raw(b'{"a":1}'))
    event = decode_typed_event(b'{"type":"x","response":{"usage":{},"error":{"message":"m"}},"usage":{}}')
    assert event.response == Response(msgspec.Raw(b"{}"), {"message": "m"})
    assert decode_typed_event(b'{"type":"error","message":"text"}').message == "text"
    assert decode_typed_event(b"{}").type is None


def test_whole_answers() -> None:
    whole = decode_whole(
        b'{"object":"list","data":[],"usage":{"prompt_tokens":1},"timings":null,"error":"e"}'
    )
    assert (whole.object, whole.error, present(whole.usage), present(whole.timings)) == (
        "list",
        "e",
        True,
        False,
    )


@pytest.mark.parametrize(
    "field",
    [
        "reasoning_content",
        "reasoning",
        "tool_calls",
        "reasoning_details",
        "refusal",
        "function_call",
        "audio",
    ],
)
def test_what_a_delta_has_besides_its_content(field: str) -> None:
    assert Delta(**{field: "x"}).has_more()
    assert not Delta(**{field: ""}).has_more()
    assert not Delta(content="x").has_more()
