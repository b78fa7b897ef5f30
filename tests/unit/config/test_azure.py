from typing import Any

import pytest

from trunkline.config.azure import check_deployment, is_azure, settle_url

RESOURCE = "https://r.openai.azure.com"
PAIR = {"deployment_name": "d", "api_version": "v"}


@pytest.mark.parametrize(
    ("provider", "url", "values", "azure"),
    [
        ("openai", RESOURCE, {}, True),
        ("openai", "https://R.OpenAI.Azure.com/openai/v1", {}, True),
        ("openai_compat", RESOURCE, {}, True),
        ("openai", "https://llm.corp.example", PAIR, True),
        ("openai", None, PAIR, True),
        ("openai", None, {}, False),
        ("openai", "https://llm.corp.example", {"deployment_name": "d"}, False),
        ("openai", "https://llm.corp.example", {"api_version": "v"}, False),
        ("openai", "https://openai.azure.com.evil.com", {}, False),
        ("custom", RESOURCE, PAIR, False),
        ("groq", RESOURCE, PAIR, False),
    ],
)
def test_azure_is_told_by_host_or_deployment(
    provider: str, url: str | None, values: dict[str, Any], azure: bool
) -> None:
    assert is_azure(provider, url, values) is azure


@pytest.mark.parametrize(
    ("url", "values", "settled"),
    [
        (RESOURCE, PAIR, RESOURCE),
        (RESOURCE, {}, f"{RESOURCE}/openai/v1"),
        (f"{RESOURCE}/", {}, f"{RESOURCE}/openai/v1"),
        (f"{RESOURCE}/openai/", {}, f"{RESOURCE}/openai/v1"),
        (f"{RESOURCE}/openai?x=y", {"api_version": "preview"}, f"{RESOURCE}/openai/v1?x=y"),
        (f"{RESOURCE}/openai/v1", {}, f"{RESOURCE}/openai/v1"),
        (f"{RESOURCE}/openai/deployments/d", {"api_version": "v"}, f"{RESOURCE}/openai/deployments/d"),
        ("https://llm.corp.example", {"api_version": "v"}, "https://llm.corp.example"),
    ],
)
def test_a_bare_resource_is_asked_at_its_v1(url: str, values: dict[str, Any], settled: str) -> None:
    assert settle_url(url, values) == settled


@pytest.mark.parametrize(
    ("provider", "values", "errors", "warnings"),
    [
        ("azure", PAIR, [], []),
        ("custom", PAIR, [], []),
        ("azure", {"api_version": "v"}, [], []),
        ("azure", {"deployment_name": "d"}, [], ["deployment_name: has no effect without `api_version`"]),
        ("vllm", PAIR, ["deployment_name: is for provider `azure`, not `vllm`"], []),
    ],
)
def test_deployments_are_for_azure(
    provider: str, values: dict[str, Any], errors: list[str], warnings: list[str]
) -> None:
    said: dict[str, list[str]] = {"error": [], "warn": []}
    check_deployment(
        provider,
        values,
        lambda field, text: said["error"].append(f"{field}: {text}"),
        lambda field, text: said["warn"].append(f"{field}: {text}"),
    )
    assert said == {"error": errors, "warn": warnings}
