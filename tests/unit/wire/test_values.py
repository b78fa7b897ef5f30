"""wire/values.py: values that pure siblings share."""

import pytest

from trunkline.wire import error_body
from trunkline.wire.values import SSE_SURFACES, Call, dialect_of


@pytest.mark.parametrize("surface", [*SSE_SURFACES, "embeddings", "audio", "other", ""])
def test_the_dialect_is_that_of_the_surface(surface: str) -> None:
    assert dialect_of(surface) == ("anthropic" if surface == "messages" else "openai")
    assert dialect_of(surface) == error_body.dialect_of(surface)


def test_a_call_carries_what_is_sent() -> None:
    starts = {"a": b"POST"}
    call = Call(
        b"1", "chat", b"POST", b"/v1", [(b"a", b"b")], b"{}", "k", "m", True, False, None, b"", starts
    )
    assert (call.surface, call.target, call.headers, call.body) == ("chat", b"/v1", [(b"a", b"b")], b"{}")
    assert (call.model, call.stream, call.include_usage, call.length) == ("m", True, False, None)
    assert call.starts is starts
