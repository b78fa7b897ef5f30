"""streams/chat.py: where content begins, when a chat stream is complete, what it used, what repeats."""

import json
from typing import Any

import pytest

from tests.unit.streams.client import Client, joined, told
from tests.unit.streams.events import (
    COMMENT,
    DONE,
    ERRORS,
    MALFORMED,
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
    read,
    relayed,
    rewriter,
    verdict,
)
from trunkline.errors import EMPTY_STREAM, ERROR_IN_STREAM
from trunkline.streams.answer import AnswerSettings
from trunkline.streams.chat import MAX_CHOICES, ChatInspector
from trunkline.streams.think import ThinkSettings
from trunkline.wire.sse import LIMIT
from trunkline.wire.usage import Usage


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
        (event({"choices": [{"index": 0, "delta": "x"}]}), True),
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


def test_a_usage_chunk_that_nobody_asked_for_is_left_out_but_counted() -> None:
    stream = [ROLE, WORD, STOP, USED, DONE]
    for chunks in (stream, [b"".join(stream)]):
        inspector = ChatInspector()
        inspector.rewrite(rewriter(include_usage=False), b"")
        assert b"".join([inspector.feed(chunk) for chunk in chunks]) == ROLE + WORD + STOP + DONE
        assert inspector.usage_value("chat") == Usage(5, 7, 12)


def test_from_a_moment_on_events_are_rewritten_those_that_were_held_first() -> None:
    inspector = ChatInspector()
    held = inspector.feed(delta(content="a"))
    assert held == delta(content="a")
    assert inspector.rewrite(rewriter(), held) == delta(content="a", role="assistant")
    assert inspector.feed(delta(content="b") + STOP) == delta(content="b") + STOP
    assert inspector.feed(DONE + DONE) == DONE


_REPORTS: list[tuple[list[dict[str, Any]], Usage | None]] = [
    ([], None),
    ([{"usage": None}], None),
    ([{"usage": {}}], None),
    ([{"usage": USAGE}, {"usage": None}], Usage(5, 7, 12)),
    ([{"usage": {**USAGE, "completion_tokens": 1}}, {"usage": USAGE}], Usage(5, 7, 12)),
    ([{"timings": TIMES[0]}, {"timings": TIMES[1]}], Usage(5, 2, 0, 2, source="timings")),
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
        assert (out, inspector.said) == (b"".join(before), error)
        assert inspector.fault == inspector.end(framed=True)
        assert inspector.fault is not None
        assert inspector.fault.kind is ERROR_IN_STREAM
        assert inspector.fault.message.endswith(": it broke")
        assert inspector.content is bool(before)


@pytest.mark.parametrize("field", [b'"error":null', b'"error":""', b'"error":{}', b'"object":null'])
def test_an_empty_error_is_none(field: bytes) -> None:
    assert read("chat", event(b"{%b}" % field))[1].fault is None


@pytest.mark.parametrize("text", [" ", "other", "ä漢\U0001f600", "\x7f", "\u2028", "{}[]:,", "data: x"])
def test_an_event_with_another_text_repeats_the_last(text: str) -> None:
    plain = event(
        json.dumps(json.loads(WORD[6:]), separators=(",", ":")).replace('"word"', f'"{text}"').encode()
    )
    assert learned(ROLE).repeats(framed(plain))


def test_the_spaces_of_pythons_json_are_known() -> None:
    spaced = [event(json.dumps(json.loads(WORD[6:])).replace("word", text).encode()) for text in ("a", "bc")]
    assert relayed(ROLE, spaced[0]).repeats(framed(spaced[1]))


@pytest.mark.parametrize("text", [" ", "other", "ä漢\U0001f600"])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_the_text_of_what_repeats_is_kept(text: str, separators: tuple[str, str]) -> None:
    chunk = json.loads(WORD[6:])

    def saying(text: str) -> bytes:
        chunk["choices"][0]["delta"]["content"] = text
        return event(json.dumps(chunk, separators=separators, ensure_ascii=False).encode())

    kept: list[bytes] = []
    inspector = relayed(ROLE)
    inspector.keep = kept.append
    inspector.feed(saying("first"))  # what is fed is not kept
    assert [inspector.repeats(framed(saying(one))) for one in (text, 'a"b', "last")] == [True, False, True]
    assert not inspector.repeats(framed(STOP))
    assert kept == [text.encode(), b"last"]


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "refusal"])
def test_what_says_more_than_its_content_does_not_repeat(field: str) -> None:
    more: dict[str, Any] = {field: "y"}
    none: dict[str, Any] = {field: ""}
    both = delta(content="x", **more)
    inspector = relayed(ROLE, both)
    assert not inspector.repeats(framed(both))
    inspector.feed(delta(content="x", **none))
    assert inspector.repeats(framed(delta(content="z", **none)))


def test_nothing_repeats_after_a_fault() -> None:
    for error in ERRORS:
        inspector = learned()
        inspector.feed(error)
        assert not inspector.repeats(framed(WORD))


def test_the_mark_of_an_end_alone_is_no_answer() -> None:
    inspector = ChatInspector()
    for _ in range(2):
        inspector.feed(DONE)
        fault = inspector.end(framed=True)
        assert inspector.over
        assert fault is not None
        assert fault.kind is EMPTY_STREAM


@pytest.mark.parametrize(
    "behind",
    [
        WORD,
        DONE,
        USED,
        COMMENT,
        ERRORS[0],
        event(b"{broken"),
        WORD[:-5],
        delta(index=1, content="x"),
        delta(content="x" * LIMIT)[:-1],
    ],
)
def test_nothing_goes_on_behind_the_mark_of_an_end(behind: bytes) -> None:
    for chunks in ([WORD + DONE + behind], [WORD, DONE, behind], [WORD, DONE[:3], DONE[3:] + behind, behind]):
        out, inspector = read("chat", *chunks)
        assert (out, verdict(inspector), inspector.over) == (WORD + DONE, "", True)
        assert (inspector.events, inspector.malformed, inspector.mid_event) == (2, 0, False)
        assert isinstance(inspector, ChatInspector)
        assert not inspector.repeats(framed(WORD))


def test_the_last_line_end_of_the_mark_may_come_late() -> None:
    mark = DONE.replace(b"\n", b"\r\n")
    for chunks in ([WORD, mark[:-1], mark[-1:], b"\n"], [WORD + mark[:-1], mark[-1:] + WORD]):
        out, inspector = read("chat", *chunks)
        assert (out, verdict(inspector)) == (WORD + mark, "")
    for more in (COMMENT, b"\r", b"x\n"):
        assert read("chat", WORD, mark[:-1], more, b"\n")[0] == WORD + mark[:-1]


def test_choices_beyond_all_reason_are_malformed() -> None:
    _, inspector = read("chat", *[delta(index=index) for index in range(MAX_CHOICES)])
    assert inspector.malformed == 0
    one_more = delta(index=MAX_CHOICES, content="x")
    assert inspector.feed(one_more + WORD) == WORD
    assert flags(inspector)[:3] == (True, False, 1)
    finished = b"".join([delta("stop", index=index) for index in range(MAX_CHOICES)])
    assert inspector.feed(finished + one_more) == finished
    assert verdict(inspector) == ""


def test_a_frame_that_changes_every_second_is_learned_as_long_as_it_pays() -> None:
    inspector = relayed(ROLE)

    def event(second: int) -> bytes:
        return b'data: {"choices":[{"index":0,"delta":{"content":"a"}}],"created":%d}\n\n' % second

    for second in range(1000, 1100):
        inspector.feed(event(second))
        assert inspector.repeats(b"%x\r\n%b\r\n" % (len(event(second)), event(second)))
    for second in range(2000, 2100):
        inspector.feed(event(second))  # never twice: given up
    assert not inspector.repeats(b"%x\r\n%b\r\n" % (len(event(2099)), event(2099)))


@pytest.mark.parametrize("bad", MALFORMED)
@pytest.mark.parametrize("surface", ["chat", "completions"])
def test_a_malformed_event_is_left_out(surface: str, bad: bytes) -> None:
    for chunks in ([WORD + event(bad) + STOP], [WORD, event(bad), STOP]):
        out, inspector = read(surface, *chunks)
        assert (out, inspector.malformed, inspector.fault) == (WORD + STOP, 1, None)


def test_only_the_mark_of_an_end_is_needed_of_what_shows_nothing() -> None:
    inspector = ChatInspector()
    assert inspector.spare(ROLE + COMMENT + delta() + USED + DONE + delta(role="assistant")) == DONE


@pytest.mark.parametrize(
    "odd",
    [
        delta(content="x", reasoning="y"),
        delta(content=[{"type": "text"}]),
        delta(role="assistant"),
        delta(content="x", tool_calls=[{"index": 0}]),
        event({"choices": [{"index": 1, "delta": {"content": "x"}}]}),
        event({"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}]}),
        event({"choices": []}),
        event({"choices": "odd"}),
        STOP,
    ],
)
def test_of_an_event_that_is_read_the_text_is_kept_or_all_of_it(odd: bytes) -> None:
    kept: list[bytes] = []
    others: list[bytes] = []
    inspector = ChatInspector()
    inspector.keep, inspector.keep_odd = kept.append, others.append
    inspector.feed(delta(content="ä"))
    inspector.feed(odd)
    inspector.feed(delta(content="z") + DONE)
    assert kept == ["ä".encode(), b"z"]
    assert others == [odd[6:-2]]


def test_of_an_event_that_is_too_long_to_be_read_the_beginning_is_kept() -> None:
    others: list[bytes] = []
    inspector = ChatInspector()
    inspector.keep, inspector.keep_odd = others.append, others.append
    inspector.feed(event({"choices": [{"delta": {"content": "x" * LIMIT}}]}))
    assert len(others) == 1
    assert others[0].startswith(b"data: ")


def test_what_repeats_goes_on_as_what_was_learned_from_did() -> None:
    texts = ["a", "b", "c", "<think>", "h", "m", "m", "</think>", "d"]
    stream = [ROLE, *[delta(content=text) for text in texts], STOP, DONE]
    for think, reasoning in ((ThinkSettings(), ""), (ThinkSettings(mode="split"), "hmm")):
        settings = AnswerSettings(think=think, model="public")
        client = Client(rewriter(settings, include_usage=False)).read_all(stream)
        chunks = told(client.given)
        assert (client.short, joined(chunks), joined(chunks, "reasoning_content")) == (3, "abcd", reasoning)
        assert {one["model"] for one in chunks} == {"public"}
        assert client.inspector.text_bytes == len("".join(texts))


def test_nothing_is_learned_from_what_goes_on_without_its_text() -> None:
    # An event that is kept for something else in it.
    odd = event({**json.loads(WORD[6:]), "citations": ["c"]})
    client = Client(rewriter(AnswerSettings(think=ThinkSettings())))
    for chunk in (ROLE, WORD, delta(content="<think>"), odd):
        client.read(chunk)
    assert not client.reads_short(odd)
    assert not relayed(ROLE, delta(content="")).repeats(framed(WORD))


def test_bytes_of_text_are_counted_in_any_field() -> None:
    said = [
        delta(content="ä"),
        delta(reasoning="r"),
        delta(reasoning_content="rr"),
        delta(refusal="no"),
        delta(reasoning=1),
    ]
    assert read("chat", *said)[1].text_bytes == 2 + 1 + 2 + 2
    assert read("completions", event({"choices": [{"text": "ä"}]}))[1].text_bytes == 2


def test_a_chunk_with_an_odd_value_is_read_all_the_same() -> None:
    odd = event(b'{"id":"c","choices":[{"index":"0","delta":{"content":"x"}}]}')
    out, inspector = read("chat", ROLE, odd, STOP, DONE)
    assert out == ROLE + odd.replace(b'"0"', b"0") + STOP + DONE
    assert (verdict(inspector), inspector.malformed) == ("", 0)
    half = WORD.replace(b"word", rb"\ud83d")
    assert read("chat", ROLE, half)[0] == ROLE + half


@pytest.mark.parametrize("piece", [event({"choices": "odd"}), delta(content="x" * LIMIT)])
def test_a_rewriter_knows_of_what_passes_it_by(piece: bytes) -> None:
    by = rewriter()
    kept: list[bytes] = []
    inspector = relayed(ROLE, by=by)
    inspector.keep = inspector.keep_odd = kept.append
    assert inspector.feed(piece) == piece
    assert by.content
    assert len(kept) == 1


def test_what_a_client_is_told_in_place_of_a_chunk_is_kept() -> None:
    kept: list[bytes] = []
    inspector = relayed(ROLE, by=rewriter(AnswerSettings(think=ThinkSettings())))
    inspector.keep = inspector.keep_odd = inspector.keep_told = kept.append
    out = inspector.feed(delta(content="<think>h</think>x"))
    assert inspector.feed(delta(content="<think>")) == b""
    assert kept == [out]
