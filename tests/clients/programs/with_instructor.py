"""instructor: answers as values of pydantic's models, by a tool and as JSON."""

# pyright: basic, reportMissingImports=false
# instructor is in the environment that runs this, and not in that of the type checker.

from typing import Any

import instructor
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel
from scenario import KEY, QUESTION, URL, Facts, main

MESSAGES: Any = [{"role": "user", "content": QUESTION}]


class Person(BaseModel):
    name: str
    age: int


def client(mode: instructor.Mode = instructor.Mode.TOOLS) -> Any:
    return instructor.from_openai(OpenAI(base_url=URL, api_key=KEY), mode=mode)


def made(model: str, mode: instructor.Mode) -> Facts:
    person = client(mode).create(model=model, messages=MESSAGES, response_model=Person)
    return {"value": person.model_dump()}


def streamed(model: str, mode: instructor.Mode) -> Facts:
    people = list(client(mode).create_partial(model=model, messages=MESSAGES, response_model=Person))
    return {"value": people[-1].model_dump(), "pieces": len(people)}


def structured_tool(model: str) -> Facts:
    return made(model, instructor.Mode.TOOLS)


def structured_tool_stream(model: str) -> Facts:
    return streamed(model, instructor.Mode.TOOLS)


async def structured_tool_async(model: str) -> Facts:
    async with AsyncOpenAI(base_url=URL, api_key=KEY) as other:
        people = instructor.from_openai(other).create_partial(
            model=model, messages=MESSAGES, response_model=Person
        )
        return {"value": [person.model_dump() async for person in people][-1]}


def structured(model: str) -> Facts:
    return made(model, instructor.Mode.JSON)


def structured_stream(model: str) -> Facts:
    return streamed(model, instructor.Mode.JSON)


def structured_schema_stream(model: str) -> Facts:
    return streamed(model, instructor.Mode.JSON_SCHEMA)


main(
    *(structured, structured_stream, structured_schema_stream),
    *(structured_tool, structured_tool_stream, structured_tool_async),
)
