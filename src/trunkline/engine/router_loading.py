"""From `router: module:function` to the function.

Owns the import and the words for what is wrong with it. Does not own calling the function (router.py).

The folder of the configuration file comes first in the search for modules, as that of a program does. A module from
there is loaded anew each time, so that a reload of the configuration takes up what was changed in it; one that cannot
be loaded leaves the module before it as it was, and whoever runs with its function goes on.

A module may do anything while it is loaded. What it raises is a mistake in the configuration, except Ctrl-C in the main
thread, where a program starts and its user may want it to end. One that never ends keeps its thread (reload.py knows),
but not what others need for loading it when it was mended: modules are not imported under Python's lock for their name,
and who comes last keeps to `sys.modules` what it has loaded.
"""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from threading import current_thread, main_thread
from types import ModuleType
from typing import Any, cast

from trunkline.errors import ConfigError

_OURS = "__trunkline_router__"
"""Attribute of a module that was loaded here, and may be loaded again."""


def load_router(spec: str, directory: Path | None) -> Callable[[Any], Any]:
    """The function that `router` names. `directory`: of the configuration file.

    Raises:
        ConfigError: there is no such module or function, or it cannot be called with one argument.

    """
    try:
        return _function(spec, directory)
    except ConfigError:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and current_thread() is main_thread():
            raise
        module = spec.partition(":")[0]
        raise ConfigError(f"`router`: `{spec}`: loading `{module}` failed with {_words(error)}") from error


def _function(spec: str, directory: Path | None) -> Callable[[Any], Any]:
    name, _, path = spec.partition(":")
    words = [*name.split("."), *path.split(".")]
    if not all(word.isidentifier() for word in words) or name.endswith(".py"):
        raise ConfigError(
            f"`router`: `{spec}` is not of the form `module:function`; write `mymodule:choose` for the function "
            "`choose` of mymodule.py"
        )
    found: Any = _module(spec, name, directory)
    for part in path.split("."):
        if not hasattr(found, part):
            close = get_close_matches(part, dir(found), 1)
            hint = f"did you mean `{close[0]}`?" if close else f"define `{part}` there"
            raise ConfigError(f"`router`: `{spec}`: `{name}` has no `{part}`; {hint}")
        found = getattr(found, part)
    if inspect.isclass(found) or not callable(found):
        what = "a class" if inspect.isclass(found) else f"a value of type {type(found).__name__}"
        raise ConfigError(f"`router`: `{spec}` is {what}; it must be a function of one argument")
    function = cast("Callable[[Any], Any]", found)
    try:
        signature = inspect.signature(function)
    except (NameError, TypeError, ValueError):  # written in C, or annotated with what is not there
        return function
    try:
        signature.bind(None)
    except TypeError:
        raise ConfigError(
            f"`router`: `{spec}` takes {signature}; it must take one argument: the request, or its text"
        ) from None
    return function


def _module(spec: str, name: str, directory: Path | None) -> ModuleType:
    if directory is not None:
        folder = str(directory.resolve())
        sys.path[:] = [folder, *(entry for entry in sys.path if entry != folder)]
    importlib.invalidate_caches()
    try:
        return _load(name, directory)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise ConfigError(
                f"`router`: `{spec}`: `{name}` needs a module that is not there: {error}"
            ) from error
        where = f"in {directory}" if directory is not None else "where Python looks for modules"
        raise ConfigError(
            f"`router`: `{spec}`: there is no module `{error.name}`; put it {where}, or install it"
        ) from None


def _words(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except BaseException:  # noqa: BLE001 # a class of the module's
        return type(error).__name__


def _load(name: str, directory: Path | None) -> ModuleType:
    top = name.partition(".")[0]
    before: dict[str, ModuleType] = {}
    if hasattr(sys.modules.get(top), _OURS):
        before = {key: sys.modules.pop(key) for key in _below(top)}
    loaded: list[ModuleType] = []
    try:
        for end in [at for at, char in enumerate(name) if char == "."] + [len(name)]:
            _import(name[:end], directory, loaded)
        return sys.modules[name]
    except BaseException:
        # Not if it has taken so long that somebody else has loaded it meanwhile.
        if sys.modules.get(top) in (None, *loaded):
            for key in _below(top):
                del sys.modules[key]
            sys.modules.update(before)
        raise


def _import(name: str, directory: Path | None, loaded: list[ModuleType]) -> None:
    """Load one module, of which those above are there, without Python's lock for its name; add it to `loaded`."""
    if name in sys.modules:
        return
    spec = importlib.util.find_spec(name)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    module = importlib.util.module_from_spec(spec)
    above, _, last = name.rpartition(".")
    package = sys.modules.get(above)
    place = spec.origin or next(iter(spec.submodule_search_locations or ()), None)
    if directory is not None and place is not None and Path(place).is_relative_to(directory.resolve()):
        setattr(module, _OURS, True)
    loaded.append(module)
    sys.modules[name] = module
    try:
        if spec.loader is not None:  # a package without code has none
            spec.loader.exec_module(module)
    except BaseException:
        if sys.modules.get(name) is module:
            del sys.modules[name]
        raise
    if package is not None:
        setattr(package, last, module)


def _below(top: str) -> list[str]:
    """A module and all modules below it, of those that are loaded."""
    return [key for key in sys.modules if key == top or key.startswith(f"{top}.")]
