"""streams/continuation.py: the request for the rest of an answer, and an answer that may not be one."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.streams.answers import answer, chunk, had, split, text_of, usage
from tests.unit.streams.events import event
from trunkline.errors import CONTENT_FILTER, CONTEXT_OVERFLOW, REFUSED_BY_UPSTREAM, SERVER_ERROR, Fault
from trunkline.streams.continuation import Continuation, prefill, refused
from trunkline.streams.raw import raw_of
from trunkline.streams.transcript import Had

TEXT = "It was the best of times, it was the wor"
CUT = had(chunk(role="assistant", content=""), chunk(content=TEXT[:20]), chunk(content=TEXT[20:]))


def request(messages: Any, **fields: Any) -> dict[str, msgspec.Raw]:
    value = msgspec.Raw(messages) if isinstance(messages, bytes) else raw_of(messages)
    return {"model": msgspec.Raw(b'"m"'), "messages": value} | {
        name: raw_of(value) for name, value in fields.items()
    }


USER = b'{"role": "user",  "content":"\\u0041", "x":1.0}'
LAST = b'{"role":"assistant","content":"It was the best of times, it was the wor"}'


def test_the_text_becomes_the_last_message() -> None:
    fields = request(b"[" + USER + b"]", stream=True)
    asked = prefill(fields, CUT)
    assert asked is not None
    assert {name: bytes(value) for name, value in asked.items()} == {
        "model": b'"m"',
        "messages": b"[" + USER + b"," + LAST + b"]",
        "stream": b"true",
    }
    assert bytes(fields["messages"]) == b"[" + USER + b"]"


def test_a_prefill_of_the_clients_own_is_gone_on_with() -> None:
    asked = prefill(request([{"role": "assistant", "content": "Well: ", "name": "n"}]), CUT)
    assert asked is not None
    assert msgspec.json.decode(asked["messages"]) == [
        {"role": "assistant", "content": "Well: " + TEXT, "name": "n"}
    ]


def test_how_servers_are_told() -> None:
    asked = prefill(request([]), CUT, "prefix")
    assert asked is not None
    assert msgspec.json.decode(asked["messages"]) == [{"role": "assistant", "content": TEXT, "prefix": True}]
    asked = prefill(request([]), CUT, "continue_final_message")
    assert asked is not None
    assert (bytes(asked["add_generation_prompt"]), bytes(asked["continue_final_message"])) == (
        b"false",
        b"true",
    )
    assert bytes(asked["messages"]) == b"[" + LAST + b"]"


def test_the_limit_is_lowered_by_what_was_spent() -> None:
    asked = prefill(request([], max_tokens=10, max_completion_tokens=2), CUT)
    assert asked is not None
    assert (bytes(asked["max_tokens"]), bytes(asked["max_completion_tokens"])) == (b"8", b"1")
    asked = prefill(request([], max_tokens=None), CUT)
    assert asked is not None
    assert bytes(asked["max_tokens"]) == b"null"


@pytest.mark.parametrize(
    ("messages", "of"),
    [
        ([], had(chunk(content="too short"))),
        ([], had(chunk(reasoning="r"), chunk(content=TEXT))),
        ([{"role": "assistant", "content": [{"type": "text"}]}], CUT),
        ([{"role": "assistant", "content": "", "tool_calls": [1]}], CUT),
        ("odd", CUT),
        (["odd"], CUT),
        (b"", CUT),
    ],
)
def test_what_cannot_be_asked_for_the_rest(messages: Any, of: Had) -> None:
    assert prefill(request(messages), of) is None
    assert prefill({}, CUT) is None


def test_which_faults_may_be_a_refusal() -> None:
    assert refused(Fault(REFUSED_BY_UPSTREAM, ""))
    assert refused(Fault(CONTEXT_OVERFLOW, ""))
    assert not refused(Fault(CONTENT_FILTER, ""))
    assert not refused(Fault(SERVER_ERROR, ""))


def joined(*events: bytes, of: Had = CUT) -> bytes | None:
    """What a client gets; None: diverged."""
    reader = Continuation(of)
    out = b"".join([reader.feed(data) for data in events])
    return None if reader.diverged else out


def test_the_rest_is_forwarded_as_it_is() -> None:
    reader = Continuation(CUT)
    out = [reader.feed(data) for data in answer("second", ["st ", "of"])]
    assert out == [
        b"",
        chunk(content="st "),
        chunk(content="of"),
        chunk("stop"),
        usage("first"),
        event(b"[DONE]"),
    ]
    assert reader.joined
    assert repr(reader) == "<Continuation 0 characters to repeat>"


def test_an_answer_from_the_start_loses_what_the_client_has() -> None:
    assert joined(chunk(content=TEXT), chunk(content="st")) == chunk(content="st")
    assert joined(chunk(content=TEXT[:9]), chunk(content=TEXT[9:] + "st")) == chunk(content="st")
    assert joined(chunk("stop", content=TEXT)) == chunk("stop", content="")


def test_a_rest_that_begins_like_the_start() -> None:
    assert joined(chunk(content="It was "), chunk(content="not")) == chunk(content="It was not")
    assert joined(chunk(content="It was"), chunk("stop")) == chunk("stop", content="It was")
    assert joined(chunk("stop")) == chunk("stop")
    assert joined(chunk(tool_calls=[1])) == chunk(tool_calls=[1])


@pytest.mark.parametrize(
    "events",
    [
        [chunk(content=TEXT[:17]), chunk("stop")],  # a start that ends early, or a rest: nobody can tell
        [chunk(reasoning="Let me see")],
        [chunk(content=[{"type": "text"}])],
        [event(b"[DONE]")],
    ],
)
def test_what_is_neither(events: list[bytes]) -> None:
    assert joined(*events) is None


def test_of_a_text_that_repeats_itself_nobody_can_tell() -> None:
    of = had(chunk(content="-" * 40))
    assert joined(chunk(content="-" * 40), of=of) is None
    assert joined(chunk(content="-" * 30), chunk(content="+"), of=of) is None
    few = joined(chunk(content="-" * 9), chunk(content="+"), of=of)
    assert few == chunk(content="-" * 9 + "+")


@pytest.mark.parametrize("at", [17, 25, len(TEXT) - 1])
def test_an_answer_from_the_start_that_differs_later_is_no_rest(at: int) -> None:
    other = TEXT[:at] + ("X" if TEXT[at] != "X" else "Y") + TEXT[at + 1 :]
    for pieces in ([other], list(other), [other[:at], other[at:]]):
        reader = Continuation(CUT)
        out = b"".join([reader.feed(part) for part in answer("second", pieces)])
        assert reader.diverged
        assert text_of(out) == ""


@given(st.data())
def test_the_text_is_whole_whether_the_target_goes_on_or_begins_anew(data: st.DataObject) -> None:
    rest = data.draw(st.text(st.characters(codec="utf-8", exclude_characters="I"), max_size=30))
    again = data.draw(st.booleans())
    pieces = data.draw(split(TEXT + rest if again else rest))
    reader = Continuation(CUT)
    out = b"".join([reader.feed(part) for part in answer("second", pieces)])
    assert not reader.diverged
    assert TEXT + text_of(out) == TEXT + rest
