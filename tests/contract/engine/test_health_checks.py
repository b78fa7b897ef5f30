"""engine/health_checks.py: backends go down and come back by their answers, over real sockets."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from time import monotonic
from typing import Any

import pytest

from tests.contract.gateway.harness import on_both_loops, scripted
from trunkline.credentials.oauth2 import Tokens
from trunkline.engine.discovery import Ask
from trunkline.engine.fetch import fetch
from trunkline.engine.health_checks import Checked, HealthChecks
from trunkline.engine.upstream import Upstream
from trunkline.engine.way import ground
from trunkline.errors import Answer, ConfigError, Fault
from trunkline.net.clock import Clock
from trunkline.net.egress import EgressSettings
from trunkline.routing.backend import BackendSettings
from trunkline.routing.health import HealthSettings
from trunkline.routing.target import BackendState
from trunkline.simulator.app import Simulator, start

SOON = 0.005
"""Seconds between two questions: tests wait for their outcome, not for a time."""


class Checks:
    """Health checks of backends called a, b, c ..., each given by its settings."""

    def __init__(self, *backends: dict[str, Any], health: dict[str, Any] | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.clock = Clock(loop)
        self.changes: list[tuple[str, bool]] = []
        self.changed_at: list[int] = []
        """After how many answers."""
        self.statuses: list[int] = []
        """Of the answers to all questions, 0 for none."""
        self.warnings: list[str] = []
        self.states: list[BackendState] = []
        self.upstreams: list[Upstream] = []
        self._ground = ground(EgressSettings(), list)
        items: list[Checked] = []
        for name, values in zip("abc", backends, strict=False):
            wanted = {"interval": SOON, "rise": 2, "fall": 3} | (health or {}) | values.pop("health", {})
            settings = BackendSettings(name=name, **values, health=HealthSettings(**wanted))
            upstream = Upstream(settings, self.clock, self._ground, Tokens(monotonic))
            state = BackendState(name, health=settings.health)
            items.append(Checked(settings, self._noting(partial(fetch, upstream)), state))
            self.upstreams.append(upstream)
            self.states.append(state)
        self.checks = HealthChecks(
            items, self.clock.read, on_change=self._on_change, warn=self.warnings.append
        )

    def _noting(self, ask: Ask) -> Ask:
        async def noting(path: bytes, timeout: float, /, **rest: Any) -> Answer | Fault:
            answer = await ask(path, timeout, **rest)
            self.statuses.append(answer.status if isinstance(answer, Answer) else 0)
            return answer

        return noting

    def _on_change(self, name: str, up: bool) -> None:
        self.changes.append((name, up))
        self.changed_at.append(len(self.statuses))

    async def until_changed(self, times: int) -> None:
        while len(self.changes) < times:
            await asyncio.sleep(0.001)

    def close(self) -> None:
        self.checks.stop()
        for upstream in self.upstreams:
            upstream.pool.close()
            upstream.probes.close()
        self.clock.stop()
        self._ground.resolver.close()


@asynccontextmanager
async def checking(*backends: dict[str, Any], health: dict[str, Any] | None = None) -> AsyncGenerator[Checks]:
    """Checks that are running; at the end no task of theirs may be left."""
    before = asyncio.all_tasks()
    checks = Checks(*backends, health=health)
    checks.checks.start()
    try:
        yield checks
    finally:
        checks.close()
        left = {task for task in asyncio.all_tasks() - before if not task.done()}
        if left:
            await asyncio.wait(left, timeout=5)
        assert [task for task in left if not task.done()] == []


async def asked(sim: Simulator, times: int) -> None:
    """Wait for so many more questions, and for the end of their answers."""
    wanted = len(sim.log) + times
    await sim.until(lambda: len(sim.log) >= wanted and sim.in_flight == 0)


@on_both_loops
async def test_bad_answers_take_it_down_and_good_ones_bring_it_back() -> None:
    async with await start() as sim, checking({"url": sim.url, "provider": "llama.cpp"}) as checks:
        (state,) = checks.states
        await asked(sim, 3)
        assert (checks.changes, state.health.up) == ([], True)
        sim.set_fault("status=503")
        await checks.until_changed(1)
        assert (checks.changes, state.health.up) == ([("a", False)], False)
        sim.set_fault(None)
        await checks.until_changed(2)
        assert (checks.changes, state.health.up) == ([("a", False), ("a", True)], True)
        # It changed with the third bad answer in a row and the second good one, not later.
        assert checks.statuses[: checks.changed_at[0]][-4:] == [200, 503, 503, 503]
        assert checks.statuses[: checks.changed_at[1]][-3:] == [503, 200, 200]
        assert {entry.target for entry in sim.log} == {"/health"}
        assert checks.warnings == []


@on_both_loops
async def test_few_bad_answers_change_nothing() -> None:
    async with await start() as sim:
        spec = {"x-sim-fault": "status=500;times=2"}
        backend = {"url": sim.url, "headers": spec}
        async with checking(backend) as checks:
            await asked(sim, 6)
            assert [entry.status for entry in sim.log[:3]] == [500, 500, 200]
            assert checks.changes == []


@on_both_loops
async def test_a_server_that_hangs_goes_down_and_delays_no_other() -> None:
    async with await start() as hanging, await start() as sound:
        hanging.set_fault("delay_head=forever")
        backends = ({"url": hanging.url}, {"url": sound.url})
        async with checking(*backends, health={"timeout": 0.05, "fall": 2}) as checks:
            while ("a", False) not in checks.changes:
                assert hanging.in_flight <= 1
                await asyncio.sleep(0.001)
            assert checks.changes == [("a", False)]
            assert [state.health.up for state in checks.states] == [False, True]
            # At an interval of 5 ms, while the other had twice 50 ms.
            assert len(sound.log) > len(hanging.log)


@on_both_loops
async def test_there_is_never_more_than_one_question_to_a_backend() -> None:
    most = 0
    open_now = 0
    questions = 0

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal most, open_now, questions
        while await reader.readuntil(b"\r\n\r\n"):
            open_now += 1
            questions += 1
            most = max(most, open_now)
            await asyncio.sleep(4 * SOON)  # longer than the interval
            open_now -= 1
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    async with scripted(play) as url, checking({"url": url}) as checks:
        while questions < 5:
            await asyncio.sleep(0.001)
        assert (most, checks.changes) == (1, [])


@on_both_loops
async def test_a_server_that_refuses_connections_goes_down_and_comes_back() -> None:
    async with await start() as first:
        port = first.port
    async with checking({"url": f"http://127.0.0.1:{port}"}) as checks:
        await checks.until_changed(1)
        assert checks.changes == [("a", False)]
        async with await start(port=port):
            await checks.until_changed(2)
        assert checks.changes[:2] == [("a", False), ("a", True)]


@pytest.mark.parametrize(
    ("backend", "path"),
    [
        ({"provider": "ollama"}, "/api/tags"),
        ({"provider": "openai_compat"}, "/v1/models"),
        ({"provider": "vllm", "base": "/v1"}, "/health"),
        ({"provider": "litellm", "health": {"path": "/health"}}, "/health"),
        ({"provider": "custom", "health": {"path": "/v1/models?limit=1"}}, "/v1/models?limit=1"),
        ({"provider": "custom", "health": {"path": "/v1/ä b"}}, "/v1/%C3%A4%20b"),
    ],
)
@on_both_loops
async def test_the_path_is_the_providers_unless_it_is_set(backend: dict[str, Any], path: str) -> None:
    values = {**backend}
    async with await start() as sim:
        values["url"] = sim.url + values.pop("base", "")
        async with checking(values) as checks:
            await asked(sim, 2)
            assert {(entry.method, entry.target, entry.status) for entry in sim.log} == {("GET", path, 200)}
            assert (checks.changes, checks.warnings) == ([], [])


@pytest.mark.parametrize(
    ("backend", "wanted"),
    [
        ({"api_key": "k-12345678"}, "authorization: Bearer k-12345678"),
        ({"api_key": "k-12345678", "auth": "api-key"}, "api-key: k-12345678"),
        ({"headers": {"x-team": "blue"}}, "x-team: blue"),
    ],
)
@on_both_loops
async def test_the_credential_is_sent_and_one_that_is_refused_is_bad(
    backend: dict[str, Any], wanted: str
) -> None:
    async with await start() as sim, checking({**backend, "url": sim.url}) as checks:
        sim.require(wanted)
        await asked(sim, 6)
        assert checks.changes == []
        sim.require("authorization: Bearer another")
        await checks.until_changed(1)
        assert checks.changes == [("a", False)]


@on_both_loops
async def test_without_a_credential_of_its_own_a_refusal_is_a_sign_of_life() -> None:
    async with (
        await start(api_key="the client's") as sim,
        checking({"url": sim.url, "forward_authorization": True}) as checks,
    ):
        await asked(sim, 6)
        assert {entry.status for entry in sim.log} == {401}
        assert checks.changes == []


@on_both_loops
async def test_a_server_without_the_page_is_well_and_a_warning_says_so_once() -> None:
    async with await start() as sim:
        sim.set_fault("status=404")
        async with checking({"url": sim.url, "provider": "tgi"}) as checks:
            await asked(sim, 6)
            assert checks.changes == []
            (warning,) = checks.warnings
            assert warning.startswith("health check of backend a: GET /health was answered with status 404")
            # Once it was there, a 404 comes from somebody in front.
            sim.set_fault(None)
            await asked(sim, 2)
            sim.set_fault("status=404")
            await checks.until_changed(1)
            assert checks.changes == [("a", False)]


@pytest.mark.parametrize("answer", ["status=404", "status=429", "status=503", "redirect=/health"])
@on_both_loops
async def test_a_path_that_is_set_must_give_2xx(answer: str) -> None:
    async with await start() as sim:
        sim.set_fault(answer)
        async with checking({"url": sim.url, "health": {"path": "/v1/models"}}) as checks:
            await checks.until_changed(1)
            assert (checks.changes, checks.warnings) == ([("a", False)], [])


@on_both_loops
async def test_stopping_leaves_no_task_and_no_question() -> None:
    before = asyncio.all_tasks()
    async with await start() as sim:
        sim.set_fault("delay_head=forever")
        checks = Checks({"url": sim.url}, {"url": sim.url, "health": {"interval": 0.0}})
        assert repr(checks.checks) == "<HealthChecks of 1 backends, off>"
        checks.checks.start()
        assert repr(checks.checks) == "<HealthChecks of 1 backends, on>"
        assert len(asyncio.all_tasks() - before) <= 2  # one backend is not checked; uvloop's server has none
        await sim.until(lambda: sim.in_flight == 1)
        checks.close()
        await sim.until(lambda: sim.open_connections == 0)
        assert checks.changes == []
    while asyncio.all_tasks() != before:
        await asyncio.sleep(0.001)


@on_both_loops
async def test_what_goes_wrong_in_the_gateway_is_not_held_against_the_backend() -> None:
    questions = 0

    async def ask(path: bytes, timeout: float, /, **_: Any) -> Answer | Fault:
        nonlocal questions
        questions += 1
        raise KeyError(path)

    settings = BackendSettings(name="a", url="http://h", health=HealthSettings(interval=SOON))
    state, warnings = BackendState("a", health=settings.health), list[str]()
    checks = HealthChecks([Checked(settings, ask, state)], monotonic, on_change=print, warn=warnings.append)
    checks.start()
    while questions < 5:
        await asyncio.sleep(0.001)
    checks.stop()
    assert state.health.up
    assert warnings == ["health check of backend a: internal error: KeyError"]


@pytest.mark.parametrize("path", ["health", "", "/a/../b", "http://other/health"])
def test_a_path_that_is_none_is_refused(path: str) -> None:
    async def ask(path: bytes, timeout: float, /, **_: Any) -> Answer | Fault:
        raise AssertionError

    settings = BackendSettings(name="a", url="http://h", health=HealthSettings(interval=1.0, path=path))
    with pytest.raises(ConfigError, match=r"backend a: `health.path`: .* write a path like /health"):
        HealthChecks([Checked(settings, ask, BackendState("a"))], monotonic, on_change=print, warn=print)
