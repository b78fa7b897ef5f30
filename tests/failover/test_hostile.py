"""Upstreams and callers that the benchmark does not have: redirects, huge events, cut bodies, callers who leave."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.failover.caller import call, request
from tests.failover.harness import World, named, on_both_loops, pair, running

HUGE = 2 * 1024 * 1024


@pytest.mark.parametrize("stream", [True, False])
@on_both_loops
async def test_a_redirect_is_not_followed(tmp_path: Path, stream: bool) -> None:
    async with running(tmp_path, pair(""), backends={"sim": "backoff_max: 0.1", "elsewhere": ""}) as world:
        spec = f"redirect={world.sims['elsewhere'].url}/v1/chat/completions"
        world.sims["elsewhere"].reset()
        world.sim.set_fault(spec, model="sim-small")
        told = await world.call(stream=stream)
        assert (told.outcome, told.status) == ("error", 502)
        assert "location" not in told.headers
        assert world.sims["elsewhere"].log == [], "credentials and prompts go where they were sent"
        assert 1 <= len(world.asked("sim-small")) <= 4


@on_both_loops
async def test_a_redirecting_primary_is_left_for_the_fallback(tmp_path: Path) -> None:
    spec = "redirect=http://elsewhere.test/"
    async with running(tmp_path, pair(spec)) as world:
        told = await world.call()
        assert told.outcome == "success"
        assert world.seen(named(spec), named()) == [1, 1]


@on_both_loops
async def test_a_huge_event_arrives_whole(tmp_path: Path) -> None:
    spec = f"big_event={HUGE}"
    async with running(tmp_path, pair(spec)) as world:
        told = await world.call(limit=20)
        assert told.outcome == "success"
        assert len(told.text) > HUGE
        assert world.seen(named(spec), named()) == [1, 0]


@on_both_loops
async def test_a_cut_behind_a_huge_event_is_no_clean_end(tmp_path: Path) -> None:
    for at, cut in enumerate(("close=body;after=2", "close=body;after=4")):
        folder = tmp_path / str(at)
        folder.mkdir()
        spec = f"big_event={HUGE};{cut}"
        async with running(folder, pair(spec)) as world:
            told = await world.call(limit=20)
            assert (told.outcome, told.status, told.done) == ("error", 200, False)
            assert len(told.text) >= HUGE, "what came is given out"
            assert world.seen(named(spec), named()) == [1, 0], "too much to be compared"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/rerank"])
@on_both_loops
async def test_a_cut_whole_answer_is_never_shown(tmp_path: Path, path: str) -> None:
    spec = "close=body;after=30"
    fields: dict[str, Any] = {"prompt": "x", "input": "x", "query": "x", "documents": ["x"]}
    async with running(tmp_path, pair(spec), backends={"sim": "backoff_max: 0.2"}) as world:
        want = await call(world.sim.port, request(named(), stream=False, path=path, **fields))
        world.sim.reset()
        told = await world.call(stream=False, path=path, **fields)
        assert (told.status, without_id(told.body)) == (200, without_id(want.body))
        assert world.seen(named(spec), named()) == [3, 1]


def without_id(body: bytes) -> dict[str, Any]:
    """An answer without what depends on the request's own bytes, as the model's name is in them."""
    return {key: value for key, value in json.loads(body).items() if key not in ("id", "model")}


async def leave(world: World, model: str, data: bytes, *, after: bytes = b"") -> None:
    """Make a call, and leave when a request for the model has come and the caller has read some text."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    writer.write(data)
    if after:
        await reader.readuntil(after)
    await world.arrived(model)
    writer.transport.abort()
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("spec", "after"),
    [("delay_head=forever", b""), ("role_stall", b""), ("delay_chunk=0.05;stall;after=9", b'content":" ')],
    ids=["before the head", "before content", "in the middle"],
)
@on_both_loops
async def test_a_caller_who_leaves_takes_the_upstream_along(tmp_path: Path, spec: str, after: bytes) -> None:
    async with running(tmp_path, pair(spec)) as world:
        await leave(world, named(spec), request("primary"), after=after)
        await world.quiet()
        (entry,) = world.asked(named(spec))
        assert entry.outcome == "client_closed"
        assert (world.record.status, world.record.fault) == (200 if after else 499, "client_gone")
        assert world.seen(named()) == [0], "nobody else is asked for one who has left"


@pytest.mark.parametrize("stream", [True, False])
@on_both_loops
async def test_a_caller_who_leaves_in_a_pause_gets_no_further_attempt(tmp_path: Path, stream: bool) -> None:
    spec = "status=429;header=retry-after-ms: 400"
    async with running(tmp_path, pair(spec)) as world:
        await leave(world, named(spec), request("primary", stream=stream))
        await world.quiet()
        assert world.record.fault == "client_gone"
        await asyncio.sleep(0.7)  # the pause is over
        assert world.seen(named(spec), named()) == [1, 0]


@on_both_loops
async def test_a_caller_who_leaves_while_the_rest_is_fetched_ends_that_too(tmp_path: Path) -> None:
    spec, rest = "delay_chunk=0;close=body;after=9", "delay_chunk=0.01;stall;after=9"
    async with running(tmp_path, pair(spec, rest)) as world:
        await leave(world, named(rest), request("primary"), after=b'content":" ')
        await world.quiet()
        assert [entry.outcome for entry in world.asked(named(rest))] == ["client_closed"]


@on_both_loops
async def test_callers_who_leave_are_nobodys_fault(tmp_path: Path) -> None:
    """Ten of them do not open a breaker."""
    async with running(tmp_path, pair("delay_head=0.2")) as world:
        primary = named("delay_head=0.2")
        for number in range(10):
            reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
            writer.write(request("primary"))
            await world.arrived(primary, number + 1)
            writer.transport.abort()
            await world.quiet()
            assert not reader.at_eof() or reader.exception() is None
        told = await world.call()
        assert (told.outcome, told.headers["x-trunkline-model"]) == ("success", "primary")


@on_both_loops
async def test_many_calls_with_every_fault_at_once_leave_nothing_behind(tmp_path: Path) -> None:
    """A sample of what the endurance run does for long."""
    specs = (
        *(
            "status=503",
            "close=before_head",
            "reset=accept",
            "close=body;after=1",
            "delay_chunk=0;close=body;after=9",
        ),
        *(
            "delay_chunk=0;reset=body;after=5",
            "error_event=1",
            "delay_chunk=0;error_event=7",
            "malformed_event=3",
        ),
        *("empty_stream", "status=429;header=retry-after-ms: 100", "error_200", "no_done"),
    )
    models = pair("")
    for at, spec in enumerate(specs):
        models += f'  m{at}: {{targets: [{{backend: sim, model: "{named(f"rate=0.7;{spec}")}"}}], fallbacks: [ok]}}\n'
    async with running(tmp_path, models, backends={"sim": "backoff_max: 0.1"}) as world:
        want = (await world.direct()).text
        told = await asyncio.gather(*(world.call(f"m{number % len(specs)}") for number in range(130)))
        good = [one for one in told if one.outcome == "success"]
        assert {one.text for one in good} == {want}
        for one in told:
            if (
                one.outcome != "success"
            ):  # a cut, and no repeat left to join the rest with: there is a budget of them
                assert (one.outcome, one.status, one.done) == ("error", 200, False)
                assert one.texts
                assert want.startswith(one.text)
        assert len(good) > 90
        await world.quiet()
        assert len(list(world.gateway.runtime.records)) == 130
