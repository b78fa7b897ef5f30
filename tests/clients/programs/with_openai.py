"""The official openai SDK; both generations that are in use run this."""

# pyright: basic
# The SDK's answers are unions of dozens of types; the facts taken from them are what the tests check.

import json
from typing import Any

from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel
from scenario import KEY, QUESTION, URL, Facts, called, facts, main

client = OpenAI(base_url=URL, api_key=KEY)
MESSAGES: Any = [{"role": "user", "content": QUESTION}]
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            },
        },
    }
]


class Person(BaseModel):
    name: str
    age: int


def chat(model: str, **more: Any) -> Any:
    return client.chat.completions.create(model=model, messages=MESSAGES, **more)


def streamed(chunks: Any) -> Facts:
    """The facts of a stream, and whatever in it is not as OpenAI's is."""
    chunks = list(chunks)
    choices = [choice for chunk in chunks for choice in chunk.choices]
    odd = [
        f"{name} changes: {found}"
        for name in ("id", "created", "model", "object")
        if len(found := {str(getattr(chunk, name)) for chunk in chunks}) > 1
    ]
    odd += [f"object is {chunk.object}" for chunk in chunks[:1] if chunk.object != "chat.completion.chunk"]
    odd += [f"the first role is {choice.delta.role}" for choice in choices[:1] if not choice.delta.role]
    odd += ["an empty list of calls" for choice in choices if choice.delta.tool_calls == []]
    odd += ["a chunk without anything" for chunk in chunks if not chunk.choices and chunk.usage is None]
    return facts(
        [choice.delta.content for choice in choices if choice.delta.content],
        ",".join(choice.finish_reason for choice in choices if choice.finish_reason),
        thoughts="".join(getattr(choice.delta, "reasoning_content", None) or "" for choice in choices),
        odd=odd,
        usage=[chunk.usage.completion_tokens for chunk in chunks if chunk.usage],
    )


def plain(model: str) -> Facts:
    answer = chat(model)
    (choice,) = answer.choices
    return facts([choice.message.content], choice.finish_reason, usage=[answer.usage.completion_tokens])


def stream(model: str) -> Facts:
    return streamed(chat(model, stream=True))


def stream_usage(model: str) -> Facts:
    return streamed(chat(model, stream=True, stream_options={"include_usage": True}))


async def async_stream(model: str) -> Facts:
    async with AsyncOpenAI(base_url=URL, api_key=KEY) as other:
        chunks = await other.chat.completions.create(model=model, messages=MESSAGES, stream=True)
        return streamed([chunk async for chunk in chunks])


def leave(model: str) -> Facts:
    with chat(model, stream=True) as chunks:
        return facts([next(chunks).choices[0].delta.content or "" for _ in range(3)])


def tools(model: str) -> Facts:
    (choice,) = chat(model, tools=TOOLS).choices
    functions = [call.function for call in choice.message.tool_calls]
    return called(*((f.name, json.loads(f.arguments)) for f in functions), finish=choice.finish_reason)


def tool_stream(model: str) -> Facts:
    """As the SDK's own helper puts the calls together."""
    with client.chat.completions.stream(model=model, messages=MESSAGES, tools=TOOLS) as events:
        choice = events.get_final_completion().choices[0]
    functions = [call.function for call in choice.message.tool_calls or []]
    return called(*((f.name, json.loads(f.arguments)) for f in functions), finish=choice.finish_reason)


def structured(model: str) -> Facts:
    answer = client.chat.completions.parse(model=model, messages=MESSAGES, response_format=Person)
    person = answer.choices[0].message.parsed
    assert person is not None
    return {"value": person.model_dump()}


def completions(model: str) -> Facts:
    chunks = client.completions.create(model=model, prompt=QUESTION, stream=True)
    choices = [choice for chunk in chunks for choice in chunk.choices]
    whole = client.completions.create(model=model, prompt=QUESTION).choices[0].text
    finish = ",".join(choice.finish_reason for choice in choices if choice.finish_reason)
    return facts([choice.text for choice in choices if choice.text], finish, whole=whole)


def responses(model: str) -> Facts:
    whole = client.responses.create(model=model, input=QUESTION).output_text
    events = list(client.responses.create(model=model, input=QUESTION, stream=True))
    texts = [event.delta for event in events if event.type == "response.output_text.delta"]
    return facts(texts, events[-1].type, whole=whole)


main(
    *(plain, stream, stream_usage, async_stream, leave),
    *(tools, tool_stream, structured, completions, responses),
)
