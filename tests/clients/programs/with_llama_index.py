"""LlamaIndex's `OpenAILike`, as a chat model and as it is by default, a model of plain completions."""

# pyright: basic, reportMissingImports=false
# LlamaIndex is in the environment that runs this, and not in that of the type checker.

from typing import Any

from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike
from scenario import KEY, QUESTION, URL, Facts, called, facts, main

MESSAGES = [ChatMessage(role="user", content=QUESTION)]


def llm(model: str, **more: Any) -> OpenAILike:
    return OpenAILike(model=model, api_base=URL, api_key=KEY, **more)


def chat(model: str) -> OpenAILike:
    return llm(model, is_chat_model=True)


def get_weather(city: str, days: int) -> str:
    """The weather of a city."""
    return f"rain in {city} for {days} days"


def told(answers: list[Any]) -> Facts:
    choices = [choice for answer in answers for choice in answer.raw.choices]
    return facts(
        [answer.delta for answer in answers if answer.delta],
        ",".join(choice.finish_reason for choice in choices if choice.finish_reason),
        final=answers[-1].message.content,
    )


def plain(model: str) -> Facts:
    answer = chat(model).chat(MESSAGES)
    (choice,) = answer.raw.choices
    usage = [answer.additional_kwargs["completion_tokens"]]
    return facts([answer.message.content], choice.finish_reason, usage=usage)


def stream(model: str) -> Facts:
    return told(list(chat(model).stream_chat(MESSAGES)))


async def async_stream(model: str) -> Facts:
    return told([answer async for answer in await chat(model).astream_chat(MESSAGES)])


def leave(model: str) -> Facts:
    answers = chat(model).stream_chat(MESSAGES)
    seen = facts([next(answers).delta or "" for _ in range(3)])
    answers.close()
    return seen


def completions(model: str) -> Facts:
    pieces = [answer.delta for answer in llm(model).stream_complete(QUESTION) if answer.delta]
    return facts(pieces, whole=llm(model).complete(QUESTION).text)


def tool_stream(model: str) -> Facts:
    able = llm(model, is_chat_model=True, is_function_calling_model=True)
    weather = FunctionTool.from_defaults(get_weather)
    *_, last = able.stream_chat_with_tools([weather], user_msg=QUESTION)
    calls = able.get_tool_calls_from_response(last)
    return called(*((call.tool_name, call.tool_kwargs) for call in calls))


def tools(model: str) -> Facts:
    able = llm(model, is_chat_model=True, is_function_calling_model=True)
    answer = able.chat_with_tools(
        [FunctionTool.from_defaults(get_weather)], user_msg=QUESTION, allow_parallel_tool_calls=True
    )
    calls = able.get_tool_calls_from_response(answer)
    return called(*((call.tool_name, call.tool_kwargs) for call in calls))


main(plain, stream, async_stream, leave, completions, tools, tool_stream)
