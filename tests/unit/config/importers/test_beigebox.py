"""BeigeBox: what its keys become, and the traps in them."""

from pathlib import Path

import pytest

from tests.unit.config.importers.importing import BEIGEBOX, NEW_KEY, Made
from trunkline.errors import ConfigError

SEED = """backends:
  - provider: ollama
    name: ollama-primary
    url: http://ollama:11434
    priority: 1
    max_retries: 2

  - provider: openai_compat
    name: vllm-secondary
    url: http://vllm:8000
    priority: 2
    max_retries: 2

  - provider: openrouter
    name: openrouter-fallback
    url: https://openrouter.io/api/v1
    api_key: ${OPENROUTER_API_KEY}
    priority: 3
"""


def test_backends_with_their_settings(tmp_path: Path) -> None:
    made = Made(tmp_path, "beigebox", BEIGEBOX)
    assert made.rows() == [
        ("ollama-primary", "ollama", "http://ollama:11434"),
        ("vllm-secondary", "openai_compat", "http://vllm:8000/v1"),
        ("openrouter", "openrouter", "https://openrouter.ai/api/v1"),
    ]
    first, second, third = made.settings.backends
    assert (first.priority, first.max_retries, first.timeouts.total) == (1, 2, 90)
    assert first.default_model == "llama2"
    assert (second.latency_p95_threshold_ms, second.traffic_split, second.models) == (3000, 30, ["llama3*"])
    assert (second.timeouts.total, third.timeouts.total) == (120, 120), "BeigeBox's default is not ours"
    assert third.models == ["*/*"], "names without a slash never go to OpenRouter"
    assert third.priority == 99
    assert (made.settings.server.host, made.settings.server.port) == ("127.0.0.1", 8001)
    assert "`backends[1].api_key` is sent here; BeigeBox sends keys to OpenRouter only" in made.notes
    assert "not carried: `storage` (`type`, `path`)" in made.notes


def test_the_documented_example(tmp_path: Path) -> None:
    made = Made(tmp_path, "beigebox", SEED)
    assert [one.name for one in made.settings.backends] == [
        "ollama-primary",
        "vllm-secondary",
        "openrouter-fallback",
    ]
    assert "api_key: ${OPENROUTER_API_KEY:-}\n" in made.text
    assert any("openrouter.io; OpenRouter's API is at" in note for note in made.notes)
    assert "`backends` are used in BeigeBox with `backends_enabled: true` only; here they are" in made.notes


def test_without_routing_the_one_backend_counts(tmp_path: Path) -> None:
    text = BEIGEBOX.replace("backends_enabled: true", "backends_enabled: false")
    made = Made(tmp_path, "beigebox", text)
    assert made.rows() == [("ollama", "ollama", "http://localhost:11434")]
    assert made.settings.backends[0].timeouts.total == 60
    assert made.settings.backends[0].default_model == "llama2"
    assert made.notes.count("a backend that is not in use there: `backends_enabled` is not true") == 1 + 2


def test_backends_that_beigebox_skips_are_left_out(tmp_path: Path) -> None:
    text = "backends_enabled: true\nbackends: [{provider: zork, url: http://h}, {name: b}, {url: http://h}]\n"
    made = Made(tmp_path, "beigebox", text)
    assert made.rows() == [("ollama", "ollama", "http://h")]
    assert made.notes[:2] == [
        "the backend `zork` is left out, as BeigeBox does: there is no provider `zork`",
        "the backend `b` is left out, as BeigeBox does: it has no `url`",
    ]


@pytest.mark.parametrize(
    "allowed", ["allow_unqualified_models: true", "allowed_models: []\n    allow_unqualified_models: yes"]
)
def test_plain_names_may_go_to_openrouter(allowed: str, tmp_path: Path) -> None:
    text = f"backends:\n  - provider: openrouter\n    url: https://openrouter.ai/api/v1\n    {allowed}\n"
    assert Made(tmp_path, "beigebox", text).settings.backends[0].models is None
    runtime = "runtime: {allow_openrouter_for_plain_models: true}\n"
    assert (
        Made(tmp_path, "beigebox", runtime + text.partition("    allow")[0]).settings.backends[0].models
        is None
    )


def test_keys_are_in_variables(tmp_path: Path) -> None:
    made = Made(tmp_path, "beigebox", BEIGEBOX)
    assert [(key.name, key.key, key.models) for key in made.settings.keys] == [
        ("ci-runner", NEW_KEY, ["llama3.2"])
    ]
    assert f"key: ${{BB_CI_RUNNER_TOKEN:-{NEW_KEY}}}\n" in made.text
    made = Made(tmp_path, "beigebox", BEIGEBOX, {"BB_CI_RUNNER_TOKEN": "t"})
    assert "key: ${BB_CI_RUNNER_TOKEN}\n" in made.text


def test_a_key_that_is_written_down_is_carried_with_a_note(tmp_path: Path) -> None:
    made = Made(tmp_path, "beigebox", BEIGEBOX.replace('api_key: ""', "api_key: my$$secret"))
    assert made.settings.keys[0].key == "my$$secret"
    assert "`key` is a secret that is written down; better `${VARIABLE}`" in made.notes
    assert all("my$$secret" not in note for note in made.notes)


@pytest.mark.parametrize(("force", "block"), [("true", "params"), ("false", "defaults")])
def test_generation_parameters(force: str, block: str, tmp_path: Path) -> None:
    text = f"{SEED}generation: {{force: {force}, temperature: 0.5, top_p: ~, seed: 7}}\n"
    made = Made(tmp_path, "beigebox", text)
    assert made.text.count(f"    {block}:\n      temperature: 0.5\n      seed: 7\n") == 3


def test_names_are_made_fit(tmp_path: Path) -> None:
    text = "backends: [{name: a b, url: http://h}, {name: a/b, url: http://i}, {url: http://j}, {url: http://k}]\n"
    made = Made(tmp_path, "beigebox", text)
    assert [one.name for one in made.settings.backends] == ["a-b", "a-b-2", "ollama", "ollama-2"]
    assert len([note for note in made.notes if "must be unique, without blank" in note]) == 2


def test_timeouts_for_all_and_a_port_that_is_taken(tmp_path: Path) -> None:
    text = f"{SEED}timeouts: {{backend_seconds: 30, stream_stall_seconds: 20}}\nserver: {{port: 8081}}\n"
    made = Made(tmp_path, "beigebox", text)
    assert {(one.timeouts.total, one.timeouts.idle) for one in made.settings.backends} == {(30, 20)}
    assert made.settings.admin.port == 8082


@pytest.mark.parametrize(
    ("advertising", "note"),
    [
        ("{mode: hidden, prefix: 'bb:'}", "nothing to do here for `model_advertising.prefix`"),
        (
            "{mode: advertise, prefix: 'bb:'}",
            "`model_advertising.prefix` is not carried: models are listed by the names that work",
        ),
    ],
)
def test_names_of_models_are_shown_as_they_are(advertising: str, note: str, tmp_path: Path) -> None:
    assert note in Made(tmp_path, "beigebox", f"{SEED}model_advertising: {advertising}\n").notes


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("backends: [{url: http://h, timeout: soon}]", "1:37: backends[0].timeout: expected a number"),
        (
            "backends: [{url: http://h, max_retries: 1.5}]",
            "1:41: backends[0].max_retries: expected a whole number",
        ),
        ("backends: {}\n", "1:11: backends: expected a list, not keys and values"),
        ("backends: [x]\n", "1:12: backends[0]: expected keys and values, not a single value"),
        ("backends_enabled: perhaps", "1:19: backends_enabled: expected true or false"),
        ("backends: [{url: [a]}]", "1:18: backends[0].url: expected text, not a list"),
    ],
)
def test_wrong_types_are_told_with_their_place(text: str, line: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        Made(tmp_path, "beigebox", text)
    assert str(caught.value).splitlines()[0] == f"{tmp_path / 'source.yaml'}:{line}"
