"""The newest openai SDK against a real llama.cpp server: each test runs directly and through the gateway."""

import asyncio
import time
from typing import Any

import pytest
from openai import AsyncOpenAI, AuthenticationError, BadRequestError, NotFoundError, OpenAI
from openai.types.chat import ChatCompletionToolParam

from tests.e2e.conftest import CHAT_MODEL, EMBEDDING_MODEL
from tests.e2e.exchange import Server

# The first test of a run also installs the model server.
pytestmark = [pytest.mark.llama, pytest.mark.timeout(600)]

WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def test_list_models(client: OpenAI) -> None:
    assert CHAT_MODEL in {model.id for model in client.models.list()}


def test_chat(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model=CHAT_MODEL, messages=[{"role": "user", "content": "Say hi."}], max_tokens=12, temperature=0
    )
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 12


def test_stream_with_usage(client: OpenAI) -> None:
    stream = client.chat.completions.create(
        model=CHAT_MODEL,
        messages=[{"role": "user", "content": "Say hi."}],
        max_tokens=12,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    with stream:
        chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == [
        "length"
    ]
    assert [chunk.usage.completion_tokens for chunk in chunks if chunk.usage] == [12]


def test_two_streams_at_once(chat: Server) -> None:
    async def text(client: AsyncOpenAI, prompt: str) -> str:
        stream = await client.chat.completions.create(
            model=CHAT_MODEL, messages=[{"role": "user", "content": prompt}], max_tokens=8, stream=True
        )
        async with stream:
            return "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])

    async def both() -> tuple[str, str]:
        async with AsyncOpenAI(base_url=f"{chat.url}/v1", api_key=chat.key, max_retries=0) as client:
            return await asyncio.gather(text(client, "Count to ten."), text(client, "Name a colour."))

    assert all(asyncio.run(both()))


def test_completions(client: OpenAI) -> None:
    answer = client.completions.create(
        model=CHAT_MODEL, prompt="Once upon a time", max_tokens=8, temperature=0
    )
    assert answer.choices[0].text
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 8


def test_embeddings(embeddings: Server) -> None:
    with embeddings.client() as client:
        answer = client.embeddings.create(model=EMBEDDING_MODEL, input=["one", "two"])
    assert [row.index for row in answer.data] == [0, 1]
    assert len(answer.data[0].embedding) == len(answer.data[1].embedding) > 100


def test_tools(client: OpenAI) -> None:
    """This model is too small to call them well; what it says must arrive, as text or as a call."""
    answer = client.chat.completions.create(
        model=CHAT_MODEL,
        messages=[{"role": "user", "content": "What is the weather in Oslo?"}],
        tools=[WEATHER],
        max_tokens=24,
        temperature=0,
    )
    message = answer.choices[0].message
    assert message.content or message.tool_calls


def test_context_overflow_has_the_numbers_of_the_upstream(client: OpenAI) -> None:
    with pytest.raises(BadRequestError) as caught:
        client.chat.completions.create(
            model=CHAT_MODEL, messages=[{"role": "user", "content": "word " * 3000}], max_tokens=8
        )
    assert caught.value.type == "exceed_context_size_error"
    body: Any = caught.value.body
    assert body["n_ctx"] == 1024
    assert body["n_prompt_tokens"] > 3000


def test_wrong_key(chat: Server) -> None:
    with chat.client("sk-wrong") as client, pytest.raises(AuthenticationError) as caught:
        client.chat.completions.create(model=CHAT_MODEL, messages=[{"role": "user", "content": "Say hi."}])
    assert caught.value.status_code == 401


def test_wrong_model_is_refused_by_the_gateway(gateway: Server) -> None:
    """llama.cpp itself answers any name with the model it has."""
    with gateway.client() as client, pytest.raises(NotFoundError) as caught:
        client.chat.completions.create(model="smollm", messages=[{"role": "user", "content": "Say hi."}])
    assert caught.value.code == "model_not_found"
    assert CHAT_MODEL in caught.value.message


def test_a_client_that_leaves_stops_the_generation(chat: Server, chat_upstream: Server) -> None:
    limit = 900

    def busy() -> list[dict[str, Any]]:
        return [slot for slot in chat_upstream.get("/slots") if slot["is_processing"]]

    with chat.client() as client:
        stream = client.chat.completions.create(
            model=CHAT_MODEL,
            messages=[{"role": "user", "content": "Count."}],
            max_tokens=limit,
            stream=True,
            extra_body={"ignore_eos": True},
        )
        with stream:
            next(iter(stream))
            (slot,) = busy()
    while busy():
        time.sleep(0.02)
    (after,) = [other for other in chat_upstream.get("/slots") if other["id"] == slot["id"]]
    # What a slot holds is the prompt and what was generated; all of it would be more than the limit.
    assert after["id_task"] == slot["id_task"]
    assert after["n_prompt_tokens"] < limit / 2
