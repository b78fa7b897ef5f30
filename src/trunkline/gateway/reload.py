"""Taking up another configuration while calls are running: on SIGHUP, and when a file has changed.

Owns when that happens, the reading, and the line about it on standard error. Does not own what is kept of the present
state (engine/snapshot.py), nor the swap (app.py).

Everything that may fail or take long, reading a file with a thousand backends takes a second, is done in a thread and
touches nothing that is in use; then all is swapped in one callback of the event loop. A configuration with mistakes
changes nothing. A thread that hangs, in a file system that is gone or in a router's module, is left behind when it has
had `PATIENCE` seconds, and what it comes to is nobody's any more.

Files are looked at once a second. What tells a changed one is in their directory entries, not their notifications,
which neither NFS sends nor a Kubernetes volume, where a link far above the file is turned. A file counts as changed
when it was the same at two looks in a row, so that none is read half-written; one that is not there is about to be.
"""

import asyncio
import gc
import re
import ssl
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Protocol

import msgspec

from trunkline.config.addresses import may_listen
from trunkline.config.model import Loaded, Settings
from trunkline.config.parse import read_file
from trunkline.engine.snapshot import Snapshot, Stamp, certificates, stamp
from trunkline.errors import ConfigError
from trunkline.gateway.beside import Beside
from trunkline.gateway.changes import differences, pending

POLL = 1.0
"""Seconds between two looks at the files."""
SWITCH = 0.0005
"""Seconds after which the thread that reads must let the event loop run. Python's own 5 ms would be added to whatever
the loop does meanwhile."""

PATIENCE = 30.0
"""Seconds after which a reload hangs."""
ASKED_PATIENCE = 5.0
"""The same where another reload is asked for meanwhile: then something was mended."""

_REFERENCE = re.compile(r"\$\{file:([^{}]*)\}")


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where the configuration came from: `read` reads it again, with the arguments and environment of the start.

    `path`: its file, None where it is the environment alone. `insecure_open`: it may be open to the network.
    `warned`: what was warned of at the start.
    """

    read: Callable[[], Loaded]
    path: Path | None = None
    insecure_open: bool = False
    warned: list[str] = []


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway needs for another configuration. `tls`: of the data port, None where it is that of before, which
    was made from the `certificate` files.
    """

    snapshot: Snapshot
    tls: ssl.SSLContext | None
    certificate: list[tuple[str, Stamp]]


class Running(Protocol):
    """The gateway, as far as this has to do with it."""

    @property
    def settings(self) -> Settings: ...
    def prepare(self, settings: Settings) -> Prepared:
        """Called in a thread; raises ConfigError."""
        ...

    def adopt(self, prepared: Prepared) -> None:
        """Called on the event loop."""
        ...


class _Read(msgspec.Struct, frozen=True, kw_only=True):
    """What was read, and what there is to say about it. `changes`: "" for nothing. `once`: lines not to be repeated."""

    prepared: Prepared
    changes: str
    lines: list[str]
    once: set[str]


class Reloader:
    """Watches and reloads while `run` runs. `tell` takes a line for the operator."""

    def __init__(self, gateway: Running, source: Source, tell: Callable[[str], None]) -> None:
        self._gateway = gateway
        self._source = source
        self._tell = tell
        self._asked = asyncio.Event()
        self._reading = Beside("reload")
        self._looking = Beside("watch")
        self._began = 0.0
        self._limit: asyncio.Timeout | None = None  # of the reload under way
        self._said = {*source.warned, may_listen(gateway.settings, source.insecure_open)}
        self._references, self._read_as = self._survey()
        self._seen = self._read_as

    def __repr__(self) -> str:
        return f"<Reloader of {len(self._read_as)} files>"

    def ask(self) -> None:
        """Reload now, whatever the files look like."""
        self._asked.set()
        limit = self._limit
        if limit is not None and not limit.expired():
            limit.reschedule(max(self._began + ASKED_PATIENCE, asyncio.get_running_loop().time()))

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                async with asyncio.timeout(POLL):
                    await self._asked.wait()
            except TimeoutError:
                if not await self._changed():
                    continue
            self._asked.clear()
            await self._reload()

    async def _reload(self) -> None:
        limit = asyncio.timeout(PATIENCE)
        try:
            with _yielding():
                read = await self._read_within(limit)
                if read.changes:
                    self._gateway.adopt(read.prepared)
        except ConfigError as error:
            for line in str(error).splitlines():
                self._tell(f"not reloaded: {line}")
            return
        except Exception as error:  # noqa: BLE001 # calls go on with what there is, and the next change is seen
            problem = f"internal error: {type(error).__name__}: {error}"
            if limit.expired():
                seconds = asyncio.get_running_loop().time() - self._began
                problem = (
                    f"reading {self._name} and what it names hangs, and was given up after {seconds:.0f} s"
                )
            self._tell(f"not reloaded: {problem}")
            return
        self._said |= read.once
        for line in read.lines:
            self._tell(line)
        self._tell(f"reloaded {self._name}: {read.changes or 'nothing changed'}")

    async def _read_within(self, limit: asyncio.Timeout) -> _Read:
        self._began = asyncio.get_running_loop().time()
        try:
            async with limit:
                self._limit = limit
                # Whatever comes of it: mistakes are not read again before somebody has mended them.
                self._references, self._read_as = await self._reading.do(self._survey)
                return await self._reading.do(self._read)
        finally:
            self._limit = None

    @property
    def _name(self) -> str:
        return "the environment" if self._source.path is None else str(self._source.path)

    def _read(self) -> _Read:
        """In a thread: everything that may fail."""
        loaded = self._source.read()
        old = self._gateway.settings
        settings, late = pending(old, loaded.settings)
        opened = may_listen(settings, self._source.insecure_open)
        prepared = self._gateway.prepare(settings)
        renewed = [backend.name for backend in old.backends if backend.name not in prepared.snapshot.same]
        changes = differences(old, settings, renewed)
        if prepared.tls is not None and "server" not in changes:
            changes = ", ".join(filter(None, (changes, "server")))
        if not changes and settings.router is not None:
            changes = "router"  # the module is loaded anew
        lines = [f"warning: {warning}" for warning in loaded.warnings if warning not in self._said]
        once = {*loaded.warnings}
        if late:
            lines.append(f"warning: {', '.join(late)}: changed, but not before the next start")
        if opened is not None and opened not in self._said:
            lines.append(opened)
            once.add(opened)
        return _Read(prepared=prepared, changes=changes, lines=lines, once=once)

    async def _changed(self) -> bool:
        """Whether a file is another one than was read, and was it a moment ago."""
        if self._looking.at_work:
            return False  # a file system is gone, and nothing is known of its files
        try:
            async with asyncio.timeout(ASKED_PATIENCE):
                found = await self._looking.do(partial(self._look, self._references))
        except TimeoutError:
            return False
        before, self._seen = self._seen, found
        changed = [
            found for path, found in self._seen.items() if self._read_as.setdefault(path, found) != found
        ]
        return bool(changed) and None not in changed and before == self._seen

    def _survey(self) -> tuple[list[str], dict[str, Stamp]]:
        """The files that the configuration's file takes values from, and all files as they are now."""
        references = self._refer()
        return references, self._look(references)

    def _look(self, references: list[str]) -> dict[str, Stamp]:
        settings = self._gateway.settings
        paths = list(references)
        if self._source.path is not None:
            paths.append(str(self._source.path))
        paths += [path for path in (settings.server.tls_cert_path, settings.server.tls_key_path) if path]
        paths += [path for backend in settings.backends for path in certificates(backend)]
        return {path: stamp(path) for path in paths}

    def _refer(self) -> list[str]:
        path = self._source.path
        if path is None:
            return []
        try:
            text = read_file(path).decode("utf-8", "replace")
        except ConfigError:
            return []
        return [str(path.parent / name) for name in _REFERENCE.findall(text)]


@contextmanager
def _yielding() -> Generator[None]:
    """Let a thread that computes give way to the event loop sooner, and not stop it to look for garbage."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH)
    gc.disable()  # a collection among the nodes of a long file takes 25 ms
    try:
        yield
    finally:
        gc.enable()
        sys.setswitchinterval(usual)
