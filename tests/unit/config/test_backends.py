from pathlib import Path
from typing import Any

import pytest

from trunkline.config.backends import Assembler, settle_names
from trunkline.config.bind import Report
from trunkline.config.parse import parse_yaml
from trunkline.config.tree import Node
from trunkline.routing.backend import BackendSettings, TimeoutSettings

ENVIRON = {"GROQ_API_KEY": "gsk", "GROK_API_KEY": "xk", "PERPLEXITY_API_KEY": "pk", "EMPTY": ""} | {
    "TOGETHER_API_KEY": "tk\n",
    "AZURE_OPENAI_API_KEY": "ak",
    "API_KEY": "nobody's",
    "BROKEN": "s3cr3t-\udcff",
}


def read(text: str, base: Path = Path()) -> tuple[dict[str, Any] | None, Report]:
    report = Report()
    (node,) = parse_yaml(text, "f")
    return Assembler(ENVIRON, base, report).read(node, "b"), report


def backend(text: str, base: Path = Path()) -> BackendSettings:
    values, report = read(text, base)
    assert report.errors == []
    assert values is not None
    values.setdefault("name", "n")
    values.pop("level")
    return BackendSettings(**values)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("url: http://h", BackendSettings(name="n", url="http://h", provider="openai_compat")),
        (
            "{type: vllm, base_url: http://h, allowed_models: [a], custom_headers: {A: b}}",
            BackendSettings(name="n", url="http://h", provider="vllm", models=["a"], headers={"A": "b"}),
        ),
        (
            "{url: http://h, timeout: 120, timeouts: {idle: 5}}",
            BackendSettings(name="n", url="http://h", timeouts=TimeoutSettings(total=120, idle=5)),
        ),
        (
            "{url: http://h, request_timeout: 9}",
            BackendSettings(name="n", url="http://h", timeouts=TimeoutSettings(total=9)),
        ),
        (
            "{url: 'http://h', proxy: 'http://u:p@proxy:3128', api_version: 2024-06-01, auth: x-key}",
            BackendSettings(
                name="n",
                url="http://h",
                proxy="http://u:p@proxy:3128",
                api_version="2024-06-01",
                auth="x-key",
            ),
        ),
        ("{url: 'http://h', proxy: none}", BackendSettings(name="n", url="http://h", proxy="none")),
        ("provider: ollama", BackendSettings(name="n", url="http://localhost:11434", provider="ollama")),
        (
            "provider: openai_compatible\nurl: http://h",
            BackendSettings(name="n", url="http://h", provider="openai_compat"),
        ),
    ],
)
def test_aliases_and_rows_are_resolved(text: str, result: BackendSettings) -> None:
    assert backend(text) == result


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("provider: groq", "gsk"),
        ("{provider: groq, url: null}", "gsk"),
        ("{provider: groq, api_key: ' '}", "gsk"),
        ("{provider: groq, api_key: not-needed}", "not-needed"),
        ("{provider: groq, api_key: EMPTY, url: 'http://localhost:8000'}", "EMPTY"),
        ("{provider: groq, auth: none}", ""),
        ("provider: grok", "xk"),
        ("{provider: together, url: 'https://api.together.ai/v1'}", "tk"),
        ("{provider: together, url: 'http://api.together.ai/v1'}", ""),
        ("{provider: together, url: 'https://api.together.ai:8443/v1'}", ""),
        ("{provider: azure, url: 'https://r.openai.azure.com'}", "ak"),
        ("{provider: openai, url: 'https://r.openai.azure.com'}", "ak"),
        ("{provider: azure, url: 'https://openai.azure.com.evil.com'}", ""),
        ("{provider: azure, url: 'https://llm.corp.example', deployment_name: d, api_version: v}", ""),
        ("{provider: custom, url: 'https://llm.corp.example'}", ""),
        ("{provider: groq, api_key: own}", "own"),
        ("{provider: groq, api_key: '${EMPTY}'}", "gsk"),
        ("{provider: groq, url: 'https://api.groq.com'}", "gsk"),
        ("{provider: groq, url: 'http://api.groq.com/openai/v1'}", ""),
        ("{provider: groq, url: 'https://api.groq.com.evil.com/openai/v1'}", ""),
        ("{provider: groq, url: 'http://localhost:8000'}", ""),
        ("{provider: openai_compat, url: 'https://api.groq.com/openai/v1'}", ""),
    ],
)
def test_a_key_of_the_environment_goes_only_to_its_own_provider(text: str, key: str) -> None:
    assert backend(text).api_key == key


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("provider: perplexity", "https://api.perplexity.ai/chat/completions"),
        (
            "{provider: perplexity, url: 'https://api.perplexity.ai/'}",
            "https://api.perplexity.ai/chat/completions",
        ),
        (
            "{provider: perplexity, url: 'https://api.perplexity.ai/chat/completions?a=b'}",
            "https://api.perplexity.ai/chat/completions?a=b",
        ),
        ("{provider: perplexity, url: 'https://api.perplexity.ai/v1'}", "https://api.perplexity.ai/v1"),
        ("{provider: perplexity, url: 'http://localhost:8000'}", "http://localhost:8000"),
        (
            "{provider: vast, url: 'https://openai.vast.ai/mine'}",
            "https://openai.vast.ai/mine/chat/completions",
        ),
        ("{provider: vast, url: 'http://1.2.3.4:8000'}", "http://1.2.3.4:8000"),
    ],
)
def test_a_provider_without_v1_keeps_its_paths(text: str, url: str) -> None:
    assert backend(text).url == url


@pytest.mark.parametrize(
    ("text", "models"),
    [
        ("provider: groq", ("llama-3.1-70b-versatile", "nomic-embed-text-v1.5")),
        ("{provider: groq, default_model: a, default_embedding_model: b}", ("a", "b")),
        ("{provider: groq, model_name: a}", ("a", "nomic-embed-text-v1.5")),
        ("{provider: groq, url: 'http://localhost:8000'}", (None, None)),
        ("{provider: vllm, url: 'http://h', default_model: a}", ("a", None)),
    ],
)
def test_default_models_come_from_the_row_at_the_provider_itself(
    text: str, models: tuple[str | None, str | None]
) -> None:
    found = backend(text)
    assert (found.default_model, found.default_embedding_model) == models


@pytest.mark.parametrize(
    ("text", "strict"),
    [
        ("url: https://api.openai.com/v1", True),
        ("url: https://eu.api.openai.com/v1", True),
        ("{url: 'https://api.openai.com/v1', openai_strict: false}", False),
        ("url: https://openai.com.evil.com/v1", None),
        ("url: https://notopenai.com/v1", None),
        ("{provider: custom, url: 'https://api.openai.com/v1'}", None),
        ("{provider: vllm, url: 'http://h', openai_strict: true}", True),
    ],
)
def test_openai_is_strict_under_any_name_but_custom(text: str, strict: bool | None) -> None:
    assert backend(text).openai_strict is strict


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        (
            "{url: 'http://h', base_url: 'http://i'}",
            ["f:1:29: b.base_url: is an alias of `url`, which is there too; write one of them"],
        ),
        (
            "{url: 'http://h', timeout: 3, timeouts: {total: 4}}",
            ["f:1:28: b.timeout: is an alias of `timeouts.total`, which is there too; write one of them"],
        ),
        ("{url: 'http://h', timeout: 0}", ["f:1:28: b.timeout: must be greater than 0, not '0'"]),
        (
            "{url: 'http://h', timeout: 1, timeouts: 3}",
            ["f:1:41: b.timeouts: expected keys and values, not a single value"],
        ),
        (
            "provider: vllm",
            ["f:1:1: b.url: is required for provider `vllm` (alias: base_url), like http://localhost:8000"],
        ),
        (
            "provider: banana",
            [
                (
                    "f:1:1: b.url: is required for provider `banana` (alias: base_url). "
                    "The service is closed: only a compatible server of your own is left to point `url` at."
                )
            ],
        ),
        (
            "provider: GROQQ",
            ["f:1:11: b.provider: there is no provider 'GROQQ'; did you mean `groq` or `grok`?"],
        ),
        (
            "provider: zzz",
            [
                "f:1:11: b.provider: there is no provider 'zzz'; `openai_compat` fits any server that speaks that API"
            ],
        ),
        ("{provider: [a], url: 'http://h'}", ["f:1:12: b.provider: expected text, not a list"]),
        ("url: [a]", ["f:1:6: b.url: expected text, not a list"]),
        ("url: ftp://h", ["f:1:6: b.url: must start with http:// or https://"]),
        (
            "base_url: http://",
            ["f:1:11: b.base_url: is not usable: a URL must begin with http:// or https://"],
        ),
        (
            "{url: 'http://h', name: 'a b'}",
            ["f:1:25: b.name: must be printable ASCII without space, comma and slash"],
        ),
        (
            "{url: 'http://h', name: a/b}",
            ["f:1:25: b.name: must be printable ASCII without space, comma and slash"],
        ),
        (
            "{url: 'http://h', api_key: 'hunter 2'}",
            ["f:1:28: b.api_key: holds a blank, a line break or a character outside ASCII"],
        ),
        (
            "{url: 'http://h', organization: é}",
            ["f:1:33: b.organization: holds a blank, a line break or a character outside ASCII"],
        ),
        ("{url: 'http://h', headers: {'a b': c}}", ["f:1:28: b.headers: 'a b' is not a header name"]),
        (
            "{url: 'http://h', headers: {Host: c}}",
            ["f:1:28: b.headers: `Host` is written by the gateway itself"],
        ),
        (
            '{url: "http://h", custom_headers: {a: "hunter\\r\\nb: c"}}',
            [
                "f:1:35: b.custom_headers: the value of `a` holds a line break or a character that no header may hold"
            ],
        ),
        (
            "{url: 'http://h', ca_bundle_path: gone.pem}",
            ["f:1:35: b.ca_bundle_path: there is no file gone.pem"],
        ),
        (
            "{provider: groq, deployment_name: d}",
            ["f:1:35: b.deployment_name: is for provider `azure`, not `groq`"],
        ),
        (
            "{provider: vllm, url: 'http://h', native: always}",
            ["f:1:43: b.native: is for provider `ollama`, not `vllm`"],
        ),
        (
            "{provider: ollama, native: sometimes}",
            ["f:1:28: b.native: expected `always` or `auto` or `never`, not 'sometimes'"],
        ),
        (
            "{url: 'http://h', auth: Basic}",
            ["f:1:25: b.auth: must be `bearer`, `api-key`, `none` or the name of a header for the bare key"],
        ),
        (
            "{url: 'http://h', proxy: 'socks5://u:hunter2@p'}",
            [
                (
                    "f:1:26: b.proxy: socks5:// proxies are not supported, only http:// and https://; "
                    "use an HTTP proxy"
                )
            ],
        ),
        (
            "{url: 'http://h', health: {path: health}}",
            ["f:1:27: b.health: its path must start with / and be visible ASCII, like /health"],
        ),
        (
            '{url: "http://h", health: {path: "/a HTTP/1.1\\r\\nX: y"}}',
            ["f:1:27: b.health: its path must start with / and be visible ASCII, like /health"],
        ),
        ("just text", ["f:1:1: b: expected keys and values, not a single value"]),
    ],
)
def test_mistakes(text: str, errors: list[str]) -> None:
    values, report = read(text)
    assert values is None
    assert report.errors == errors
    assert "hunter" not in "".join(report.errors)


@pytest.mark.parametrize(
    "field",
    [
        *("client_id", "client_secret", "token_scope", "token_url", "deployment_name", "api_version"),
        *("default_model", "default_embedding_model", "proxy", "url", "api_key", "organization"),
    ],
)
def test_bytes_that_are_no_text_are_a_mistake(field: str) -> None:
    oauth = {"client_id": "me", "client_secret": "s", "token_url": "https://login.example/token"}
    written = {"url": "http://h", "api_version": "v", **(oauth if field in oauth else {}), field: "${BROKEN}"}
    pairs = ", ".join(f"{name}: '{text}'" for name, text in written.items())
    if field == "token_scope":
        pairs += "".join(f", {name}: '{text}'" for name, text in oauth.items())
    values, report = read(f"{{provider: azure, {pairs}}}")
    assert values is None
    (error,) = report.errors
    assert f"b.{field}: " in error
    assert "s3cr3t" not in error
    assert error.isascii()


def test_blanks_around_urls_are_no_part_of_them() -> None:
    found = backend(
        "{url: '  https://api.openai.com/v1  ', client_id: a, client_secret: b, "
        'token_url: "\\thttps://login.example/token\\n"}'
    )
    assert (found.url, found.token_url) == ("https://api.openai.com/v1", "https://login.example/token")
    assert backend("{url: '  localhost:8000 '}").url == "http://localhost:8000"


@pytest.mark.parametrize(
    ("name", "row"), [("Groq", "groq"), ("OpenAI", "openai"), ("vLLM", "vllm"), ("lm-studio", "lmstudio")]
)
def test_providers_are_found_in_any_spelling(name: str, row: str) -> None:
    assert backend(f"{{provider: {name}, url: 'http://h'}}").provider == row


def test_files_are_looked_up_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("x")
    found = backend("{url: 'https://h', ca_bundle_path: ca.pem}", tmp_path)
    assert found.ca_bundle_path == str(tmp_path / "ca.pem")


def test_a_client_key_needs_its_certificate(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("x")
    _, report = read("{url: 'https://h', client_key_path: key.pem}", tmp_path)
    assert report.errors == ["f:1:37: b.client_key_path: needs client_cert_path too"]


@pytest.mark.parametrize(
    ("text", "warnings"),
    [
        (
            "{url: 'http://h', timeout: 5, request_timeout: 3}",
            ["f:1:48: b.request_timeout: holds: it is the smaller one of `timeout` and `request_timeout`"],
        ),
        ("provider: openai", ["f:1:1: b.api_key: is missing: set OPENAI_API_KEY, or `api_key`"]),
        ("{provider: openai, api_key: '${MY:-}'}", ["f:1:29: b.api_key: is missing: set MY"]),
        (
            "{provider: openai, api_key: ''}",
            ["f:1:29: b.api_key: is missing: set OPENAI_API_KEY, or `api_key`"],
        ),
        ("{provider: openai, forward_authorization: true}", []),
        (
            "{provider: azure, url: 'https://r.openai.azure.com', deployment_name: d}",
            ["f:1:71: b.deployment_name: has no effect without `api_version`"],
        ),
        (
            "{url: 'http://h', client_id: i, client_secret: s, token_url: 'https://t/token', api_key: k}",
            ["f:1:90: b.api_key: has no effect, because OAuth2 is set up"],
        ),
        ("provider: ollama", []),
        (
            "{url: 'https://h', ssl_verify: false}",
            ["f:1:32: b.ssl_verify: is off: anyone on the way can read and change the traffic"],
        ),
    ],
)
def test_warnings(text: str, warnings: list[str]) -> None:
    values, report = read(text)
    assert values is not None
    assert report.warnings == warnings


def test_a_bundle_without_verification_has_no_effect(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("x")
    _, report = read("{url: 'https://h', ssl_verify: false, ca_bundle_path: ca.pem}", tmp_path)
    assert report.warnings[0].endswith("; ca_bundle_path has no effect")


def named(*backends: dict[str, Any], default: str | None = None) -> tuple[list[str], list[str]]:
    report = Report()
    nodes: list[Node] = parse_yaml("\n---\n".join(f"name: {one.get('name')}" for one in backends), "f")
    settle_names([*backends], default, nodes, report)
    return [one["name"] for one in backends], report.errors


def test_names_come_from_providers_and_avoid_what_is_taken() -> None:
    names, errors = named(
        {"provider": "vllm"},
        {"provider": "vllm", "name": "vllm-2"},
        {"provider": "vllm"},
        {"provider": "tgi"},
    )
    assert names == ["vllm", "vllm-2", "vllm-3", "tgi"]
    assert errors == []


def test_one_alone_has_the_default_name() -> None:
    assert named({"provider": "vllm"}, default="default") == (["default"], [])


def test_a_name_is_used_once() -> None:
    _, errors = named({"provider": "vllm", "name": "a"}, {"provider": "vllm", "name": "a"})
    assert errors == ["f:3:7: the name `a` is used twice, first at f:1:1"]
