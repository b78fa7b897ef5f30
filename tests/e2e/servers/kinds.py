"""The real servers that tests compare with and without the gateway: how each is started, and what it is asked.

Owns the table. Does not own environments (environments.py) nor what is compared (test_*.py).

Which of them a run has is said by TRUNKLINE_TEST_SERVERS, names with blanks between; those that take longest to
install are for `make test-servers`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from tests.e2e.servers.environments import MODEL, environment, model_directory
from trunkline.cli import llama

KEY = "sk-up"
_LLAMA: dict[str, Any] = {"temperature": 0, "seed": 1, "cache_prompt": False}
_PLAIN: dict[str, Any] = {"temperature": 0, "seed": 1}


class Kind(NamedTuple):
    """One server. `command` gets a port and gives what to run with which environment; None: `trunkline demo`'s."""

    name: str
    provider: str
    command: Callable[[int], tuple[list[str], dict[str, str]]] | None
    fixed: dict[str, Any]
    """What makes an answer the same each time."""
    model: str = llama.MODEL
    key: str = KEY
    grammar: tuple[str, ...] = ()
    """Where a grammar (GBNF) stands that the model is held to; empty: nowhere."""
    refuses: frozenset[str] = frozenset()
    """Of REQUESTS (requests.py) those that it does not take."""
    takes: frozenset[str] = frozenset()
    """Of REFUSED those that it works on, for minutes."""
    several: dict[str, Any] = {}  # a constant
    """What it wants beside `n`."""
    embeddings: bool = False

    def held_to(self, grammar: str) -> dict[str, Any]:
        """The fields that hold the model to a grammar."""
        value: Any = grammar
        for name in reversed(self.grammar):
            value = {name: value}
        return value


def _llama_server(port: int) -> tuple[list[str], dict[str, str]]:
    # One thread: a second one would spin for the first while other programs have the cores.
    directory = llama.cache_directory()
    llama.install(directory, print)
    program = str(environment("llama-server") / "bin" / "llama-server-vulkan")
    model = ["-m", llama.model_path(directory), "--alias", llama.MODEL, "-c", "2048", "-np", "2", "-t", "1"]
    place = ["--host", "127.0.0.1", "--port", str(port), "--api-key", KEY]
    return [program, *model, *place, "--embeddings", "--pooling", "mean"], {}


def _vllm(port: int) -> tuple[list[str], dict[str, str]]:
    program = str(environment("vllm") / "bin" / "vllm")
    place = ["--host", "127.0.0.1", "--port", str(port), "--api-key", KEY]
    model = [str(model_directory()), "--served-model-name", llama.MODEL, "--max-model-len", "1024"]
    tools = ["--enable-auto-tool-choice", "--tool-call-parser", "hermes"]
    quiet = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    return [
        program,
        "serve",
        *model,
        *place,
        *tools,
        "--max-num-seqs",
        "4",
        "--enforce-eager",
    ], _OFFLINE | quiet


def _transformers(port: int) -> tuple[list[str], dict[str, str]]:
    program, model = environment("transformers") / "bin" / "transformers", model_directory()
    hub = model.parent / "hub-of-transformers"
    (hub / "hub").mkdir(parents=True, exist_ok=True)
    place = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    return [str(program), "serve", str(model), *place], _OFFLINE | {"HF_HOME": str(hub)}


def _mlx(port: int) -> tuple[list[str], dict[str, str]]:
    program = str(environment("mlx") / "bin" / "mlx_lm.server")
    return [program, "--model", str(model_directory()), "--host", "127.0.0.1", "--port", str(port)], _OFFLINE


# They have no limit of context.
_NO_LIMIT = frozenset({"overflow"})
_OFFLINE = {"HF_HUB_OFFLINE": "1"}

KINDS = {
    kind.name: kind
    for kind in (
        Kind("xllamacpp", "llama.cpp", None, _LLAMA, grammar=("grammar",)),
        Kind(
            "llama-server",
            "llama.cpp",
            _llama_server,
            _LLAMA,
            grammar=("grammar",),
            embeddings=True,
        ),
        Kind(
            "vllm",
            "vllm",
            _vllm,
            _PLAIN,
            grammar=("structured_outputs", "grammar"),
            # It refuses to give the same twice, but not nearly.
            several={"temperature": 0.01},
        ),
        Kind(
            "transformers", "openai_compat", _transformers, _PLAIN, model=str(MODEL), key="", takes=_NO_LIMIT
        ),
        Kind(
            "mlx",
            "openai_compat",
            _mlx,
            _PLAIN,
            model="default_model",
            key="",
            refuses=frozenset({"text with logprobs"}),
            takes=_NO_LIMIT,
        ),
    )
}
