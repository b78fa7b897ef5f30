"""Configurations of one client: the shapes of the documents, and settings of other names."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.config.examples import LOADS
from tests.unit.config.importers.importing import OPENAI_COMPATIBLE, Made
from trunkline.errors import ConfigError

# As documents show them, nothing between the stanzas.
STANZAS = """\
# OpenAI
type: "openai_compatible"
config:
  provider: "openai"
  api_key: "${OPENAI_API_KEY}"  # Can use environment variable
  default_model: "gpt-4o-mini"

# Together.ai
type: "openai_compatible"
config:
  provider: "together"
  api_key: "${TOGETHER_API_KEY}"
  default_model: "meta-llama/Llama-3-70b-chat-hf"
  zork: 1
"""


def test_stanzas(tmp_path: Path) -> None:
    made = Made(tmp_path, "openai_compatible", OPENAI_COMPATIBLE)
    assert made.rows() == [
        ("openai", "openai", "https://api.openai.com/v1"),
        ("custom", "custom", "https://your-api-endpoint.com/v1"),
    ]
    assert [one.default_model for one in made.settings.backends] == ["gpt-4o-mini", "your-model-name"]
    assert "    api_key: ${OPENAI_API_KEY:-}\n" in made.text
    assert "not carried: `config.requests_per_minute`" in made.notes
    assert any(note.endswith("with an empty default: OPENAI_API_KEY, CUSTOM_API_KEY") for note in made.notes)


def test_stanzas_that_follow_each_other(tmp_path: Path) -> None:
    made = Made(tmp_path, "openai_compatible", STANZAS)
    assert [one.provider for one in made.settings.backends] == ["openai", "together"]
    note = next(note for note in made.imported.notes if "zork" in note.text)
    assert note.where.endswith(":14:3"), "lines are those of the file"


@pytest.mark.parametrize("name", [name for name in LOADS if name != "our own"])
def test_what_loads_as_it_is_can_be_imported_too(name: str, tmp_path: Path) -> None:
    text, rows = LOADS[name]
    suffix = ".json" if text.startswith("{") else ".yaml"
    made = Made(tmp_path, "openai_compatible", text, name=f"source{suffix}")
    # A backend without a name is called like its provider.
    assert [row[1:] for row in made.rows()] == [row[1:] for row in rows]


def test_a_list_of_clients(tmp_path: Path) -> None:
    listed = [
        {"provider": "openai", "model": "gpt-3.5-turbo"},
        {
            "provider": "Groq",
            "model": "llama-3.1-8b-instant",
            "timeout": "30",
            "top_p": 0.9,
            "temperature": 0.2,
        },
        {
            "provider": "zork",
            "base_url": "0.0.0.0:8000/v1",
            "headers": {"A": 1},
            "models": "a",
            "default_model": None,
        },
    ]
    made = Made(tmp_path, "openai_compatible", json.dumps(listed), name="clients.json")
    assert made.rows() == [
        ("openai", "openai", "https://api.openai.com/v1"),
        ("groq", "groq", "https://api.groq.com/openai/v1"),
        ("custom", "custom", "http://127.0.0.1:8000/v1"),
    ]
    groq: Any = made.settings.backends[1]
    assert (groq.default_model, groq.timeouts.total) == ("llama-3.1-8b-instant", 30)
    fill = made.settings.shaping.backends["groq"].overrides.fill
    assert {name: bytes(value) for name, value in fill.items()} == {"top_p": b"0.9", "temperature": b"0.2"}
    assert (made.settings.backends[2].headers, made.settings.backends[2].models) == ({"A": "1"}, ["a"])
    assert "    api_key: ${API_KEY:-}\n" in made.text, "the variable of a custom client"


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("base_url: http://h\n", ("openai_compat", "http://h")),
        ("api_key: k\n", ("openai", "https://api.openai.com/v1")),
        (
            "type: openai\nbase_url: https://r.openai.azure.com\n",
            ("azure", "https://r.openai.azure.com/openai/v1"),
        ),
        ("provider: openai\nbase_url: http://h/v1\n", ("openai_compat", "http://h/v1")),
        (
            "provider: openai\nbase_url: https://eu.api.openai.com/v1\n",
            ("openai", "https://eu.api.openai.com/v1"),
        ),
        ("provider: grok\nbase_url: null\n", ("xai", "https://api.x.ai/v1")),
        ("type: groq\nprovider: openai_compatible\n", ("groq", "https://api.groq.com/openai/v1")),
        ("provider: custom\nbase_url: ${URL}\n", ("custom", "https://url.invalid")),
        ("url: ${URL:-http://h}\n", ("openai_compat", "http://h")),
    ],
)
def test_providers_and_addresses(text: str, row: tuple[str, str], tmp_path: Path) -> None:
    made = Made(tmp_path, "openai_compatible", text)
    assert made.rows()[0][1:] == row


def test_oauth_with_variables_that_are_not_set(tmp_path: Path) -> None:
    text = "base_url: http://h\nclient_id: ${ID}\nclient_secret: ${SECRET}\ntoken_url: ${TOKENS}\ntoken_scope: ${S}\n"
    backend = Made(tmp_path, "openai_compatible", text).settings.backends[0]
    assert (backend.client_id, backend.client_secret, backend.token_url) == ("...", "...", "...")
    environ = {"ID": "i", "SECRET": "s", "TOKENS": "https://t"}
    made = Made(tmp_path, "openai_compatible", text, environ)
    assert made.settings.backends[0].client_secret == "s"
    assert "client_secret: ${SECRET}\n" in made.text


def test_settings_of_a_research_program(tmp_path: Path) -> None:
    nested = (
        "llm:\n  provider: OPENAI_ENDPOINT\n  model: llama3\n  temperature: 0.7\n"
        "  openai_endpoint: {url: 'http://localhost:8000/v1', api_key: '', stream_usage: true}\n"
        "llm.max_tokens: 30000\nllm.model: other\nllm.zork: {}\nsearch.tool: x\n"
    )
    made = Made(tmp_path, "openai_compatible", nested)
    assert made.rows() == [("openai_compat", "openai_compat", "http://localhost:8000/v1")]
    assert made.settings.backends[0].default_model == "llama3"
    fill = made.settings.shaping.backends["openai_compat"].overrides.fill
    assert bytes(fill["max_tokens"]) == b"30000"
    for note in (
        "not carried: `search.tool`",
        "not carried: `llm.openai_endpoint.stream_usage`, `llm.zork`",
        "`llm.model` is not carried: it is there already",
    ):
        assert note in made.notes
    flat = json.dumps({"llm.provider": "OPENAI_ENDPOINT", "llm.openai_endpoint.url": "http://h/v1"})
    assert Made(tmp_path, "openai_compatible", flat).rows()[0][2] == "http://h/v1"


def test_files_that_are_there_are_named_in_full(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("x")
    text = "base_url: http://h\nca_bundle_path: ca.pem\nclient_cert_path: gone.pem\n"
    made = Made(tmp_path, "openai_compatible", text)
    assert made.settings.backends[0].ca_bundle_path == str(tmp_path / "ca.pem")
    assert "`client_cert_path` names a file that is not here, and is left out" in made.notes


def test_secrets_that_are_written_down(tmp_path: Path) -> None:
    made = Made(tmp_path, "openai_compatible", "base_url: http://h\napi_key: sk-$$x\n")
    assert made.settings.backends[0].api_key == "sk-$$x"
    assert "`api_key` is a secret that is written down; better `${VARIABLE}`" in made.notes
    text = "base_url: http://h\nheaders: {X-Token: abc-def, X-Team: a}\nclient_id: c\nclient_secret: s-e-c\ntoken_url: https://t\n"
    told = [
        note for note in Made(tmp_path, "openai_compatible", text).imported.notes if "secret" in note.text
    ]
    assert [(note.where.split(":", 1)[1], note.text.split()[0]) for note in told] == [
        ("2:20", "`X-Token`"),
        ("4:16", "`client_secret`"),
    ]
    made = Made(tmp_path, "openai_compatible", "base_url: http://h\napi_key: not-needed\n")
    assert made.notes == []


def test_values_that_stand_twice(tmp_path: Path) -> None:
    text = "base_url: http://h\nmodel: a\ndefault_model: b\nname: x y\nconfig: {timeout: 5}\ntimeout: 6\n"
    made = Made(tmp_path, "openai_compatible", text)
    backend = made.settings.backends[0]
    assert (backend.name, backend.default_model, backend.timeouts.total) == ("x-y", "a", 5)
    assert "`default_model` is not carried: `default_model` is there already" in made.notes
    assert "`timeout` is not carried: `timeout` is there already" in made.notes


def test_values_that_hold_nothing_are_values(tmp_path: Path) -> None:
    text = "base_url: http://h\nparams: {stop: [], user: null}\ndefaults: {x: {}, top_p: 1}\nseed: []\ntop_p: 2\n"
    made = Made(tmp_path, "openai_compatible", text)
    level = made.settings.shaping.backends["openai_compat"].overrides
    assert {name: bytes(value) for name, value in level.fill.items()} == {
        "x": b"{}",
        "top_p": b"1",
        "seed": b"[]",
    }
    assert ({name: bytes(value) for name, value in level.force.items()}, level.remove) == (
        {"stop": b"[]"},
        {"user"},
    )
    assert "`top_p` is not carried: `defaults.top_p` is there already" in made.notes


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("base_url: http://h\ndefaults: 5\ntop_p: 1\n", ":2:11: defaults: expected keys and values"),
        ('{"client_id": "a", "client_secret": "b", "token_url": "https://t"}', ""),
        (
            "base_url: ftp://h\n",
            ":1:11: cannot be carried: backends[0].url: must start with http:// or https://",
        ),
        ("base_url: http://h\nssl_verify: perhaps\n", ":2:13: ssl_verify: expected true or false"),
        (
            "base_url: http://h\nmax_retries: 99\n",
            ":2:14: cannot be carried: backends[0].max_retries: must be at most 10",
        ),
        ("base_url: http://h\nheaders: [a]\n", ":2:10: headers: expected keys and values, not a list"),
        ("zork: 1\n", ":1:1: nothing here could be made a backend of"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, words: str, tmp_path: Path) -> None:
    if not words:  # it is OpenAI's own address that is meant where there is none
        assert Made(tmp_path, "openai_compatible", text).settings.backends[0].client_id == "a"
        return
    with pytest.raises(ConfigError) as caught:
        Made(tmp_path, "openai_compatible", text)
    assert words in str(caught.value)
