"""The user's own router: a Python function that says which model a request is for, before the rules are asked.

Owns asking the function: how it is called, how long it may take, what its answers mean. Does not own finding it
(router_loading.py), what it sees (request_view.py), nor what becomes of the name it gives.

A function whose argument is annotated `str`, or called `text`, `prompt` or `query`, gets the last text of the user; all
others get the `RequestView`. A plain function runs in a thread, because it may block; a coroutine function
runs on the event loop, where it must not. It answers with one of

    a name                                     that model, public or of a backend
    {"model": ...}                             the same
    {"provider": ..., "model": ...}            that model at the backends of that provider, or at that backend
    {"backend": ...}, with "model" or without  at that backend; without: the model that was asked for
    None                                       the rules decide

Whatever else happens (an exception of any kind, no answer in time, something else as an answer) the rules decide too,
and a warning says so: one line a minute for each kind. It shows no text of the exception, which may quote the request.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any, cast

import msgspec

from trunkline.engine.request_view import RequestView
from trunkline.engine.router_loading import load_router
from trunkline.engine.router_threads import Threads

__all__ = ["Pinned", "RequestView", "Router", "load_router"]

MAX_OVERDUE = 64
"""Coroutines that go on although they were cancelled, with which the function is not asked any more."""
WARN_EVERY = 60.0  # seconds
MAX_NAME = 512  # characters, as of the model in a request

_TEXT_NAMES = frozenset(("text", "prompt", "query"))


class Pinned(msgspec.Struct, frozen=True, gc=False):
    """A model at one place: the name of a backend, or of a provider."""

    backend_or_provider: str
    model: str


Choice = Pinned | str | None


class _Failure(msgspec.Struct, frozen=True, gc=False):
    """Why there is no answer. `kind`: failures of one kind are told once a minute."""

    kind: str
    text: str


class _OddError(Exception):
    """`str()` says what the function gave."""


class Router:
    """Asks one function. One per event loop; `close` ends its threads. `name`: how warnings call it."""

    def __init__(
        self,
        function: Callable[[Any], Any],
        timeout: float,
        *,
        warn: Callable[[str], None],
        name: str = "router",
        time: Callable[[], float] = monotonic,
    ) -> None:
        self._function = function
        self._timeout = timeout
        self._warn = warn
        self._name = name
        self._time = time
        self._on_loop = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - an object that is called like a coroutine function
        )
        self._wants_text = _wants_text(function)
        self._threads = Threads()
        self._overdue: set[asyncio.Task[Any]] = set()
        self._warned: dict[str, float] = {}

    def __repr__(self) -> str:
        where = "on the loop" if self._on_loop else repr(self._threads)
        return f"<Router {self._name} {where}, {len(self._overdue)} overdue>"

    async def choose(self, view: RequestView) -> Choice:
        """What the function says about a request; None: the rules decide."""
        end = monotonic() + self._timeout
        ask = partial(self._ask, view.text if self._wants_text else view, view.model)
        found: Any = self._stuck()
        if found is None:
            found = ask() if self._on_loop else await self._in_thread(ask)
        if inspect.isawaitable(found):
            found = await self._awaited(found, view.model, end)
        if isinstance(found, _Failure):
            self._complain(found)
            return None
        return cast("Choice", found)

    def close(self) -> None:
        """Ask no more."""
        self._threads.close()
        for task in self._overdue:
            task.cancel()

    def _stuck(self) -> _Failure | None:
        if self._threads.stuck or len(self._overdue) >= MAX_OVERDUE:
            return _Failure("stuck", "is not asked, because earlier calls of it do not return")
        return None

    def _ask(self, argument: Any, model: str) -> Choice | _Failure | Awaitable[Any]:
        """Call the function."""
        try:
            found = self._function(argument)
            return found if inspect.isawaitable(found) else _choice(found, model)
        except BaseException as error:  # noqa: BLE001 - whatever it raises, the call goes on
            return _failure(error)

    async def _in_thread(self, ask: Callable[[], Any]) -> Any:
        try:
            return await self._threads.run(ask, self._timeout)
        except TimeoutError:
            return self._late()

    async def _awaited(self, awaitable: Awaitable[Any], model: str, end: float) -> Choice | _Failure:
        task = asyncio.get_running_loop().create_task(_guarded(awaitable, model))
        try:
            await asyncio.wait({task}, timeout=max(end - monotonic(), 0.0))
        finally:
            if not task.done():  # it is not waited for: it may go on all the same
                task.cancel()
                self._overdue.add(task)
                task.add_done_callback(partial(self._ended, awaitable))
        if not task.done():
            return self._late()
        return _Failure("raised", "raised CancelledError") if task.cancelled() else task.result()

    def _ended(self, awaitable: Awaitable[Any], task: asyncio.Task[Any]) -> None:
        self._overdue.discard(task)
        if inspect.iscoroutine(awaitable):
            awaitable.close()  # it may not have begun

    def _late(self) -> _Failure:
        return _Failure("late", f"gave no answer within {self._timeout:g} s (`router_timeout`)")

    def _complain(self, failure: _Failure) -> None:
        now = self._time()
        if now - self._warned.get(failure.kind, -inf) >= WARN_EVERY:
            self._warned[failure.kind] = now
            self._warn(f"router {self._name} {failure.text}; the rules decide")


async def _guarded(awaitable: Awaitable[Any], model: str) -> Choice | _Failure:
    """Await it; only its cancellation is an exception, because of others (SystemExit) a loop would end."""
    try:
        return _choice(await awaitable, model)
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - see above
        return _failure(error)


def _choice(found: object, asked: str) -> Choice:
    """Read an answer; raises _OddError."""
    if found is None:
        return None
    if isinstance(found, str):
        return _name(found)
    if isinstance(found, Pinned):
        return Pinned(_name(found.backend_or_provider), _name(found.model))
    if not isinstance(found, dict):
        raise _OddError(f"a value of type {type(found).__name__}")
    given = cast("dict[Any, Any]", found)
    model, place = given.get("model"), given.get("backend")
    if place is None:
        place = given.get("provider")
    if place is not None:
        return Pinned(_name(place), asked if model is None else _name(model))
    if model is None:
        raise _OddError("a dict without model, provider and backend")
    return _name(model)


def _name(value: object) -> str:
    if not isinstance(value, str):
        raise _OddError(f"a name of type {type(value).__name__}")
    name = str.__str__(value)  # of an enumeration, its value
    if not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise _OddError("a name that is empty, too long or not printable")
    return name


def _failure(error: BaseException) -> _Failure:
    if isinstance(error, _OddError):
        return _Failure("odd", f"gave {error}")
    trace = error.__traceback__
    inside = trace.tb_next if trace is not None else None
    where = "" if inside is None else f" ({Path(inside.tb_frame.f_code.co_filename).name}:{inside.tb_lineno})"
    return _Failure("raised", f"raised {type(error).__name__}{where}")


def _wants_text(function: Callable[[Any], Any]) -> bool:
    """Whether it wants the text alone."""
    try:
        first = next(iter(inspect.signature(function).parameters.values()), None)
    except (NameError, TypeError, ValueError):  # written in C, or annotated with what is not there
        return False
    if first is None or first.annotation in (RequestView, "RequestView"):
        return False
    return first.annotation in (str, "str") or first.name in _TEXT_NAMES
