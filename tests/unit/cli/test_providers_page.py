"""The provider table as its readers see it; the page in docs/ is the one that the rows make."""

import json
from pathlib import Path

from trunkline.cli.providers_page import as_json, as_markdown, as_text
from trunkline.providers.registry import ALIASES, PROVIDERS

PAGE = Path(__file__).parents[3] / "docs" / "providers.md"


def test_the_page_in_docs_is_up_to_date() -> None:
    assert PAGE.read_text() == as_markdown(), "run: trunkline providers --markdown > docs/providers.md"


def test_every_provider_is_on_the_page_once_with_what_it_is_good_for() -> None:
    page = as_markdown()
    for row in PROVIDERS.values():
        assert page.count(f"[{row.title}](") + page.count(f"` {row.title} |") == 1
        assert f"`{row.name}`" in page


def test_text_has_one_line_each_in_columns() -> None:
    head, *lines = as_text().splitlines()
    assert head.split() == ["PROVIDER", "KEY", "URL"]
    assert len(lines) == len(PROVIDERS)
    start = head.index("URL")
    places = {line.split(",")[0].split()[0]: line[start:] for line in lines}
    assert places["openai"] == "https://api.openai.com/v1"
    assert places["azure"] == "needs url, like https://RESOURCE.openai.azure.com"
    assert places["banana"] == "needs url"


def test_json_has_all_fields_and_the_aliases() -> None:
    rows = {row["name"]: row for row in json.loads(as_json())}
    assert list(rows) == list(PROVIDERS)
    assert rows["xai"]["aliases"] == ["grok"]
    assert rows["xai"]["key_variables"] == ["XAI_API_KEY", "GROK_API_KEY"]
    assert rows["openai"]["refuses"] == ["chat_template_kwargs", "repetition_penalty", "top_k"]
    assert {alias for row in rows.values() for alias in row["aliases"]} == set(ALIASES)
