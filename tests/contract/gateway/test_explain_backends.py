"""`GET /backends` and the numbers of the same in `/metrics`."""

from pathlib import Path
from typing import Any

from tests.contract.gateway.explaining import admin
from tests.contract.simulator.raw import get
from tests.failover.harness import OK, World, named, on_both_loops, running

MODELS = f"""
models:
  bad: {{targets: [{{backend: one, model: "{named("status=500")}"}}]}}
  busy: {{targets: [{{backend: one, model: "{named("status=429;retry_after=60")}"}}]}}
  good: {{targets: [{{backend: two, model: {OK}}}], strategy: least_busy}}
"""
BACKENDS = {
    "one": "max_retries: 0",
    "two": "max_concurrency: 2, max_queue: 7, latency_p95_threshold_ms: 9000, health: {interval: 60}",
}


async def asked(world: World) -> dict[str, Any]:
    """The page by backends, after calls to all models."""
    for _ in range(5):
        await world.call("bad", stream=False)
    await world.call("busy", stream=False)
    await world.call("good", stream=False)
    await world.quiet()
    reply = await admin(world, get("/backends"))
    assert reply.status == 200
    assert [one["name"] for one in reply.json["backends"]] == ["one", "two"]
    return reply.json | {one["name"]: one for one in reply.json["backends"]}


def target(backend: Any, start: str) -> Any:
    (found,) = [one for one in backend["targets"] if one["model"].startswith(start)]
    return found


@on_both_loops
async def test_states_and_numbers(tmp_path: Path) -> None:
    async with running(tmp_path, MODELS, backends=BACKENDS) as world:
        page = await asked(world)
        one, two = page["one"], page["two"]
        ejected = target(one, f"{OK}!status=500")
        assert (ejected["usable"], ejected["why"], ejected["breaker"]["state"]) == (False, "ejected", "open")
        assert (ejected["breaker"]["failures"], ejected["breaker"]["ejections"]) == (5, 1)
        assert 0 < ejected["breaker"]["until"] <= 5
        assert ejected["window"] is None, "an open breaker counts nothing"
        busy = target(one, f"{OK}!status=429")
        assert (busy["why"], busy["breaker"]["state"]) == ("busy", "closed")
        assert 0 < busy["busy_for"] <= 60
        good = target(two, OK)
        assert (good["usable"], good["why"], good["in_flight"], good["before_content"]) == (True, "", 0, 0)
        assert 0 < good["p95"] < 9
        assert good["latency_whole"] > 0
        assert (two["limit"], two["max_queue"], two["waiting"], two["state"]) == (2, 7, 0, "ok")
        assert two["health"]["checked"]
        assert two["health"]["up"]
        assert (one["limit"], one["max_queue"], one["retry"]["max_retries"]) == (0, 0, 0)
        assert one["address"].startswith("127.0.0.1:")
        assert one["pools"]["idle"] >= 1
        assert busy["in_flight"] is None
        assert one["rates"] == {
            "attempts": 6,
            "failed": {"server_error": 5, "rate_limit": 1},
            "failure_rate": 1.0,
        }
        assert two["rates"] == {"attempts": 1, "failed": {}, "failure_rate": 0.0}
        assert page["retry_budget"] == {"left": 30.0, "taken": 0, "refused": 0}
        assert page["waiting"] == 0


@on_both_loops
async def test_states_of_whole_backends(tmp_path: Path) -> None:
    async with running(tmp_path, MODELS, backends=BACKENDS) as world:
        runtime = world.gateway.runtime
        now = runtime.clock.read()
        one, two = runtime.board.backends["one"], runtime.board.backends["two"]
        for _ in range(5):
            one.breaker.failure(now, now)
        for _ in range(3):
            two.checked(False, now)
        page = (await admin(world, get("/backends"))).json["backends"]
        assert [each["state"] for each in page] == ["ejected", "unhealthy"]
        assert page[1]["health"]["for"] >= 0
        metrics = (await admin(world, get("/metrics"))).body.decode()
        assert 'trunkline_backend_breaker{backend="one"} 2.0' in metrics
        assert 'trunkline_backend_up{backend="two"} 0.0' in metrics
        two.checked(True, now)
        two.checked(True, now)
        trials = [two.targets[0].begin(now) for _ in range(2)] if two.targets else []
        one.drain(True, now)
        page = (await admin(world, get("/backends"))).json["backends"]
        assert page[0]["state"] == "draining"
        assert page[1]["state"] == ("full" if trials else "ok")
        for trial in trials:
            trial.end(None, now)
        one.drain(False, now)
        one.breaker.look(now + 9)
        page = (await admin(world, get("/backends"))).json["backends"]
        assert page[0]["state"] == "half open"


@on_both_loops
async def test_the_same_as_metrics(tmp_path: Path) -> None:
    async with running(tmp_path, MODELS, backends=BACKENDS) as world:
        await asked(world)
        page = (await admin(world, get("/metrics"))).body.decode()
        for line in (
            'trunkline_backend_up{backend="one"} 1.0',
            'trunkline_backend_breaker{backend="two"} 0.0',
            'trunkline_backend_waiting{backend="two"} 0.0',
            f'trunkline_target_unusable{{backend="one",model="{named("status=500")}",reason="ejected"}} 1.0',
            "trunkline_retries_total 0.0",
            "trunkline_retries_refused_total 0.0",
        ):
            assert line in page


@on_both_loops
async def test_rates_and_the_window_of_a_breaker(tmp_path: Path) -> None:
    wrong = named("status=400")
    models = (
        f"models: {{m: {{targets: [{{backend: one, model: {OK}}}]}}, "
        f"w: {{targets: [{{backend: one, model: '{wrong}'}}]}}}}"
    )
    async with running(tmp_path, models, backends={"one": "max_retries: 0"}) as world:
        (idle,) = (await admin(world, get("/backends"))).json["backends"]
        assert idle["rates"] == {"attempts": 0, "failed": {}, "failure_rate": 0.0}
        await world.call("m", stream=False)
        await world.call("w", stream=False)
        await world.quiet()
        (one,) = (await admin(world, get("/backends"))).json["backends"]
        assert (one["rates"]["attempts"], sum(one["rates"]["failed"].values())) == (2, 1)
        assert one["rates"]["failure_rate"] == 0.0, "the request was wrong"
        assert [each["window"] for each in one["targets"]] == [None, None]
        now = world.gateway.runtime.clock.read()
        (sound,) = [each for each in world.gateway.runtime.board.targets() if each.model == OK]
        sound.breaker.failure(now, now)
        sound.settle(now)
        await world.call("m", stream=False)
        await world.quiet()
        (one,) = (await admin(world, get("/backends"))).json["backends"]
        (window,) = [each["window"] for each in one["targets"] if each["model"] == OK]
        assert (window["calls"], window["failures"]) == (2, 1)
        assert 0 < window["left"] <= 30
