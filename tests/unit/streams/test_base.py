"""streams/base.py: what goes on of any stream, and what its end means, however it is cut."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.streams.events import (
    CHAT,
    COMMENT,
    DONE,
    LAST,
    ROLE,
    START,
    STOP,
    TYPED,
    USED,
    WORD,
    delta,
    event,
    flags,
    read,
    rewriter,
    typed,
    verdict,
)
from trunkline.errors import CUT, EMPTY_STREAM, INCOMPLETE, Fault
from trunkline.streams.answer import AS_IT_IS, AnswerSettings
from trunkline.streams.base import is_utf8
from trunkline.streams.chat import ChatInspector
from trunkline.streams.rewrite import OBJECTS, Rewriter
from trunkline.streams.think import ThinkSettings
from trunkline.streams.typed import MessagesInspector
from trunkline.wire.sse import LIMIT, Decoder
from trunkline.wire.usage import Usage


def test_events_over_the_limit_pass_and_count() -> None:
    huge = delta(content="x" * LIMIT)
    for chunks in (
        [huge + DONE],
        [huge[:9], huge[9:] + DONE],
        [huge[:-9], huge[-9:], DONE],
        [huge[:-1], huge[-1:] + DONE],
    ):
        out, inspector = read("chat", *chunks)
        assert out == huge + DONE
        assert (inspector.content, inspector.events, verdict(inspector)) == (True, 2, "")
    _, inspector = read("chat", WORD, STOP, huge[:-9])
    assert inspector.mid_event
    assert verdict(inspector) == "cut"
    assert not read("chat", WORD[:-9])[1].mid_event


def test_a_surface_without_a_reader_of_its_own() -> None:
    stream = event(b"anything") + COMMENT + event({"x": 1}, b"name")
    out, inspector = read("audio", stream)
    assert (out, inspector.content, inspector.usage_value("audio")) == (stream, True, None)
    assert (verdict(inspector), verdict(inspector, framed=False)) == ("", "cut")
    assert verdict(read("audio", COMMENT)[1]) == "empty_stream"
    assert verdict(read("audio", event(b"it broke", b"error"))[1]) == "error_in_stream"
    assert read("audio", b"data: " + b"x" * LIMIT + b"\n\n")[1].content


@pytest.mark.parametrize(
    ("odd", "fault"),
    [
        ({"choices": "odd", "error": {"message": "it broke"}}, True),
        ({"choices": "odd", "object": "error"}, True),
        ({"choices": "odd", "type": "error"}, True),
        ({"choices": "odd", "error": None}, False),
        ([1], False),
        ("error", False),
    ],
)
def test_an_odd_shape_passes_and_may_be_an_error(odd: Any, fault: bool) -> None:
    out, inspector = read("chat", event(odd))
    assert (out, inspector.said) == ((b"", event(odd)) if fault else (event(odd), b""))
    assert (inspector.content, inspector.fault is not None) == (not fault, fault)


def test_what_is_not_json_is_left_out() -> None:
    out, inspector = read("chat", event(b'{"choices":"odd","x":}'), event(b'{"x":"\xff"}'))
    assert (out, inspector.malformed) == (b"", 2)
    assert (is_utf8(b"\xc3\xa4"), is_utf8(b"\xc3")) == (True, False)
    assert repr(inspector) == "<ChatInspector 2 events, content=False, terminal=False>"


def test_the_kinds_of_fault_at_the_end() -> None:
    ends: list[Fault | None] = [
        read("chat")[1].end(framed=True),
        read("chat", WORD)[1].end(framed=True),
        read("audio", WORD)[1].end(framed=False),
    ]
    assert [fault.kind for fault in ends if fault is not None] == [EMPTY_STREAM, INCOMPLETE, CUT]


def test_a_stream_is_over_by_its_mark_not_by_a_finish_reason() -> None:
    chat = ChatInspector()
    chat.feed(b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n')
    assert (chat.terminal, chat.over) == (True, False)
    messages = MessagesInspector()
    messages.feed(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')
    assert messages.over


streams = st.one_of(
    st.tuples(st.sampled_from(["chat", "completions"]), st.lists(st.sampled_from(CHAT), max_size=8)),
    st.tuples(
        st.sampled_from(["responses", "messages", "audio"]), st.lists(st.sampled_from(TYPED), max_size=8)
    ),
)


def cut(stream: bytes, lengths: list[int]) -> Iterable[bytes]:
    pos = turn = 0
    while pos < len(stream):
        step = lengths[turn % len(lengths)]
        yield stream[pos : pos + step]
        pos, turn = pos + step, turn + 1


def test_a_later_report_of_usage_adds_to_the_earlier() -> None:
    _, inspector = read("messages", START, LAST)
    assert inspector.usage_value("messages") == Usage(33, 6, 0, 32)
    assert read("messages", LAST)[1].usage_value("messages") == Usage(0, 6)


def client(surface: str, wants: str) -> Rewriter | None:
    """What the events of a chat go through on the way to a client that `wants` them so."""
    if surface not in OBJECTS or wants == "all as it is":
        return None
    settings = (
        AnswerSettings(think=ThinkSettings(tags=[["w", "rd"], ["a", "x"]])) if "think" in wants else AS_IT_IS
    )
    return rewriter(settings, surface, include_usage="usage" in wants)


@given(
    streams,
    st.lists(st.integers(1, 150), min_size=1, max_size=8),
    st.sampled_from(["all as it is", "usage", "no counts", "no thinking", "usage and no thinking"]),
)
@example(("chat", [WORD, STOP, USED, DONE]), [1], "no counts")
def test_any_chunking_gives_the_same(stream: tuple[str, list[bytes]], lengths: list[int], wants: str) -> None:
    surface, events = stream
    out, whole = read(surface, b"".join(events), by=client(surface, wants))
    for chunks in (events, cut(b"".join(events), lengths)):
        again, inspector = read(surface, *chunks, by=client(surface, wants))
        assert again == out
        assert flags(inspector) == flags(whole)
        assert inspector.events == whole.events
        assert verdict(inspector) == verdict(whole)


@given(streams, st.lists(st.integers(1, 150), min_size=1, max_size=8), st.sampled_from([b"\n", b"\r\n"]))
def test_other_line_ends_give_the_same_events(
    stream: tuple[str, list[bytes]], lengths: list[int], line_end: bytes
) -> None:
    """Line ends between events, too: one in front of a malformed event may stay behind."""
    surface, events = stream
    out, plain = read(surface, b"".join(events))
    other, inspector = read(surface, *cut(b"\n".join(events).replace(b"\n", line_end), lengths))
    assert Decoder().feed(other) == Decoder().feed(out)
    assert flags(inspector) == flags(plain)


def test_a_comment_over_the_limit_is_no_content() -> None:
    lines = b": keep-alive\n" * (LIMIT // 13 + 2)
    for chunks in ([lines + b"\n"], [lines, b": more\n", b"\n"], [lines[:9], lines[9:], b"\n"]):
        out, inspector = read("chat", *chunks, WORD, STOP)
        assert (out, inspector.events, verdict(inspector)) == (WORD + STOP, 2, "")
        _, quiet = read("chat", *chunks)
        assert (quiet.content, verdict(quiet)) == (False, "empty_stream")
    # what has begun is not held up any more
    assert read("chat", WORD, lines + b"\n")[0] == WORD + lines + b"\n"
    # an event of some other kind still is content
    assert read("chat", b"id: 1\n" + lines)[1].content


def test_what_can_be_spared_before_content() -> None:
    _, inspector = read("audio")
    kept = event(b"x") + event(b"y", b"name")
    assert (
        inspector.spare(COMMENT + event(b"x") + b": a\n: b\n\n" + event(b"y", b"name") + b"id: 1\n\n") == kept
    )
    assert inspector.spare(COMMENT * 3) == b""


def test_once_something_was_spared_signs_of_life_are_left_out_until_content() -> None:
    inspector = ChatInspector()
    assert inspector.feed(COMMENT + ROLE) == COMMENT + ROLE
    assert inspector.spare(COMMENT + ROLE) == b""
    assert inspector.feed(COMMENT + b"\n\n" + ROLE + COMMENT) == b""
    assert inspector.feed(COMMENT + ROLE + WORD + COMMENT + ROLE) == WORD + COMMENT + ROLE
    assert inspector.feed(STOP + COMMENT + DONE) == STOP + COMMENT + DONE
    assert verdict(inspector) == ""


def test_the_shortest_event_is_read_and_line_ends_are_not() -> None:
    for shortest in (b"data:x\n\n", b"data:x\r\r"):
        out, inspector = read("audio", b"\r\r\r\n\n\n\n" + shortest)
        assert (out, inspector.events) == (b"\r\r\r\n\n\n\n" + shortest, 1)


@given(streams, st.data())
def test_nothing_that_says_something_is_spared(stream: tuple[str, list[bytes]], data: st.DataObject) -> None:
    """A reader that is told only what was kept of the beginning comes to the same end.

    But for a choice that was begun without a word, and never gone on with: of that it does not know.
    """
    surface, events = stream
    inspector = read(surface)[1]
    kept: list[bytes] = []
    for chunk in events:
        given = inspector.feed(chunk)
        spared = not inspector.content and inspector.fault is None and data.draw(st.booleans())
        kept.append(inspector.spare(given) if spared else given)
    _, again = read(surface, *kept, inspector.said)
    assert (again.content, again.fault) == (inspector.content, inspector.fault)
    if isinstance(inspector, ChatInspector):
        assert isinstance(again, ChatInspector)
        assert again._open == inspector._open & again._seen
        assert again.terminal == inspector.terminal or inspector._open - again._seen
    else:
        assert again.terminal == inspector.terminal


def test_text_is_counted_where_the_surface_is_read_that_far() -> None:
    assert read("responses", typed("response.output_text.delta", delta="word"))[1].text_bytes == 0
