"""Every surface fails over before its first content, whatever came before that, and shows one answer only."""

from pathlib import Path
from typing import Any

import pytest

from tests.failover.harness import named, on_both_loops, pair, running

FIELDS: dict[str, Any] = {"prompt": "x", "input": "x", "max_tokens": 9}
# How many events of each surface come before its first content.
BEFORE = {"/v1/chat/completions": 1, "/v1/completions": 0, "/v1/responses": 4, "/v1/messages": 3}
ENDS = {
    "/v1/chat/completions": b"[DONE]",
    "/v1/completions": b"[DONE]",
    "/v1/responses": b"response.completed",
    "/v1/messages": b"message_stop",
}


def shown(body: bytes) -> list[bytes]:
    """The events without what depends on the request's own bytes: ids, and the model's name with its fault."""
    return [line for line in body.split(b"\n") if line.startswith(b"event:")]


@pytest.mark.parametrize("path", BEFORE)
@pytest.mark.parametrize(
    "fault", ["close=body;after={}", "reset=body;after={}", "error_event={}", "stall_after={}"]
)
@on_both_loops
async def test_what_comes_before_content_is_not_shown_of_a_failed_attempt(
    tmp_path: Path, path: str, fault: str
) -> None:
    spec = fault.format(BEFORE[path])
    backends = {"sim": "max_retries: 0, timeouts: {first_token: 0.2}"}
    async with running(tmp_path, pair(f"delay_chunk=0;{spec}"), backends=backends) as world:
        want = await world.direct(path=path, **FIELDS)
        told = await world.call(path=path, **FIELDS)
        assert told.status == 200
        assert ENDS[path] in told.body
        assert shown(told.body) == shown(want.body)
        assert len(told.body.split(b"\n\n")) == len(want.body.split(b"\n\n"))
        assert world.seen(named(f"delay_chunk=0;{spec}"), named()) == [1, 1]


@pytest.mark.parametrize("path", BEFORE)
@on_both_loops
async def test_an_error_inside_a_200_is_a_failure_on_every_surface(tmp_path: Path, path: str) -> None:
    for at, spec in enumerate(("error_200", "error_200;body=string", "empty_stream", "error_event=0")):
        folder = tmp_path / str(at)
        folder.mkdir()
        async with running(folder, pair(spec), backends={"sim": "max_retries: 0"}) as world:
            told = await world.call(path=path, **FIELDS)
            assert told.status == 200
            assert ENDS[path] in told.body
            assert world.seen(named(spec), named()) == [1, 1]


@pytest.mark.parametrize("path", BEFORE)
@on_both_loops
async def test_whole_answers_fail_over_on_every_surface(tmp_path: Path, path: str) -> None:
    for at, spec in enumerate(("status=503", "close=body;after=30", "error_200", "lying_length=+9")):
        folder = tmp_path / str(at)
        folder.mkdir()
        async with running(folder, pair(spec), backends={"sim": "max_retries: 0"}) as world:
            told = await world.call(path=path, stream=False, **FIELDS)
            assert told.status == 200
            assert b'"error": {' not in told.body
            assert world.seen(named(spec), named()) == [1, 1]


@on_both_loops
async def test_another_kind_of_body_is_no_answer_for_who_wants_events(tmp_path: Path) -> None:
    """It would pass for an empty stream."""
    for at, spec in enumerate(
        ("error_200", "error_200;body=html", "error_200;body=empty", "error_200;body=text")
    ):
        folder = tmp_path / str(at)
        folder.mkdir()
        async with running(folder, pair(spec), backends={"sim": "max_retries: 0"}) as world:
            want = (await world.direct()).text
            told = await world.call()
            assert (told.outcome, told.text) == ("success", want), spec
            assert world.seen(named(spec), named()) == [1, 1]
