"""wire/values.py: values that pure siblings share."""

from trunkline.wire.values import SSE_SURFACES, Call


def test_streams_that_can_be_ended_by_an_error_of_our_own_are_those_of_text() -> None:
    assert {"chat", "completions", "responses", "messages"} == SSE_SURFACES


def test_a_call_carries_what_is_sent() -> None:
    starts = {"a": b"POST"}
    call = Call(
        b"1", "chat", b"POST", b"/v1", [(b"a", b"b")], b"{}", "k", "m", True, False, None, b"", starts
    )
    assert (call.surface, call.target, call.headers, call.body) == ("chat", b"/v1", [(b"a", b"b")], b"{}")
    assert (call.model, call.stream, call.include_usage, call.length) == ("m", True, False, None)
    assert call.starts is starts
