"""gateway/reload.py: when a configuration is read again, and what is said about it; a gateway that only notes."""

import asyncio
import gc
import os
import ssl
import sys
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec import structs

from trunkline.config.load import load
from trunkline.config.model import Loaded, Settings
from trunkline.engine.snapshot import Snapshot
from trunkline.errors import ConfigError
from trunkline.gateway import reload as module
from trunkline.gateway.reload import Prepared, Reloader, Source

PATIENT = 1000.0
TEXT = "backends: [{name: a, url: 'http://h'}]\ndata_dir: d\n"


class Same:
    """A snapshot in which every backend is the one of before."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.same = frozenset(backend.name for backend in settings.backends)


class Noting:
    """A gateway."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.adopted: list[Settings] = []
        self.refuse: Exception | None = None
        self.prepared = asyncio.Event()
        self.tls: ssl.SSLContext | None = None

    def prepare(self, settings: Settings) -> Prepared:
        if self.refuse is not None:
            raise self.refuse
        return Prepared(snapshot=cast("Snapshot", Same(settings)), tls=self.tls, certificate=[])

    def adopt(self, prepared: Prepared) -> None:
        self.settings = prepared.snapshot.settings
        self.adopted.append(self.settings)


class World:
    def __init__(self, file: Path, **source: Any) -> None:
        self.file = file
        self.said: asyncio.Queue[str] = asyncio.Queue()
        loaded = self.read()
        self.gateway = Noting(loaded.settings)
        self.source = Source(read=self.read, path=file, warned=loaded.warnings, **source)
        self.reloader = Reloader(self.gateway, self.source, self.said.put_nowait)
        self.task = asyncio.get_running_loop().create_task(self.reloader.run())

    def read(self) -> Loaded:
        return load(self.file, {})

    def hold(self, read: Callable[[], Loaded], patience: float) -> None:
        """From now on it is read so, and not waited for longer; the tests' wrapper puts the latter back."""
        self.reloader._source = structs.replace(self.source, read=read)
        setattr(module, "PATIENCE", patience)  # noqa: B010 - it is a constant for all others

    async def asked(self) -> str:
        """Ask, and give the next line."""
        self.reloader.ask()
        return await self.said.get()

    async def looks(self) -> bool:
        """A look at the files, as once a second."""
        return await self.reloader._changed()

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        assert self.said.empty()


def in_a_world(test: Callable[[World], Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test with a file, asked for by hand alone."""

    async def scenario(tmp_path: Path) -> None:
        (tmp_path / "t.yaml").write_text(TEXT)
        async with asyncio.timeout(20):
            world = World(tmp_path / "t.yaml")
            await test(world)
            await world.stop()

    def wrapper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "POLL", 1000.0)
        for name in ("PATIENCE", "ASKED_PATIENCE"):
            monkeypatch.setattr(module, name, PATIENT)
        asyncio.run(scenario(tmp_path))

    return wrapper


@in_a_world
async def test_what_is_said(world: World) -> None:
    name = f"reloaded {world.file}:"
    assert repr(world.reloader) == "<Reloader of 1 files>"
    assert await world.asked() == f"{name} nothing changed"
    assert world.gateway.adopted == []
    world.file.write_text(TEXT.replace("}]", ", weight: 3}]"))
    assert await world.asked() == f"{name} backends ~1"
    assert [settings.backends[0].weight for settings in world.gateway.adopted] == [3.0]


@in_a_world
async def test_mistakes_change_nothing_and_are_told_all(world: World) -> None:
    world.file.write_text("backends: [{name: a, url: 'http://h', wieght: 1}]\nbreaker: {rate: 7}\n")
    assert (await world.asked()).startswith(f"not reloaded: {world.file}:1:")
    assert (await world.said.get()).startswith(f"not reloaded: {world.file}:2:")
    world.file.write_text(TEXT + "router_timeout: 2\n")
    world.gateway.refuse = ConfigError("backend a: no")
    assert await world.asked() == "not reloaded: backend a: no"
    world.gateway.refuse = ValueError("odd")
    assert await world.asked() == "not reloaded: internal error: ValueError: odd"
    assert world.gateway.adopted == []
    world.gateway.refuse = None
    assert await world.asked() == f"reloaded {world.file}: router_timeout"


@in_a_world
async def test_warnings_are_said_once_and_what_waits_for_a_restart_each_time(world: World) -> None:
    world.file.write_text(TEXT + "backends_enabled: true\nadmin: {port: 7}\n")
    assert "backends_enabled" in await world.asked()
    for _ in range(2):
        assert await world.said.get() == "warning: admin.port: changed, but not before the next start"
        assert await world.said.get() == f"reloaded {world.file}: nothing changed"
        world.reloader.ask()
    assert "admin.port" in await world.said.get()
    await world.said.get()


@in_a_world
async def test_a_port_that_nobody_guards_any_more_is_told_or_refused(world: World) -> None:
    world.gateway.settings = structs.replace(world.gateway.settings)
    world.file.write_text(TEXT + "keys: [{name: k, key: sk}]\n")
    assert (await world.asked()).endswith("keys +1")
    world.file.write_text(TEXT)
    assert (await world.asked()).endswith("keys -1"), "as it was at the start"
    world.file.write_text(TEXT + "keys: [{name: k, key: sk}]\n")
    await world.asked()
    server = structs.replace(world.gateway.settings.server, host="0.0.0.0")
    world.gateway.settings = structs.replace(world.gateway.settings, server=server)
    world.file.write_text(TEXT)
    assert "there are no keys" in await world.asked()
    while not world.said.empty():
        world.said.get_nowait()


@in_a_world
async def test_a_file_counts_as_changed_when_it_was_the_same_at_two_looks(world: World) -> None:
    assert not await world.looks()
    world.file.write_text(TEXT + "# half")
    assert not await world.looks()
    world.file.write_text(TEXT + "# whole")
    os.utime(world.file, ns=(1, 1))
    assert not await world.looks()
    assert await world.looks()
    assert await world.looks(), "until it is read"
    assert (await world.asked()).endswith("nothing changed")
    assert not await world.looks()
    # A file that is gone for a moment is about to be there again.
    world.file.rename(world.file.with_suffix(".old"))
    assert [await world.looks() for _ in range(3)] == [False] * 3
    assert "cannot be read" in await world.asked()
    world.file.with_suffix(".old").rename(world.file)
    assert not await world.looks()
    assert await world.looks()


@in_a_world
async def test_files_behind_references_and_certificates_are_looked_at(world: World) -> None:
    key = world.file.parent / "key"
    key.write_text("sk-1")
    world.file.write_text(TEXT + 'keys: [{name: k, key: "${file:key}"}]\n')
    assert (await world.asked()).endswith("keys +1")
    assert not await world.looks()
    key.write_text("sk-22")
    assert not await world.looks()
    assert await world.looks()
    assert (await world.asked()).endswith("keys ~1")
    # Of a mistake the file that was missing is waited for.
    world.file.write_text(TEXT + 'keys: [{name: k, key: "${file:other}"}]\n')
    assert "other cannot be read" in await world.asked()
    assert [await world.looks() for _ in range(2)] == [False, False]
    (world.file.parent / "other").write_text("sk-3")
    assert not await world.looks()
    assert await world.looks()
    ca = world.file.parent / "ca.pem"
    ca.write_text("1")
    world.file.write_text(TEXT.replace("}]", ", ca_bundle_path: ca.pem}]"))
    assert "backends ~1" in await world.asked()
    while not world.said.empty():
        world.said.get_nowait()
    assert not await world.looks()
    ca.write_text("22")
    assert not await world.looks()
    assert await world.looks()


@in_a_world
async def test_a_reload_that_hangs_is_told_and_left_behind(world: World) -> None:
    usual = sys.getswitchinterval()
    read, free = world.source.read, threading.Event()
    late: list[Loaded] = []

    def hang() -> Loaded:
        free.wait()
        late.append(read())
        return late[0]

    world.hold(hang, 0.05)
    world.file.write_text(TEXT + "router_timeout: 2\n")
    assert (await world.asked()).startswith(
        f"not reloaded: reading {world.file} and what it names hangs, and"
    )
    assert (sys.getswitchinterval(), gc.isenabled()) == (usual, True)
    assert not await world.looks()
    assert not await world.looks(), "what hangs is not read again before something was changed"
    world.hold(read, PATIENT)
    assert await world.asked() == f"reloaded {world.file}: router_timeout"
    world.file.write_text(TEXT)
    assert await world.asked() == f"reloaded {world.file}: router_timeout"
    adopted = list(world.gateway.adopted)
    free.set()
    while world.reloader._reading.at_work:
        await asyncio.sleep(0.005)
    await world.asked()
    assert (len(late), world.gateway.adopted) == (1, adopted), "what it came to is nobody's"


def test_who_asks_again_does_not_wait_for_what_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL", 1000.0)
    monkeypatch.setattr(module, "PATIENCE", PATIENT)
    monkeypatch.setattr(module, "ASKED_PATIENCE", 0.0)
    free, begun = threading.Event(), threading.Event()

    def hang() -> Loaded:
        begun.set()
        free.wait()
        raise ConfigError("late")

    async def scenario() -> None:
        (tmp_path / "t.yaml").write_text(TEXT)
        world = World(tmp_path / "t.yaml")
        read = world.source.read
        world.hold(hang, PATIENT)
        world.reloader.ask()
        await asyncio.to_thread(begun.wait)
        world.hold(read, PATIENT)
        world.reloader.ask()
        world.reloader.ask()
        assert "hangs" in await world.said.get()
        assert await world.said.get() == f"reloaded {world.file}: nothing changed"
        # An end that is asked for while a reload hangs.
        begun.clear()
        world.hold(hang, PATIENT)
        world.reloader.ask()
        await asyncio.to_thread(begun.wait)
        assert not gc.isenabled()
        await world.stop()
        assert gc.isenabled()
        free.set()

    asyncio.run(asyncio.wait_for(scenario(), 20))


@in_a_world
async def test_a_look_that_hangs_says_nothing_and_is_not_joined_by_others(world: World) -> None:
    free = threading.Event()
    look = world.reloader._look
    world.reloader._look = lambda references: look(references) if free.wait() else {}
    world.file.write_text(TEXT + "router_timeout: 2\n")
    setattr(module, "ASKED_PATIENCE", 0.05)  # noqa: B010 - as above
    assert not await world.looks()
    assert not await world.looks()
    assert world.reloader._looking.at_work == 1
    setattr(module, "ASKED_PATIENCE", PATIENT)  # noqa: B010 - as above
    free.set()
    while world.reloader._looking.at_work:
        await asyncio.sleep(0.005)
    assert [await world.looks() for _ in range(2)] == [False, True]


def test_changes_are_noticed_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL", 0.001)

    async def scenario() -> None:
        (tmp_path / "t.yaml").write_text(TEXT)
        async with asyncio.timeout(20):
            world = World(tmp_path / "t.yaml")
            for number in range(1, 4):
                draft = tmp_path / "draft"
                draft.write_text(TEXT + f"router_timeout: {number}\n")
                draft.rename(world.file)
                assert await world.said.get() == f"reloaded {world.file}: router_timeout"
            await world.stop()

    asyncio.run(scenario())


def test_without_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL", 0.001)

    async def scenario() -> None:
        environ = {"TARGET_BASE_URL": "http://h", "HOME": "/h"}
        source = Source(read=lambda: load(None, environ))
        said: asyncio.Queue[str] = asyncio.Queue()
        gateway = Noting(source.read().settings)
        reloader = Reloader(gateway, source, said.put_nowait)
        task = asyncio.get_running_loop().create_task(reloader.run())
        reloader.ask()
        assert await said.get() == "reloaded the environment: nothing changed"
        gateway.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        reloader.ask()
        assert await said.get() == "reloaded the environment: server"
        environ["TRUNKLINE__SERVER__PORT"] = "x"
        reloader.ask()
        assert (await said.get()).startswith("not reloaded: TRUNKLINE__SERVER__PORT: ")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(asyncio.wait_for(scenario(), 20))


def test_a_router_is_read_anew_each_time(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = tmp_path / "t.yaml"
        file.write_text(TEXT + "router: m:f\n")
        world = World(file)
        assert await world.asked() == f"reloaded {file}: router"
        assert len(world.gateway.adopted) == 1
        await world.stop()

    asyncio.run(scenario())


def test_that_the_port_is_open_now_is_said(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = tmp_path / "t.yaml"
        file.write_text(TEXT + "keys: [{name: k, key: sk}]\n")
        world = World(file)
        file.write_text(TEXT)
        assert (await world.asked()).startswith("open: no keys are configured")
        assert await world.said.get() == f"reloaded {file}: keys -1"
        await world.stop()

    asyncio.run(asyncio.wait_for(scenario(), 20))
