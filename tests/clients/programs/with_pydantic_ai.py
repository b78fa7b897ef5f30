"""pydantic-ai's `Agent`."""

# pyright: basic, reportMissingImports=false
# pydantic-ai is in the environment that runs this, and not in that of the type checker.

from typing import Any

from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.messages import ThinkingPart, ToolCallPart
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider
from scenario import KEY, QUESTION, URL, Facts, called, facts, main

PROVIDER = OpenAIProvider(base_url=URL, api_key=KEY)


class Person(BaseModel):
    name: str
    age: int


def agent(model: str, **more: Any) -> Agent[None, Any]:
    return Agent(OpenAIChatModel(model, provider=PROVIDER), **more)


def get_weather(city: str, days: int) -> str:
    """The weather of a city."""
    return f"rain in {city} for {days} days"


def parts(result: Any, kind: type) -> list[Any]:
    return [part for message in result.all_messages() for part in message.parts if isinstance(part, kind)]


def plain(model: str) -> Facts:
    result = agent(model).run_sync(QUESTION)
    finish = result.all_messages()[-1].finish_reason
    return facts([result.output], finish, usage=[result.usage.output_tokens])


async def stream(model: str) -> Facts:
    async with agent(model).run_stream(QUESTION) as result:
        pieces = [piece async for piece in result.stream_text(delta=True, debounce_by=None)]
        thoughts = "".join(part.content for part in parts(result, ThinkingPart))
        finish = result.all_messages()[-1].finish_reason
        return facts(pieces, finish, usage=[result.usage.output_tokens], thoughts=thoughts)


async def leave(model: str) -> Facts:
    pieces: list[str] = []
    async with agent(model).run_stream(QUESTION) as result:
        async for piece in result.stream_text(delta=True, debounce_by=None):
            pieces.append(piece)
            if len(pieces) == 3:
                break
    return facts(pieces)


def tools(model: str) -> Facts:
    """The whole loop: the tools are called, and their results answered."""
    result = agent(model, tools=[get_weather]).run_sync(QUESTION)
    calls = [(part.tool_name, part.args_as_dict()) for part in parts(result, ToolCallPart)]
    return called(*calls, text=result.output)


async def tool_stream(model: str) -> Facts:
    async with agent(model, tools=[get_weather]).run_stream(QUESTION) as result:
        text = await result.get_output()
        calls = [(part.tool_name, part.args_as_dict()) for part in parts(result, ToolCallPart)]
    return called(*calls, text=text)


def structured_tool(model: str) -> Facts:
    return {"value": agent(model, output_type=Person).run_sync(QUESTION).output.model_dump()}


async def structured_tool_stream(model: str) -> Facts:
    async with agent(model, output_type=Person).run_stream(QUESTION) as result:
        return {"value": (await result.get_output()).model_dump()}


async def responses(model: str) -> Facts:
    other = Agent(OpenAIResponsesModel(model, provider=PROVIDER))
    async with other.run_stream(QUESTION) as result:
        pieces = [piece async for piece in result.stream_text(delta=True, debounce_by=None)]
    return facts(pieces, usage=[result.usage.output_tokens])


main(plain, stream, leave, tools, tool_stream, structured_tool, structured_tool_stream, responses)
