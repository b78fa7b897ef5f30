"""What each provider is to a gateway in front of it, written down a second time and apart from the table of rows.

Owns the expectations of this suite, one `Dialect` per row, and `behind`: a gateway with one backend, configured as a
user would, before the simulator in that provider's dialect. A row that changes by mistake differs from these.
"""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from tests.contract.gateway.harness import World, running
from trunkline.config.load import load
from trunkline.providers.base import Profile
from trunkline.providers.registry import PROVIDERS
from trunkline.simulator.app import start

ROWS = list(PROVIDERS.values())

_STRICT = ("chat_template_kwargs", "repetition_penalty", "top_k")
_OPENAI = {"gpt-5-mini": "max_completion_tokens", "o3": "max_completion_tokens", "gpt-4o": "max_tokens"}
_OLD: dict[str, str] = dict.fromkeys(("sim-small", "gpt-5-mini", "o3", "gpt-4o"), "max_tokens")
_TOO_LONG = (
    "This model's maximum context length is 2048 tokens. However, you requested 6751 tokens (6719 in the messages, "
    "32 in the completion). Please reduce the length of the messages or completion."
)
_NO_MODEL = "The model `x` does not exist."


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """What is expected of one provider.

    `drops`: fields that do not reach it; `renames`: those that do under another name. `limits`: under which name a
    model gets its token limit; others get it under the name that the client used. `models`: shape of its list in the
    simulator's words, None: it has none. `error`: what the simulator says in its form (the number of
    docs/simulator.md), and what the gateway takes it for.
    """

    drops: tuple[str, ...] = ()
    renames: dict[str, str] = {}
    limits: dict[str, str] = {}
    models: str | None = "openai"
    form: int = 1
    status: int = 400
    message: str = _TOO_LONG
    kind: str = "context_overflow"


DIALECTS: dict[str, Dialect] = {
    "openai": Dialect(
        drops=_STRICT,
        limits=_OPENAI,
        status=429,
        message="You exceeded your current quota, please check your plan and billing details.",
        kind="quota",
    ),
    "azure": Dialect(
        drops=_STRICT,
        limits=_OPENAI,
        form=2,
        message="The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
        kind="content_filter",
    ),
    "groq": Dialect(
        drops=(*_STRICT, "logit_bias", "logprobs", "prompt_cache_key", "top_logprobs", "verbosity"),
        models="groq",
        status=413,
        message="Request too large for model x on tokens per minute (TPM): Limit 6000, Requested 12328",
        kind="rate_limit",
    ),
    "mistral": Dialect(
        drops=(*_STRICT, "logit_bias", "logprobs", "stream_options", "top_logprobs", "user"),
        renames={"seed": "random_seed"},
        limits=_OLD,
        form=6,
        status=422,
        message="Extra inputs are not permitted",
        kind="invalid_request",
    ),
    "deepseek": Dialect(limits=_OLD, status=402, message="Insufficient Balance", kind="quota"),
    "together": Dialect(
        limits=_OLD,
        models="list",
        message="The dedicated endpoint for x is not running. Please visit https://api.together.ai/models to start it.",
        kind="model_not_found",
    ),
    "openrouter": Dialect(
        models="openrouter",
        form=11,
        status=429,
        message="x:free is temporarily rate-limited upstream. Please retry shortly.",
        kind="rate_limit",
    ),
    "xai": Dialect(
        drops=("presence_penalty",),
        form=3,
        message="Incorrect API key provided: na***ys. You can obtain an API key from https://console.x.ai.",
        kind="auth",
    ),
    "fireworks": Dialect(
        limits=_OLD,
        models="openrouter",
        message="Requests with max_tokens > 4096 must have stream=true",
        kind="invalid_request",
    ),
    "perplexity": Dialect(
        limits=_OLD, models=None, message="Invalid model 'x'. Permitted: sonar.", kind="invalid_request"
    ),
    "anyscale": Dialect(limits=_OLD, form=6, status=422, message="field required", kind="invalid_request"),
    "cerebras": Dialect(
        drops=(*_STRICT, "frequency_penalty", "logit_bias", "presence_penalty", "service_tier"),
        form=8,
        message="Please reduce the length of the messages or completion. Current length is 42328 while limit is 40000",
    ),
    "nvidia": Dialect(
        limits=_OLD, form=6, status=422, message="Input should be 'user'", kind="invalid_request"
    ),
    "deepinfra": Dialect(limits=_OLD, form=6, status=404, message=_NO_MODEL, kind="model_not_found"),
    "anthropic": Dialect(form=10, status=529, message="Overloaded", kind="overloaded"),
    "gemini": Dialect(
        drops=(*_STRICT, "frequency_penalty", "logit_bias", "presence_penalty", "prompt_cache_key", "seed"),
        form=14,
        message="The input token count (1200293) exceeds the maximum number of tokens allowed (1048576).",
    ),
    "cohere": Dialect(
        drops=(*_STRICT, "stream_options"),
        limits=_OLD,
        models=None,
        form=8,
        message="invalid request: message must be at least 1 token long.",
        kind="invalid_request",
    ),
    "huggingface": Dialect(
        form=3,
        status=402,
        message="You have exceeded your monthly included credits for Inference Providers.",
        kind="quota",
    ),
    "runpod": Dialect(models="vllm", form=4),
    "vast": Dialect(models="vllm", form=4, status=404, message=_NO_MODEL, kind="model_not_found"),
    "banana": Dialect(form=5, message="the model key is wrong", kind="invalid_request"),
    "ollama": Dialect(
        limits=_OLD,
        models="ollama",
        form=3,
        status=404,
        message="model 'x' not found, try pulling it first",
        kind="model_not_found",
    ),
    "lmstudio": Dialect(
        limits=_OLD,
        models="no_created",
        form=3,
        message="Trying to keep the first 10136 tokens when context the overflows. However, the model is loaded with "
        "context length of only 7866 tokens, which is not enough.",
    ),
    "llama.cpp": Dialect(
        limits=_OLD,
        models="llama.cpp",
        form=9,
        message="request (9000 tokens) exceeds the available context size (4096 tokens), try increasing it",
    ),
    "localai": Dialect(
        limits=_OLD, status=500, message="could not load model: rpc error", kind="server_error"
    ),
    "text-generation-webui": Dialect(
        limits=_OLD, form=6, status=422, message="field required", kind="invalid_request"
    ),
    "vllm": Dialect(models="vllm", form=4),
    "sglang": Dialect(
        models="vllm",
        form=4,
        message="The input (61709 tokens) is longer than the model's context length (40960 tokens).",
    ),
    "tgi": Dialect(
        limits=_OLD,
        models="name",
        form=7,
        status=422,
        message="Input validation error: `inputs` must have less than 4096 tokens. Given: 4545",
    ),
    "trtllm": Dialect(
        form=4,
        message="The sum of prompt length (9351.0), query length (0) should not exceed max_num_tokens (8192)",
    ),
    "aphrodite": Dialect(limits=_OLD, models="vllm", form=4),
    "litellm": Dialect(
        form=12,
        message="Invalid model name passed in model=x. Call `/v1/models` to view available models for your key.",
        kind="model_not_found",
    ),
    "custom": Dialect(form=15, message="invalid params, context window exceeds limit"),
    "openai_compat": Dialect(limits=_OPENAI, form=13),
}


def name_of(row: Profile) -> str:
    return row.name


@asynccontextmanager
async def behind(
    row: Profile,
    folder: Path,
    *,
    place: str = "",
    environ: Mapping[str, str] = {},
    discovery: float = 0.0,
    **settings: Any,
) -> AsyncGenerator[World]:
    """A gateway before the simulator in the dialect of a row; `settings` as in a file, `place`: path of its `url`.

    The world's first simulator is that one; the second is nobody's.
    """
    async with await start(seed=7, model_list=DIALECTS[row.name].models or "openai") as sim:
        # Each attempt is looked at: repeats have suites of their own (tests/failover).
        own = {"name": "a", "provider": row.name, "url": sim.url + place, "max_retries": 0}
        backend = own | settings
        async with configured(folder, backend, environ=environ, discovery=discovery) as world:
            world.sims.insert(0, sim)
            yield world


@asynccontextmanager
async def configured(
    folder: Path, *backends: dict[str, Any], environ: Mapping[str, str] = {}, discovery: float = 0.0
) -> AsyncGenerator[World]:
    """A gateway with backends as a file has them. `discovery`: seconds between two questions for their lists."""
    file = folder / "trunkline.yaml"
    file.write_text(json.dumps({"backends": backends}))
    loaded = load(file, environ)
    values = [
        {field: getattr(backend, field) for field in backend.__struct_fields__}
        for backend in loaded.settings.backends
    ]
    async with running(urls=[""] * (len(values) - 1), backends=values, discovery=discovery) as world:
        yield world


def fault(dialect: Dialect) -> str:
    """The header by which the simulator answers with the provider's error."""
    spec = f"error_form={dialect.form};status={dialect.status};message={quote(dialect.message, safe='')}"
    return f"x-sim-fault: {spec}\r\n"
