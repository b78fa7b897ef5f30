"""Parameters of requests that LiteLLM's entries hold.

Owns which of an entry's keys are parameters, and what becomes of them: defaults, which clients override, and removals.
"""

from trunkline.config.importers.draft import Leaf, Tree
from trunkline.config.importers.litellm_settings import Shared
from trunkline.config.importers.source import Keys
from trunkline.config.tree import Scalar, Sequence

# In the order in which they are written.
_REQUEST = (
    "temperature", "top_p", "top_k", "min_p", "n", "stop", "seed", "max_tokens", "max_completion_tokens", "user",
    "presence_penalty", "frequency_penalty", "repetition_penalty", "logit_bias", "logprobs", "top_logprobs",
    "response_format", "reasoning_effort", "verbosity", "thinking", "stream", "stream_options", "service_tier",
    "parallel_tool_calls", "tool_choice", "tools", "num_ctx", "dimensions", "encoding_format", "modalities",
    "keep_alive", "chat_template_kwargs", "guided_json", "safety_settings", "store", "prediction", "audio",
)  # fmt: skip


def parameters(params: Keys, shared: Shared) -> tuple[dict[str, Tree], dict[str, Tree]]:
    """What is filled in where the client leaves it out, and what is removed."""
    defaults = dict(shared.defaults)
    for key in _REQUEST:
        value = params.plain(key)
        if value is not None:
            defaults[key] = value
    defaults |= params.plain_members("extra_body")
    dropped = params.take("additional_drop_params")
    nodes = dropped.items if isinstance(dropped, Sequence) else []
    forced: dict[str, Tree] = {
        node.text: Leaf(None, node.where) for node in nodes if isinstance(node, Scalar) and node.text
    }
    if params.truth("drop_params") is not False:
        params.needless("drop_params")
    return {key: value for key, value in defaults.items() if key not in forced}, forced
