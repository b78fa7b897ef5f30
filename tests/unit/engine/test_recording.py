"""engine/recording.py: estimates where nobody counted, and what is learned for them from those who do."""

import pytest
from msgspec import structs

from trunkline.engine.recording import completion_size, learn, with_estimates
from trunkline.policy.record import AttemptRecord, UsageRecord
from trunkline.policy.tokens import TokenRates
from trunkline.wire.usage import Usage

ANSWERED = AttemptRecord("a", 1.0, status=200, bytes_in=4000, model="m", text_bytes=800)


def record(
    *attempts: AttemptRecord, surface: str = "chat", bytes_in: int = 400, streamed: bool = True
) -> UsageRecord:
    return UsageRecord(
        request_id="r",
        key="k",
        surface=surface,
        model="public",
        streamed=streamed,
        backend="a",
        attempts=attempts,
        usage=attempts[-1].usage if attempts else None,
        status=200,
        fault="",
        started=1.0,
        head_at=1.0,
        ended=2.0,
        bytes_in=bytes_in,
        bytes_out=2,
    )


@pytest.mark.parametrize("surface", ["chat", "completions"])
def test_an_answer_that_nobody_counted_is_estimated(surface: str) -> None:
    found = with_estimates(record(ANSWERED, surface=surface), TokenRates())
    assert found.usage == found.attempts[0].usage == Usage(100, 200, source="estimated")


def test_embeddings_have_no_completion() -> None:
    vectors = structs.replace(ANSWERED, text_bytes=0, bytes_in=30_000)
    found = with_estimates(record(vectors, surface="embeddings", streamed=False), TokenRates())
    assert found.usage == Usage(100, 0, source="estimated")


@pytest.mark.parametrize(
    ("attempt", "usage"),
    [
        # Its client left, or it was cut: what was said was said.
        (
            structs.replace(ANSWERED, fault="client_gone", maybe_billed=100),
            Usage(100, 200, source="estimated"),
        ),
        (structs.replace(ANSWERED, fault="cut"), Usage(100, 200, source="estimated")),
        # It never came to content.
        (structs.replace(ANSWERED, fault="cut", text_bytes=0, bytes_in=400, maybe_billed=100), None),
        (structs.replace(ANSWERED, fault="server_error", status=500, text_bytes=0, bytes_in=90), None),
        (structs.replace(ANSWERED, fault="connect", status=0, text_bytes=0, bytes_in=0), None),
        # Somebody counted.
        (structs.replace(ANSWERED, usage=Usage(3, 4)), Usage(3, 4)),
    ],
)
def test_attempts_that_failed(attempt: AttemptRecord, usage: Usage | None) -> None:
    found = with_estimates(record(attempt, ANSWERED), TokenRates()).attempts[0]
    assert found.usage == usage
    assert found == structs.replace(attempt, usage=usage)


@pytest.mark.parametrize(
    "untouched",
    [
        record(ANSWERED, surface="other"),
        record(ANSWERED, surface="images"),
        record(ANSWERED, bytes_in=0),
        record(),
    ],
)
def test_calls_of_which_nothing_can_be_said(untouched: UsageRecord) -> None:
    assert with_estimates(untouched, TokenRates()) is untouched


def test_the_size_of_an_answer() -> None:
    assert completion_size(ANSWERED.text_bytes, ANSWERED.bytes_in, streamed=True) == 800
    unread = structs.replace(ANSWERED, text_bytes=0)
    assert 0 < completion_size(0, unread.bytes_in, streamed=True) < 200
    assert 3000 < completion_size(0, unread.bytes_in, streamed=False) < 4000
    assert completion_size(0, 100, streamed=False) == 0


def test_what_was_counted_teaches() -> None:
    rates = TokenRates()
    counted = record(structs.replace(ANSWERED, usage=Usage(200, 400)))
    for _ in range(40):
        learn(counted, rates)
    assert with_estimates(record(ANSWERED), rates).usage == Usage(200, 400, source="estimated")
    unnamed = record(structs.replace(ANSWERED, model=""))
    assert with_estimates(unnamed, rates).usage == Usage(100, 200, source="estimated"), "another model"


@pytest.mark.parametrize(
    "call",
    [
        record(),
        record(ANSWERED),
        record(structs.replace(ANSWERED, usage=Usage(900, 900, source="estimated"))),
        record(ANSWERED, structs.replace(ANSWERED, usage=Usage(200, 400))),
        record(structs.replace(ANSWERED, usage=Usage(200, 400)), surface="responses"),
    ],
)
def test_what_teaches_nothing(call: UsageRecord) -> None:
    rates = TokenRates()
    learn(call, rates)
    assert repr(rates) == "<TokenRates 0 figures>"
