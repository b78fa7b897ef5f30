"""Which settings of a backend are secrets, and how they may be quoted."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.credentials.base import mask
from trunkline.engine.secrets import SHORTEST, secrets_of
from trunkline.routing.backend import BackendSettings


def shown(text: str, **settings: Any) -> str:
    values: dict[str, Any] = {"name": "b", "url": "http://h", **settings}
    return mask(text.encode(), secrets_of(BackendSettings(**values))).decode()


@pytest.mark.parametrize(
    "settings",
    [
        {"api_key": "canary-1234"},
        {"client_secret": "canary-1234"},
        {"headers": {"X-Team": "canary-1234"}},
        {"headers": {"Authorization": "Bearer canary-1234"}},
        {"url": "http://h/v1?key=canary-1234"},
        {"url": "http://h/v1?a=b&sig=canary%2D1234&c"},
        {"token_url": "http://h/token?code=canary-1234"},
    ],
)
def test_what_is_masked(settings: dict[str, Any]) -> None:
    assert shown("you sent canary-1234!", **settings) == "you sent ***!"


@pytest.mark.parametrize(
    "settings",
    [
        {"api_key": "EMPTY"},
        {"api_key": "ollama"},
        {"headers": {"Accept": "application/json", "User-Agent": "my-program/1.0", "X-Flag": "on"}},
        {"headers": {"anthropic-beta": "context-1m-2025-08-07"}},
        {"url": "http://h/v1?api-version=2024-06-01-preview"},
        {"organization": "org-12345678"},
    ],
)
def test_what_is_not(settings: dict[str, Any]) -> None:
    text = "EMPTY ollama application/json my-program/1.0 on context-1m-2025-08-07 2024-06-01-preview org-12345678"
    assert shown(text, **settings) == text


@pytest.mark.parametrize(
    "word",
    [
        *(
            "not-needed",
            "not-required",
            "lm-studio",
            "sk-no-key-required",
            "no-key-required",
            "EMPTY",
            "ollama",
        ),
        *("dummy", "none", "anything", "Not-Needed", "LM-Studio", "your-api-key", "placeholder"),
    ],
)
def test_placeholders_are_words(word: str) -> None:
    text = f"the key {word} is not-needed: Bearer {word}"
    assert shown(text, api_key=word, client_secret=word) == text
    assert shown(text, headers={"Authorization": f"Bearer {word}"}) == text
    assert shown(text, headers={"X-Key": word}) == text
    assert shown(f"you sent {word}-1234567", api_key=f"{word}-1234567") == "you sent ***"


# With a digit: no placeholder has one.
@given(
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x17F), min_size=SHORTEST - 1).map("7".__add__)
)
def test_no_spelling_of_a_secret_is_left(secret: str) -> None:
    spellings = {
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        json.dumps(secret)[1:-1].replace("/", "\\/"),
        quote(secret, safe=""),
    }
    for spelling in spellings:
        assert shown(f"<{spelling}>", client_secret=secret) == "<***>"


def test_a_secret_in_a_url_is_found_as_it_was_written_too() -> None:
    url = "http://h/v1?sig=ab+cd%2Fef=="
    for text in ("ab+cd%2Fef==", "ab+cd/ef=="):
        assert shown(f"<{text}>", url=url) == "<***>"


@pytest.mark.parametrize(
    "text",
    [
        r"k-ab\u002Bcd\u0026ef\u003C1",
        r"k-ab\u002bcd\u0026ef\u003c1",
        "k-ab%2bcd%26ef%3c1",
        "k-ab%2Bcd%26ef%3C1",
    ],
)
def test_escapes_for_pages_and_urls_are_known_in_either_case(text: str) -> None:
    assert shown(f"<{text}>", api_key="k-ab+cd&ef<1") == "<***>"
