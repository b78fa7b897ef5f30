"""LangChain's `ChatOpenAI`."""

# pyright: basic, reportMissingImports=false
# LangChain is in the environment that runs this, and not in that of the type checker.

from typing import Any

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel
from scenario import KEY, QUESTION, URL, Facts, called, facts, main


class Person(BaseModel):
    """Somebody."""

    name: str
    age: int


@tool
def get_weather(city: str, days: int) -> str:
    """The weather of a city."""
    return f"rain in {city} for {days} days"


def llm(model: str, **more: Any) -> ChatOpenAI:
    return ChatOpenAI(model=model, base_url=URL, api_key=KEY, **more)


def told(chunks: list[Any]) -> Facts:
    """The facts of one answer: LangChain itself adds up its chunks."""
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    usage = whole.usage_metadata
    return facts(
        [chunk.text for chunk in chunks if chunk.text],
        whole.response_metadata.get("finish_reason"),
        usage=[usage["output_tokens"]] if usage else [],
    )


def plain(model: str) -> Facts:
    return told([llm(model).invoke(QUESTION)])


def stream(model: str) -> Facts:
    return told(list(llm(model).stream(QUESTION)))


def stream_usage(model: str) -> Facts:
    return told(list(llm(model, stream_usage=True).stream(QUESTION)))


async def async_stream(model: str) -> Facts:
    return told([chunk async for chunk in llm(model).astream(QUESTION)])


def leave(model: str) -> Facts:
    chunks = llm(model).stream(QUESTION)
    seen = facts([next(chunks).text for _ in range(3)])
    chunks.close()
    return seen


def tools(model: str) -> Facts:
    message = llm(model).bind_tools([get_weather]).invoke(QUESTION)
    finish = message.response_metadata["finish_reason"]
    return called(*((call["name"], call["args"]) for call in message.tool_calls), finish=finish)


def tool_stream(model: str) -> Facts:
    first, *others = llm(model).bind_tools([get_weather]).stream(QUESTION)
    for chunk in others:
        first += chunk
    finish = first.response_metadata.get("finish_reason")
    return called(*((call["name"], call["args"]) for call in first.tool_calls), finish=finish)


def structured(model: str) -> Facts:
    return {"value": llm(model).with_structured_output(Person).invoke(QUESTION).model_dump()}


def structured_tool(model: str) -> Facts:
    bound = llm(model).with_structured_output(Person, method="function_calling")
    return {"value": bound.invoke(QUESTION).model_dump()}


main(plain, stream, stream_usage, async_stream, leave, tools, tool_stream, structured, structured_tool)
