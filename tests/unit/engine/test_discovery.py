"""engine/discovery.py: when backends are asked, and what is done with their answers; no sockets."""

import asyncio
import math
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trunkline.config.model import DiscoverySettings, Settings
from trunkline.engine import discovery as module
from trunkline.engine.discovery import Discovery, kept_name
from trunkline.errors import CONNECT, Answer, Fault
from trunkline.providers.model_traits import Traits
from trunkline.routing.backend import BackendSettings
from trunkline.routing.plan import Plan
from trunkline.stores import model_lists

DOWN = Fault(CONNECT, "refused")


def listing(*names: str) -> Answer:
    return Answer(200, [], msgspec.json.encode({"data": [{"id": name} for name in names]}))


class Server:
    """A backend's answers by method and path; each question is noted and sets an event."""

    def __init__(self, **backend: Any) -> None:
        values: dict[str, Any] = {"name": "a", "url": "http://h"}
        self.settings = BackendSettings(**(values | backend))
        self.answers: dict[str, Answer | Fault | Exception] = {}
        self.asked: list[str] = []
        self.waiting = 0
        self.open = asyncio.Event()
        self.open.set()
        self._news = asyncio.Condition()

    async def __call__(
        self,
        path: bytes,
        timeout: float,
        /,
        *,
        method: bytes,
        headers: list[tuple[bytes, bytes]],
        body: bytes,
    ) -> Answer | Fault:
        assert timeout == 10.0
        question = b"%b %b %b" % (method, path, body)
        self.asked.append(question.decode().strip())
        async with self._news:
            self._news.notify_all()
        self.waiting += 1
        await self.open.wait()
        self.waiting -= 1
        answer = self.answers.get(self.asked[-1], DOWN)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def until_asked(self, times: int) -> None:
        async with self._news:
            await self._news.wait_for(lambda: len(self.asked) >= times)


class World:
    def __init__(
        self,
        *servers: Server,
        interval: float = 300.0,
        data_dir: Path | None = None,
        passthrough: bool = False,
    ) -> None:
        settings = Settings(
            backends=[server.settings for server in servers],
            discovery=DiscoverySettings(interval=interval),
            data_dir=None if data_dir is None else str(data_dir),
            passthrough=passthrough,
        )
        self.plan = Plan(settings.backends)
        self.changes = 0
        self.warnings: list[str] = []
        self.discovery = Discovery(
            settings, servers, self.plan, on_change=self._count, warn=self.warnings.append
        )
        self.known = self.discovery.catalog.known

    def _count(self) -> None:
        self.changes += 1

    async def settled(self) -> None:
        self.discovery.start()
        await self.discovery.settled(5.0)

    def reload(self, *servers: Server, same: str = "", interval: float = 300.0) -> None:
        """Go on with these backends, of which `same` are those of before."""
        settings = Settings(
            backends=[server.settings for server in servers], discovery=DiscoverySettings(interval=interval)
        )
        self.plan = Plan(settings.backends)
        self.discovery.reload(settings, servers, self.plan, same)
        self.known = self.discovery.catalog.known

    def nudge(self) -> None:
        """As it is when the last questions are long ago."""
        for watched in self.discovery._watched:
            watched.asked_at = -math.inf
        self.discovery.nudge()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await asyncio.sleep(0.001)

    async def stop(self) -> None:
        self.discovery.stop()
        await asyncio.sleep(0)


def in_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test; it takes one argument at most, `tmp_path`."""

    async def limited(*arguments: Path) -> None:
        async with asyncio.timeout(20):
            await test(*arguments)

    def with_path(tmp_path: Path) -> None:
        asyncio.run(limited(tmp_path))

    def alone() -> None:
        asyncio.run(limited())

    return with_path if test.__code__.co_argcount else alone


@in_a_loop
async def test_each_backend_is_asked_at_once_and_what_it_lists_is_known() -> None:
    one, two = Server(), Server(name="b", provider="anthropic")
    one.answers["GET /v1/models"] = listing("m")
    two.answers["GET /v1/models?limit=1000"] = listing("claude")
    world = World(one, two)
    await world.settled()
    assert world.plan.candidates("m") == (0,)
    assert world.changes == 2
    assert [known.error for known in world.known] == ["", ""]
    await world.discovery.settled(5.0)
    assert [one.asked, two.asked] == [["GET /v1/models"], ["GET /v1/models?limit=1000"]]
    assert repr(world.discovery) == "<Discovery <Catalog of 2 backends, 2 with a list>>"
    await world.stop()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (DOWN, "refused"),
        (Answer(401, [], b'{"error":"key sk-secret"}'), "GET /v1/models was answered with status 401"),
        (Answer(302, [], b""), "GET /v1/models was answered with status 302"),
        (Answer(200, [], b"<html>"), "GET /v1/models was answered with something that is no list of models"),
        (ValueError("x"), "internal error: ValueError"),
    ],
)
def test_a_failure_is_told_and_keeps_the_last_list(answer: Answer | Fault | Exception, error: str) -> None:
    async def scenario() -> None:
        server = Server()
        server.answers["GET /v1/models"] = listing("m")
        world = World(server)
        await world.settled()
        server.answers["GET /v1/models"] = answer
        world.nudge()
        await server.until_asked(2)
        while not world.known[0].error:
            await asyncio.sleep(0)
        assert world.known[0].error == error
        assert world.plan.candidates("m") == (0,)
        assert isinstance(world.plan.candidates("n"), Fault)
        await world.stop()

    asyncio.run(scenario())


@in_a_loop
async def test_there_is_one_question_to_a_backend_at_a_time_and_a_slow_one_holds_up_nobody() -> None:
    slow, quick = Server(), Server(name="b")
    slow.open.clear()
    quick.answers["GET /v1/models"] = listing("m")
    world = World(slow, quick)
    world.discovery.start()
    await world.discovery.settled(0.01)
    world.nudge()
    await quick.until_asked(2)
    assert (slow.waiting, len(slow.asked)) == (1, 1)
    assert world.plan.candidates("m") == (1, 0)
    await world.stop()


@in_a_loop
async def test_backends_are_asked_again_after_the_interval_and_sooner_after_a_failure() -> None:
    good, bad = Server(), Server(name="b")
    good.answers["GET /v1/models"] = listing("m")
    world = World(good, bad, interval=0.02)
    world.discovery.start()
    await good.until_asked(3)
    await bad.until_asked(3)
    assert world.changes == 1
    await world.stop()
    asked = len(good.asked)
    await asyncio.sleep(0.05)
    assert len(good.asked) == asked


@in_a_loop
async def test_a_nudge_asks_only_those_that_answer_and_were_not_just_asked() -> None:
    server, other, down = Server(), Server(name="b"), Server(name="c")
    server.answers["GET /v1/models"] = other.answers["GET /v1/models"] = listing("m")
    world = World(server, other, down)
    await world.settled()
    world.discovery.nudge()
    dues = [watched.due for watched in world.discovery._watched]
    assert not any(due.is_set() for due in dues)
    world.discovery._watched[0].asked_at -= module.NUDGE_AGE
    world.discovery._watched[2].asked_at -= module.NUDGE_AGE
    world.discovery.nudge()
    assert [due.is_set() for due in dues] == [True, False, False], "the last one failed"
    await server.until_asked(2)
    await world.stop()


@in_a_loop
async def test_those_without_any_list_are_waited_for_and_only_for_a_time_after_the_start(
    tmp_path: Path,
) -> None:
    server = Server()
    server.answers["GET /v1/models"] = listing("m")
    world = World(server, data_dir=tmp_path)
    await world.settled()
    await world.stop()
    server.open.clear()
    world = World(server, data_dir=tmp_path)
    await asyncio.wait_for(_started(world, 600.0), 5)
    await world.stop()
    world = World(server)
    world.discovery.start()
    await world.discovery.settled(0.01)
    again = asyncio.ensure_future(world.discovery.settled(0.01))
    await asyncio.sleep(0)
    assert again.done(), "answered at once"
    await world.stop()


async def _started(world: World, timeout: float) -> None:
    world.discovery.start()
    await world.discovery.settled(timeout)


def test_nobody_waits_for_servers_that_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.01)

    async def scenario() -> None:
        holes = [Server(name=f"hole{number}") for number in range(2 * module.AT_ONCE)]
        for hole in holes:
            hole.open.clear()
        good = Server(name="good")
        good.answers["GET /v1/models"] = listing("m")
        world = World(*holes, good)
        world.discovery.start()
        await world.until(lambda: world.known[-1].models is not None)
        assert all(hole.waiting == 1 for hole in holes)
        for hole in holes:
            hole.open.set()
        await world.until(lambda: all(known.error for known in world.known[:-1]))
        world.nudge()
        await good.until_asked(2)
        await world.stop()
        assert world.discovery._places._value == module.AT_ONCE, "each place was given back once"

    asyncio.run(asyncio.wait_for(scenario(), 20))


@pytest.mark.parametrize(
    ("backend", "world"),
    [
        ({"provider": "perplexity"}, {}),
        ({"provider": "azure", "deployment_name": "d", "api_version": "1"}, {}),
        ({}, {"interval": 0.0}),
        ({}, {"passthrough": True}),
    ],
)
def test_who_is_not_asked(backend: dict[str, Any], world: dict[str, Any]) -> None:
    async def scenario() -> None:
        server = Server(**backend)
        running = World(server, **world)
        await running.settled()
        running.nudge()
        await asyncio.sleep(0)
        assert server.asked == []
        assert running.plan.candidates("anything") == (0,)
        await running.stop()

    asyncio.run(scenario())


@in_a_loop
async def test_what_a_server_tells_only_when_asked_about_a_model() -> None:
    ollama, llama, tgi = (
        Server(provider="ollama"),
        Server(name="b", provider="llama.cpp"),
        Server(name="c", provider="tgi"),
    )
    ollama.answers |= {
        "GET /v1/models": Answer(404, [], b""),
        "GET /api/tags": Answer(200, [], b'{"models":[{"name":"x:latest"},{"name":"y:1b"}]}'),
        'POST /api/show {"model":"x:latest"}': Answer(200, [], b'{"model_info":{"llama.context_length":5}}'),
        'POST /api/show {"model":"y:1b"}': Answer(404, [], b"{}"),
    }
    llama.answers |= {
        "GET /v1/models": listing("gguf"),
        "GET /props": Answer(200, [], b'{"default_generation_settings":{"n_ctx":6}}'),
    }
    tgi.answers |= {"GET /v1/models": listing("one"), "GET /info": Answer(503, [], b"")}
    world = World(ollama, llama, tgi)
    await world.settled()
    catalog = world.discovery.catalog
    await world.until(lambda: len(world.known[0].told) == 2 and tgi.asked[-1] == "GET /info")
    await world.until(lambda: catalog.traits(1, "any name") == Traits(6))
    assert catalog.traits(0, "x") == Traits(5)
    assert catalog.traits(1, "any name") == Traits(6)
    assert catalog.traits(2, "one") == Traits()
    asked = len(ollama.asked)
    world.nudge()
    await ollama.until_asked(asked + 2)
    await asyncio.sleep(0.01)
    assert ollama.asked[asked:] == ["GET /v1/models", "GET /api/tags"], "what was told is not asked again"
    del ollama.answers['POST /api/show {"model":"y:1b"}']
    await world.stop()


@in_a_loop
async def test_a_server_that_breaks_off_while_it_is_asked_about_its_models_keeps_its_list() -> None:
    server = Server(provider="ollama")
    server.answers["GET /v1/models"] = listing("x", "y")
    world = World(server)
    await world.settled()
    await server.until_asked(2)
    await asyncio.sleep(0)
    assert server.asked == ["GET /v1/models", 'POST /api/show {"model":"x"}']
    assert (world.known[0].error, list(world.known[0].models or ())) == ("", ["x", "y"])
    await world.stop()


@in_a_loop
async def test_the_last_good_list_survives_a_restart(tmp_path: Path) -> None:
    server = Server()
    server.answers["GET /v1/models"] = listing("m")
    world = World(server, data_dir=tmp_path)
    await world.settled()
    listed_at = world.known[0].listed_at
    await world.stop()
    server.answers.clear()
    world = World(server, data_dir=tmp_path)
    world.discovery.start()
    assert world.plan.candidates("m") == (0,)
    assert isinstance(world.plan.candidates("n"), Fault)
    await world.until(lambda: bool(world.known[0].error))
    assert (world.known[0].listed_at, world.known[0].error) == (listed_at, "refused")
    assert world.plan.candidates("m") == (0,)
    await world.stop()
    other = World(Server(url="http://other"), data_dir=tmp_path)
    other.discovery.start()
    assert other.plan.candidates("n") == (0,), "another place is another list"
    await other.stop()


def test_a_changed_list_is_kept_soon_without_waiting_for_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SAVE_DELAY", 0.01)

    async def scenario() -> None:
        server = Server()
        server.answers["GET /v1/models"] = listing("m")
        world = World(server, data_dir=tmp_path)
        await world.settled()
        while not (kept := model_lists.read(tmp_path)):
            await asyncio.sleep(0.005)
        assert [model.id for model in kept[kept_name(server.settings)].models] == ["m"]
        await world.stop()
        assert world.warnings == []

    asyncio.run(scenario())


@in_a_loop
async def test_a_directory_that_cannot_be_written_is_one_warning_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    server = Server()
    server.answers["GET /v1/models"] = listing("m")
    world = World(server, data_dir=tmp_path / "file" / "below")
    await world.settled()
    await world.stop()
    world.discovery.start()
    await server.until_asked(2)
    await world.stop()
    assert len(world.warnings) == 1
    assert "not kept" in world.warnings[0]
    assert "data_dir" in world.warnings[0]
    assert world.plan.candidates("m") == (0,)


def test_what_a_list_is_kept_under_shows_nothing_and_does_not_depend_on_the_key() -> None:
    settings = BackendSettings(name="a", url="http://h?token=canary", api_key="k")
    name = kept_name(settings)
    assert "canary" not in name
    assert kept_name(msgspec.structs.replace(settings, api_key="other")) == name
    assert kept_name(msgspec.structs.replace(settings, url="http://h2")) != name


@in_a_loop
async def test_a_reload_asks_only_those_that_are_new_and_keeps_what_is_known_of_the_others() -> None:
    one, two, three = Server(), Server(name="b"), Server(name="c")
    for server in (one, two, three):
        server.answers["GET /v1/models"] = listing(f"m-{server.settings.name}")
    world = World(one, two)
    await world.settled()
    moved = Server(name="b", api_key="another")
    moved.open.clear()
    world.reload(three, moved, one, same="a")
    assert [known.models is None for known in world.known] == [True, False, False]
    assert world.plan.candidates("m-a") == (2, 0)
    assert world.plan.candidates("m-b") == (1, 0)
    await three.until_asked(1)
    await moved.until_asked(1)
    await world.until(lambda: world.known[0].models is not None)
    assert world.plan.candidates("m-c") == (0,)
    assert (len(one.asked), len(two.asked)) == (1, 1)
    # What was asked before a reload is answered after it, and stands where the backend stands then.
    moved.answers["GET /v1/models"] = listing("later")
    world.reload(moved, same="b")
    moved.open.set()
    await world.until(lambda: world.plan.candidates("later") == (0,))
    assert len(moved.asked) == 1
    await world.stop()
    world.reload(moved, one, same="b")
    await asyncio.sleep(0)
    assert len(one.asked) == 1, "it was stopped"


@in_a_loop
async def test_another_interval_holds_from_the_last_answer_on() -> None:
    server = Server()
    server.answers["GET /v1/models"] = listing("m")
    world = World(server)
    await world.settled()
    world.reload(server, same="a", interval=200.0)
    await asyncio.sleep(0.01)
    assert len(server.asked) == 1
    world.reload(server, same="a", interval=0.01)
    await server.until_asked(3)
    world.reload(server, same="a", interval=0.0)
    assert [known.models for known in world.known] == [None], "nobody would look whether it is still true"
    asked = len(server.asked)
    await asyncio.sleep(0.03)
    assert len(server.asked) == asked
    world.reload(server, same="a")
    await server.until_asked(asked + 1)
    await world.stop()


@in_a_loop
async def test_nobody_waits_for_a_backend_that_is_gone() -> None:
    server = Server()
    server.open.clear()
    world = World(server)
    world.discovery.start()
    waiting = asyncio.ensure_future(world.discovery.settled(600.0))
    await server.until_asked(1)
    world.reload(Server(name="b", provider="perplexity"))
    await waiting
    await world.stop()


@in_a_loop
async def test_at_another_place_nothing_is_known() -> None:
    server = Server()
    server.answers["GET /v1/models"] = listing("m")
    world = World(server)
    await world.settled()
    world.reload(Server(url="http://h2"))
    assert world.known[0].models is None
    await world.stop()
