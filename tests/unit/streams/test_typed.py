"""streams/typed.py: the types that show something and those that end an answer."""

import pytest

from tests.unit.streams.events import (
    BLOCK,
    CREATED,
    DELTA,
    DONE,
    LAST,
    MALFORMED,
    START,
    STOP,
    TEXT,
    WORD,
    event,
    read,
    typed,
    verdict,
)
from trunkline.streams.typed import ResponsesInspector
from trunkline.wire.sse import LIMIT
from trunkline.wire.usage import Usage


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
        ([event({"type": "error", "message": 1, "response": 2})], False, "error_in_stream"),
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
        assert out + inspector.said == b"".join(stream)
        assert bool(inspector.said) is (kind == "error_in_stream")
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
    assert out + inspector.said == b"".join(stream)
    assert bool(inspector.said) is (kind == "error_in_stream")
    assert (inspector.content, verdict(inspector)) == (content, kind)
    assert inspector.usage_value("messages") == usage


@pytest.mark.parametrize("bad", MALFORMED)
@pytest.mark.parametrize("surface", ["responses", "messages"])
def test_a_malformed_event_is_left_out(surface: str, bad: bytes) -> None:
    for chunks in ([WORD + event(bad) + STOP], [WORD, event(bad), STOP]):
        out, inspector = read(surface, *chunks)
        assert (out, inspector.malformed, inspector.fault) == (WORD + STOP, 1, None)


@pytest.mark.parametrize(
    ("surface", "sign", "needed"),
    [
        ("messages", typed("ping"), START + BLOCK + typed("keepalive")),
        ("responses", typed("keepalive"), CREATED + typed("response.output_item.added") + typed("ping")),
    ],
)
def test_signs_of_life_can_be_spared(surface: str, sign: bytes, needed: bytes) -> None:
    _, inspector = read(surface)
    assert inspector.spare(sign + needed + sign + b": x\n\n" + DONE) == needed + DONE
