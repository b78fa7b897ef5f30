"""LiteLLM: deployments, models of several, settings for all, fallbacks."""

from pathlib import Path
from typing import Any

import pytest

from tests.unit.config.importers.importing import LITELLM, NEW_KEY, Made
from trunkline.errors import ConfigError


def one(params: str, name: str = "m", more: str = "") -> str:
    """A file with one deployment."""
    return f"model_list:\n  - model_name: '{name}'\n    litellm_params: {{{params}}}\n{more}"


def test_deployments_of_one_name_are_targets_of_one_model(tmp_path: Path) -> None:
    made = Made(tmp_path, "litellm", LITELLM)
    model = made.settings.models["gpt-4o"]
    assert [(target.backend, target.model, target.weight) for target in model.targets] == [
        ("azure-gpt-4o-eu", "gpt-4o-eu", 6),
        ("azure-gpt-4o-ca", "gpt-4o-ca", 18),
    ]
    assert (model.strategy, model.aliases) == ("weighted", ["gpt-4"])
    eu, ca = made.backend("azure-gpt-4o-eu"), made.backend("azure-gpt-4o-ca")
    assert (eu.provider, eu.deployment_name, eu.api_version) == ("azure", "gpt-4o-eu", "2024-06-01")
    assert eu.capabilities["gpt-4o-eu"].context_window == 128000
    assert eu.capabilities["gpt-4o-eu"].vision is True
    assert (eu.max_retries, eu.timeouts.total) == (3, 60)
    assert ca.url == "https://azure-api-base.invalid"
    assert "url: ${AZURE_API_BASE:-https://azure-api-base.invalid}\n" in made.text
    assert (
        "`model_list[0].litellm_params.rpm` is the weight of the target here; it is not a limit" in made.notes
    )


def test_parameters_are_defaults_and_dropped_ones_are_removed(tmp_path: Path) -> None:
    made = Made(tmp_path, "litellm", LITELLM)
    assert (
        "    defaults:\n      temperature: 0.2\n      max_tokens: 20\n    params:\n      user: null\n"
        in made.text
    )
    level = made.settings.shaping.models["local"].overrides
    assert {name: bytes(value) for name, value in level.fill.items()} == {
        "temperature": b"0.2",
        "max_tokens": b"20",
    }
    assert level.remove == {"user"}
    backend = made.backend("vllm-127.0.0.1")
    assert (backend.url, backend.api_key, backend.headers) == (
        "http://127.0.0.1:8000/v1",
        "none",
        {"X-Team": "a"},
    )


def test_values_that_hold_nothing_are_values(tmp_path: Path) -> None:
    params = (
        "model: openai/x, stop: [], logit_bias: {}, user: '', extra_headers: {}, "
        "extra_body: {thinking: {}, format: null, a: {b: [{}, []]}}"
    )
    made = Made(tmp_path, "litellm", one(params))
    fill = made.settings.shaping.models["m"].overrides.fill
    assert {name: bytes(value) for name, value in fill.items()} == {
        "stop": b"[]",
        "logit_bias": b"{}",
        "user": b'""',
        "thinking": b"{}",
        "format": b"null",
        "a": b'{"b":[{},[]]}',
    }
    assert "headers" not in made.text, "what is no value is not written"
    assert "timeouts" not in made.text


def test_values_that_hold_nothing_are_told_apart(tmp_path: Path) -> None:
    text = one("model: openai/x, stop: []") + one("model: openai/x, stop: {}").removeprefix("model_list:\n")
    levels = Made(tmp_path, "litellm", text).settings.shaping.backends
    assert [bytes(levels[name].overrides.fill["stop"]) for name in ("openai", "openai-2")] == [b"[]", b"{}"]


def test_other_apis_are_left_out_and_fallbacks_with_them(tmp_path: Path) -> None:
    made = Made(tmp_path, "litellm", LITELLM)
    assert [target.backend for target in made.settings.models["claude"].targets] == ["anthropic"]
    assert made.settings.models["small"].fallbacks == ["claude"]
    assert made.settings.models["small"].context_fallback == "gpt-4o"
    for note in (
        "a deployment of `claude` is left out: the API of `bedrock` is not spoken here",
        "a fallback of `small` is left out: there is no model `gone` here",
        "`local` is left out: there is one `context_fallback`",
        "10 repeats are the most there are here",
        "not carried: `litellm_settings.success_callback`",
        "not carried: `general_settings.database_url`",
    ):
        assert note in made.notes
    assert made.backend("anthropic").max_retries == 10
    small = made.backend("openai")
    assert (small.timeouts.total, small.timeouts.first_token) == (30, 10)


def test_settings_of_the_gateway(tmp_path: Path) -> None:
    made = Made(tmp_path, "litellm", LITELLM)
    assert made.settings.server.port == 4000
    assert [(key.name, key.key) for key in made.settings.keys] == [("master", NEW_KEY)]
    assert f"${{LITELLM_MASTER_KEY:-{NEW_KEY}}}" in made.text
    breaker = made.settings.breaker
    assert (breaker.failures, breaker.base_ejection, breaker.max_ejection) == (4, 30, 30)
    made = Made(tmp_path, "litellm", LITELLM, {"LITELLM_MASTER_KEY": "sk-1"})
    assert (made.settings.keys[0].key, "key: ${LITELLM_MASTER_KEY}\n" in made.text) == ("sk-1", True)
    more = "general_settings: {master_key: sk-1234, max_request_size_mb: 5}\n"
    made = Made(tmp_path, "litellm", one("model: gpt-4o", more=more))
    assert (made.settings.keys[0].key, made.settings.server.max_body) == ("sk-1234", 5 << 20)
    assert "`key` is a secret that is written down; better `${VARIABLE}`" in made.notes


@pytest.mark.parametrize(
    ("model", "provider", "name"),
    [
        ("gpt-4o", "openai", "gpt-4o"),
        ("openai/gpt-4o", "openai", "gpt-4o"),
        ("groq/llama-3.1-8b", "groq", "llama-3.1-8b"),
        ("together_ai/meta-llama/Llama-3", "together", "meta-llama/Llama-3"),
        ("openrouter/google/palm", "openrouter", "google/palm"),
        ("fireworks_ai/accounts/fireworks/models/x", "fireworks", "accounts/fireworks/models/x"),
        ("xai/grok-2", "xai", "grok-2"),
        ("gemini/gemini-1.5-pro", "gemini", "gemini-1.5-pro"),
        ("ollama_chat/llama3", "ollama", "llama3"),
        ("lm_studio/qwen", "lmstudio", "qwen"),
        ("claude-3-haiku", "anthropic", "claude-3-haiku"),
        ("command-r", "cohere", "command-r"),
        ("moonshot/kimi", "openai_compat", "kimi"),
    ],
)
def test_prefixes(model: str, provider: str, name: str, tmp_path: Path) -> None:
    made = Made(tmp_path, "litellm", one(f"model: {model}"))
    assert made.settings.backends[0].provider == provider
    assert made.settings.models["m"].targets[0].model == name


@pytest.mark.parametrize(
    ("params", "url"),
    [
        ("model: openai/x, api_base: http://h:8000", "http://h:8000"),
        ("model: openai/x, api_base: http://h:8000/v1", "http://h:8000/v1"),
        ("model: openai/x, api_base: https://h/some/proxy", "https://h/some/proxy/chat/completions"),
        ("model: openai/x, api_base: https://h/v1beta/openai/", "https://h/v1beta/openai/"),
        ("model: openai/x, api_base: os.environ/BASE", "https://base.invalid"),
        ("model: x, api_base: http://h", "http://h"),
        ("model: x, custom_llm_provider: hosted_vllm, api_base: http://h", "http://h"),
        ("model: azure_ai/x, api_base: https://h.models.ai.azure.com", "https://h.models.ai.azure.com"),
    ],
)
def test_addresses(params: str, url: str, tmp_path: Path) -> None:
    made = Made(tmp_path, "litellm", one(params))
    assert made.settings.backends[0].url == url
    assert made.settings.backends[0].provider in ("openai_compat", "vllm")


def test_a_key_of_openai_does_not_go_elsewhere(tmp_path: Path) -> None:
    made = Made(tmp_path, "litellm", one("model: openai/x, api_base: http://h"), {"OPENAI_API_KEY": "sk"})
    assert made.settings.backends[0].api_key == ""
    assert any("here nothing is sent" in note for note in made.notes)
    made = Made(tmp_path, "litellm", one("model: openai/x"), {"OPENAI_API_KEY": "sk"})
    assert made.settings.backends[0].api_key == "sk"


def test_azure_without_a_version_and_with_entra(tmp_path: Path) -> None:
    base = "model: azure/gpt-4, api_base: https://r.openai.azure.com"
    made = Made(tmp_path, "litellm", one(base))
    assert made.settings.backends[0].url == "https://r.openai.azure.com/openai/v1"
    assert "api_key: ${AZURE_API_KEY:-}\n" in made.text
    made = Made(tmp_path, "litellm", one(base), {"AZURE_API_VERSION": "2024-10-21"})
    assert made.settings.backends[0].deployment_name == "gpt-4"
    entra = "tenant_id: t, client_id: c, client_secret: os.environ/SECRET"
    made = Made(tmp_path, "litellm", one(f"{base}, {entra}"))
    backend = made.settings.backends[0]
    assert backend.token_url == "https://login.microsoftonline.com/t/oauth2/v2.0/token"
    assert (backend.client_secret, backend.api_key) == ("...", "")
    made = Made(tmp_path, "litellm", one(f"{base}, azure_ad_token: eyJ0"))
    assert (made.settings.backends[0].auth, made.settings.backends[0].api_key) == ("bearer", "eyJ0")


def test_deployments_that_ask_alike_share_a_backend(tmp_path: Path) -> None:
    text = "".join(
        one(f"model: openai/{name}, api_key: sk-{key}", name).removeprefix(
            "" if name == "a" else "model_list:\n"
        )
        for name, key in (("a", 1), ("b", 1), ("c", 2))
    )
    made = Made(tmp_path, "litellm", text)
    assert [item.targets[0].backend for item in made.settings.models.values()] == [
        "openai",
        "openai",
        "openai-2",
    ]


def test_each_organization_is_a_target(tmp_path: Path) -> None:
    made = Made(tmp_path, "litellm", one("model: openai/x, organization: [o1, os.environ/O2]"), {"O2": "o2"})
    assert [backend.organization for backend in made.settings.backends] == ["o1", "o2"]
    assert len(made.settings.models["m"].targets) == 2


def test_parameters_that_differ_go_to_the_backends(tmp_path: Path) -> None:
    text = one("model: openai/x, temperature: 0.1") + one("model: openai/y, temperature: 0.9").removeprefix(
        "model_list:\n"
    )
    made = Made(tmp_path, "litellm", text)
    levels = made.settings.shaping.backends
    assert [bytes(levels[name].overrides.fill["temperature"]) for name in ("openai", "openai-2")] == [
        b"0.1",
        b"0.9",
    ]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("simple-shuffle", "weighted"),
        ("least-busy", "least_busy"),
        ("latency-based-routing", "latency"),
        ("usage-based-routing-v2", "least_busy"),
        ("cost-based-routing", "cost"),
        ("zork", "weighted"),
    ],
)
def test_strategies(theirs: str, ours: str, tmp_path: Path) -> None:
    costs = "input_cost_per_token: 0.000001, output_cost_per_token: 0.000002"
    second = one("model: groq/y").removeprefix("model_list:\n")
    made = Made(
        tmp_path,
        "litellm",
        one(f"model: openai/x, {costs}") + second + f"router_settings: {{routing_strategy: {theirs}}}\n",
    )
    model = made.settings.models["m"]
    assert model.strategy == ours
    assert model.targets[0].price == (3 if ours == "cost" else None)
    assert any("routing_strategy" in note for note in made.notes) == (theirs[0] in "uz")


def test_orders_are_priorities(tmp_path: Path) -> None:
    text = one("model: openai/x, order: 2") + "".join(
        one(f"model: groq/{name}, order: 1").removeprefix("model_list:\n") for name in "ab"
    )
    made = Made(tmp_path, "litellm", text)
    model = made.settings.models["m"]
    assert (model.strategy, [target.priority for target in model.targets]) == ("priority", [2, 1, 1])
    assert any("is the same at several targets" in note for note in made.notes)


def test_a_deployment_without_a_weight_has_none(tmp_path: Path) -> None:
    text = one("model: openai/x, weight: 2") + one("model: groq/y, rpm: 9").removeprefix("model_list:\n")
    made = Made(tmp_path, "litellm", text)
    assert [target.weight for target in made.settings.models["m"].targets] == [2, 0]
    assert "not carried: `model_list[1].litellm_params.rpm`" in made.notes


def test_patterns(tmp_path: Path) -> None:
    made = Made(tmp_path, "litellm", one("model: openai/*", "*"))
    assert [(target.backend, target.model) for target in made.settings.models["*"].targets] == [
        ("openai", "")
    ]
    made = Made(tmp_path, "litellm", one("model: openai/gpt-*", "gpt-*"))
    assert made.settings.models["gpt-*"].targets[0].model == ""
    made = Made(tmp_path, "litellm", one("model: groq/llama-*", "groq/llama-*"))
    assert list(made.settings.models) == ["llama-*"]
    assert any("LiteLLM cuts `groq/` off" in note for note in made.notes)


def test_whole_providers(tmp_path: Path) -> None:
    both = one("model: groq/*", "groq/*") + one("model: openai/*", "openai/*").removeprefix("model_list:\n")
    made = Made(tmp_path, "litellm", both)
    assert (len(made.settings.backends), made.settings.models) == (2, {}), "their own lists tell the models"
    made = Made(tmp_path, "litellm", both + one("model: openai/x").removeprefix("model_list:\n"))
    assert [target.backend for target in made.settings.models["*"].targets] == ["groq", "openai"]
    made = Made(tmp_path, "litellm", both + one("model: openai/*", "*").removeprefix("model_list:\n"))
    assert any("there is a model `*`" in note for note in made.notes)


def test_fallbacks_of_all_kinds(tmp_path: Path) -> None:
    names = "".join(one("model: openai/x", name).removeprefix("model_list:\n") for name in "bcd")
    router = (
        "router_settings: {fallbacks: [{a: [b, {model: c, temperature: 1}]}], model_group_alias: {z: {model: d}}}\n"
        "litellm_settings:\n  content_policy_fallbacks: [{a: [b]}]\n"
        "  fallbacks: [{a: d, b: [z]}]\n  default_fallbacks: [d]\n"
    )
    made = Made(tmp_path, "litellm", one("model: openai/x", "a") + names + router)
    models = made.settings.models
    assert {name: models[name].fallbacks for name in "abcd"} == {
        "a": ["b", "c"],
        "b": ["z"],
        "c": ["d"],
        "d": [],
    }
    assert "not carried: `router_settings.temperature`" in made.notes
    assert any("content_policy_fallbacks" in note for note in made.notes)


def test_general_fallbacks_and_aliases_that_cannot_be(tmp_path: Path) -> None:
    more = (
        "router_settings: {model_group_alias: {a: {model: b, hidden: true}, b: a, q: none}}\n"
        "litellm_settings: {fallbacks: [{'*': [b]}]}\n"
    )
    text = one("model: openai/x", "a") + one("model: openai/x", "b").removeprefix("model_list:\n") + more
    made = Made(tmp_path, "litellm", text)
    assert made.settings.models["a"].fallbacks == ["b"]
    assert "the alias `q` is left out: there is no such model" in made.notes
    assert "the alias `a` is left out: it is a model itself" in made.notes


def test_a_file_sets_its_own_variables(tmp_path: Path) -> None:
    more = "environment_variables: {KEY: sk-given, OTHER: os.environ/ELSE}\n"
    made = Made(tmp_path, "litellm", one("model: openai/x, api_key: os.environ/KEY", more=more))
    assert made.settings.backends[0].api_key == "sk-given"
    assert "api_key: ${KEY:-sk-given}\n" in made.text
    made = Made(tmp_path, "litellm", one("model: openai/x, api_key: os.environ/OTHER", more=more))
    assert "api_key: ${ELSE:-}\n" in made.text


def test_headers_with_secrets(tmp_path: Path) -> None:
    headers = "Authorization: Bearer sk-abcdef12345678, X-Team: a, X-Api-Key: os.environ/K, Cookie: none"
    made = Made(tmp_path, "litellm", one(f"model: openai/x, api_key: none, headers: {{{headers}}}"))
    assert [note for note in made.notes if "is a secret" in note] == [
        "`Authorization` is a secret that is written down; better `${VARIABLE}`"
    ]
    lines = made.text.splitlines()
    at = next(at for at, line in enumerate(lines) if "`Authorization` is a secret" in line)
    assert lines[at + 1].strip() == "Authorization: Bearer sk-abcdef12345678"


def test_credentials_by_name(tmp_path: Path) -> None:
    more = "credential_list:\n  - {credential_name: c, credential_values: {api_key: os.environ/K, api_base: http://h}}\n"
    text = one("model: hosted_vllm/x, litellm_credential_name: c", more=more)
    made = Made(tmp_path, "litellm", text)
    assert (made.settings.backends[0].url, "${K:-}" in made.text) == ("http://h", True)
    made = Made(tmp_path, "litellm", one("model: openai/x, litellm_credential_name: gone"))
    assert any("names none that is here" in note for note in made.notes)


def test_settings_for_all_backends(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text("x")
    more = (
        "litellm_settings: {ssl_verify: ca.pem, drop_params: false}\n"
        "general_settings: {background_health_checks: true, max_parallel_requests: 7}\n"
        "router_settings: {timeout: 9, stream_timeout: 3, default_litellm_params: {top_p: 0.5}}\n"
    )
    backend: Any = Made(tmp_path, "litellm", one("model: openai/x", more=more)).settings.backends[0]
    assert (backend.ca_bundle_path, backend.strict_params, backend.health.interval) == (str(ca), True, 300)
    assert (backend.max_concurrency, backend.timeouts.total, backend.timeouts.first_token) == (7, 9, 3)
    made = Made(
        tmp_path, "litellm", one("model: openai/x", more="litellm_settings: {ssl_verify: gone.pem}\n")
    )
    assert any("ssl_verify` names a file that is not here" in note for note in made.notes)
    made = Made(tmp_path, "litellm", one("model: openai/x", more="litellm_settings: {ssl_verify: False}\n"))
    assert made.settings.backends[0].ssl_verify is False


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model_list: [{litellm_params: {model: x}}]", ":1:14: model_list[0].model_name: is required"),
        ("model_list: [{model_name: x}]", ":1:14: model_list[0].litellm_params.model: is required"),
        (
            "model_list: [{model_name: os.environ/X, litellm_params: {model: gpt-4o}}]",
            ":1:27: a deployment is left out: `model_list[0].model_name` comes from a variable that is not set",
        ),
        (one("model: azure/x"), ""),
        (
            one("model: gpt-4o, timeout: [1]"),
            ":3:46: model_list[0].litellm_params.timeout: expected text, not a list",
        ),
        (
            one("model: gpt-4o", more="litellm_settings: {fallbacks: [a]}\n"),
            ":4:32: litellm_settings.fallbacks[0]",
        ),
        (one("model: zork"), ":1:1: nothing here could be made a backend of"),
        (one("model: '*'", "*"), "a deployment of `*` is left out: its provider cannot be told"),
    ],
)
def test_what_is_missing_or_wrong(text: str, words: str, tmp_path: Path) -> None:
    if not words:  # the variable that LiteLLM would look at is referred to
        assert (
            Made(tmp_path, "litellm", text)
            .settings.backends[0]
            .url.startswith("https://azure-api-base.invalid")
        )
        return
    with pytest.raises(ConfigError) as caught:
        Made(tmp_path, "litellm", text)
    assert words in str(caught.value)


def test_a_name_from_a_variable_is_written_as_it_is_now(tmp_path: Path) -> None:
    made = Made(tmp_path, "litellm", one("model: os.environ/M"), {"M": "openai/x"})
    assert made.settings.models["m"].targets[0].model == "x"
    assert any("comes from a variable; written as it is now" in note for note in made.notes)
