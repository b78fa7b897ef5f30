"""After content was sent: the rest from another target if it fits to the character, else an error that says so.

Never a clean end of a cut answer, never a word twice.
"""

from pathlib import Path
from typing import Any

import pytest

from tests.failover.caller import Told
from tests.failover.harness import OK, World, named, on_both_loops, pair, running

CUTS = (
    *(
        "close=body;after=9",
        "reset=body;after=9",
        "broken_chunk;after=9",
        "error_event=9",
        "no_finish;no_done",
    ),
    *(
        "http10;close=body;after=9",
        "gzip;close=body;after=9",
        "drip;close=body;after=9",
        "crlf;close=body;after=9",
    ),
    *(
        "delay_chunk=0.005;close=body;after=9",
        "stall;after=9",
        "malformed_event=8;close=body;after=9",
    ),
    *("close=body;after=2", "close=body;after=21", "usage=cumulative;close=body;after=9"),
)
"""Of a stream of a role, twenty words, the finish, usage and [DONE]."""
IDLE = {"sim": "timeouts: {idle: 0.5}"}


def cut(spec: str) -> str:
    """A spec whose events leave one by one, so that there is content before the cut."""
    return spec if "delay_chunk" in spec or "drip" in spec else f"delay_chunk=0;{spec}"


def assert_cut(told: Told, want: Told) -> None:
    """An honest end: the error is told, and what came before it is the beginning of the answer."""
    assert (told.outcome, told.status, told.done) == ("error", 200, False)
    assert told.error["code"] in ("upstream_error", "upstream_timeout")
    assert told.error["message"]
    assert told.texts
    assert want.text.startswith(told.text)
    assert not told.finish


@pytest.mark.parametrize("spec", CUTS)
@on_both_loops
async def test_by_default_the_rest_comes_from_the_fallback(tmp_path: Path, spec: str) -> None:
    spec = cut(spec)
    async with running(tmp_path, pair(spec), backends=IDLE) as world:
        want = await world.direct()
        told = await world.call()
        await world.quiet()
        assert (told.outcome, told.text, told.done) == ("success", want.text, True)
        assert (told.finish, told.usage["completion_tokens"]) == ("stop", 20)
        assert len(set(told.ids)) == 1, "to the caller it is one answer"
        assert told.model == named(spec), "the first one's"
        assert world.seen(named(spec), named()) == [1, 1]
        assert len(world.faults) == 2
        assert world.faults[0]
        assert not world.faults[1]
        assert world.record.fault == ""


@pytest.mark.parametrize("spec", CUTS)
@on_both_loops
async def test_with_error_the_cut_is_told_and_nobody_else_is_asked(tmp_path: Path, spec: str) -> None:
    spec = cut(spec)
    backends = {"sim": f"{IDLE['sim']}, on_cut: error"}
    async with running(tmp_path, pair(spec), backends=backends) as world:
        want = await world.direct()
        told = await world.call()
        await world.quiet()
        assert_cut(told, want)
        assert world.seen(named(spec), named()) == [1, 0]
        assert world.record.fault == world.faults[0] != ""


@on_both_loops
async def test_another_answer_is_not_joined(tmp_path: Path) -> None:
    spec = cut("close=body;after=9")
    async with running(tmp_path, pair(spec, model="sim-large")) as world:
        want = await world.direct()
        told = await world.call()
        await world.quiet()
        assert_cut(told, want)
        assert len(told.text.split()) == 8, "nothing of the other text was shown"
        assert world.seen(named(spec), "sim-large") == [1, 1]


@on_both_loops
async def test_a_fallback_that_is_cut_too_is_the_end(tmp_path: Path) -> None:
    for at, later in enumerate(
        ("delay_chunk=0;close=body;after=15", "delay_chunk=0;close=body;after=4", "status=500")
    ):
        folder = tmp_path / str(at)
        folder.mkdir()
        spec = cut("close=body;after=9")
        async with running(folder, pair(spec, later), backends={"sim": "max_retries: 0"}) as world:
            want = await world.direct()
            told = await world.call()
            await world.quiet()
            assert_cut(told, want)
            assert len(told.text.split()) == (14 if "15" in later else 8)
            assert world.seen(named(spec), named(later)) == [1, 1]


@pytest.mark.parametrize(
    "later",
    ["delay_chunk=0.01;stall;after=15", "delay_chunk=0.01;stall;after=4", "delay_head=forever", "role_stall"],
)
@on_both_loops
async def test_a_fallback_that_stalls_is_the_end_too(tmp_path: Path, later: str) -> None:
    spec = cut("close=body;after=9")
    backends = {"sim": "timeouts: {idle: 0.3, first_token: 0.4}"}
    async with running(tmp_path, pair(spec, later), backends=backends) as world:
        want = await world.direct()
        told = await world.call(limit=10)
        await world.quiet()
        assert_cut(told, want)
        assert world.seen(named(spec), named(later)) == [1, 1]
        assert world.record.fault == "cut", "what the caller is told of is the first one"


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 1, "logprobs": False, "temperature": 1.3},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"stream_options": None},
        {"max_tokens": 15},
        {"max_completion_tokens": 200},
    ],
    ids=["defaults", "tools at hand", "no usage", "a short answer", "a long one"],
)
@on_both_loops
async def test_what_was_asked_for_is_kept_by_the_rest(tmp_path: Path, fields: dict[str, Any]) -> None:
    spec = cut("close=body;after=9")
    async with running(tmp_path, pair(spec)) as world:
        want = await world.direct(**fields)
        told = await world.call(**fields)
        assert (told.outcome, told.text, told.finish, told.done) == ("success", want.text, want.finish, True)
        assert told.usage == want.usage
        assert world.seen(named(spec), named()) == [1, 1]


@on_both_loops
async def test_a_siblings_rest_is_as_good_as_a_fallbacks(tmp_path: Path) -> None:
    spec = cut("close=body;after=9;times=1")
    models = (
        "models:\n"
        f'  primary: {{targets: [{{backend: a, model: "{named(spec)}"}}, {{backend: b, model: {OK}}}]}}\n'
    )
    async with running(tmp_path, models, backends={"a": "", "b": ""}) as world:
        want = await world.direct()
        told = await world.call()
        assert (told.outcome, told.text) == ("success", want.text)
        assert (len(world.asked(named(spec), "a")), len(world.asked(OK, "b"))) == (1, 1)


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 2},
        {"logprobs": True},
        {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "required"},
    ],
    ids=["choices", "logprobs", "tools"],
)
@on_both_loops
async def test_what_cannot_be_compared_is_not_joined(tmp_path: Path, fields: dict[str, Any]) -> None:
    spec = cut("close=body;after=3")
    async with running(tmp_path, pair(spec)) as world:
        told = await world.call(**fields)
        await world.quiet()
        assert (told.outcome, told.status, told.done) == ("error", 200, False)
        assert told.error["code"] == "upstream_error"
        assert world.seen(named(spec), named()) == [1, 0]


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/responses", "/v1/messages"])
@on_both_loops
async def test_other_surfaces_end_with_their_own_error(tmp_path: Path, path: str) -> None:
    spec = cut("close=body;after=8")
    async with running(tmp_path, pair(spec)) as world:
        told = await world.call(path=path, prompt="x", input="x", max_tokens=9)
        await world.quiet()
        last = told.body.rstrip().split(b"\n\n")[-1]
        assert b"error" in last
        assert b"[DONE]" not in told.body
        assert b"message_stop" not in told.body
        assert b"response.completed" not in told.body
        assert world.seen(named(spec), named()) == [1, 0]


CONTINUING = "on_cut: continue, prefill: plain"


@pytest.mark.parametrize(
    ("habit", "requests", "prefilled"),
    [
        ("prefill=continue", 1, [True]),
        ("prefill=refuse", 2, [True, False]),
        ("words=20", 1, [True]),  # answers anew without a word
    ],
)
@on_both_loops
async def test_with_continue_the_rest_alone_is_asked_for(
    tmp_path: Path, habit: str, requests: int, prefilled: list[bool]
) -> None:
    spec = cut("close=body;after=13")
    async with running(tmp_path, pair(spec, habit), backends={"sim": CONTINUING}) as world:
        want = await world.direct()
        told = await world.call()
        await world.quiet()
        assert (told.outcome, told.text, told.done) == ("success", want.text, True)
        assert len(set(told.ids)) == 1
        assert world.seen(named(spec), named(habit)) == [1, requests]
        sent = " ".join(want.text.split()[:12])
        assert [sent in entry.body for entry in world.asked(named(habit))] == prefilled


@on_both_loops
async def test_with_continue_a_target_that_is_not_declared_able_is_asked_from_the_start(
    tmp_path: Path,
) -> None:
    spec = cut("close=body;after=13")
    async with running(tmp_path, pair(spec), backends={"sim": "on_cut: continue"}) as world:
        want = await world.direct()
        told = await world.call()
        assert (told.outcome, told.text) == ("success", want.text)
        (entry,) = world.asked(named())
        assert '"assistant"' not in entry.body


@on_both_loops
async def test_a_broken_line_does_not_end_a_sound_stream(tmp_path: Path) -> None:
    for at, position in enumerate((1, 5, 20, 21, 22)):
        folder = tmp_path / str(at)
        folder.mkdir()
        spec = f"malformed_event={position};delay_chunk=0"
        async with running(folder, pair(spec)) as world:
            want = await world.direct()
            told = await world.call()
            assert (told.outcome, told.text, told.done, told.finish) == ("success", want.text, True, "stop")
            assert b'"cut o' not in told.body, "nor does the caller have to read it"
            assert world.seen(named(spec), named()) == [1, 0]


@on_both_loops
async def test_every_attempt_is_recorded_once_with_what_was_used(tmp_path: Path) -> None:
    spec = cut("usage=cumulative;close=body;after=9")
    async with running(tmp_path, pair(spec)) as world:
        await world.call()
        await world.quiet()
        records = list(world.gateway.runtime.records)
        assert len(records) == 1
        assert [bool(attempt.fault) for attempt in records[0].attempts] == [True, False]
        assert usage_known(world)


def usage_known(world: World) -> bool:
    """Whether the call's record says what the answer cost."""
    usage = world.record.usage
    return usage is not None and usage.completion_tokens == 20
