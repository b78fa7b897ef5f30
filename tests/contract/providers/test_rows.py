"""One suite over all rows of the provider table: from a line of configuration to where and how a call is sent.

What a row promises must come out of loading: the target of a chat call and of the model list, who gets the key of
the environment and in which header, and a body that the provider does not answer with an error.
"""

from pathlib import Path

import msgspec
import pytest

from trunkline.config.load import load
from trunkline.credentials.static import StaticCredential
from trunkline.errors import Fault
from trunkline.net.url import BaseUrl, azure_base, join, parse_base_url
from trunkline.providers.base import Profile
from trunkline.providers.registry import ALIASES, PROVIDERS
from trunkline.providers.shape import shaper
from trunkline.routing.backend import BackendSettings
from trunkline.wire.error_body import render

ROWS = list(PROVIDERS.values())


def name_of(row: Profile) -> str:
    return row.name


ENVIRON = {name: f"key-of-{name}" for row in ROWS for name in row.key_variables}

# Provider -> host, target of a chat call, target of the model list.
PLACES: dict[str, tuple[str, bytes, bytes]] = {
    "openai": ("api.openai.com", b"/v1/chat/completions", b"/v1/models"),
    "azure": ("resource.openai.azure.com", b"/openai/v1/chat/completions", b"/openai/v1/models"),
    "groq": ("api.groq.com", b"/openai/v1/chat/completions", b"/openai/v1/models"),
    "mistral": ("api.mistral.ai", b"/v1/chat/completions", b"/v1/models"),
    "deepseek": ("api.deepseek.com", b"/v1/chat/completions", b"/v1/models"),
    "together": ("api.together.xyz", b"/v1/chat/completions", b"/v1/models"),
    "openrouter": ("openrouter.ai", b"/api/v1/chat/completions", b"/api/v1/models"),
    "xai": ("api.x.ai", b"/v1/chat/completions", b"/v1/models"),
    "fireworks": ("api.fireworks.ai", b"/inference/v1/chat/completions", b"/inference/v1/models"),
    "perplexity": ("api.perplexity.ai", b"/chat/completions", b"/models"),
    "anyscale": ("api.endpoints.anyscale.com", b"/v1/chat/completions", b"/v1/models"),
    "cerebras": ("api.cerebras.ai", b"/v1/chat/completions", b"/v1/models"),
    "nvidia": ("integrate.api.nvidia.com", b"/v1/chat/completions", b"/v1/models"),
    "deepinfra": ("api.deepinfra.com", b"/v1/openai/chat/completions", b"/v1/openai/models"),
    "anthropic": ("api.anthropic.com", b"/v1/chat/completions", b"/v1/models"),
    "gemini": (
        "generativelanguage.googleapis.com",
        b"/v1beta/openai/chat/completions",
        b"/v1beta/openai/models",
    ),
    "cohere": ("api.cohere.ai", b"/compatibility/v1/chat/completions", b"/compatibility/v1/models"),
    "huggingface": ("router.huggingface.co", b"/v1/chat/completions", b"/v1/models"),
    "runpod": (
        "api.runpod.ai",
        b"/v2/endpoint_id/openai/v1/chat/completions",
        b"/v2/endpoint_id/openai/v1/models",
    ),
    "vast": ("openai.vast.ai", b"/endpoint_name/chat/completions", b"/endpoint_name/models"),
}


def backend(folder: Path, text: str) -> BackendSettings:
    path = folder / "trunkline.yaml"
    path.write_text(text)
    (found,) = load(path, ENVIRON).settings.backends
    return found


def at_home(folder: Path, row: Profile) -> BackendSettings:
    """The row as it is meant: at its own URL, or at one like its example."""
    url = "" if row.base_url else f"url: {(row.url_example or 'https://host/v1').lower()}\n"
    return backend(folder, f"provider: {row.name}\n{url}")


def base_of(settings: BackendSettings) -> BaseUrl:
    return azure_base(parse_base_url(settings.url), settings.deployment_name, settings.api_version)


@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_calls_go_where_the_provider_is(row: Profile, tmp_path: Path) -> None:
    base = base_of(at_home(tmp_path, row))
    if row.kind == "hosted" and row.name != "banana":
        wanted = PLACES[row.name]
    else:
        wanted = (base.host, b"/v1/chat/completions", b"/v1/models")
    assert (base.host, join(base, "/v1/chat/completions"), join(base, "/v1/models")) == wanted
    assert base.scheme == ("https" if row.kind in ("hosted", "any") else "http")


@pytest.mark.parametrize("row", [row for row in ROWS if row.key_variables], ids=name_of)
def test_a_key_of_the_environment_stays_at_home(row: Profile, tmp_path: Path) -> None:
    key = ENVIRON[row.key_variables[0]]
    assert at_home(tmp_path, row).api_key == key
    for url in ("http://127.0.0.1:8000/v1", "https://api.example.com/v1"):
        assert backend(tmp_path, f"provider: {row.name}\nurl: {url}\n").api_key == ""
        assert backend(tmp_path, f"provider: {row.name}\nurl: {url}\napi_key: EMPTY\n").api_key == "EMPTY"
    host = base_of(at_home(tmp_path, row)).host
    assert backend(tmp_path, f"provider: {row.name}\nurl: https://{host}.evil.com/v1\n").api_key == ""
    assert backend(tmp_path, f"provider: {row.name}\nurl: http://{host}:1/v1\n").api_key == ""
    # Under another name it is another provider's host, and its key is not for that one.
    assert backend(tmp_path, f"provider: custom\nurl: https://{host}/v1\n").api_key == ""


@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_a_key_is_sent_in_the_provider_s_own_way(row: Profile, tmp_path: Path) -> None:
    lines = {
        path: StaticCredential(row.auth_at(path), "k").header(0.0)
        for path in ("/v1/chat/completions", "/v1/models", "/v1/messages")
    }
    bearer = b"authorization: Bearer k\r\n"
    own = {
        "azure": dict.fromkeys(lines, b"api-key: k\r\n"),
        "anthropic": dict.fromkeys(lines, b"x-api-key: k\r\n") | {"/v1/chat/completions": bearer},
    }
    assert lines == own.get(row.name, dict.fromkeys(lines, bearer))
    written = backend(tmp_path, f"provider: {row.name}\nurl: http://h/v1\napi_key: k\nauth: X-Key\n")
    assert StaticCredential(row.auth_at("/v1/models", written.auth), "k").header(0.0) == b"x-key: k\r\n"


@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_refused_parameters_are_left_out_or_named(row: Profile) -> None:
    made, strict = shaper(row), shaper(row, strict_params=True)
    fields = {name: msgspec.Raw(b"1") for name in ("model", *sorted(row.refuses), "messages")}
    if not row.refuses:
        assert made is None or made.shape(fields, "m", "chat") is None
        return
    assert made is not None
    assert strict is not None
    done, fault = made.shape(fields, "m", "chat"), strict.shape(fields, "m", "chat")
    assert done is not None
    assert not isinstance(done, Fault)
    assert list(done.fields) == ["model", "messages"]
    assert len(done.notes) == len(row.refuses)
    assert isinstance(fault, Fault)
    error = msgspec.json.decode(render(fault, "openai"))["error"]
    assert (fault.http_status, error["param"]) == (400, min(row.refuses))


@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_every_name_of_a_row_leads_to_it(row: Profile, tmp_path: Path) -> None:
    names = [row.name, *(alias for alias, name in ALIASES.items() if name == row.name)]
    found = {backend(tmp_path, f"provider: {name}\nurl: http://h/v1\n").provider for name in names}
    assert found == {row.name}


# The table of Azure and its relatives: settings, target of a chat call.
AZURE: dict[str, tuple[str, bytes]] = {
    "by deployment": (
        "url: https://r.openai.azure.com\ndeployment_name: gpt-4\napi_version: 2024-06-01",
        b"/openai/deployments/gpt-4/chat/completions?api-version=2024-06-01",
    ),
    "with a slash": (
        "url: https://r.openai.azure.com/\ndeployment_name: gpt-4\napi_version: 2024-06-01",
        b"/openai/deployments/gpt-4/chat/completions?api-version=2024-06-01",
    ),
    "base ends in /openai": (
        "url: https://r.openai.azure.com/openai\ndeployment_name: gpt-4\napi_version: 2024-06-01",
        b"/openai/deployments/gpt-4/chat/completions?api-version=2024-06-01",
    ),
    "a name to be quoted": (
        "url: https://r.openai.azure.com\ndeployment_name: my model/1\napi_version: v",
        b"/openai/deployments/my%20model%2F1/chat/completions?api-version=v",
    ),
    "a query of its own": (
        "url: https://llm.corp.example/azure?team=a\ndeployment_name: d\napi_version: v",
        b"/azure/openai/deployments/d/chat/completions?team=a&api-version=v",
    ),
    "a version alone": (
        "url: https://llm.corp.example/v1\napi_version: 2024-06-01",
        b"/v1/chat/completions?api-version=2024-06-01",
    ),
    "a version alone at a resource": (
        "url: https://r.openai.azure.com\napi_version: preview",
        b"/openai/v1/chat/completions?api-version=preview",
    ),
    "a deployment alone": (
        "url: https://llm.corp.example/v1\ndeployment_name: d",
        b"/v1/chat/completions",
    ),
}


@pytest.mark.parametrize("provider", ["openai", "openai_compat", "azure"])
@pytest.mark.parametrize("case", AZURE)
def test_azure_is_asked_by_deployment_and_version(provider: str, case: str, tmp_path: Path) -> None:
    text, target = AZURE[case]
    settings = backend(tmp_path, f"type: {provider}\n{text}\n")
    assert join(base_of(settings), "/v1/chat/completions") == target
    is_azure = "azure.com" in text or ("deployment_name" in text and "api_version" in text)
    assert settings.provider == ("azure" if is_azure else provider)
