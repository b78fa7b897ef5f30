"""streams/transcript.py: what a client was sent, whichever way it went, and what of it cannot be joined."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.streams.answers import answer, chunk, had, split, usage
from tests.unit.streams.events import COMMENT, ERRORS, event
from trunkline.streams.transcript import MAX_CHARACTERS, MAX_PIECES, MAX_RAW, Had, Transcript
from trunkline.wire.sse import LIMIT


def test_texts_and_names_of_an_answer() -> None:
    filtered = event({"id": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": []})
    found = had(
        COMMENT,
        filtered,
        chunk(role="assistant", content=""),
        chunk(reasoning="so"),
        chunk(content="One", reasoning=None),
        chunk(name="other", content=" tw\n", refusal=""),
        event({"choices": None}),
        usage("first"),
    )
    assert {name: bytes(value) for name, value in found.identity.items()} == {
        "id": b'"first"',
        "created": b"5",
        "model": b'"m-first"',
    }
    assert (found.role, found.texts, found.pieces) == (True, {"reasoning": "so", "content": "One tw\n"}, 3)
    assert had() == Had({}, False, {}, 0)
    assert not had(chunk(content="a")).role


def test_plain_text_and_events_stay_in_order() -> None:
    transcript = Transcript()
    transcript.events(chunk(content="a"))
    transcript.keep("bä".encode())
    transcript.events(chunk(content="c"))
    transcript.keep(b"d")
    assert repr(transcript) == "<Transcript of 0 bytes, 4 pieces more>"
    transcript.settle()
    transcript.keep(b"e")
    found = transcript.read()
    assert isinstance(found, Had)
    assert (found.texts, found.pieces) == ({"content": "abäcde"}, 5)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (chunk(tool_calls=[{"index": 0}]), "a tool call was begun"),
        (chunk(function_call={"name": "f"}), "a tool call was begun"),
        (chunk(audio={"id": "a"}), "the answer is more than text"),
        (chunk(reasoning_details=[{}]), "the answer is more than text"),
        (chunk(content=[{"type": "text"}]), "the answer is more than text"),
        (event({"choices": [{"index": 1, "delta": {"content": "a"}}]}), "there is more than one choice"),
        (chunk("stop"), "the answer was whole"),
        (event(b"[DONE]"), "the answer was whole"),
        (event({"choices": "odd"}), "an event was not like those of a chat"),
        (event(b"odd"), "an event was not like those of a chat"),
        (ERRORS[0], "an error was sent"),
        (ERRORS[2], "an error was sent"),
        (chunk(content="x" * (MAX_CHARACTERS + 1)), "more than 8000 characters were sent"),
        (chunk(content="x", reasoning="x" * MAX_CHARACTERS), "more than 8000 characters were sent"),
        (chunk(content="x" * LIMIT), "an event was too long to be read"),
    ],
)
def test_what_cannot_be_joined(data: bytes, reason: str) -> None:
    transcript = Transcript()
    transcript.events(chunk(content="a"))
    transcript.events(data)
    transcript.keep(b"b")
    assert transcript.read() == reason
    transcript.events(chunk(content="c"))
    transcript.keep(b"d")
    transcript.look()
    assert repr(transcript) == f"<Transcript of 0 bytes, 0 pieces more, {reason}>"


def test_characters_are_counted_and_not_bytes() -> None:
    found = had(chunk(content="ä" * MAX_CHARACTERS), chunk(role="assistant"))
    assert found.texts == {"content": "ä" * MAX_CHARACTERS}


def test_what_is_held_is_bounded() -> None:
    transcript = Transcript()
    for _ in range(MAX_PIECES):
        transcript.keep(b"ab")
    transcript.look()
    assert repr(transcript) == f"<Transcript of 0 bytes, {MAX_PIECES} pieces more>"
    for size in (2 * MAX_PIECES + 2, 4 * MAX_PIECES + 4):  # the second time there is text to add to
        while len(transcript._pieces) <= MAX_PIECES:
            transcript.keep(b"ab")
        transcript.look()
        assert repr(transcript) == f"<Transcript of {size} bytes, 0 pieces more>"
    word = chunk(content="word")
    for _ in range(MAX_RAW // len(word) + 1):
        transcript.events(word)
    assert repr(transcript).endswith(" bytes, 0 pieces more>")


def test_a_line_end_may_come_late() -> None:
    late = chunk(content="a").replace(b"\n", b"\r")
    found = had(late, b"\n", chunk(content="b"))
    assert found.texts == {"content": "ab"}


@given(st.data())
def test_the_text_is_that_of_the_events_whichever_way_they_went(data: st.DataObject) -> None:
    text = data.draw(st.text(st.characters(codec="utf-8"), max_size=60))
    pieces = data.draw(split(text))
    transcript = Transcript()
    transcript.events(answer("first", [])[0])
    for piece in pieces:
        way = data.draw(st.integers(0, 2))
        if piece and way == 0:
            transcript.keep(piece.encode())
        elif way == 1:
            transcript.odd(chunk(content=piece)[6:-2])
        else:
            transcript.events(chunk(content=piece))
        if data.draw(st.booleans()):
            transcript.settle()
    found = transcript.read()
    assert isinstance(found, Had)
    assert found.texts.get("content", "") == text
    assert found.pieces == len([piece for piece in pieces if piece])


def test_the_data_of_events_is_bounded_too() -> None:
    transcript = Transcript()
    for _ in range(3):
        transcript.odd(chunk(content="a", system_fingerprint="f" * (MAX_RAW // 2))[6:-2])
    assert "1 pieces more" in repr(transcript)
    found = transcript.read()
    assert isinstance(found, Had)
    assert found.texts == {"content": "aaa"}
