import json
import random
from typing import Any

import pytest
from bench.payload import MODEL, render_event, render_request, render_stream_request, render_thoughts


def decode_chunk(framed: bytes) -> dict[str, Any]:
    """Check the framing of one HTTP chunk with one event, and return the event."""
    size, data, rest = framed.split(b"\r\n")
    assert (int(size, 16), rest) == (len(data), b"")
    assert data.startswith(b"data: ")
    assert data.endswith(b"\n\n")
    return json.loads(data[6:])


@pytest.mark.parametrize("size", [2_000, 20_000, 100_000])
def test_a_long_request_is_nearly_as_long_as_asked_for_and_never_longer(size: int) -> None:
    body = render_request(size=size)
    assert size - 5_000 < len(body) <= size
    assert json.loads(body)["messages"][-1] == json.loads(render_request())["messages"][-1]


def test_a_request_names_its_model() -> None:
    assert json.loads(render_request())["model"] == MODEL
    assert json.loads(render_request(model="other"))["model"] == "other"


def test_a_stream_request_tells_the_upstream_its_pace() -> None:
    assert b" interval=2 varied" in render_stream_request(2, "varied")
    assert b" interval=2 alike" in render_stream_request(2)


def test_half_of_the_events_are_thoughts() -> None:
    texts = [decode_chunk(event)["choices"][0]["delta"]["content"] for event in render_thoughts()]
    assert (texts.index("<think>"), texts.index("</think>"), len(texts)) == (0, 127, 256)


def test_events_differ_in_their_text_alone() -> None:
    one, other = decode_chunk(render_event(0)), decode_chunk(render_event(1))
    assert one != other
    assert {**one, "choices": None} == {**other, "choices": None}


def test_varied_events_differ_in_more() -> None:
    rng = random.Random(1)
    fields = [str(decode_chunk(render_event(0, rng))["obfuscation"]) for _ in range(100)]
    assert len(set(fields)) == 100
    assert len({len(field) for field in fields}) > 5
