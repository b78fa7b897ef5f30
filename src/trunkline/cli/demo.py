"""`trunkline demo`: a real small model behind the gateway, in one command.

Owns the order of things: port, model server, gateway, and their end. Does not own the model server (`llama.py`)
nor the gateway (`gateway/app.py`). Where the model server cannot be had, the simulator takes its place.
"""

import re
import signal
import socket
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from trunkline.cli import leash, llama
from trunkline.config.model import AdminSettings, Settings
from trunkline.errors import TrunklineError
from trunkline.gateway import app
from trunkline.net.listener import ServerSettings
from trunkline.routing.backend import BackendSettings
from trunkline.simulator.state import DEFAULT_MODELS

HOST = "127.0.0.1"
# What a shell reports for a program that SIGINT ended: the user's Ctrl-C before the gateway was there to take it.
INTERRUPTED = 128 + signal.SIGINT


def run(port: int = 8080) -> int:
    """Serve until Ctrl-C or SIGTERM; the result is the exit code. Port 0 picks a free one."""
    signal.signal(signal.SIGTERM, _terminate)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(
            signal.SIGINT, signal.default_int_handler
        )  # an exception: there is something to clean up
    try:
        port = _usable_port(port)
        with ExitStack() as stack:
            backend = _backend(stack)
            settings = Settings(
                server=ServerSettings(host=HOST, port=port),
                admin=AdminSettings(host=HOST, port=0),
                backends=[backend],
            )
            return app.serve(settings, announce=lambda line: _say(f"{line}\n{_example(port, backend)}"))
    except TrunklineError as error:
        print(f"trunkline demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def _backend(stack: ExitStack) -> BackendSettings:
    """Start a model server, stopped with `stack`, and describe it."""
    directory = llama.cache_directory()
    try:
        llama.install(directory, _say)
        server = llama.start(directory, llama.LlamaSettings(model_path=llama.model_path(directory)))
    except llama.LlamaUnavailableError as error:
        _say(f"No model server, running on the simulator instead: {error}")
        return _simulator(stack)
    stack.callback(server.stop)
    return BackendSettings(name="smollm2", provider="llama.cpp", url=server.url, models=[llama.MODEL])


def _simulator(stack: ExitStack) -> BackendSettings:
    log = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trunkline-demo-"))) / "simulator.log"
    child = leash.start(Path(sys.executable), ["-m", "trunkline.cli.main", "sim", "--port", "0"], log=log)
    stack.callback(leash.stop, child)
    ready = re.search(r"http://[\w.]+:\d+", leash.first_line(child))
    if ready is None:
        raise TrunklineError("the simulator did not start either; `trunkline sim --port 0` says why")
    return BackendSettings(name="simulator", url=ready.group(), models=list(DEFAULT_MODELS))


def _usable_port(port: int) -> int:
    """The port, or a free one for 0. Raises TrunklineError if it is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise TrunklineError(
                f"cannot listen on {HOST}:{port} ({error.strerror}); choose another port with --port"
            ) from error
        return int(probe.getsockname()[1])


def _example(port: int, backend: BackendSettings) -> str:
    model = backend.models[0] if backend.models else ""
    return (
        f"Try it:  curl http://{HOST}:{port}/v1/chat/completions -H 'content-type: application/json' "
        f"""-d '{{"model": "{model}", "messages": [{{"role": "user", "content": "Say hi."}}]}}'\n"""
        "Ctrl-C stops it."
    )


def _say(line: str) -> None:
    print(line, flush=True)


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    """SIGTERM before the gateway has taken over: leave by way of the clean-up."""
    raise SystemExit(128 + signal.SIGTERM)
