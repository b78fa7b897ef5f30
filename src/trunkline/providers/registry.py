"""The provider table: one row per family of OpenAI-compatible servers.

Owns the rows, their aliases and the lookup by name. A new provider is a new row here (base URL and key variable
from the vendor's own page); deleting a dead one is deleting its row. Order matters in one place: a gateway started
from provider keys alone tries its backends in the order of this table.
"""

from difflib import get_close_matches

from trunkline.providers.base import Profile

_ROWS = (
    # Hosted: a key is all they need.
    Profile(name="openai", base_url="https://api.openai.com/v1", key_variables=("OPENAI_API_KEY",)),
    Profile(name="groq", base_url="https://api.groq.com/openai/v1", key_variables=("GROQ_API_KEY",)),
    Profile(name="mistral", base_url="https://api.mistral.ai/v1", key_variables=("MISTRAL_API_KEY",)),
    Profile(name="deepseek", base_url="https://api.deepseek.com/v1", key_variables=("DEEPSEEK_API_KEY",)),
    Profile(name="together", base_url="https://api.together.xyz/v1", key_variables=("TOGETHER_API_KEY",)),
    Profile(
        name="openrouter", base_url="https://openrouter.ai/api/v1", key_variables=("OPENROUTER_API_KEY",)
    ),
    Profile(name="xai", base_url="https://api.x.ai/v1", key_variables=("XAI_API_KEY", "GROK_API_KEY")),
    Profile(
        name="fireworks",
        base_url="https://api.fireworks.ai/inference/v1",
        key_variables=("FIREWORKS_API_KEY",),
    ),
    # A whole URL says that there is no /v1 in front of its paths.
    Profile(
        name="perplexity",
        base_url="https://api.perplexity.ai/chat/completions",
        key_variables=("PERPLEXITY_API_KEY",),
    ),
    Profile(
        name="anyscale", base_url="https://api.endpoints.anyscale.com/v1", key_variables=("ANYSCALE_API_KEY",)
    ),
    Profile(name="cerebras", base_url="https://api.cerebras.ai/v1", key_variables=("CEREBRAS_API_KEY",)),
    Profile(name="nvidia", base_url="https://integrate.api.nvidia.com/v1", key_variables=("NVIDIA_API_KEY",)),
    Profile(
        name="deepinfra", base_url="https://api.deepinfra.com/v1/openai", key_variables=("DEEPINFRA_API_KEY",)
    ),
    # Servers that people run themselves. Where the usual port is ambiguous the address must be configured.
    Profile(name="ollama", base_url="http://localhost:11434", local=True, health="/api/tags"),
    Profile(name="lmstudio", base_url="http://localhost:1234", local=True),
    Profile(name="llama.cpp", local=True, health="/health"),
    Profile(name="localai", local=True),
    Profile(name="vllm", local_when_private=True, health="/health"),
    Profile(name="tgi", local_when_private=True, health="/health"),
    Profile(name="sglang", local_when_private=True, health="/health"),
    Profile(name="trtllm", local_when_private=True, health="/health"),
    Profile(name="aphrodite", local_when_private=True, health="/health"),
    Profile(name="text-generation-webui", local=True),
    Profile(name="litellm", health="/health/liveliness"),
    # Anything else.
    Profile(name="custom"),
    Profile(name="openai_compat"),
)

PROVIDERS: dict[str, Profile] = {row.name: row for row in _ROWS}

ALIASES: dict[str, str] = {
    "grok": "xai",
    "llamacpp": "llama.cpp",
    "openai_compatible": "openai_compat",
}


def find(name: str) -> Profile | None:
    """The row of that name or alias."""
    return PROVIDERS.get(ALIASES.get(name, name))


def close_names(name: str) -> list[str]:
    """Up to three names that look like it, ignoring case."""
    by_folded = {known.lower(): known for known in (*PROVIDERS, *ALIASES)}
    return [by_folded[match] for match in get_close_matches(name.lower(), by_folded, n=3)]
