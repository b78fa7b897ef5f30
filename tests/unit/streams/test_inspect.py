"""streams/inspect.py: what may go on, when content began, when a stream is complete, what it used."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.streams.events import (
    BLOCK,
    CHAT,
    COMMENT,
    CREATED,
    DELTA,
    DONE,
    ERRORS,
    LAST,
    ROLE,
    START,
    STOP,
    TEXT,
    TIMES,
    TYPED,
    USAGE,
    USED,
    WORD,
    delta,
    event,
    flags,
    framed,
    learned,
    read,
    typed,
    verdict,
)
from trunkline.errors import CUT, EMPTY_STREAM, ERROR_IN_STREAM, INCOMPLETE, Fault
from trunkline.streams.inspect import (
    INSPECTORS,
    ChatInspector,
    MessagesInspector,
    ResponsesInspector,
    StreamInspector,
)
from trunkline.wire.sse import LIMIT, Decoder
from trunkline.wire.usage import Usage

# chat and completions


def test_a_chat_stream_goes_on_as_the_same_bytes() -> None:
    inspector = ChatInspector()
    for chunk in (COMMENT, ROLE, WORD, STOP, USED, DONE):
        assert inspector.feed(chunk) is chunk
    assert verdict(inspector) == ""
    assert inspector.usage_value("chat") == Usage(5, 7, 12)
    assert repr(inspector) == "<ChatInspector 5 events, content=True, terminal=True>"


@pytest.mark.parametrize(
    ("chunk", "content"),
    [
        (ROLE, False),
        (delta(), False),
        (delta(content=None), False),
        (delta(tool_calls=[]), False),
        (delta(audio={}), False),
        (delta(finish=""), False),
        (USED, False),
        (event({"choices": [], "prompt_filter_results": [{"prompt_index": 0}]}), False),
        (event({"choices": [{"index": 0, "text": ""}]}), False),
        (event({"choices": [{"index": 0}]}), False),
        (event({"choices": None}), False),
        (event({}), False),
        (COMMENT, False),
        (WORD, True),
        (delta(content=[{"type": "text"}]), True),
        (delta(reasoning_content="r"), True),
        (delta(reasoning="r"), True),
        (delta(reasoning_details=[{}]), True),
        (delta(refusal="r"), True),
        (delta(tool_calls=[{"index": 0}]), True),
        (delta(function_call={"name": "f"}), True),
        (delta(audio={"id": "a"}), True),
        (event({"choices": [{"index": 0, "text": "t"}]}), True),
        (STOP, True),
        # other shapes than the API's pass, and count
        (event({"choices": "odd"}), True),
        (event({"choices": [{"index": "0", "delta": {"content": "x"}}]}), True),
        (event([1]), True),
        (event("text"), True),
    ],
)
def test_where_content_begins(chunk: bytes, content: bool) -> None:
    out, inspector = read("chat", chunk)
    assert (out, inspector.content, inspector.fault) == (chunk, content, None)
    slow, twin = read("chat", chunk[:3], chunk[3:])
    assert (slow, flags(twin)) == (chunk, flags(inspector))


@pytest.mark.parametrize(
    ("chunks", "framed", "kind"),
    [
        ([WORD, STOP], True, ""),
        ([WORD, STOP], False, ""),
        ([WORD, DONE], False, ""),
        ([WORD], True, "incomplete_stream"),
        ([WORD], False, "incomplete_stream"),
        ([], True, "empty_stream"),
        ([COMMENT], True, "empty_stream"),
        ([event(b"{broken")], True, "empty_stream"),
        ([event(b"{broken"), STOP], True, ""),
        ([WORD, STOP, delta(index=1, content="x")], True, "incomplete_stream"),
        ([WORD, STOP, delta(index=1, content="x"), delta("stop", index=1)], True, ""),
        ([WORD, delta(index=1), STOP, STOP], True, "incomplete_stream"),
        ([WORD, delta(index=1), STOP, DONE], True, ""),
        ([WORD, DONE, delta(index=1)], True, ""),
        ([WORD, delta("")], True, "incomplete_stream"),
        ([event({"choices": [{"index": None, "finish_reason": "stop"}]})], True, ""),
        ([event({"choices": [{"finish_reason": "length"}]})], True, ""),
        ([WORD, STOP[:-1]], True, "incomplete_stream"),
        ([WORD, STOP, b"data: [DO"], True, ""),
    ],
)
def test_when_a_chat_stream_is_complete(chunks: list[bytes], framed: bool, kind: str) -> None:
    assert verdict(read("chat", *chunks)[1], framed=framed) == kind


@pytest.mark.parametrize(
    "bad",
    [
        b'{"choices":[{"index":0,"delta":{"content":"cut',
        b"{}x",
        b"{",
        b'{"choices":[{"delta":{"content":"\xff"}}]}',
        b'{"choices":[],"unread":"\xff"}',
        b'{"choices":"odd","x":}',
        b'{"choices":[{"delta":{"content":' + b"[" * 9999,
        b"not json",
    ],
)
@pytest.mark.parametrize("surface", ["chat", "completions", "responses", "messages"])
def test_a_malformed_event_is_left_out(surface: str, bad: bytes) -> None:
    for chunks in ([WORD + event(bad) + STOP], [WORD, event(bad), STOP]):
        out, inspector = read(surface, *chunks)
        assert (out, inspector.malformed, inspector.fault) == (WORD + STOP, 1, None)


def test_a_usage_chunk_that_nobody_asked_for_is_left_out_but_counted() -> None:
    stream = WORD + STOP + USED + DONE
    out, inspector = read("chat", *[WORD, STOP, USED, DONE], include_usage=False)
    assert out == WORD + STOP + DONE
    assert inspector.usage_value("chat") == Usage(5, 7, 12)
    assert read("chat", stream, include_usage=False)[0] == out
    # a chunk with a choice, or without the count, stays
    for kept in (
        event({"choices": [{"index": 0, "delta": {}}], "usage": USAGE}),
        event({"choices": [], "usage": None}),
        event({"usage": USAGE}),
    ):
        assert read("chat", kept, include_usage=False)[0] == kept


_REPORTS: list[tuple[list[dict[str, Any]], Usage | None]] = [
    ([], None),
    ([{"usage": None}], None),
    ([{"usage": {}}], None),
    ([{"usage": USAGE}, {"usage": None}], Usage(5, 7, 12)),
    ([{"usage": {**USAGE, "completion_tokens": 1}}, {"usage": USAGE}], Usage(5, 7, 12)),
    ([{"timings": TIMES[0]}, {"timings": TIMES[1]}], Usage(5, 2, 0, 2)),
    ([{"timings": TIMES[0]}, {"usage": USAGE, "timings": TIMES[1]}], Usage(5, 7, 12, 2)),
    ([{"usage": USAGE}, {"timings": TIMES[1]}], Usage(5, 7, 12, 2)),
]


@pytest.mark.parametrize(("reports", "usage"), _REPORTS)
def test_the_usage_of_a_chat_stream(reports: list[dict[str, Any]], usage: Usage | None) -> None:
    _, inspector = read("chat", WORD, *[event({"choices": [], **report}) for report in reports])
    assert inspector.usage_value("chat") == usage


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("before", [[], [WORD], [WORD, b"data: {"[:3]]])
def test_an_error_in_a_chat_stream(error: bytes, before: list[bytes]) -> None:
    before = before[:1]
    for chunks in ([*before, error, WORD, DONE], [b"".join([*before, error, WORD, DONE])]):
        out, inspector = read("chat", *chunks)
        assert out == b"".join([*before, error])
        assert inspector.fault == inspector.end(framed=True)
        assert inspector.fault is not None
        assert inspector.fault.kind is ERROR_IN_STREAM
        assert inspector.fault.message.endswith(": it broke")
        assert inspector.content is (bool(before) or b'"odd"' in error)


@pytest.mark.parametrize("field", [b'"error":null', b'"error":""', b'"error":{}', b'"object":null'])
def test_an_empty_error_is_none(field: bytes) -> None:
    assert read("chat", event(b"{%b}" % field))[1].fault is None


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


# the other surfaces


def test_a_surface_without_a_reader_of_its_own() -> None:
    stream = event(b"anything") + COMMENT + event({"x": 1}, b"name")
    out, inspector = read("audio", stream)
    assert (out, inspector.content, inspector.usage_value("audio")) == (stream, True, None)
    assert (verdict(inspector), verdict(inspector, framed=False)) == ("", "cut")
    assert verdict(read("audio", COMMENT)[1]) == "empty_stream"
    assert verdict(read("audio", event(b"it broke", b"error"))[1]) == "error_in_stream"
    assert read("audio", b"data: " + b"x" * LIMIT + b"\n\n")[1].content


@pytest.mark.parametrize(
    ("stream", "content", "kind"),
    [
        ([CREATED, typed("response.in_progress", response={})], False, "incomplete_stream"),
        (
            [typed("response.output_item.added"), typed("response.content_part.added")],
            False,
            "incomplete_stream",
        ),
        ([CREATED, TEXT], True, "incomplete_stream"),
        ([CREATED, TEXT, typed("response.completed", response={"usage": None})], True, ""),
        ([CREATED, typed("response.incomplete", response={})], True, ""),
        ([CREATED, TEXT, typed("response.failed", response={"error": {"message": "m"}})], True, ""),
        ([CREATED, typed("response.failed", response={"error": {"message": "m"}})], False, "error_in_stream"),
        (
            [CREATED, event({"type": "error", "message": "m", "code": None, "param": None})],
            False,
            "error_in_stream",
        ),
        ([event({"type": "error", "message": 1, "response": 2})], True, "error_in_stream"),
        ([typed("error", message="m")], False, "error_in_stream"),
        ([event({"error": {"message": "m"}})], False, "error_in_stream"),
        ([event({"type": None, "error": {"message": "m"}})], False, "error_in_stream"),
        ([event(b"m", b"error")], False, "error_in_stream"),
        ([typed("response.new.thing", message="text", response="text")], True, "incomplete_stream"),
        ([typed("response.mcp_call.failed", error={"message": "m"})], True, "incomplete_stream"),
        ([event([1])], True, "incomplete_stream"),
        ([event({})], True, "incomplete_stream"),
        ([DONE], False, "incomplete_stream"),
        ([], False, "empty_stream"),
    ],
)
def test_responses(stream: list[bytes], content: bool, kind: str) -> None:
    for chunks in (stream, [b"".join(stream)]):
        out, inspector = read("responses", *chunks)
        assert isinstance(inspector, ResponsesInspector)
        assert out == b"".join(stream)
        assert (inspector.content, verdict(inspector)) == (content, kind)


@pytest.mark.parametrize(
    "head", [b"event: response.completed\ndata: ", b"event:response.completed\r\ndata: ", b"data: ", b"data:"]
)
def test_the_last_event_of_responses_may_be_huge(head: bytes) -> None:
    last = b'%b{"type":"response.completed","x":"%b"}\n\n' % (head, b"i" * LIMIT)
    for chunks in (
        [CREATED, last],
        [CREATED, last[:-3], last[-3:]],
        [CREATED + last[:9], last[9:-9], last[-9:]],
    ):
        _, inspector = read("responses", *chunks)
        assert (verdict(inspector), inspector.terminal) == ("", True)
    assert verdict(read("responses", CREATED, last[:-3])[1]) == "cut"
    for other in (
        b'data: {"type":"response.output_item.done","x":"%b"}\n\n',
        b'data: {"x":"event: response.completed%b"}\n\n',
    ):
        assert not read("responses", other % (b"i" * LIMIT))[1].terminal
    # only its beginning says what an event is, wherever its parts are cut
    middle = b'data: {"x":"%b' % (b"i" * LIMIT)
    assert not read("responses", middle, b"event: response.completed\n")[1].terminal


def test_the_usage_of_responses() -> None:
    used = {"input_tokens": 3, "output_tokens": 2}
    _, inspector = read("responses", CREATED, TEXT, typed("response.completed", response={"usage": used}))
    assert inspector.usage_value("responses") == Usage(3, 2)


@pytest.mark.parametrize(
    ("stream", "content", "kind", "usage"),
    [
        ([START, typed("ping"), BLOCK], False, "incomplete_stream", Usage(33, 1, 0, 32)),
        ([START, BLOCK, DELTA], True, "incomplete_stream", Usage(33, 1, 0, 32)),
        ([START, BLOCK, DELTA, LAST], True, "incomplete_stream", Usage(33, 6, 0, 32)),
        ([START, BLOCK, DELTA, LAST, typed("message_stop")], True, "", Usage(33, 6, 0, 32)),
        ([LAST, typed("message_stop")], True, "", Usage(0, 6)),
        ([typed("message_start", message={}), typed("message_stop")], True, "", None),
        (
            [START, event({"type": "error", "error": {"message": "m"}}, b"error")],
            False,
            "error_in_stream",
            Usage(33, 1, 0, 32),
        ),
        (
            [START, event({"type": "error", "error": {"message": "m"}})],
            False,
            "error_in_stream",
            Usage(33, 1, 0, 32),
        ),
        (
            [START, event({"type": "overloaded_error"}, b"error")],
            False,
            "error_in_stream",
            Usage(33, 1, 0, 32),
        ),
    ],
)
def test_messages(stream: list[bytes], content: bool, kind: str, usage: Usage | None) -> None:
    out, inspector = read("messages", *stream)
    assert out == b"".join(stream)
    assert (inspector.content, verdict(inspector)) == (content, kind)
    assert inspector.usage_value("messages") == usage


@pytest.mark.parametrize(
    ("surface", "kind"),
    [("chat", ChatInspector), ("completions", ChatInspector), ("messages", MessagesInspector)],
)
def test_which_reader_a_surface_has(surface: str, kind: type[StreamInspector]) -> None:
    assert INSPECTORS[surface] is kind


# any chunking

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


@given(streams, st.lists(st.integers(1, 150), min_size=1, max_size=8), st.booleans())
@example(("chat", [WORD, STOP, USED, DONE]), [1], False)
def test_any_chunking_gives_the_same(
    stream: tuple[str, list[bytes]], lengths: list[int], asked: bool
) -> None:
    surface, events = stream
    out, whole = read(surface, b"".join(events), include_usage=asked)
    for chunks in (events, cut(b"".join(events), lengths)):
        again, inspector = read(surface, *chunks, include_usage=asked)
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


# the short way


@pytest.mark.parametrize("text", ["", " ", "other", "ä漢\U0001f600", "\x7f", "\u2028", "{}[]:,", "data: x"])
def test_an_event_with_another_text_repeats_the_last(text: str) -> None:
    plain = event(
        json.dumps(json.loads(WORD[6:]), separators=(",", ":")).replace('"word"', f'"{text}"').encode()
    )
    assert learned(ROLE).repeats(framed(plain))


def test_the_spaces_of_pythons_json_are_known() -> None:
    spaced = [event(json.dumps(json.loads(WORD[6:])).replace("word", text).encode()) for text in ("a", "bc")]
    inspector = ChatInspector()
    inspector.feed(spaced[0])
    assert inspector.repeats(framed(spaced[1]))


def test_nothing_repeats_after_a_fault() -> None:
    for error in ERRORS:
        inspector = learned()
        inspector.feed(error)
        assert not inspector.repeats(framed(WORD))


def test_the_kinds_of_fault_at_the_end() -> None:
    ends: list[Fault | None] = [
        read("chat")[1].end(framed=True),
        read("chat", WORD)[1].end(framed=True),
        read("audio", WORD)[1].end(framed=False),
    ]
    assert [fault.kind for fault in ends if fault is not None] == [EMPTY_STREAM, INCOMPLETE, CUT]


def test_the_mark_of_an_end_alone_is_no_answer() -> None:
    inspector = ChatInspector()
    inspector.feed(b"data: [DONE]\n\n")
    fault = inspector.end(framed=True)
    assert inspector.over
    assert fault is not None
    assert fault.kind is EMPTY_STREAM


def test_a_stream_is_over_by_its_mark_not_by_a_finish_reason() -> None:
    chat = ChatInspector()
    chat.feed(b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n')
    assert (chat.terminal, chat.over) == (True, False)
    messages = MessagesInspector()
    messages.feed(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')
    assert messages.over


def test_a_frame_that_changes_every_second_is_learned_as_long_as_it_pays() -> None:
    inspector = ChatInspector()

    def event(second: int) -> bytes:
        return b'data: {"choices":[{"index":0,"delta":{"content":"a"}}],"created":%d}\n\n' % second

    for second in range(1000, 1100):
        inspector.feed(event(second))
        assert inspector.repeats(b"%x\r\n%b\r\n" % (len(event(second)), event(second)))
    for second in range(2000, 2100):
        inspector.feed(event(second))  # never twice: given up
    assert not inspector.repeats(b"%x\r\n%b\r\n" % (len(event(2099)), event(2099)))
