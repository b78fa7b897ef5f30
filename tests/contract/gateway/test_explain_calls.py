"""`GET /calls` and `GET /calls/ID`: what happened to a call, in all the ways in which one can go."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.contract.gateway.explaining import admin, states, told, whys
from tests.contract.simulator.raw import get
from tests.failover.caller import call, request
from tests.failover.harness import OK, named, on_both_loops, pair, running
from tests.failover.script import CUT, Script, stream, words
from trunkline.config.load import load
from trunkline.engine.choices import Choice
from trunkline.engine.runtime import RECORDS
from trunkline.routing.changes import KEPT
from trunkline.wire.sse import LIMIT

FAILING = named("status=500")
TWO = {"one": "max_retries: 0", "two": ""}


@on_both_loops
async def test_a_call_that_went_well_at_once(tmp_path: Path) -> None:
    async with running(tmp_path, pair("", backends=("one", "two")), backends=TWO) as world:
        answer = await world.call(stream=False)
        found = await told(world)
        assert isinstance(world.gateway.runtime.origins[-1], Choice), "nothing was made for it"
        assert found["id"] == answer.headers["x-request-id"]
        assert (found["model"], found["route"], found["status"], found["fault"]) == (
            "primary",
            "primary",
            200,
            "",
        )
        assert [(one["tier"], one["model"], one["strategy"]) for one in found["candidates"]] == [
            (0, "primary", "priority"),
            (1, "ok", "priority"),
        ]
        assert states(found) == [("one", ""), ("two", "")]
        assert whys(found) == ["first in `primary`"]
        assert found["ending"].startswith("the client got the answer of one (200) after ")
        assert found["attempts"][0]["usage"] == found["usage"]
        assert (found["remarks"], found["scores"], found["spliced"]) == ([], "", None)
        assert 0 <= found["attempts"][0]["first_byte"] <= found["attempts"][0]["seconds"] <= found["seconds"]


@on_both_loops
async def test_repeats_and_the_way_to_a_fallback(tmp_path: Path) -> None:
    backends = {"one": "max_retries: 1, backoff_max: 0.01", "two": ""}
    async with running(tmp_path, pair("status=500", backends=("one", "two")), backends=backends) as world:
        await world.call()
        found = await told(world)
        first, repeat, fallback = whys(found)
        assert first == "first in `primary`"
        assert repeat.startswith("the same target again ")
        assert fallback == "fallback `ok`: nothing before it is left for this call"
        assert [attempt["fault"] for attempt in found["attempts"]] == ["server_error", "server_error", ""]
        assert [attempt["status"] for attempt in found["attempts"]] == [500, 500, 200]
        after = [attempt["after"] for attempt in found["attempts"]]
        assert after == sorted(after)
        page = (await admin(world, get("/metrics"))).body.decode()
        assert 'trunkline_fallbacks_total{model="ok"} 1.0' in page
        assert "trunkline_retries_total 1.0" in page


@on_both_loops
async def test_what_spoke_against_a_target_is_told_as_it_was_then(tmp_path: Path) -> None:
    async with running(tmp_path, pair("status=500", backends=("one", "two")), backends=TWO) as world:
        for _ in range(6):
            await world.call(stream=False)
        assert world.faults == [""], "the sixth call does not ask it"
        for at in range(5):
            assert states(await told(world, at)) == [("one", ""), ("two", "")]
        sixth = await told(world, 5)
        assert states(sixth) == [("one", "ejected"), ("two", "")]
        assert whys(sixth) == ["first in fallback `ok`; passed over: one (ejected)"]
        (target,) = [one for one in world.gateway.runtime.board.targets() if one.model == FAILING]
        target.succeeded(world.gateway.runtime.clock.now, world.gateway.runtime.clock.read())
        assert target.usable
        assert states(await told(world, 5)) == [("one", "ejected"), ("two", "")], "though it is well by now"


@on_both_loops
async def test_a_failure_that_nobody_else_could_mend(tmp_path: Path) -> None:
    async with running(tmp_path, pair("status=400", backends=("one", "two")), backends=TWO) as world:
        await world.call(stream=False)
        found = await told(world)
        assert found["status"] == 400
        assert "nobody else is asked then: it is about the request" in found["ending"]


@on_both_loops
async def test_when_everything_has_failed(tmp_path: Path) -> None:
    models = f"models: {{m: {{targets: [{{backend: one, model: '{FAILING}'}}, {{backend: two, model: '{FAILING}'}}]}}}}"
    backends = {"one": "max_retries: 0", "two": "max_retries: 0"}
    async with running(tmp_path, models, backends=backends) as world:
        await world.call("m", stream=False)
        found = await told(world)
        assert whys(found)[1] == "the next target of `m`: the upstream failed at the one before"
        assert found["ending"].endswith("the upstream failed; every candidate had been asked")


@on_both_loops
async def test_a_refusal_at_the_door(tmp_path: Path) -> None:
    async with running(tmp_path, pair("")) as world:
        await world.call("nobody-has-this", stream=False)
        found = await told(world)
        assert (found["status"], found["fault"], found["attempts"]) == (404, "model_unknown", [])
        assert found["remarks"] == ["the gateway refused it before anybody could be asked"]
        assert "no backend has this model" in found["ending"]


@on_both_loops
async def test_rules_and_pins_are_told(tmp_path: Path) -> None:
    more = "rules: [{for: [auto], when: {tools: true}, use: ok}]\n"
    models = (
        f"{pair('', backends=('one', 'two'))}  auto: {{targets: [{{backend: one, model: {OK}}}]}}\n{more}"
    )
    async with running(tmp_path, models, backends=TWO) as world:
        tool: dict[str, Any] = {"type": "function", "function": {"name": "f", "parameters": {}}}
        await world.call("auto", stream=False, tools=[tool])
        found = await told(world)
        assert (found["model"], found["led"], found["route"]) == ("auto", "rules[0]", "ok")
        data = request("primary", stream=False, headers="x-trunkline-backend: one\r\n")
        await call(world.port, data)
        found = await told(world)
        assert (found["pin"], states(found)) == ("one", [("one", "")])
        assert whys(found) == ["`one` was asked for: no other backend may be"]


@on_both_loops
async def test_a_stream_that_another_one_went_on_with(tmp_path: Path) -> None:
    spec = "delay_chunk=0;close=body;after=9"
    async with running(tmp_path, pair(spec)) as world:
        assert (await world.call()).outcome == "success"
        found = await told(world)
        assert found["spliced"] == {
            "cut": world.faults[0],
            "how": "comparing",
            "joined": True,
            "diverged": False,
            "why": "",
        }
        assert whys(found)[1] == "to go on with the answer that was cut off"
        assert found["ending"].endswith(", begun by another one")
        assert (
            'trunkline_splices_total{outcome="joined"} 1.0'
            in (await admin(world, get("/metrics"))).body.decode()
        )


@on_both_loops
async def test_a_cut_stream_that_nothing_could_go_on_with(tmp_path: Path) -> None:
    spec = "delay_chunk=0;close=body;after=9"
    async with running(tmp_path, pair(spec)) as world:
        await world.call(logprobs=True)
        found = await told(world)
        assert found["spliced"] is None or found["spliced"]["why"]
        assert "the client had" in found["ending"]


@on_both_loops
async def test_a_stream_that_was_cut_in_the_middle_of_an_event_too_large_to_keep(tmp_path: Path) -> None:
    begun = b"data: " + b"x" * (LIMIT + 1000)
    script = Script(stream(words(0, 9), b"%x\r\n%b\r\n" % (len(begun), begun), CUT))
    models = pair("", backends=("cuts", "two"))
    async with (
        script.url() as url,
        running(tmp_path, models, backends={"cuts": f'url: "{url}"', "two": ""}) as world,
    ):
        assert (await world.call()).outcome == "error"
        found = await told(world)
        assert (len(found["attempts"]), found["attempts"][0]["backend"]) == (1, "cuts")
        assert found["spliced"] == {
            "cut": world.faults[0],
            "how": "",
            "joined": False,
            "diverged": False,
            "why": "it was cut in the middle of an event",
        }
        assert found["ending"].endswith(f"; no other answer could go on with it: {found['spliced']['why']}")
        metrics = (await admin(world, get("/metrics"))).body.decode()
        assert 'trunkline_splices_total{outcome="refused"} 1.0' in metrics


@on_both_loops
async def test_two_answers_that_differ(tmp_path: Path) -> None:
    spec = "delay_chunk=0;close=body;after=9"
    async with running(tmp_path, pair(spec, model="sim-large")) as world:
        assert (await world.call()).outcome == "error"
        found = await told(world)
        assert (found["spliced"]["how"], found["spliced"]["diverged"]) == ("comparing", True)
        assert found["ending"].endswith("; the second answer differs")


@on_both_loops
async def test_turns_that_were_left_out(tmp_path: Path) -> None:
    small = named("window=60")
    models = f"models: {{m: {{targets: [{{backend: sim, model: '{small}'}}], evict: true}}}}"
    async with running(tmp_path, models) as world:
        said = [{"role": role, "content": "word " * 8} for _ in range(6) for role in ("user", "assistant")]
        answer = await world.call("m", messages=[*said, {"role": "user", "content": "and now?"}])
        found = await told(world)
        assert found["evicted"] == answer.headers["x-trunkline-evicted"]
        assert whys(found)[1].startswith("the same target with a shorter request: ")
        assert "messages left out" in found["attempts"][-1]["notes"][-1]


@on_both_loops
async def test_full_backends_and_who_waits(tmp_path: Path) -> None:
    slow = named("delay_head=0.3")
    models = (
        f"models:\n  m: {{targets: [{{backend: one, model: '{slow}'}}, {{backend: two, model: {OK}}}]}}\n"
    )
    backends = {"one": "max_concurrency: 1", "two": ""}
    async with running(tmp_path, models, backends=backends) as world:
        first = asyncio.ensure_future(world.call("m", stream=False))
        await world.arrived(slow)
        live = next(iter(world.gateway.runtime.live))
        reply = await admin(world, get(f"/calls/{live.call.request_id.decode()}"))
        assert (reply.status, reply.json["error"]["code"]) == (404, "call_under_way")
        await world.call("m", stream=False)
        await first
        found = await told(world, 0)
        assert states(found) == [("one", "full"), ("two", "")]
        assert whys(found) == ["first in `m`; passed over: one (full)"]
        assert states(await told(world, 1)) == [("one", ""), ("two", "")]


@on_both_loops
async def test_a_strategy_that_watches_loads_says_when_its_scores_were_computed(tmp_path: Path) -> None:
    models = (
        "models:\n"
        f"  m: {{targets: [{{backend: one, model: {OK}}}, {{backend: two, model: {OK}}}], strategy: latency}}\n"
        f"  n: {{targets: [{{backend: one, model: '{FAILING}'}}], strategy: least_busy, fallbacks: [m]}}\n"
    )
    async with running(tmp_path, models, backends=TWO) as world:
        await world.call("m")
        found = await told(world)
        assert found["scores"] == "now"
        assert whys(found) == ["the better of two drawn by chance in `m`"]
        assert {type(one["score"]) for one in found["candidates"]} == {float}
        await world.call("n")
        assert (await told(world))["scores"] == "now"


@on_both_loops
async def test_what_a_target_lacked_for_a_request(tmp_path: Path) -> None:
    models = f"models: {{m: {{targets: [{{backend: one, model: {OK}}}, {{backend: two, model: {OK}}}]}}}}"
    backends = {"one": "capabilities: {'*': {tools: false}}", "two": ""}
    async with running(tmp_path, models, backends=backends) as world:
        tool: dict[str, Any] = {"type": "function", "function": {"name": "f", "parameters": {}}}
        await world.call("m", stream=False, tools=[tool])
        found = await told(world)
        assert states(found) == [("one", "no tools"), ("two", "")]
        assert whys(found) == ["first in `m`; passed over: one (no tools)"]
        await world.call("m", stream=False)
        assert states(await told(world)) == [("one", ""), ("two", "")]


@on_both_loops
async def test_a_call_that_waited_for_a_place(tmp_path: Path) -> None:
    slow = named("delay_head=0.1")
    models = f"models: {{m: {{targets: [{{backend: sim, model: '{slow}'}}]}}}}"
    async with running(tmp_path, models, backends={"sim": "max_concurrency: 1"}) as world:
        await asyncio.gather(*(world.call("m", stream=False) for _ in range(2)))
        found = await told(world)
        assert states(found) == [("sim", "full")]
        assert whys(found)[0].startswith("a place came free in `m`; it waited ")


@on_both_loops
async def test_a_client_that_left_and_a_time_that_is_too_long_ago(tmp_path: Path) -> None:
    slow = named("delay_head=5")
    models = f"models: {{m: {{targets: [{{backend: sim, model: '{slow}'}}]}}}}"
    async with running(tmp_path, models) as world:
        _, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(request("m", stream=False))
        await world.arrived(slow)
        writer.transport.abort()
        found = await told(world)
        assert (found["status"], found["fault"]) == (499, "client_gone")
        assert found["ending"].startswith("the client left after ")
        (target,) = [one for one in world.gateway.runtime.board.targets() if one.model == slow]
        now = world.gateway.runtime.clock.read()
        for at in range(KEPT + 1):
            target.backend.drain(at % 2 == 0, now)
        target.backend.drain(False, now)
        found = await told(world)
        assert states(found) == [("sim", "not known any more")]
        assert found["remarks"] == ["what spoke against the candidates then is not known any more"]


@on_both_loops
async def test_when_the_retry_budget_is_used_up(tmp_path: Path) -> None:
    models = f"models: {{m: {{targets: [{{backend: sim, model: '{FAILING}'}}]}}}}"
    async with running(tmp_path, models) as world:
        runtime = world.gateway.runtime
        while runtime.retries.take(runtime.clock.now, runtime.requests):
            pass
        await world.call("m", stream=False)
        assert (await told(world))["ending"].endswith("; the retry budget was used up")


@on_both_loops
async def test_nobody_could_take_it(tmp_path: Path) -> None:
    models = f"models: {{m: {{targets: [{{backend: sim, model: {OK}}}]}}}}"
    async with running(tmp_path, models, backends={"sim": "max_concurrency: 1, max_queue: 0"}) as world:
        (state,) = world.gateway.runtime.board.backends.values()
        await world.call("m", stream=False)
        trial = state.targets[0].begin(world.gateway.runtime.clock.read())
        assert (await world.call("m", stream=False)).status == 503
        found = await told(world)
        assert found["attempts"] == []
        assert found["ending"].endswith("; sim is full: as many calls as `max_concurrency` allows")
        trial.end(None, world.gateway.runtime.clock.read())


@on_both_loops
async def test_after_a_reload_the_candidates_are_those_of_the_call(tmp_path: Path) -> None:
    async with running(tmp_path, pair("", backends=("one", "two")), backends=TWO) as world:
        await world.call(stream=False)
        file = tmp_path / "other.yaml"
        url = world.sims["two"].url
        file.write_text(
            f"backends: [{{name: two, url: {url}}}]\nmodels: {{primary: {{targets: [{{backend: two}}]}}}}\n"
        )
        settings = load(file, {}, {"server.port": 0, "admin.port": 0}).settings
        world.gateway.adopt(world.gateway.prepare(settings))
        found = await told(world)
        assert states(found) == [("one", ""), ("two", "")]
        assert found["remarks"] == [
            "the configuration has been reloaded since; the candidates are those of the old one"
        ]


@on_both_loops
async def test_the_last_calls_are_listed_newest_first(tmp_path: Path) -> None:
    async with running(tmp_path, pair("")) as world:
        for model in ("primary", "ok", "nobody-has-this"):
            await world.call(model, stream=False)
        reply = await admin(world, get("/calls?limit=2"))
        assert [one["model"] for one in reply.json["calls"]] == ["nobody-has-this", "ok"]
        assert [(one["status"], one["attempts"]) for one in reply.json["calls"]] == [(404, 0), (200, 1)]
        assert (reply.json["kept"], reply.json["kept_at_most"]) == (3, RECORDS)
        assert len((await admin(world, get("/calls"))).json["calls"]) == 3


@pytest.mark.parametrize(
    ("path", "status", "param", "says"),
    [
        ("/calls/nothing", 404, None, "among the last 0 (of 1000 that are kept at most)"),
        ("/calls?limit=0", 400, "limit", "`limit` must be a number from 1 to 1000"),
        ("/calls?limit=ten", 400, "limit", "`limit` must be"),
        ("/calls?limit=%C2%B2", 400, "limit", "`limit` must be"),
        ("/calls?limit=1001", 400, "limit", "`limit` must be"),
        ("/calls?last=1", 400, "last", "`last` is not a parameter of /calls; there is `limit`"),
        ("/call", 404, None, "the admin port has /backends, /calls, /calls/ID, "),
        ("/calls/", 404, None, "the admin port has "),
        ("/explain", 405, None, "use POST"),
    ],
)
@on_both_loops
async def test_what_is_wrong_is_said(
    tmp_path: Path, path: str, status: int, param: str | None, says: str
) -> None:
    async with running(tmp_path, pair("")) as world:
        reply = await admin(world, get(path))
        assert (reply.status, reply.json["error"]["param"]) == (status, param)
        assert says in reply.json["error"]["message"]
