"""A real gateway in front of the simulator and of a real model, started once; each client's program is run once."""

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.suite import ASKED, REAL_MODEL, SEED, Ask, Client, Told, run
from tests.e2e.processes import Trunkline, free_port
from trunkline.cli import llama
from trunkline.simulator.app import SimulatorThread

KEY = "sk-clients"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "node: needs the Node clients, which `make test-clients` installs")


@pytest.fixture(scope="session")
def simulator() -> Iterator[SimulatorThread]:
    with SimulatorThread(seed=SEED) as running:
        yield running


@pytest.fixture(scope="session")
def real_model() -> Iterator[str]:
    """The URL of a llama.cpp server; installed once, used again by every run."""
    directory = llama.cache_directory()
    llama.install(directory, print)
    # One thread: several wait for each other where the machine is shared.
    settings = llama.LlamaSettings(
        model_path=llama.model_path(directory), alias=REAL_MODEL, context=2048, threads=1
    )
    server = llama.start(directory, settings)
    yield server.url
    server.stop()


@pytest.fixture(scope="session")
def gateway(
    simulator: SimulatorThread, real_model: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The gateway's URL, without /v1. Clients set no limit by themselves; the operator sets one for the real model."""
    port = free_port()
    config: dict[str, Any] = {
        "server": {"port": port},
        "admin": {"port": 0},
        "keys": [{"name": "clients", "key": KEY}],
        "backends": [
            {"name": "sim", "url": simulator.url, "models": ["sim-*", "llama3*"]},
            {
                "name": "real",
                "provider": "llama.cpp",
                "url": real_model,
                "models": [REAL_MODEL],
                "params": {"max_tokens": 24, "temperature": 0},
            },
        ],
    }
    file: Path = tmp_path_factory.mktemp("gateway") / "trunkline.yaml"
    file.write_text(json.dumps(config))
    process = Trunkline("serve", "--config", str(file))
    try:
        process.wait_for(lambda line: " ready on " in line)
        yield f"http://127.0.0.1:{port}"
    finally:
        code = process.stop(signal.SIGTERM)
    assert code == 0, process.output
    assert "Traceback" not in process.output


@pytest.fixture(scope="session")
def answers(gateway: str) -> Callable[[Client, Ask], Told]:
    """What a client told of an ask: its program is run when the first is wanted, for all of them."""
    known: dict[str, dict[Ask, Told]] = {}

    def told(client: Client, ask: Ask) -> Told:
        if client.name not in known:
            wanted = [ask for ask in dict.fromkeys(ASKED) if ask.scenario in client.scenarios]
            known[client.name] = run(client, wanted, f"{gateway}/v1", KEY)
        return known[client.name][ask]

    return told


@pytest.fixture
def client(asked: tuple[Client, Ask]) -> Client:
    """The client that the test is about; it is skipped where that is not installed."""
    client, _ = asked
    if client.missing:
        pytest.skip(client.missing)
    return client


@pytest.fixture
def told(asked: tuple[Client, Ask], client: Client, answers: Callable[[Client, Ask], Told]) -> Told:
    """What it told."""
    return answers(client, asked[1])
