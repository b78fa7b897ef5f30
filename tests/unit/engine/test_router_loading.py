"""engine/router_loading.py: from a setting to a function, and the words where there is none."""

import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import cast

import pytest

from trunkline.engine.router_loading import load_router
from trunkline.errors import ConfigError

MODULE = """
NOT_A_FUNCTION = {"a": 1}

def choose(text):
    return "one"

def with_more(view, models=("a", "b"), *, quick=False):
    return models[0]

def any_number(*things): ...
def nothing(): ...
def two(view, other): ...
def by_name_only(*, text): ...
def annotated(view: "Missing"): ...

class Chooser:
    def __call__(self, view):
        return "called"
    def method(self, view):
        return "method"

chooser = Chooser()
"""


@pytest.fixture(autouse=True)
def interpreter() -> Iterator[None]:
    """Give it back as it was."""
    path, modules = list(sys.path), dict(sys.modules)
    yield
    sys.path[:] = path
    for name in [name for name in sys.modules if name not in modules]:
        del sys.modules[name]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my_routes.py").write_text(MODULE)
    return tmp_path


def problem(spec: str, folder: Path | None) -> str:
    with pytest.raises(ConfigError) as caught:
        load_router(spec, folder)
    return str(caught.value).replace(str(folder), "FOLDER")


@pytest.mark.parametrize(
    ("name", "gives"),
    [
        ("choose", "one"),
        ("with_more", "a"),
        ("any_number", None),
        ("annotated", None),
        ("chooser", "called"),
        ("chooser.method", "method"),
    ],
)
def test_what_takes_one_argument_is_found(folder: Path, name: str, gives: str | None) -> None:
    assert load_router(f"my_routes:{name}", folder)("hello") == gives


def test_functions_of_which_nothing_is_known_are_taken() -> None:
    assert load_router("builtins:max", None) is max


def test_installed_modules_and_packages_are_found(folder: Path) -> None:
    (folder / "house").mkdir()
    (folder / "house" / "rooms.py").write_text("from my_routes import choose")
    assert load_router("house.rooms:choose", folder)("") == "one"
    assert load_router("posixpath:basename", None)("a/b") == "b"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            "my_routes",
            "`router`: `my_routes` is not of the form `module:function`; write `mymodule:choose` for",
        ),
        ("my_routes.py:choose", "write `mymodule:choose` for the function `choose` of mymodule.py"),
        ("my-routes:choose", "`my-routes:choose` is not of the form"),
        ("my_routes:choose()", "is not of the form"),
        (":choose", "is not of the form"),
        ("my_routes:", "is not of the form"),
        (
            "my_router:choose",
            "`my_router:choose`: there is no module `my_router`; put it in FOLDER, or install it",
        ),
        ("json.nothing:choose", "there is no module `json.nothing`; put it in FOLDER"),
        ("my_routes:chose", "`my_routes` has no `chose`; did you mean `choose`?"),
        ("my_routes:zzz", "`my_routes` has no `zzz`; define `zzz` there"),
        ("my_routes:chooser.x", "`my_routes` has no `x`; define `x` there"),
        ("my_routes:NOT_A_FUNCTION", "is a value of type dict; it must be a function of one argument"),
        ("my_routes:Chooser", "is a class; it must be a function of one argument"),
        ("my_routes:nothing", "takes (); it must take one argument: the request, or its text"),
        ("my_routes:two", "takes (view, other); it must take one argument"),
        ("my_routes:by_name_only", "takes (*, text); it must take one argument"),
    ],
)
def test_what_is_wrong_is_said_with_its_remedy(folder: Path, spec: str, words: str) -> None:
    assert words in problem(spec, folder)


def test_without_a_file_the_usual_places_are_named() -> None:
    assert "put it where Python looks for modules" in problem("my_routes:choose", None)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import not_installed_here", "`broken` needs a module that is not there: No module named 'not_inst"),
        ("def f(:", "loading `broken` failed with SyntaxError: "),
        ("1 / 0", "loading `broken` failed with ZeroDivisionError: division by zero"),
        ("import sys; sys.exit(3)", "loading `broken` failed with SystemExit: 3"),
        ("raise GeneratorExit('odd')", "loading `broken` failed with GeneratorExit: odd"),
        ("class E(BaseException):\n    def __str__(self): raise self\nraise E", "`broken` failed with E"),
        ("def __getattr__(name): raise SystemExit(name)", "loading `broken` failed with SystemExit: f"),
    ],
)
def test_a_module_that_cannot_be_loaded_is_a_configuration_error(
    folder: Path, source: str, words: str
) -> None:
    (folder / "broken.py").write_text(source)
    assert words in problem("broken:f", folder)
    assert "broken" not in sys.modules or "__getattr__" in source


def in_a_thread(work: Callable[[], object]) -> object:
    """What it gives, or raises."""

    def kept() -> object:
        try:
            return work()
        except BaseException as error:  # noqa: BLE001 - told
            return error

    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(kept()))
    thread.start()
    thread.join()
    return found[0]


def test_an_interrupt_is_of_the_user_at_the_start_and_of_the_module_later(folder: Path) -> None:
    (folder / "broken.py").write_text("raise KeyboardInterrupt('no')")
    with pytest.raises(KeyboardInterrupt):
        load_router("broken:f", folder)
    raised = in_a_thread(lambda: load_router("broken:f", folder))
    assert isinstance(raised, ConfigError)
    assert "loading `broken` failed with KeyboardInterrupt: no" in str(raised)


HANGING = """
import sys
def choose(text): return "late"
place = sys.modules["meeting_place"]
place.begun.set()
place.free.wait()
if place.fails: raise ValueError
"""


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("where", ["my_routes", "house.rooms", "street.house"])
def test_a_module_that_hangs_while_it_is_loaded_holds_up_no_other(
    folder: Path, where: str, *, fails: bool
) -> None:
    place = SimpleNamespace(begun=threading.Event(), free=threading.Event(), fails=fails)
    sys.modules["meeting_place"] = cast("ModuleType", place)
    for name in ("house", "street"):
        (folder / name).mkdir()
    (folder / "house" / "__init__.py").write_text("ANSWER = 'mended'")  # and the other has none
    file = folder / f"{where.replace('.', '/')}.py"
    file.write_text("def choose(text): return 'first'")
    spec = f"{where}:choose"
    assert load_router(spec, folder)("") == "first"
    file.write_text(HANGING)
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(in_a_thread(lambda: load_router(spec, folder))))
    thread.start()
    try:
        assert place.begun.wait(20)
        file.write_text("def choose(text): return 'mended'")
        assert load_router(spec, folder)("") == "mended"
        mended = sys.modules[where]
    finally:
        place.free.set()
        thread.join()
    assert isinstance(found[0], ConfigError) == fails
    assert sys.modules[where] is mended, "who comes last"
    assert load_router(spec, folder)("") == "mended"


def test_a_module_of_somebody_elses_package_that_fails_leaves_nothing(folder: Path) -> None:
    (folder / "house").mkdir()
    (folder / "house" / "broken.py").write_text("1 / 0")
    sys.path.insert(0, str(folder))
    importlib.import_module("house")
    assert "ZeroDivisionError" in problem("house.broken:f", None)
    assert "house" in sys.modules
    assert "house.broken" not in sys.modules


def test_loading_again_takes_up_changes_and_leaves_the_function_before_as_it_was(folder: Path) -> None:
    file = folder / "my_routes.py"
    file.write_text("ANSWER = 'old'\ndef choose(text): return ANSWER")
    old = load_router("my_routes:choose", folder)
    file.write_text("ANSWER = 'newer'\ndef choose(text): return ANSWER")
    new = load_router("my_routes:choose", folder)
    assert (old(""), new("")) == ("old", "newer")
    file.write_text("ANSWER = 'broken'\n1 / 0")
    assert "ZeroDivisionError" in problem("my_routes:choose", folder)
    assert (old(""), new("")) == ("old", "newer")
    assert sys.modules["my_routes"].ANSWER == "newer"


def test_a_package_is_loaded_again_as_a_whole(folder: Path) -> None:
    house = folder / "house"
    house.mkdir()
    (house / "__init__.py").write_text("ANSWER = 'old'")
    (house / "rooms.py").write_text("from house import ANSWER\ndef choose(text): return ANSWER")
    old = load_router("house.rooms:choose", folder)
    (house / "__init__.py").write_text("ANSWER = 'newer'")
    assert load_router("house.rooms:choose", folder)("") == "newer"
    before = sys.modules["house"]
    (house / "rooms.py").write_text("from house import ANSWER, MISSING")
    assert "ImportError" in problem("house.rooms:choose", folder)
    assert (old(""), sys.modules["house"]) == ("old", before)


def test_the_folder_comes_first_and_once(folder: Path) -> None:
    load_router("my_routes:choose", folder)
    load_router("my_routes:choose", folder)
    assert sys.path[0] == str(folder.resolve())
    assert sys.path.count(str(folder.resolve())) == 1


def test_modules_from_elsewhere_are_not_loaded_again(folder: Path) -> None:
    before = sys.modules["posixpath"]
    load_router("posixpath:basename", folder)
    load_router("posixpath:basename", folder)
    assert sys.modules["posixpath"] is before
