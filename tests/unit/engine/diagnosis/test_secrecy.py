"""Secrets are found in whatever form they are quoted, and nothing else is."""

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.config.model import Settings
from trunkline.engine.diagnosis.secrecy import MASK, RUN, Secrets, secrets_of, secrets_of_proxy
from trunkline.net.proxy import parse_proxy
from trunkline.policy.keys import KeySettings
from trunkline.routing.backend import BackendSettings

KEY = "sk-0123456789/Ab+cd"


def knowing(*known: str) -> Secrets:
    secrets = Secrets()
    for secret in known:
        secrets.add(secret)
    return secrets


@pytest.mark.parametrize(
    "form",
    [
        KEY,
        KEY.upper(),
        KEY[:12],
        KEY[-9:],
        quote(KEY, safe=""),
        json.dumps(KEY)[1:-1],
        base64.b64encode(KEY.encode()).decode().rstrip("="),
    ],
)
def test_every_form_of_a_long_secret_is_masked(form: str) -> None:
    assert knowing(KEY).conceal(f"refused: {form}!") == f"refused: {MASK}!"


def test_text_without_a_secret_is_untouched() -> None:
    text = "Ollama says: model not found, İstanbul"
    assert knowing(KEY, "none", "x", "").conceal(text) == text
    assert knowing(KEY).conceal(f"İ {KEY}") == f"İ {MASK}"


def test_short_secrets_are_masked_in_the_words_of_others_as_whole_words() -> None:
    secrets = knowing("ollama", "x")
    assert secrets.conceal("`ollama pull x`") == "`ollama pull x`"
    assert secrets.quote("key ollama of ollamas, x") == f"key {MASK} of ollamas, x"


def test_words_of_others_are_one_short_line() -> None:
    secrets = knowing(KEY)
    assert secrets.quote(f"a\r\n\tb\x1b[31m {KEY}") == f"a b [31m {MASK}"
    assert secrets.quote("word " * 100, 20) == "word word word wo..."
    assert repr(secrets).startswith("<Secrets of ")
    assert KEY not in repr(secrets)


def test_the_secrets_of_settings() -> None:
    settings = Settings(
        keys=[KeySettings(name="k", key="key-of-our-own-client")],
        backends=[
            BackendSettings(
                name="a",
                url="http://h/path-that-is-a-secret-too/v1?code=query-secret-1&api-version=2024-06-01",
                api_key="api-key-0123",
                client_secret="client-secret-0123",
                headers={"Authorization": "Bearer header-0123", "User-Agent": "everybody/1"},
                proxy="user:proxy-pass-0123@proxy:3128",
                token_url="http://[",
            )
        ],
    )
    secrets = secrets_of(settings)
    for secret in (
        *("key-of-our-own-client", "path-that-is-a-secret-too", "query-secret-1", "api-key-0123"),
        *("client-secret-0123", "header-0123", "proxy-pass-0123", "user:proxy-pass-0123"),
    ):
        assert secrets.conceal(f"({secret})") == f"({MASK})", secret
    open_text = "2024-06-01 at proxy:3128 by everybody/1"
    assert secrets.conceal(open_text) == open_text


def test_the_secrets_of_a_proxy() -> None:
    found = list(secrets_of_proxy(parse_proxy("http://me:pass-word-1@proxy:1")))
    assert found == [base64.b64encode(b"me:pass-word-1").decode(), "me:pass-word-1", "pass-word-1"]
    assert list(secrets_of_proxy(parse_proxy("http://proxy:1"))) == []


@given(st.text(min_size=RUN, max_size=40), st.text(max_size=60), st.text(max_size=60), st.data())
def test_no_run_of_a_secret_is_left(secret: str, before: str, after: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(secret) - RUN))
    end = data.draw(st.integers(start + RUN, len(secret)))
    shown = knowing(secret).conceal(before + secret[start:end] + after)
    assert not any(secret[at : at + RUN] in shown for at in range(len(secret) - RUN + 1))
