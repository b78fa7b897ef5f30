"""streams/chat.py, the short way of chat streams: the slow reader is its oracle."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.streams.client import Client
from tests.unit.streams.events import (
    CHAT,
    COMMENT,
    DONE,
    ERRORS,
    ROLE,
    STOP,
    TIMES,
    USAGE,
    USED,
    WORD,
    delta,
    event,
    flags,
    framed,
    learned,
    relayed,
    rewriter,
)
from trunkline.streams.answer import AS_IT_IS, AnswerSettings
from trunkline.streams.think import ThinkSettings


@pytest.mark.parametrize(
    "chunk",
    [
        framed(delta(content="")),
        framed(delta(content='"')),
        framed(delta(content="\\")),
        framed(delta(content="\n")),
        framed(WORD.replace(b"word", b"a\nb")),
        framed(WORD.replace(b"word", b"a\r")),
        framed(WORD.replace(b"word", b"\x00")),
        framed(WORD.replace(b"word", b"\xff")),
        framed(WORD.replace(b"word", b"\xed\xa0\x80")),
        framed(WORD.replace(b"word", b"\xc3")),
        framed(WORD.replace(b"word", b'a","x":"b')),
        framed(STOP),
        framed(USED),
        framed(DONE),
        framed(ERRORS[0]),
        framed(delta(content="word", finish="stop")),
        framed(delta(content="word", index=1)),
        framed(WORD[:-3] + b"\n\n"),
        framed(WORD[:-1]),
        framed(WORD[1:]),
        framed(WORD + WORD),
        framed(WORD + COMMENT),
        framed(WORD) + framed(WORD),
        framed(WORD)[:-1],
        framed(WORD)[:-2],
        framed(WORD) + b"\r\n",
        framed(WORD)[1:],
        b"0" + framed(WORD),
        framed(WORD).replace(b"\r\n", b";x\r\n", 1),
        framed(WORD).replace(b"\r\n", b" \r\n", 1),
        framed(WORD).replace(b"\r\n", b"\n", 1),
        framed(WORD).replace(b"93", b"92", 1),
        b"0\r\n\r\n",
        b"",
        b"\r\n",
        WORD,
    ],
)
def test_anything_else_does_not_repeat(chunk: bytes) -> None:
    assert learned(ROLE).repeats(framed(WORD))
    assert not learned(ROLE).repeats(chunk)


@pytest.mark.parametrize(
    "lesson",
    [
        ROLE,
        delta(content="a\\b"),
        delta(content='"'),
        delta(reasoning_content="x"),
        delta(content="x", tool_calls=[{"content": "x"}]),
        delta(content="x", tool_calls=[{"index": 0, "id": "a", "function": {"arguments": "y"}}]),
        delta(content="x", reasoning_details=[{"summary": "y"}]),
        event({"choices": [{"index": 0, "delta": {"content": "x"}, "logprobs": {"content": []}}]}),
        event({"choices": [{"index": 0, "delta": {"content": "x"}}], "usage": USAGE}),
        event({"choices": [{"index": 0, "delta": {"content": "x"}}], "timings": TIMES[0]}),
        event({"choices": [{"index": 0, "delta": {"content": "x"}}, {"index": 1, "finish_reason": "stop"}]}),
        event(b'{"choices":[{"index":0,"delta":{"content" : "x"}}]}'),
        event(b'{"choices":[{"index":0,"delta":{"content":"\\u0078"}}]}'),
        event({"choices": [{"index": 0, "text": "x"}]}),
        event({"choices": [{"index": 0, "delta": {"content": "x"}}], "error": {"content": "x"}}),
        event({"choices": [{"index": 0, "delta": {"content": "x"}}]}, b"name"),
        event(b"{bad"),
    ],
)
def test_what_nothing_is_learned_from(lesson: bytes) -> None:
    inspector = relayed(ROLE, lesson)
    assert inspector.frame is None
    assert not inspector.repeats(framed(lesson))


def test_what_was_learned_waits_for_the_end_of_an_event_in_parts() -> None:
    inspector = learned(ROLE)
    inspector.feed(WORD[:20])
    assert not inspector.repeats(framed(WORD))
    inspector.feed(WORD[20:])
    assert inspector.repeats(framed(WORD))
    inspector.feed(WORD + WORD)
    assert inspector.repeats(framed(WORD))


def test_a_stream_whose_frame_always_changes_is_not_learned_for_ever() -> None:
    inspector = relayed(ROLE)
    for number in range(40):
        inspector.feed(event({"id": number, "choices": [{"index": 0, "delta": {"content": "x"}}]}))
    assert inspector.repeats(framed(event({"id": 15, "choices": [{"index": 0, "delta": {"content": "y"}}]})))
    # one that stays is learned from once, however many of its texts need escapes
    inspector = learned(ROLE, *[WORD, delta(content='"')] * 40)
    assert inspector._lessons == 1
    assert inspector.repeats(framed(WORD))


def _variant(text: str, where: str) -> bytes:
    """Events that resemble one another, with `text` in one of the places where it could matter."""
    choice: dict[str, Any] = {"index": 0, "delta": {"content": "x"}, "finish_reason": None}
    value: dict[str, Any] = {"choices": [choice]}
    if where in ("error", "object", "usage", "timings", "content"):
        value[where] = {"content": text} if where != "object" else text
    elif where in ("finish_reason", "text"):
        choice[where] = text
    elif where == "index":
        choice[where] = len(text) % 3
    elif where == "two":
        value["choices"] = [choice, {"index": len(text) % 3, "finish_reason": "stop" if text else None}]
    else:
        choice["delta"] = {where: text}
    return event(value)


_places = st.sampled_from(
    [
        "delta",
        "content",
        "error",
        "object",
        "usage",
        "timings",
        "finish_reason",
        "text",
        "index",
        "two",
        "reasoning",
    ]
)
_texts = st.sampled_from(["", "x", "y", "stop", "error", '"', "ä", "\\"])
_similar = (
    st.builds(_variant, _texts, _places)
    | st.sampled_from(CHAT)
    | _texts.map(lambda text: delta(content=text))
)
_raw_edits = st.sampled_from(
    [(b"x", b"y"), (b"x", b'"'), (b"x", b"\xff"), (b"x", b'x"},"x":{"'), (b"x", b"\\"), (b'"x"', b"1")]
)


_settings = st.sampled_from(
    [
        AS_IT_IS,
        AnswerSettings(think=ThinkSettings(tags=[["x", "y"], ["<think>", "</think>"]])),
        AnswerSettings(think=ThinkSettings(mode="split", tags=[["x", "other"]]), model="shown"),
        AnswerSettings(reasoning="wrap"),
        AnswerSettings(reasoning="strip", model='"shown"'),
    ]
)


@given(
    _settings,
    st.lists(_similar | st.sampled_from([WORD[:30], WORD[30:], WORD + WORD]), max_size=8),
    _similar,
    _raw_edits,
)
@example(AS_IT_IS, [delta(content="x")], delta(content="x"), (b"x", b"y"))
@example(
    AnswerSettings(think=ThinkSettings(tags=[["x", "y"]])),
    [delta(content="x"), WORD, _variant("", "content")],
    WORD,
    (b"x", b"x"),
)
@example(AS_IT_IS, [_variant("x", "usage"), USED], _variant("x", "usage"), (b"x", b"x"))
@example(AS_IT_IS, [_variant("x", "two"), delta(index=2, content="x")], _variant("x", "two"), (b"x", b"x"))
def test_what_repeats_would_have_gone_on_in_the_same_way(
    settings: AnswerSettings, before: list[bytes], candidate: bytes, edit: tuple[bytes, bytes]
) -> None:
    for chunk in (candidate, candidate.replace(*edit), candidate.replace(edit[0], edit[1], 1), *before[-1:]):
        short = Client(rewriter(settings))
        for piece in (ROLE, *before):
            short.read(piece)
        begun = len(short.given)
        if not short.reads_short(chunk):
            continue
        json.loads(chunk.removeprefix(b"data: ").decode())
        slow = relayed(ROLE, *before, by=rewriter(settings))
        earlier = flags(slow)
        # One byte at a time goes the slow way.
        out = b"".join([slow.feed(chunk[at : at + 1]) for at in range(len(chunk))])
        assert short.given[begun:] == out
        assert flags(slow) == flags(short.inspector) == earlier
        assert slow.text_bytes == short.inspector.text_bytes


_TAGS = [["<think>", "</think>"], ["[t]", "{t}"]]
_pieces = st.sampled_from(
    [
        *("<think>", "</think>", "[t]", "{t}", "<thi", "nk>", "<", "\n", "word ", "other ", "ä"),
        *("<think>x</think>", "</think>x<think>", "</think>x[t]y", "<think></think>", "a<think>b</think>"),
    ]
)
_thinking = st.builds(
    ThinkSettings,
    mode=st.sampled_from(["strip", "split"]),
    tags=st.just(_TAGS),
    implicit_open=st.booleans(),
    unclosed=st.sampled_from(["drop", "leak"]),
    trim=st.booleans(),
)


@given(_thinking, st.lists(_pieces, max_size=14))
@example(ThinkSettings(), ["Sure. ", "<think>x</think>", "The ", "answer"])
@example(ThinkSettings(mode="split"), ["Sure. ", "<think></think>", "The ", "answer"])
@example(ThinkSettings(mode="split"), ["Sure. <think>", "a", "</think><think>", "b", "c</think>d"])
@example(ThinkSettings(tags=_TAGS), ["Sure. <think>", "a", "</think>x[t]", "b", "{t}The ", "answer"])
def test_the_short_way_tells_the_same_answer(thinking: ThinkSettings, texts: list[str]) -> None:
    """Whatever stood in the events that were learned from: whole blocks, ends and beginnings of some."""
    settings = AnswerSettings(think=thinking)
    stream = [ROLE, *[delta(content=text) for text in texts], STOP, DONE]
    slow = Client(rewriter(settings))
    for data in stream:
        slow.read(data)
    assert Client(rewriter(settings)).read_all(stream).given == slow.given
