"""The provider table: one row per family of OpenAI-compatible servers.

Owns the order of the rows, their aliases and the lookup by name. A new provider is a new row in `hosted.py` or
`servers.py`; deleting a dead one is deleting its row.
"""

from difflib import get_close_matches

from trunkline.providers.base import Profile
from trunkline.providers.hosted import HOSTED
from trunkline.providers.servers import SERVERS

PROVIDERS: dict[str, Profile] = {row.name: row for row in (*HOSTED, *SERVERS)}

ALIASES: dict[str, str] = {
    "grok": "xai",
    "azure_openai": "azure",
    "google": "gemini",
    "hf": "huggingface",
    "llamacpp": "llama.cpp",
    "oobabooga": "text-generation-webui",
    "tensorrt-llm": "trtllm",
    "openai_compatible": "openai_compat",
}

_NO_MARKS = str.maketrans("", "", " -_.")


def _folded(name: str) -> str:
    return name.lower().translate(_NO_MARKS)


_BY_FOLDED = {_folded(name): PROVIDERS[ALIASES.get(name, name)] for name in (*PROVIDERS, *ALIASES)}


def find(name: str) -> Profile | None:
    """The row of that name or alias, in any spelling: `vLLM`, `lm-studio`, `llama_cpp`, `openai-compat`."""
    return _BY_FOLDED.get(_folded(name))


def close_names(name: str) -> list[str]:
    """Up to three names that look like it, ignoring case."""
    by_folded = {known.lower(): known for known in (*PROVIDERS, *ALIASES)}
    return [by_folded[match] for match in get_close_matches(name.lower(), by_folded, n=3)]
