"""providers/model_names.py: which names a server answers to, and what else it is asked."""

import pytest

from trunkline.providers import model_names
from trunkline.providers.model_list import ListedModel, parse_models
from trunkline.providers.model_names import Questions, names_of, questions_for
from trunkline.providers.model_traits import Traits
from trunkline.providers.registry import PROVIDERS


def listed(*names: str, **fields: object) -> list[ListedModel]:
    return [ListedModel(name, Traits(), dict(fields)) for name in names]


@pytest.mark.parametrize(
    ("provider", "names", "model", "found"),
    [
        ("vllm", ["llama3"], "llama3", True),
        ("vllm", ["llama3"], "Llama3", False),
        ("vllm", ["llama3"], "llama3:latest", False),
        ("openai_compat", ["sim-small"], "sim-small!status=503", False),
        ("vllm", ["models/mine"], "mine", False),
        ("ollama", ["llama3:latest", "qwen:7b"], "llama3", True),
        ("ollama", ["llama3:latest", "qwen:7b"], "llama3:latest", True),
        ("ollama", ["llama3:latest", "qwen:7b"], "llama3:70b", False),
        ("ollama", ["llama3:latest", "qwen:7b"], "qwen", False),
        ("gemini", ["gemini-2.5-pro"], "models/gemini-2.5-pro", True),
        ("openrouter", ["openai/gpt-4o"], "openai/gpt-4o:online", True),
        ("openrouter", ["openai/gpt-4o"], "llama3", False),
        ("openrouter", ["openai/gpt-4o"], "@preset/mine", None),
        ("huggingface", ["meta/llama"], "meta/llama:groq", True),
        ("litellm", ["gpt-4o", "openai/*"], "openai/o3", True),
        ("litellm", ["gpt-4o", "openai/*"], "anthropic/claude", False),
        ("anthropic", ["claude-sonnet-4-20250514"], "claude-sonnet-4-0", None),
        ("anthropic", ["claude-sonnet-4-20250514"], "gpt-4o", False),
        ("azure", ["gpt-4o"], "a-deployment", None),
        ("azure", ["gpt-4o"], "gpt-4o", True),
        ("openai", ["gpt-4o"], "ft:gpt-4o:org::id", None),
    ],
)
def test_what_a_list_says_about_a_name(
    provider: str, names: list[str], model: str, found: bool | None
) -> None:
    assert names_of(provider, listed(*names)).holds(model) is found


def test_aliases_in_the_list_are_names_and_are_not_shown() -> None:
    names = names_of("mistral", listed("mistral-large-2411", aliases=["mistral-large-latest", 7]))
    assert names.find("mistral-large-latest") == "mistral-large-2411"
    assert names.names == ("mistral-large-2411",)
    assert names_of("x", listed("a", aliases="b")).holds("b") is False


def test_an_alias_does_not_hide_a_model_and_patterns_are_not_shown() -> None:
    names = names_of("ollama", listed("m:latest", "m", "p/*"))
    assert (names.find("m"), names.find("m:latest")) == ("m", "m:latest")
    assert (names.names, names.patterns) == (("m:latest", "m"), ("p/*",))


@pytest.mark.parametrize(
    ("provider", "questions"),
    [
        ("openai", Questions("/v1/models")),
        ("perplexity", Questions(None)),
        ("cohere", Questions(None)),
        ("anthropic", Questions("/v1/models?limit=1000")),
        ("ollama", Questions("/v1/models", "/api/tags", None, "/api/show")),
        ("tgi", Questions("/v1/models", "/info", "/info")),
        ("llama.cpp", Questions("/v1/models", None, "/props")),
    ],
)
def test_what_a_family_is_asked(provider: str, questions: Questions) -> None:
    assert questions_for(PROVIDERS[provider]) == questions


def test_the_tables_name_providers_that_exist() -> None:
    for table in ("_UNLISTED", "_VARIANTS", "_LIST_QUERY", "_SECOND", "_ABOUT_ONE", "_ABOUT_EACH"):
        names = set(getattr(model_names, table))
        assert names <= PROVIDERS.keys(), table


def test_names_of_a_parsed_list() -> None:
    models = parse_models(b'{"models":[{"name":"models/gemini-x","inputTokenLimit":5}]}')
    assert models is not None
    assert names_of("gemini", models).find("models/gemini-x") == "gemini-x"
