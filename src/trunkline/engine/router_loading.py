"""From `router: module:function` to the function.

Owns the import and the words for what is wrong with it. Does not own calling the function (router.py).

The folder of the configuration file comes first in the search for modules, as that of a program does. A module from
there is loaded anew each time, so that a reload of the configuration takes up what was changed in it; one that cannot
be loaded leaves the module before it as it was, and whoever runs with its function goes on.
"""

import importlib
import inspect
import sys
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
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
    except (Exception, SystemExit) as error:  # a module may do anything when it is loaded
        raise ConfigError(
            f"`router`: `{spec}`: loading `{name}` failed with {type(error).__name__}: {error}"
        ) from error


def _load(name: str, directory: Path | None) -> ModuleType:
    top = name.partition(".")[0]
    before: dict[str, ModuleType] = {}
    if hasattr(sys.modules.get(top), _OURS):
        before = {key: sys.modules.pop(key) for key in _below(top)}
    try:
        module = importlib.import_module(name)
    except BaseException:
        if before:
            for key in _below(top):
                del sys.modules[key]
            sys.modules.update(before)
        raise
    file = getattr(sys.modules[top], "__file__", None)  # what is built in has none
    if directory is not None and file is not None and Path(file).is_relative_to(directory.resolve()):
        setattr(sys.modules[top], _OURS, True)
    return module


def _below(top: str) -> list[str]:
    """A module and all modules below it, of those that are loaded."""
    return [key for key in sys.modules if key == top or key.startswith(f"{top}.")]
