"""Which models the backends have: each is asked for its list in the background, for as long as the gateway runs.

Owns when backends are asked, what a question is, and that the last good lists survive a restart. Does not own what is
known (catalog.py) nor the file's format (stores/model_lists.py). Off the hot path, so it may await and use timers.

One task per backend asks, waits and asks again, so that there is never more than one question to a backend. After a
failure it asks sooner, at growing distances, and the last good list stays. A call for an unknown model is a sign that
lists are old (`nudge`): somebody has just pulled a model. Only so many lists are asked for at a time, but a question
without an answer soon gives its place to the next one, and those that failed last have places of their own. When the
configuration is another one (`reload`), backends that stayed the same are not asked for that reason.
"""

import asyncio
import hashlib
import math
import random
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import msgspec

from trunkline.config.model import DiscoverySettings, Settings
from trunkline.engine.catalog import Catalog
from trunkline.errors import Answer, Fault
from trunkline.providers.model_list import ListedModel, parse_models
from trunkline.providers.model_names import Questions, questions_for
from trunkline.providers.model_traits import UNKNOWN, parse_traits
from trunkline.providers.registry import PROVIDERS, find
from trunkline.routing.backend import BackendSettings
from trunkline.routing.plan import Plan
from trunkline.stores import model_lists
from trunkline.stores.model_lists import KeptList
from trunkline.wire.head import Headers

JITTER = 0.1  # of the interval: backends that were asked together are soon asked apart
FIRST_RETRY = 5.0  # seconds after the first failure; doubled by each further one, up to the interval
NUDGE_AGE = 10.0  # seconds: backends that were asked since then are not asked for an unknown model
AT_ONCE = 16  # places for questions; a thousand backends are asked in turn
DOUBTFUL_AT_ONCE = 4  # the same for backends that failed last
PATIENCE = 0.5  # seconds that a question holds its place: a list that comes at all mostly comes sooner
MAX_TOLD = 200  # models of one server that are asked about one by one
SAVE_DELAY = 2.0  # seconds: what many backends answer at the start is one write


class Ask(Protocol):
    """Asks one backend: engine.fetch with the backend filled in."""

    async def __call__(
        self, path: bytes, timeout: float, /, *, method: bytes, headers: Headers, body: bytes
    ) -> Answer | Fault: ...


class _Watched:
    """One backend's state of being asked. `index`: its place in the catalog, which a reload may change."""

    def __init__(self, index: int, settings: BackendSettings, ask: Ask) -> None:
        self.index = index
        self.name = settings.name
        self.ask = ask
        row = find(settings.provider) or PROVIDERS["openai_compat"]
        # What a deployment's server could list are other deployments' models.
        deployed = bool(settings.deployment_name and settings.api_version)
        self.questions = Questions(None) if deployed else questions_for(row)
        self.kept_as = kept_name(settings)
        self.failures = 0
        self.asked_at = -math.inf  # in monotonic time
        self.told_at = -math.inf  # when the last question was over
        self.body = b""
        self.due = asyncio.Event()
        self.answered = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def take_over(self, other: "_Watched") -> None:
        """What is known of the same backend, that was asked in another rhythm."""
        self.failures = other.failures
        self.asked_at = other.asked_at
        self.told_at = other.told_at

    def stop(self) -> None:
        """Ask it no more; nobody waits for its answer."""
        self.answered.set()
        if self.task is not None:
            self.task.cancel()
            self.task = None


class Discovery:
    """Keeps the catalog up to date: `start`, then `stop`. One per event loop."""

    def __init__(
        self,
        settings: Settings,
        asks: Sequence[Ask],
        plan: Plan,
        *,
        on_change: Callable[[], None],
        warn: Callable[[str], None],
    ) -> None:
        self._on_change = on_change
        self.catalog = Catalog(settings.backends, plan, on_change)
        self._settings: DiscoverySettings = settings.discovery
        self._off = _is_off(settings)
        self._directory = Path(settings.data_dir) if settings.data_dir is not None else None
        self._watched: list[_Watched] = [
            _Watched(index, *pair) for index, pair in enumerate(zip(settings.backends, asks, strict=True))
        ]
        self._warn = warn
        self._places = asyncio.Semaphore(AT_ONCE)
        self._doubtful = asyncio.Semaphore(DOUBTFUL_AT_ONCE)
        self._started_at = -math.inf  # in the loop's time
        self._on = False
        self._saving: asyncio.Task[None] | None = None
        self._unsaved = False

    def __repr__(self) -> str:
        return f"<Discovery {self.catalog!r}>"

    def start(self) -> None:
        """Take over what was kept, then begin to ask."""
        self._on = True
        if self._off:
            return
        kept = model_lists.read(self._directory) if self._directory is not None else {}
        self._started_at = asyncio.get_running_loop().time()
        for watched in self._watched:
            if watched.questions.list is None:
                continue
            watched.told_at = -math.inf
            if (last := kept.get(watched.kept_as)) is not None:
                self.catalog.learn(watched.index, last.models, last.at)
            self._watch(watched)

    def reload(self, settings: Settings, asks: Sequence[Ask], plan: Plan, same: Collection[str]) -> None:
        """Another config snapshot. Backends in `same`, by name, are asked when they would have been; of the others what
        is known stays where they are at the same place, until they have answered. The data directory cannot change.
        """
        before = {watched.name: watched for watched in self._watched}
        last = self.catalog
        off = _is_off(settings)
        otherwise = settings.discovery != self._settings or off != self._off
        self._settings, self._off = settings.discovery, off
        self.catalog = Catalog(settings.backends, plan, self._on_change)
        current: list[_Watched] = []
        for index, (backend, ask) in enumerate(zip(settings.backends, asks, strict=True)):
            watched = _Watched(index, backend, ask)
            old = before.get(backend.name)
            if old is not None and old.kept_as == watched.kept_as:
                if watched.questions.list is not None and not off:
                    self.catalog.carry(index, last.known[old.index])
                if backend.name in same and not otherwise:
                    watched = old
                    watched.index, watched.ask = index, ask
                elif backend.name in same and not off:
                    watched.take_over(old)
            current.append(watched)
        kept = {id(watched) for watched in current}
        for watched in self._watched:
            if id(watched) not in kept:
                watched.stop()
        self._watched = current
        if self._on and not off:
            for watched in current:
                if watched.task is None and watched.questions.list is not None:
                    self._watch(watched)

    def stop(self) -> None:
        """Ask no more; keep what is known."""
        for watched in self._watched:
            watched.stop()
        if self._saving is not None:
            self._saving.cancel()
        if self._on and not self._off and self._unsaved:
            self._save(self._lists())
        self._on = False

    async def settled(self, timeout: float) -> None:
        """Return when each backend has a list (an old one will do) or failed, or `timeout` seconds after the start."""
        end = self._started_at + timeout
        if not self._on or self._off or asyncio.get_running_loop().time() >= end:
            return
        waiting = [
            watched.answered.wait()
            for watched, known in zip(self._watched, self.catalog.known, strict=True)
            if watched.questions.list is not None and known.models is None and not watched.answered.is_set()
        ]
        try:
            async with asyncio.timeout_at(end):
                await asyncio.gather(*waiting)
        except TimeoutError:
            pass

    def nudge(self) -> None:
        """A model was asked for that nobody lists: ask those again that answer and were not just asked."""
        latest = time.monotonic() - NUDGE_AGE
        for watched in self._watched:
            if watched.asked_at <= latest and not watched.failures:
                watched.due.set()

    def _watch(self, watched: _Watched) -> None:
        watched.task = asyncio.get_running_loop().create_task(self._ask_on(watched))

    async def _ask_on(self, watched: _Watched) -> None:
        while True:
            if watched.told_at > -math.inf:
                await self._until_due(watched)
            await self._in_turn(watched)
            watched.told_at = time.monotonic()

    async def _until_due(self, watched: _Watched) -> None:
        delay = interval = self._settings.interval
        if watched.failures:
            delay = min(FIRST_RETRY * 2 ** min(watched.failures - 1, 30), interval)
        delay *= random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 # no secret
        try:
            async with asyncio.timeout(watched.told_at + delay - time.monotonic()):
                await watched.due.wait()
        except TimeoutError:
            pass

    async def _in_turn(self, watched: _Watched) -> None:
        """Ask for the list when there is a place, then for what there is to know beside it."""
        places = self._doubtful if watched.failures else self._places
        await places.acquire()
        with ExitStack() as place:
            place.callback(places.release)
            place.callback(asyncio.get_running_loop().call_later(PATIENCE, place.close).cancel)
            watched.due.clear()
            watched.asked_at = time.monotonic()
            await self._refresh(watched, self._read)
        watched.answered.set()
        if not watched.failures:
            await self._refresh(watched, self._ask_about)

    async def _refresh(self, watched: _Watched, read: Callable[[_Watched], Awaitable[str]]) -> None:
        """One part of what is asked; note what was wrong."""
        try:
            problem = await read(watched)
        except Exception as error:  # noqa: BLE001 # one backend's odd answer must not end the asking
            problem = f"internal error: {type(error).__name__}"
        watched.failures = watched.failures + 1 if problem else 0
        if problem:
            self.catalog.failed(watched.index, problem, time.time())

    async def _read(self, watched: _Watched) -> str:
        """Ask for the list; gives what was wrong, "" if nothing."""
        path = watched.questions.list
        assert path is not None, "backends without a list are not watched"
        answer = await self._get(watched, path)
        if isinstance(answer, Answer) and answer.status in (404, 405, 501) and watched.questions.second:
            path = watched.questions.second
            answer = await self._get(watched, path)
        if isinstance(answer, Fault):
            return answer.message
        if answer.status != 200:
            return f"GET {path} was answered with status {answer.status}"
        now = time.time()
        known = self.catalog.known[watched.index]
        digest = hashlib.blake2b(answer.body).digest()
        if digest == watched.body and known.models is not None:
            # Mostly it is; a list of 600 KB takes 20 ms to read.
            models = list(known.models.values())
        else:
            found = parse_models(answer.body)
            if found is None:
                return f"GET {path} was answered with something that is no list of models"
            models = found
        watched.body = digest
        changed = self.catalog.learn(watched.index, models, now)
        self._unsaved = True
        if changed:
            self._save_soon()
        return ""

    async def _ask_about(self, watched: _Watched) -> str:
        """What a server tells only when it is asked about a model; it need not, so nothing is ever wrong."""
        questions = watched.questions
        models: list[ListedModel] = list((self.catalog.known[watched.index].models or {}).values())
        if questions.about_one is not None and len(models) == 1:
            answer = await self._get(watched, questions.about_one)
            if isinstance(answer, Answer) and answer.status == 200:
                self.catalog.tell(watched.index, models[0].id, parse_traits(answer.body))
        if questions.about_each is not None:
            told = self.catalog.known[watched.index].told
            for model in [model for model in models if model.id not in told][:MAX_TOLD]:
                answer = await watched.ask(
                    questions.about_each.encode(),
                    self._settings.timeout,
                    method=b"POST",
                    headers=[(b"content-type", b"application/json")],
                    body=msgspec.json.encode({"model": model.id}),
                )
                if isinstance(answer, Fault):
                    break
                traits = parse_traits(answer.body) if answer.status == 200 else UNKNOWN
                self.catalog.tell(watched.index, model.id, traits)
        return ""

    async def _get(self, watched: _Watched, path: str) -> Answer | Fault:
        return await watched.ask(path.encode(), self._settings.timeout, method=b"GET", headers=[], body=b"")

    def _save_soon(self) -> None:
        if self._directory is not None and (self._saving is None or self._saving.done()):
            self._saving = asyncio.get_running_loop().create_task(self._save_later())

    async def _save_later(self) -> None:
        await asyncio.sleep(SAVE_DELAY)
        self._unsaved = False
        # A disk may be slow, and streams are running.
        await asyncio.get_running_loop().run_in_executor(None, self._save, self._lists())

    def _save(self, lists: dict[str, KeptList]) -> None:
        if self._directory is None:
            return
        try:
            model_lists.write(self._directory, lists, time.time())
        except OSError as error:
            self._directory = None  # one warning is enough
            self._warn(f"lists of models are not kept over a restart: {error}; set `data_dir`")

    def _lists(self) -> dict[str, KeptList]:
        return {
            watched.kept_as: KeptList(known.listed_at, list(known.models.values()))
            for watched, known in zip(self._watched, self.catalog.known, strict=True)
            if known.models
        }


def _is_off(settings: Settings) -> bool:
    return settings.passthrough or not settings.discovery.interval


def kept_name(settings: BackendSettings) -> str:
    """By what a backend's list is found again: name and place, but no word of a credential."""
    parts = (settings.name, settings.provider, settings.url, settings.organization or "")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
