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
    assert all(re.fullmatch(r"[A-Z][A-Z0-9_]*_API_KEY", name) for name in row.key_variables)
    if row.key_variables:
        assert row.base_url is not None
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


def test_aliases_lead_to_rows_and_hide_none() -> None:
    assert set(ALIASES.values()) <= set(PROVIDERS)
    assert not set(ALIASES) & set(PROVIDERS)


@pytest.mark.parametrize(
    ("name", "close"),
    [("vLLM", ["vllm"]), ("Groq", ["groq", "grok"]), ("lm-studio", ["lmstudio"]), ("qqqqqq", [])],
)
def test_close_names_ignore_case(name: str, close: list[str]) -> None:
    assert find(name) is None
    assert close_names(name)[: len(close)] == close
    assert bool(close_names(name)) is bool(close)
