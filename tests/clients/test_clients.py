"""What users call the gateway with, as they have it: nothing is set but address, key and model.

Every test is one thing that all clients that can do it must get right, through a real gateway.
"""

import pytest

from tests.clients.suite import PERSON, QUESTION, REAL_MODEL, SEED, Client, Told, asks, check_stream, text_for
from trunkline.simulator.app import SimulatorThread
from trunkline.simulator.text import digest, words

# The first test of a client runs its whole program; the very first may install the model server.
pytestmark = pytest.mark.timeout(600)

PERSON_TEXT = 'text={"name":"Ada","age":36}'


@asks("plain")
def test_a_whole_answer(client: Client, told: Told) -> None:
    text = text_for(client)
    expected = {"text": text, "pieces": 1, "finish": "stop", "usage": [len(text.split())]}
    assert told.sound == expected


@asks("stream", "async_stream", "helper_stream", "openai_chat", "completions", "responses")
def test_a_stream(client: Client, told: Told) -> None:
    check_stream(client, told)


@asks("stream", of="openai-2 openai-3 langchain node-openai")
def test_no_usage_for_those_who_do_not_ask(client: Client, told: Told) -> None:
    assert told.sound["usage"] == []


@asks("stream_usage", "openai_chat", "responses", of="openai-2 openai-3 langchain node-openai ai-sdk")
def test_usage_for_those_who_ask(client: Client, told: Told) -> None:
    assert told.sound.get("usage", [len(text_for(client).split())]) == [len(text_for(client).split())]


@asks("stream", "responses", of="pydantic-ai")
def test_usage_for_those_who_always_ask(client: Client, told: Told) -> None:
    assert told.sound["usage"] == [len(text_for(client).split())]


@asks("tools", "tool_stream", fault="tools=2")
def test_calls_of_tools(client: Client, told: Told) -> None:
    """Two at once, their arguments put together; clients that run tools themselves also got the answer to these."""
    facts = told.sound
    assert [(call["name"], call["arguments"]["days"]) for call in facts["calls"]] == [("get_weather", 1)] * 2
    assert len({call["arguments"]["city"] for call in facts["calls"]}) == 2
    assert facts.get("finish") in ("tool_calls", None)
    assert facts.get("text", text_for(client)) == text_for(client)


@asks("structured", "structured_stream", "structured_schema_stream", fault=PERSON_TEXT)
def test_a_value_as_json(client: Client, told: Told) -> None:
    assert told.sound["value"] == PERSON


@asks("structured_tool", "structured_tool_stream", "structured_tool_async")
def test_a_value_by_a_tool(client: Client, told: Told) -> None:
    value = told.sound["value"]
    assert value["name"].istitle()
    assert value["age"] == 1


@asks("stream", fault="reasoning=reasoning_content", of="openai-2 openai-3 pydantic-ai ai-sdk")
def test_thoughts(client: Client, told: Told) -> None:
    assert len(told.sound["thoughts"].split()) == 6
    assert told.sound["text"] == text_for(client)


@asks("stream", fault="reasoning=reasoning", of="pydantic-ai ai-sdk")
def test_thoughts_in_the_other_field(client: Client, told: Told) -> None:
    assert len(told.sound["thoughts"].split()) == 6


@asks("plain", "stream", "structured_tool", model="nobody-has-this")
def test_an_unknown_model(client: Client, told: Told) -> None:
    assert {"NotFoundError", "ModelNotFoundError", "status 404"} & set(told.raised)
    assert "nobody-has-this" in told.says


@asks("plain", "stream", "structured_tool", fault="window=1")
def test_a_refused_request(client: Client, told: Told) -> None:
    assert {"BadRequestError", "ModelContextWindowExceededError", "status 400"} & set(told.raised)
    assert "maximum context length is 1 tokens" in told.says


@asks("stream", "async_stream", "helper_stream", "structured_tool_stream", fault="close=body;after=4")
def test_a_stream_that_breaks_off_is_an_error(client: Client, told: Told) -> None:
    """Nothing else could tell it from a finished one."""
    assert told.raised
    assert "in the middle of its answer" in told.says


@asks("leave", fault="words=500;delay_chunk=0.05")
def test_leaving_a_stream(client: Client, told: Told, simulator: SimulatorThread) -> None:
    """The upstream is left too, and the gateway is well for what this client asked next."""
    text = "".join(words(digest(SEED, f"sim-{client.name}", QUESTION, 0), 500))
    assert text.startswith(told.sound["text"])
    assert told.sound["pieces"] == 3

    def left() -> bool:
        (entry,) = [e for e in simulator.log if (e.model or "").startswith(f"sim-{client.name}!words=500")]
        return entry.outcome == "client_closed"

    simulator.until(left)


@asks("stream", "structured_schema_stream", model=REAL_MODEL)
def test_a_real_model(client: Client, told: Told) -> None:
    facts = told.sound
    assert facts["pieces"] > 1
    assert facts.get("finish", "stop") in ("stop", "length", None)
    assert facts.get("text") or facts["value"]
    assert facts.get("odd", []) == []
