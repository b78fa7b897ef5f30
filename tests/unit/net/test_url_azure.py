"""net/url.py: where Azure's deployments and resources are asked."""

import pytest

from trunkline.net.url import azure_at, azure_base, azure_resource, join, join_raw, parse_base_url

CHAT = "/v1/chat/completions"

AZURE = [
    # base, deployment, version, chat target
    ("https://r", "d", "2024-06-01", "/openai/deployments/d/chat/completions?api-version=2024-06-01"),
    ("https://r/", "d", "v", "/openai/deployments/d/chat/completions?api-version=v"),
    ("https://r/v1", "d", "v", "/openai/deployments/d/chat/completions?api-version=v"),
    ("https://r/openai", "d", "v", "/openai/deployments/d/chat/completions?api-version=v"),
    ("https://r/openai/v1/", "d", "v", "/openai/deployments/d/chat/completions?api-version=v"),
    ("https://r/proxy", "d", "v", "/proxy/openai/deployments/d/chat/completions?api-version=v"),
    ("https://r?k=a%20b", "d", "v", "/openai/deployments/d/chat/completions?k=a%20b&api-version=v"),
    ("https://r?api-version=old&k=1", "d", "v", "/openai/deployments/d/chat/completions?k=1&api-version=v"),
    (
        "https://r",
        "gpt 4/\u00fc?#",
        "v&w",
        "/openai/deployments/gpt%204%2F%C3%BC%3F%23/chat/completions?api-version=v%26w",
    ),
    ("https://r/openai/deployments/x", "d", "v", "/openai/deployments/x/chat/completions?api-version=v"),
    (
        "https://r/openai/deployments/x/chat/completions",
        "d",
        "v",
        "/openai/deployments/x/chat/completions?api-version=v",
    ),
    ("https://h/v1", None, "v", "/v1/chat/completions?api-version=v"),
    ("https://h/v1/chat/completions?k=1", "", "v", "/v1/chat/completions?k=1&api-version=v"),
    ("https://h/v1", "d", None, "/v1/chat/completions"),
    ("https://h/v1", None, None, "/v1/chat/completions"),
]


@pytest.mark.parametrize(("url", "deployment", "version", "target"), AZURE)
def test_azure_deployments(url: str, deployment: str | None, version: str | None, target: str) -> None:
    assert join(azure_base(parse_base_url(url), deployment, version), CHAT).decode() == target


@pytest.mark.parametrize(
    "operation",
    [
        *("/chat/completions", "/completions", "/embeddings", "/images/generations", "/images/edits"),
        *("/audio/transcriptions", "/audio/translations", "/audio/speech"),
    ],
)
def test_what_belongs_to_an_azure_deployment(operation: str) -> None:
    for url in ("https://r", "https://r/openai/v1/", "https://r/openai/deployments/d/chat/completions"):
        base = parse_base_url(url)
        for path in (f"/v1{operation}", f"/v1{operation}/"):
            target = join_raw(azure_at(base, "d", "v", path), path.encode())
            assert target == f"/openai/deployments/d{path.removeprefix('/v1')}?api-version=v".encode()
        target = join(azure_at(base, "d", "v", operation), operation)
        assert target == f"/openai/deployments/d{operation}?api-version=v".encode()


@pytest.mark.parametrize(
    "operation",
    [
        *(
            "/responses",
            "/responses/r-1",
            "/files",
            "/batches/b/cancel",
            "/models",
            "/models/m",
            "/moderations",
        ),
        *("/chat/completions/c-1", "/images/variations", "/threads", "/fine_tuning/jobs", "/realtime"),
    ],
)
def test_what_belongs_to_an_azure_resource(operation: str) -> None:
    for url in ("https://r", "https://r/openai", "https://r/openai/deployments/d"):
        at = azure_at(parse_base_url(url), "d", "v", f"/v1{operation}")
        assert join(at, f"/v1{operation}").decode() == f"/openai{operation}?api-version=v"
        assert at.host == "r"


@pytest.mark.parametrize(
    ("url", "deployment", "version", "target"),
    [
        ("https://r/openai/v1", None, "v", "/openai/v1/responses?api-version=v"),
        ("https://r/openai/v1", None, None, "/openai/v1/responses"),
        ("https://r/openai/v1", "d", None, "/openai/v1/responses"),
        ("https://r/proxy?k=1", "d", "v", "/proxy/openai/responses?k=1&api-version=v"),
        ("https://r/openai/deployments/d?api-version=1", None, None, "/openai/responses?api-version=1"),
        ("https://r/openai/deployments/d?api-version=1", None, "v", "/openai/responses?api-version=v"),
    ],
)
def test_the_resource_is_asked_only_where_a_deployment_is_named(
    url: str, deployment: str | None, version: str | None, target: str
) -> None:
    at = azure_at(parse_base_url(url), deployment, version, "/v1/responses")
    assert join(at, "/v1/responses").decode() == target


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://r", b"/openai/models?api-version=v"),
        ("https://r/openai/", b"/openai/models?api-version=v"),
        ("https://r/p/openai/deployments/d/chat/completions?k=1", b"/p/openai/models?k=1&api-version=v"),
    ],
)
def test_what_an_azure_resource_serves_beside_its_deployments(url: str, target: bytes) -> None:
    assert join(azure_resource(parse_base_url(url), "v"), "/v1/models") == target
