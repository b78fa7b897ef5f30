"""streams/splice.py: a second answer joined to what a client has: nothing doubled, nothing lost, or `diverged`."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.streams.answers import answer, chunk, chunks, had, split, text_of, usage
from tests.unit.streams.events import COMMENT, ERRORS, event
from trunkline.streams.chat import ChatInspector
from trunkline.streams.raw import raw_of
from trunkline.streams.splice import Splice, unfit
from trunkline.streams.transcript import Had
from trunkline.wire.sse import LIMIT

TEXT = "One two three four five."
CUT = [chunk(role="assistant", content=""), chunk(content="One t"), chunk(content="wo thr")]


def test_only_the_rest_is_forwarded_and_names_stay_the_first_streams() -> None:
    splice = Splice(had(*CUT))
    assert repr(splice) == "<Splice 11 characters to repeat>"
    second = answer("second", ["One ", "two ", "three ", "four five."], "length")
    out = [splice.feed(data) for data in second]
    assert out[:3] == [b"", b"", b""]
    assert out[3:] == [
        chunk(content="ee "),
        chunk(content="four five."),
        chunk("length"),
        usage("first"),
        event(b"[DONE]"),
    ]
    assert (splice.joined, splice.diverged) == (True, False)


def test_an_event_of_the_same_names_is_the_same_bytes() -> None:
    splice = Splice(had(*CUT))
    out = splice.feed(b"".join(answer("first", ["One two thr", "ee"])[:3]))
    assert out == chunk(content="ee")


@pytest.mark.parametrize(
    ("second", "kept"),
    [
        # the end lies on the seam
        ([chunk(content="One two thr"), chunk("stop")], [chunk("stop")]),
        ([chunk("stop", content="One two thr")], [chunk("stop", content="")]),
        ([chunk("stop", content="One two three")], [chunk("stop", content="ee")]),
        # what is no text comes behind it
        ([chunk(content="One two thr"), chunk(tool_calls=[1])], [chunk(tool_calls=[1])]),
        ([chunk(content="One two thr", tool_calls=[1])], [chunk(content="", tool_calls=[1])]),
        ([chunk(content="One two thr"), chunk(reasoning="r")], [chunk(reasoning="r")]),
        ([chunk(content="One two thr"), event(b"odd")], [event(b"odd")]),
        ([chunk(content="One two thr"), event([1])], [event([1])]),
        # a role again and again
        ([chunk(role="assistant", content="One two three")], [chunk(content="ee")]),
        ([chunk(content="One two thr"), chunk(role="assistant", content="ee")], [chunk(content="ee")]),
        # what says nothing
        ([event({"choices": [], "prompt_filter_results": []}), chunk(content=None), chunk()], []),
        ([event({"choices": None}), event({"choices": [{"delta": None}]}), event({})], []),
        ([COMMENT, usage("first"), chunk(content="One two thr", tool_calls=[])], [COMMENT]),
        # errors are seen wherever they come
        *(([data], [data]) for data in ERRORS if b"odd" not in data),
        ([event({"type": "error", "message": "m"})], [event({"type": "error", "message": "m"})]),
    ],
)
def test_what_is_kept(second: list[bytes], kept: list[bytes]) -> None:
    splice = Splice(had(*CUT))
    assert splice.feed(b"".join(second)) == b"".join(kept)
    assert not splice.diverged


@pytest.mark.parametrize(
    "second",
    [
        [chunk(content="One X")],
        [chunk(content="One two"), chunk(content=" for")],
        [chunk(content="One two"), chunk("stop")],
        [chunk("stop", content="One two")],
        [chunk(content="One two"), event(b"[DONE]")],
        [chunk(tool_calls=[1], content=None)],
        [chunk(reasoning="r")],
        [chunk(content="One", reasoning_content="r")],
        [chunk(content=[{"type": "text", "text": "One"}])],
        [event({"choices": [{"index": 1, "delta": {"content": "One"}}]})],
        [event({"choices": [{"index": 0, "delta": {}}, {"index": 1, "delta": {}}]})],
        [event({"choices": "odd"})],
        [event([1])],
        [event(b"not json")],
        [chunk(content="x" * LIMIT)],
    ],
)
def test_what_differs(second: list[bytes]) -> None:
    splice = Splice(had(*CUT))
    assert b"".join([splice.feed(data) for data in second]) == b""
    assert splice.diverged
    assert splice.feed(chunk(content="One two three")) == b""
    assert repr(splice).endswith(", diverged>")


def test_thoughts_are_compared_as_the_answer_is() -> None:
    first = [chunk(reasoning_content="Let me see"), chunk(content="One")]
    splice = Splice(had(*first))
    second = [chunk(reasoning_content="Let me see"), chunk(content="One t"), chunk(content="wo")]
    assert splice.feed(b"".join(second)) == chunk(content=" t") + chunk(content="wo")
    assert Splice(had(*first)).feed(second[0]) == b""
    more = Splice(had(*first))
    assert more.feed(chunk(reasoning_content="Let me see it")) == b""
    assert more.diverged
    fewer = Splice(had(*first))
    assert fewer.feed(chunk(reasoning_content="Let me") + chunk(content="One two")) == b""
    assert fewer.diverged
    # cut within the thoughts
    assert Splice(had(first[0])).feed(b"".join(second)) == b"".join(
        [chunk(content="One t"), chunk(content="wo")]
    )
    # the seam lies in an event with both
    assert Splice(had(*first)).feed(chunk(reasoning_content="Let me see", content="One t")) == chunk(
        reasoning_content="", content=" t"
    )


def test_what_the_first_stream_did_not_name_the_second_does_not() -> None:
    nameless = event({"choices": [{"index": 0, "delta": {"content": "a"}}], "id": "", "model": None})
    splice = Splice(had(nameless))
    [value] = chunks(splice.feed(chunk(name="second", content="ab", role="assistant")))
    assert value == {
        "choices": [{"index": 0, "delta": {"content": "b", "role": "assistant"}, "finish_reason": None}]
    }


def test_fields_of_an_event_and_the_rest_of_it_stay() -> None:
    raw = b'id: 7\nevent: e\ndata: {"id": "b", "x": 1.50, "choices": [{"delta":{"content": "ab"}, "y":  {}}]}\n\n'
    out = Splice(had(event({"id": "a", "choices": [{"delta": {"content": "a"}}]}))).feed(raw)
    assert (
        out == b'event: e\nid: 7\ndata: {"id":"a","x":1.50,"choices":[{"delta":{"content":"b"},"y":{}}]}\n\n'
    )


def test_behind_the_seam_a_huge_event_goes_on_in_its_parts() -> None:
    splice = Splice(had(*CUT))
    huge = chunk(content="x" * LIMIT)
    assert splice.feed(chunk(content="One two thr")) + splice.feed(huge[:9999]) == b""
    assert splice.feed(huge[9999:]) == huge


@given(st.data())
def test_any_chunking_and_any_cut(data: st.DataObject) -> None:
    text = data.draw(st.text(st.characters(codec="utf-8"), min_size=1, max_size=60))
    other = data.draw(
        st.one_of(st.just(text), st.text(max_size=10).map(lambda end: text[:20] + end), st.text())
    )
    first = answer("first", data.draw(split(text)))
    second = answer("second", data.draw(split(other)))
    sent = first[: data.draw(st.integers(1, len(first) - 3))]
    splice = Splice(had(*sent))
    size = data.draw(st.integers(1, 5))
    out = b"".join([splice.feed(b"".join(second[at : at + size])) for at in range(0, len(second), size)])
    whole = b"".join(sent) + out
    already = text_of(b"".join(sent))
    assert splice.diverged == (not other.startswith(already))
    if splice.diverged:
        assert out == b""
    else:
        assert text_of(whole) == other
        assert whole.endswith(chunk("stop") + usage("first") + event(b"[DONE]"))
        assert {value["id"] for value in chunks(whole)} == {"first"}
        assert whole.count(b'"role"') == 1


@given(st.data())
def test_behind_an_inspector_the_end_is_the_second_streams(data: st.DataObject) -> None:
    second = answer("second", data.draw(split(TEXT)))
    whole = b"".join([*second[:3], COMMENT, event(b"{bad"), *second[3:]])
    cut = data.draw(st.integers(0, len(whole)))
    splice = Splice(had(*CUT))
    inspector = ChatInspector()
    out = b""
    size = data.draw(st.integers(1, 400))
    for at in range(0, cut, size):
        out += splice.feed(inspector.feed(whole[at : min(at + size, cut)]))
    text = text_of(b"".join(CUT) + out.replace(COMMENT, b""))
    assert not splice.diverged
    assert TEXT.startswith(text)
    if inspector.end(framed=True) is None:
        assert text == TEXT


def request(**fields: Any) -> dict[str, msgspec.Raw]:
    return {name: raw_of(value) for name, value in fields.items()}


@pytest.mark.parametrize(
    ("fields", "prompt_tokens", "reason"),
    [
        ({}, 8000, ""),
        ({"n": 1, "logprobs": False, "top_logprobs": None}, 1, ""),
        ({"n": None, "top_logprobs": 0}, 1, ""),
        ({"temperature": 0}, 10**6, ""),
        ({"temperature": 0.0}, 10**6, ""),
        ({}, 8001, "the prompt is over 8000 tokens, and the temperature is not 0"),
        ({"temperature": 0.1}, 8001, "the prompt is over 8000 tokens, and the temperature is not 0"),
        ({"temperature": None}, 8001, "the prompt is over 8000 tokens, and the temperature is not 0"),
        ({"n": 2}, 1, "more than one choice was asked for"),
        ({"logprobs": True}, 1, "logprobs were asked for"),
        ({"top_logprobs": 2}, 1, "logprobs were asked for"),
    ],
)
def test_which_requests_can_be_spliced(fields: dict[str, Any], prompt_tokens: int, reason: str) -> None:
    assert unfit("chat", request(**fields), prompt_tokens) == reason


def test_other_surfaces_and_what_cannot_be_read_are_not_spliced() -> None:
    reason = "only answers of chat/completions can be spliced"
    assert unfit("completions", {}, 1) == reason
    assert unfit("chat", None, 1) == reason
    assert unfit("chat", {"n": msgspec.Raw(b'"\\ud83d"')}, 1) == "a parameter cannot be read"


def test_an_answer_cut_before_its_text_is_taken_whole() -> None:
    splice = Splice(Had({}, False, {}, 0))
    second = answer("second", ["a"])
    assert text_of(b"".join([splice.feed(data) for data in second])) == "a"
