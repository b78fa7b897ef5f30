import re

import pytest

from trunkline.providers.base import Profile
from trunkline.providers.registry import ALIASES, PROVIDERS, close_names, find

ROWS = list(PROVIDERS.values())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_is_well_formed(row: Profile) -> None:
    assert find(row.name) is row
    assert re.fullmatch(r"[a-z][a-z0-9._-]*", row.name)
    assert row.health.startswith("/")
    assert all(re.fullmatch(r"[A-Z][A-Z0-9_]*_API_KEY|HF_TOKEN", name) for name in row.key_variables)
    # A key goes to the provider's own hosts only, so there must be one.
    assert bool(row.key_variables) <= bool(row.base_url or row.own_hosts)
    assert all(re.fullmatch(r"\.?[a-z0-9-]+(\.[a-z0-9-]+)+", host) for host in row.own_hosts)
    # What to write where no URL is known: an example, or what there is to say.
    assert row.base_url or row.url_example or row.note
    patterns = (*row.max_completion_tokens_for, *row.max_tokens_for)
    assert all(re.fullmatch(r"[a-z0-9.-]*\*", pattern) for pattern in patterns)
    assert all(page.startswith("https://") for page in (row.docs, row.status_page) if page)
    assert all(name == name.lower() for name in row.headers)
    assert not row.note or row.note.endswith(".")
    if row.base_url is not None:
        assert row.base_url.startswith("http://localhost:" if row.local else "https://")
        assert not row.base_url.endswith("/")


def test_no_key_is_for_two_providers() -> None:
    variables = [name for row in ROWS for name in row.key_variables]
    assert len(variables) == len(set(variables))


@pytest.mark.parametrize(
    ("name", "url", "variables"),
    [
        ("openai", "https://api.openai.com/v1", ("OPENAI_API_KEY",)),
        ("together", "https://api.together.xyz/v1", ("TOGETHER_API_KEY",)),
        ("groq", "https://api.groq.com/openai/v1", ("GROQ_API_KEY",)),
        ("mistral", "https://api.mistral.ai/v1", ("MISTRAL_API_KEY",)),
        ("deepseek", "https://api.deepseek.com/v1", ("DEEPSEEK_API_KEY",)),
        ("grok", "https://api.x.ai/v1", ("XAI_API_KEY", "GROK_API_KEY")),
        ("xai", "https://api.x.ai/v1", ("XAI_API_KEY", "GROK_API_KEY")),
        ("perplexity", "https://api.perplexity.ai", ("PERPLEXITY_API_KEY",)),
        ("azure", None, ("AZURE_OPENAI_API_KEY",)),
        ("anthropic", "https://api.anthropic.com/v1", ("ANTHROPIC_API_KEY",)),
        (
            "gemini",
            "https://generativelanguage.googleapis.com/v1beta/openai",
            ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        ),
        ("huggingface", "https://router.huggingface.co/v1", ("HF_TOKEN",)),
        ("cohere", "https://api.cohere.ai/compatibility/v1", ("COHERE_API_KEY", "CO_API_KEY")),
        ("banana", None, ()),
        ("fireworks", "https://api.fireworks.ai/inference/v1", ("FIREWORKS_API_KEY",)),
        ("anyscale", "https://api.endpoints.anyscale.com/v1", ("ANYSCALE_API_KEY",)),
        ("openrouter", "https://openrouter.ai/api/v1", ("OPENROUTER_API_KEY",)),
        ("ollama", "http://localhost:11434", ()),
        ("lmstudio", "http://localhost:1234", ()),
        ("vllm", None, ()),
        ("openai_compatible", None, ()),
        ("custom", None, ()),
    ],
)
def test_what_people_ask_for_is_there(name: str, url: str | None, variables: tuple[str, ...]) -> None:
    row = find(name)
    assert row is not None
    assert (row.base_url, row.key_variables) == (url, variables)


def test_every_provider_of_the_table_is_there() -> None:
    wanted = (
        "openai azure together anyscale perplexity groq mistral deepseek xai fireworks openrouter ollama vllm sglang "
        "llama.cpp localai lmstudio tgi trtllm aphrodite text-generation-webui litellm anthropic gemini cerebras "
        "nvidia huggingface runpod vast banana deepinfra cohere custom openai_compat"
    )
    assert set(PROVIDERS) == set(wanted.split())


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("openai", "gpt-4o-mini"),
        ("together", "meta-llama/Llama-3-70b-chat-hf"),
        ("anyscale", "meta-llama/Llama-2-70b-chat-hf"),
        ("perplexity", "llama-3.1-sonar-large-128k-online"),
        ("groq", "llama-3.1-70b-versatile"),
        ("mistral", "mistral-large-latest"),
        ("deepseek", "deepseek-chat"),
        ("grok", "grok-beta"),
        ("fireworks", "accounts/fireworks/models/llama-v3p1-70b-instruct"),
        ("openrouter", "meta-llama/llama-3.1-70b-instruct"),
        ("custom", None),
    ],
)
def test_default_models_are_those_that_programs_expect(name: str, model: str | None) -> None:
    row = find(name)
    assert row is not None
    assert row.default_model == model


def test_nothing_is_changed_for_what_is_not_known() -> None:
    row = PROVIDERS["custom"]
    assert (row.refuses, row.max_completion_tokens_for, row.max_tokens_for, row.stream_options) == (
        frozenset(),
        (),
        (),
        True,
    )


def test_aliases_lead_to_rows_and_hide_none() -> None:
    assert set(ALIASES.values()) <= set(PROVIDERS)
    assert not set(ALIASES) & set(PROVIDERS)


@pytest.mark.parametrize(
    ("name", "row"),
    [
        *(("Groq", "groq"), ("OpenAI", "openai"), ("vLLM", "vllm"), ("SGLang", "sglang"), ("xAI", "xai")),
        *(("LM Studio", "lmstudio"), ("lm-studio", "lmstudio"), ("lm_studio", "lmstudio")),
        *(("llama-cpp", "llama.cpp"), ("llama_cpp", "llama.cpp"), ("llamacpp", "llama.cpp")),
        *(("openai-compat", "openai_compat"), ("openai-compatible", "openai_compat")),
        *(("azure-openai", "azure"), ("Azure_OpenAI", "azure"), ("Google", "gemini"), ("Grok", "xai")),
    ],
)
def test_names_are_found_in_any_spelling(name: str, row: str) -> None:
    assert find(name) is PROVIDERS[row]


def test_no_two_names_are_one_but_for_their_spelling() -> None:
    rows: dict[str, str] = {}
    for name in (*PROVIDERS, *ALIASES):
        row = ALIASES.get(name, name)
        assert rows.setdefault(re.sub("[-_. ]", "", name.lower()), row) == row


@pytest.mark.parametrize("name", ["", " ", "-", "open", "ai"])
def test_nothing_else_is_found(name: str) -> None:
    assert find(name) is None


@pytest.mark.parametrize(
    ("name", "close"),
    [("vLMM", ["vllm"]), ("Groqq", ["groq", "grok"]), ("lm-studios", ["lmstudio"]), ("qqqqqq", [])],
)
def test_close_names_ignore_case(name: str, close: list[str]) -> None:
    assert find(name) is None
    assert close_names(name)[: len(close)] == close
    assert bool(close_names(name)) is bool(close)
