"""Two real llama.cpp servers and a real gateway in front of them, started once for all tests."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from tests.e2e.exchange import Server
from tests.e2e.processes import Trunkline, free_port
from trunkline.cli import llama

UPSTREAM_KEY = "sk-up"
GATEWAY_KEY = "sk-gateway"
CHAT_MODEL = llama.MODEL
EMBEDDING_MODEL = "smollm2-embed"
# A second one would spin for the first while the tests or other programs have the cores: minutes for seconds.
THREADS = 1


@pytest.fixture(scope="session")
def llama_directory() -> Path:
    """The environment of `trunkline demo`: installed once, used again by every run."""
    directory = llama.cache_directory()
    llama.install(directory, print)
    return directory


@pytest.fixture(scope="session")
def chat_upstream(llama_directory: Path) -> Iterator[Server]:
    """2 slots of 1024 tokens each."""
    settings = llama.LlamaSettings(
        model_path=llama.model_path(llama_directory),
        context=2048,
        parallel=2,
        threads=THREADS,
        api_key=UPSTREAM_KEY,
    )
    server = llama.start(llama_directory, settings)
    yield Server(server.url, UPSTREAM_KEY)
    server.stop()


@pytest.fixture(scope="session")
def embedding_upstream(llama_directory: Path) -> Iterator[Server]:
    settings = llama.LlamaSettings(
        model_path=llama.model_path(llama_directory),
        alias=EMBEDDING_MODEL,
        context=2048,
        threads=THREADS,
        api_key=UPSTREAM_KEY,
        embeddings=True,
    )
    server = llama.start(llama_directory, settings)
    yield Server(server.url, UPSTREAM_KEY)
    server.stop()


@pytest.fixture(scope="session")
def gateway(
    chat_upstream: Server, embedding_upstream: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """`trunkline serve` with both servers as backends; SIGTERM ends it, cleanly, after the last test."""
    port = free_port()
    config: dict[str, Any] = {
        "server": {"port": port},
        "admin": {"port": 0},
        "keys": [{"name": "e2e", "key": GATEWAY_KEY}],
        "backends": [
            {
                "name": "chat",
                "provider": "llama.cpp",
                "url": chat_upstream.url,
                "api_key": UPSTREAM_KEY,
                "models": [CHAT_MODEL],
            },
            {
                "name": "embeddings",
                "provider": "llama.cpp",
                "url": f"{embedding_upstream.url}/v1",
                "api_key": UPSTREAM_KEY,
                "models": [EMBEDDING_MODEL],
            },
        ],
    }
    # JSON is YAML.
    file = tmp_path_factory.mktemp("gateway") / "trunkline.yaml"
    file.write_text(json.dumps(config))
    process = Trunkline("serve", "--config", str(file))
    try:
        process.wait_for(lambda line: f"127.0.0.1:{port}" in line)
        yield Server(f"http://127.0.0.1:{port}", GATEWAY_KEY)
    finally:
        code = process.stop(signal.SIGTERM)
    assert code == 0, process.output
    assert "Traceback" not in process.output


@pytest.fixture(params=["direct", "gateway"])
def chat(request: pytest.FixtureRequest) -> Server:
    """The chat model's server itself, and the gateway in front of it."""
    return request.getfixturevalue("chat_upstream" if request.param == "direct" else "gateway")


@pytest.fixture(params=["direct", "gateway"])
def embeddings(request: pytest.FixtureRequest) -> Server:
    """The embedding model's server itself, and the gateway in front of it."""
    return request.getfixturevalue("embedding_upstream" if request.param == "direct" else "gateway")


@pytest.fixture
def client(chat: Server) -> Iterator[OpenAI]:
    """The openai SDK on the chat model, directly and through the gateway."""
    with chat.client() as client:
        yield client
