"""The clients, what each is asked to do, and their answers.

Owns the table of clients and of asks, running a client's program, and what a right stream is. Does not own what else
is right: the tests. A program is run once for all that is asked of it, because to import a client takes longer than
all its calls.
"""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.clients.npm import FOLDER, NODE
from trunkline.simulator.text import digest, words

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).parent / "programs"
REAL_MODEL = "smollm2"
PERSON = {"name": "Ada", "age": 36}
QUESTION = "Say hi."
"""What all programs ask."""
SEED = 5
"""Of the simulator: it decides all texts."""
_FINISHED = ("stop", "response.completed", None)
"""How a stream is said to have ended, in each client's words; None: it does not tell."""


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """One client: its program, its environment (a folder of .venv-clients, or node), the scenarios it knows."""

    name: str
    environment: str
    program: str
    scenarios: tuple[str, ...]

    @property
    def command(self) -> list[str]:
        """How its program is started."""
        if self.environment == "node":
            return [str(NODE), str(FOLDER / self.program)]
        return [str(python(self.environment)), str(PROGRAMS / self.program)]

    @property
    def missing(self) -> str:
        """Why it cannot be run here; empty if it can."""
        made = FOLDER / "node_modules" if self.environment == "node" else python(self.environment)
        return "" if made.exists() else f"{made.relative_to(ROOT)} is not there: `make test-clients` makes it"


def python(environment: str) -> Path:
    """The interpreter of an environment of clients."""
    return ROOT / ".venv-clients" / environment / "bin" / "python"


_OPENAI = ("plain", "stream", "stream_usage", "async_stream", "leave", "tools", "tool_stream", "structured")
_OPENAI_ALL = (*_OPENAI, "completions", "responses")

CLIENTS = (
    Client(name="openai-2", environment="openai2", program="with_openai.py", scenarios=_OPENAI_ALL),
    Client(name="openai-3", environment="openai3", program="with_openai.py", scenarios=_OPENAI_ALL),
    Client(
        name="langchain",
        environment="openai3",
        program="with_langchain.py",
        scenarios=(*_OPENAI, "structured_tool"),
    ),
    Client(
        name="pydantic-ai",
        environment="openai3",
        program="with_pydantic_ai.py",
        scenarios=(
            *("plain", "stream", "leave", "tools", "tool_stream"),
            *("structured_tool", "structured_tool_stream", "responses"),
        ),
    ),
    Client(
        name="llama-index",
        environment="openai2",
        program="with_llama_index.py",
        scenarios=("plain", "stream", "async_stream", "leave", "completions", "tools", "tool_stream"),
    ),
    Client(
        name="instructor",
        environment="openai2",
        program="with_instructor.py",
        scenarios=(
            *("structured", "structured_stream", "structured_schema_stream"),
            *("structured_tool", "structured_tool_stream", "structured_tool_async"),
        ),
    ),
    Client(
        name="node-openai",
        environment="node",
        program="with_openai.mjs",
        scenarios=(
            *("plain", "stream", "stream_usage", "helper_stream", "leave", "tools", "tool_stream"),
            *("structured", "completions", "responses"),
        ),
    ),
    Client(
        name="ai-sdk",
        environment="node",
        program="with_ai_sdk.mjs",
        scenarios=(
            *("plain", "stream", "stream_usage", "openai_chat", "leave", "tools", "tool_stream"),
            *("structured", "responses"),
        ),
    ),
)


class Ask(msgspec.Struct, frozen=True):
    """One thing that is asked of a client: a scenario, with a fault of the simulator or a model of its own."""

    scenario: str
    fault: str = ""
    model: str = ""

    def model_for(self, client: Client) -> str:
        """The model it is asked of: each client has one of the simulator's for itself, with texts of its own."""
        return self.model or f"sim-{client.name}{self.fault and '!'}{self.fault}"


class Told(msgspec.Struct, frozen=True):
    """What a client told of one ask: facts, or what it raised (names of classes, its causes' too)."""

    facts: dict[str, Any] = {}
    raised: list[str] = []
    says: str = ""
    traceback: str = ""

    @property
    def sound(self) -> dict[str, Any]:
        """The facts; fails with the client's own traceback if it raised."""
        assert not self.raised, self.traceback
        return self.facts


def text_for(client: Client) -> str:
    """What the simulator says to this client."""
    return "".join(words(digest(SEED, f"sim-{client.name}", QUESTION, 0)))


def check_stream(client: Client, told: Told) -> None:
    """The text came word for word, with one end, and with nothing in it that OpenAI's streams have not."""
    facts, text = told.sound, text_for(client)
    assert (facts["text"], facts["pieces"]) == (text, len(text.split()))
    assert facts["finish"] in _FINISHED
    assert facts.get("final", text) == facts.get("whole", text) == text
    assert facts.get("odd", []) == []


ASKED: list[Ask] = []
"""All that the tests ask, noted where they are defined."""


def asks(
    scenario: str, *others: str, fault: str = "", model: str = "", of: str = ""
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run the test `(client, told)` for every client that knows one of the scenarios, once for each.

    `of`: for these clients only, divided by spaces.
    """
    pairs: list[Any] = []
    for name in (scenario, *others):
        ask = Ask(name, fault, model)
        ASKED.append(ask)
        pairs += [
            pytest.param((client, ask), id=f"{client.name}-{name}", marks=_marks(client))
            for client in CLIENTS
            if name in client.scenarios and (not of or client.name in of.split())
        ]
    assert pairs
    return pytest.mark.parametrize("asked", pairs)


def _marks(client: Client) -> list[pytest.MarkDecorator]:
    return [pytest.mark.node] if client.environment == "node" else []


def run(client: Client, wanted: list[Ask], url: str, key: str) -> dict[Ask, Told]:
    """Run the client's program for all that is asked of it."""
    given = {
        "url": url,
        "key": key,
        "asks": [{"scenario": ask.scenario, "model": ask.model_for(client)} for ask in wanted],
    }
    # Nothing that the user has set reaches the clients, no proxy and no key of a real service.
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    done = subprocess.run(
        [*client.command, json.dumps(given)],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        env=kept | {"PYTHONDONTWRITEBYTECODE": "1", "NO_PROXY": "*"},
    )
    told = [msgspec.json.decode(line, type=Told) for line in done.stdout.splitlines()]
    assert len(told) == len(wanted), f"{client.name} stopped:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return dict(zip(wanted, told, strict=True))
