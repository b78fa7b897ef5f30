"""`POST /explain`: what would happen to a request now; nobody is asked and nothing changes."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.contract.gateway.explaining import admin, send, states, would
from tests.contract.simulator.raw import post
from tests.failover.harness import OK, World, named, on_both_loops, on_one_loop, pair, running

TWO = {"one": "", "two": ""}
SAY: list[dict[str, Any]] = [{"role": "user", "content": "hello"}]
TOOL: dict[str, Any] = {"type": "function", "function": {"name": "f", "parameters": {}}}


def targets(*backends: str) -> str:
    return ", ".join(f"{{backend: {name}, model: {OK}}}" for name in backends)


def unasked(world: World) -> bool:
    """No backend has seen a call, and none has been recorded."""
    return not any(entry.method == "POST" for sim in world.sims.values() for entry in sim.log) and (
        not world.gateway.runtime.records
    )


@on_both_loops
async def test_who_would_be_asked_first_and_what_would_be_changed(tmp_path: Path) -> None:
    backends = {"one": "provider: openai, api_key: k", "two": ""}
    async with running(tmp_path, pair("", backends=("one", "two")), backends=backends) as world:
        found = await would(world, {"model": "primary", "messages": SAY, "top_k": 3})
        assert (found["model"], found["route"], found["surface"], found["refused"]) == (
            "primary",
            "primary",
            "chat",
            None,
        )
        assert states(found) == [("one", ""), ("two", "")]
        first = found["first"]
        assert (first["tier"], first["model"], first["backend"], first["target"]) == (0, "primary", "one", OK)
        assert first["why"] == "first in `primary`"
        assert first["changes"][0] == f"`model` is `{OK}` there"
        assert any("top_k" in change for change in first["changes"])
        assert unasked(world)


@on_both_loops
async def test_it_is_led_and_pinned_like_a_call(tmp_path: Path) -> None:
    models = (
        "models:\n"
        f"  auto: {{targets: [{targets('one')}]}}\n"
        f"  tools: {{targets: [{targets('two', 'one')}]}}\n"
        "rules:\n"
        "  - {for: [auto], when: {tools: true, key_tags: [batch]}, use: tools}\n"
        "keys: [{name: team, key: secret-of-team, tags: [batch], pin: true}, {name: small, key: k2, models: [auto]}]\n"
    )
    async with running(tmp_path, models, backends=TWO) as world:
        value = {"model": "auto", "messages": SAY, "tools": [TOOL]}
        assert (await would(world, value))["led"] == ""
        found = await would(world, value, headers="x-trunkline-key: team\r\n")
        assert (found["key"], found["led"], found["route"], found["first"]["backend"]) == (
            "team",
            "rules[0]",
            "tools",
            "two",
        )
        pinned = "x-trunkline-key: team\r\nx-trunkline-backend: one\r\n"
        found = await would(world, value, headers=pinned)
        assert (found["pin"], states(found)) == ("one", [("one", "")])
        for headers, code in (
            ("x-trunkline-key: small\r\nx-trunkline-backend: one\r\n", "backend_not_allowed"),
            ("x-trunkline-key: team\r\nx-trunkline-backend: three\r\n", "backend_not_found"),
        ):
            assert (await would(world, value, headers=headers))["refused"]["code"] == code
        found = await would(world, {"model": "tools"}, headers="x-trunkline-key: small\r\n")
        assert found["refused"] == {
            "status": 403,
            "code": "model_not_allowed",
            "message": "the key `small` may not use the model `tools`",
        }
        assert unasked(world)


@on_both_loops
async def test_the_operators_router_is_asked(tmp_path: Path) -> None:
    (tmp_path / "explained_routes.py").write_text(
        "def choose(query):\n"
        "    return {'there': {'backend': 'two', 'model': 'sim-small'}, 'lost': 'nowhere'}.get(query, 'ok')\n"
    )
    models = pair("", backends=("one", "two"))
    async with running(tmp_path, models, backends=TWO, more="router: explained_routes:choose\n") as world:
        found = await would(world, {"model": "primary", "messages": SAY})
        assert (found["led"], found["route"]) == ("router", "ok")
        lost = [{"role": "user", "content": "lost"}]
        assert (await would(world, {"model": "primary", "messages": lost}))["route"] == "primary"
        assert unasked(world)


@on_both_loops
async def test_no_turn_is_taken(tmp_path: Path) -> None:
    models = f"models: {{m: {{targets: [{targets('one', 'two')}], strategy: round_robin}}}}"
    async with running(tmp_path, models, backends=TWO) as world:
        asked = {"model": "m", "messages": SAY}
        assert [(await would(world, asked))["first"]["backend"] for _ in range(3)] == ["one"] * 3
        await world.call("m")
        found = await would(world, asked)
        assert (found["first"]["backend"], found["first"]["why"]) == ("two", "its turn in `m`")
        await world.call("m")
        assert [one.backend for one in world.gateway.runtime.records] == ["one", "two"]


@on_both_loops
async def test_an_ejected_target_is_passed_over_and_its_probe_is_not_taken(tmp_path: Path) -> None:
    more = "breaker: {failures: 2, base_ejection: 0.05, max_ejection: 0.05}\n"
    backends = {"one": "max_retries: 0", "two": ""}
    models = pair("status=500", backends=("one", "two"))
    async with running(tmp_path, models, backends=backends, more=more) as world:
        for _ in range(2):
            await world.call(stream=False)
        (target,) = [one for one in world.gateway.runtime.board.targets() if one.backend.name == "one"]
        while target.why(world.gateway.runtime.clock.read()) is not None:
            await world.quiet()
        for _ in range(2):
            found = await would(world, {"model": "primary", "messages": SAY})
            assert found["first"]["backend"] == "one"
            assert found["first"]["why"].startswith("a probe: its breaker in `primary` is half open")
        assert not target.breaker.probing
        assert world.seen(named("status=500")) == [2]


@on_both_loops
async def test_what_a_request_needs_and_chance(tmp_path: Path) -> None:
    models = f"models: {{m: {{targets: [{targets('one', 'two', 'three')}], strategy: latency}}}}"
    backends = {"one": "capabilities: {'*': {tools: false}}", "two": "", "three": ""}
    async with running(tmp_path, models, backends=backends) as world:
        found = await would(world, {"model": "m", "messages": SAY, "tools": [TOOL], "stream": True})
        assert found["needs"]["tools"]
        assert states(found)[0] == ("one", "no tools")
        assert found["first"]["by_chance"]
        assert found["first"]["backend"] == "two"
        assert found["first"]["why"].endswith("; passed over: one (no tools)")


@on_both_loops
async def test_what_would_be_refused(tmp_path: Path) -> None:
    backends = {"one": "provider: openai, api_key: k, strict_params: true, max_concurrency: 1"}
    async with running(tmp_path, pair("", backends=("one", "one")), backends=backends) as world:
        found = await would(world, {"model": "nobody-has-this"})
        assert (found["refused"]["status"], found["first"], found["candidates"]) == (404, None, [])
        found = await would(world, {"model": "primary", "messages": SAY, "top_k": 3})
        assert (found["refused"]["status"], found["first"]) == (400, None)
        (state,) = world.gateway.runtime.board.backends.values()
        trial = state.targets[0].begin(world.gateway.runtime.clock.now)
        found = await would(world, {"model": "primary", "messages": SAY})
        assert (found["refused"]["code"], {one["against"] for one in found["candidates"]}) == (
            "no_backend",
            {"full"},
        )
        trial.end(None, world.gateway.runtime.clock.now)


@on_both_loops
async def test_other_surfaces_have_their_path(tmp_path: Path) -> None:
    async with running(tmp_path, pair("", backends=("one", "two")), backends=TWO) as world:
        found = await would(world, {"model": "ok", "input": "hello"}, path="/explain?path=/v1/embeddings")
        assert (found["surface"], found["first"]["backend"]) == ("embeddings", "two")
        found = await would(
            world, {"messages": SAY}, path="/explain?path=/openai/deployments/ok/chat/completions"
        )
        assert found["model"] == "ok"
        assert found["first"]["changes"] == ["`model` is `sim-small` there"]


KEYS = (
    "keys: [{name: team, key: secret-team, pin: true}, {name: app, key: secret-app}, "
    "{name: small, key: secret-small, models: [ok], pin: true}]\n"
)


@pytest.mark.parametrize(
    ("key", "pin", "path", "value", "code"),
    [
        ("team", "simulated", "", {"model": "ok"}, "backend_not_found"),
        (
            "team",
            "openai_compat",
            "",
            {"model": "ok"},
            "backend_not_found",
        ),  # a router may say that, no client
        ("team", "", "", {"model": "ok"}, "backend_not_found"),
        ("team", "one", "", {"model": "ok"}, "model_not_found"),
        ("app", "two", "", {"model": "ok"}, "backend_not_allowed"),
        ("small", None, "", {"model": "ok", "models": ["primary"]}, "model_not_allowed"),
        ("small", None, "", {"model": "ok", "fallbacks": ["primary"]}, "model_not_allowed"),
        ("small", None, "", {}, "model_not_allowed"),
        ("small", None, "", {"model": "primary"}, "model_not_allowed"),
        ("small", None, "/openai/deployments/primary", {"model": "ok"}, "model_not_allowed"),
        ("small", None, "/openai/deployments/primary", {}, "model_not_allowed"),
        ("small", "nobody", "", {"model": "primary"}, "backend_not_found"),
        ("small", "two", "/openai/deployments/ok", {}, None),
        ("app", None, "", {"model": "ok", "models": ["primary"]}, None),
        ("app", None, "", {}, None),
    ],
)
@on_one_loop
async def test_what_a_call_would_be_refused_for_is_told(
    tmp_path: Path, key: str, pin: str | None, path: str, value: dict[str, Any], code: str | None
) -> None:
    target = f"{path or '/v1'}/chat/completions"
    value = {"messages": SAY, **value}
    pinned = "" if pin is None else f"x-trunkline-backend: {pin}\r\n"
    async with running(tmp_path, pair("", backends=("one", "two")), backends=TWO, more=KEYS) as world:
        found = await would(
            world, value, headers=f"x-trunkline-key: {key}\r\n{pinned}", path=f"/explain?path={target}"
        )
        headers = f"authorization: Bearer secret-{key}\r\n{pinned}"
        reply = await send(world.port, post(target, headers=headers, body=json.dumps(value).encode()))
        if code is None:
            assert (found["refused"], reply.status) == (None, 200)
            assert reply.headers["x-trunkline-backend"] == found["first"]["backend"]
            return
        error = reply.json["error"]
        assert error["code"] == code
        assert found["first"] is None
        assert found["refused"] == {"status": reply.status, "code": code, "message": error["message"]}


@pytest.mark.parametrize(
    ("path", "headers", "body", "param", "says"),
    [
        ("/explain", "", b"{", None, "is not valid JSON"),
        ("/explain", "", b'{"model": 3}', "model", "`model`"),
        ("/explain?path=/v1/models", "", b"{}", "path", "must be one that takes a JSON request"),
        ("/explain?path=nowhere", "", b"{}", "path", "must be one that takes a JSON request"),
        ("/explain?model=x", "", b"{}", "model", "`model` is not a parameter of /explain; there is `path`"),
        (
            "/explain",
            "x-trunkline-key: nobody\r\n",
            b"{}",
            "x-trunkline-key",
            "no key `nobody`; there are: none at all",
        ),
    ],
)
@on_both_loops
async def test_what_is_wrong_is_said(
    tmp_path: Path, path: str, headers: str, body: bytes, param: str | None, says: str
) -> None:
    async with running(tmp_path, pair("")) as world:
        reply = await admin(world, post(path, headers=headers, body=body))
        assert (reply.status, reply.json["error"]["param"]) == (400, param)
        assert says in reply.json["error"]["message"]
        assert json.loads(reply.body)["error"]["type"] == "invalid_request_error"
