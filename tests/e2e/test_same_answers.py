"""Direct and through the gateway, one request gets the same body and the same events."""

from typing import Any

import pytest

from tests.e2e.conftest import CHAT_MODEL, EMBEDDING_MODEL
from tests.e2e.exchange import Server
from tests.e2e.test_openai_sdk import WEATHER

pytestmark = [pytest.mark.llama, pytest.mark.timeout(600)]

# No chance, and nothing kept from the request before.
FIXED: dict[str, Any] = {"model": CHAT_MODEL, "temperature": 0, "seed": 1, "cache_prompt": False}
HI: list[Any] = [{"role": "user", "content": "Say hi."}]

REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"messages": HI, "max_tokens": 16}),
    "logprobs": (
        "/v1/chat/completions",
        {"messages": HI, "max_tokens": 4, "logprobs": True, "top_logprobs": 2},
    ),
    "tools": ("/v1/chat/completions", {"messages": HI, "max_tokens": 16, "tools": [WEATHER]}),
    "json": (
        "/v1/chat/completions",
        {"messages": HI, "max_tokens": 16, "response_format": {"type": "json_object"}},
    ),
    "completions": ("/v1/completions", {"prompt": "Once upon a time", "max_tokens": 8}),
    "responses": ("/v1/responses", {"input": "Say hi.", "max_output_tokens": 8}),
    "messages": ("/v1/messages", {"messages": HI, "max_tokens": 8}),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_whole_answers(name: str, chat_upstream: Server, gateway: Server) -> None:
    path, body = REQUESTS[name]
    direct, through = (server.post(path, FIXED | body) for server in (chat_upstream, gateway))
    assert direct.status == 200
    assert (through.status, through.content_type) == (direct.status, direct.content_type)
    assert through.value == direct.value


# Streams of chat and completions are asked for their usage too: they say the same in other events (servers/).
@pytest.mark.parametrize("name", ["responses", "messages"])
def test_streams(name: str, chat_upstream: Server, gateway: Server) -> None:
    path, body = REQUESTS[name]
    direct, through = (
        server.post(path, FIXED | body | {"stream": True}) for server in (chat_upstream, gateway)
    )
    assert direct.status == 200
    assert (through.status, through.content_type) == (direct.status, direct.content_type)
    assert len(direct.events) > 3
    assert through.events == direct.events


def test_stream_with_usage(chat_upstream: Server, gateway: Server) -> None:
    body = FIXED | {
        "messages": HI,
        "max_tokens": 8,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    direct, through = (server.post("/v1/chat/completions", body) for server in (chat_upstream, gateway))
    assert through.events == direct.events


def test_embeddings(embedding_upstream: Server, gateway: Server) -> None:
    body = {"model": EMBEDDING_MODEL, "input": ["one", "two"]}
    direct, through = (server.post("/v1/embeddings", body) for server in (embedding_upstream, gateway))
    assert direct.status == 200
    assert through.value == direct.value


@pytest.mark.parametrize(
    "body",
    [{"messages": [{"role": "user", "content": "word " * 3000}]}, {"messages": "none"}, {}],
    ids=["overflow", "wrong type", "no messages"],
)
def test_a_refusal_is_passed_on_byte_for_byte(
    body: dict[str, Any], chat_upstream: Server, gateway: Server
) -> None:
    direct, through = (
        server.post("/v1/chat/completions", FIXED | body) for server in (chat_upstream, gateway)
    )
    assert 400 <= direct.status < 600
    assert through == direct
