"""What the simulator says when it is asked for another content: a text, thoughts, calls of tools, sloppy chunks."""

from typing import Any

import pytest

from tests.contract.simulator.raw import ask, chat, on_both_loops, post, text_of
from trunkline.simulator.app import Simulator

TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {"name": name, "parameters": {"properties": {"city": {"type": "string"}}}},
    }
    for name in ("weather", "time")
]


def deltas(events: list[Any]) -> list[dict[str, Any]]:
    return [choice["delta"] for event in events[:-1] for choice in event["choices"]]


@on_both_loops
async def test_a_given_text(sim: Simulator) -> None:
    model = "m!text=%3Cthink%3EHm%3B so.%3C/think%3EGrüße"
    assert (await ask(sim, chat(model))).json["choices"][0]["message"]["content"] == (
        "<think>Hm; so.</think>Grüße"
    )
    events = (await ask(sim, chat(model, stream=True))).events
    assert [delta.get("content") for delta in deltas(events)][:3] == ["", "<think>H", "m; so.</"]
    assert text_of(events) == "<think>Hm; so.</think>Grüße"


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
@on_both_loops
async def test_thoughts(sim: Simulator, field: str) -> None:
    message = (await ask(sim, chat(f"m!reasoning={field}"))).json["choices"][0]["message"]
    assert len(message[field].split()) == 6
    events = (await ask(sim, chat(f"m!reasoning={field}", stream=True))).events
    assert "".join(delta.get(field, "") for delta in deltas(events)) == message[field]
    assert text_of(events) == message["content"]
    assert message["content"] == (await ask(sim, chat("m"))).json["choices"][0]["message"]["content"]


@on_both_loops
async def test_calls_of_tools_until_there_is_a_result(sim: Simulator) -> None:
    fields: dict[str, Any] = {"tools": TOOLS}
    body = (await ask(sim, chat("m!tools=3", **fields))).json
    calls = body["choices"][0]["message"]["tool_calls"]
    assert [call["function"]["name"] for call in calls] == ["weather", "time", "weather"]
    assert len({call["id"] for call in calls}) == 3
    assert body["choices"][0]["finish_reason"] == "tool_calls"
    events = (await ask(sim, chat("m!tools=3", stream=True, **fields))).events
    arguments = ["", "", ""]
    for delta in deltas(events):
        for call in delta.get("tool_calls", []):
            arguments[call["index"]] += call["function"]["arguments"]
    assert arguments == [call["function"]["arguments"] for call in calls]
    result = {"role": "tool", "tool_call_id": calls[0]["id"], "content": "Rain."}
    asked = {"role": "user", "content": "?"}
    others: list[dict[str, Any]] = [
        {"messages": [asked, result]},
        {"tool_choice": "none"},
        {"tools": []},
    ]
    for more in others:
        value = {"model": "m!tools=3", "messages": [asked]} | fields | more
        body = (await ask(sim, post("/v1/chat/completions", value))).json
        assert body["choices"][0]["message"]["content"]


@on_both_loops
async def test_sloppy_streams_say_the_same(sim: Simulator) -> None:
    clean = (await ask(sim, chat("m", stream=True))).events
    sloppy = {
        habit: (await ask(sim, chat(f"m!sloppy={habit}", stream=True))).events
        for habit in ("role", "ids", "object", "finish", "calls")
    }
    assert {text_of(events) for events in sloppy.values()} == {text_of(clean)}
    assert not any("role" in delta for delta in deltas(sloppy["role"]))
    ids = [event["id"] for event in sloppy["ids"][:-1]]
    assert len(set(ids)) == len(ids)
    assert not any("object" in event for event in sloppy["object"][:-1])
    assert [event["choices"][0]["finish_reason"] for event in sloppy["finish"][-3:-1]] == ["stop", "stop"]
    assert all(delta["tool_calls"] == [] for delta in deltas(sloppy["calls"]))


@on_both_loops
async def test_sloppy_calls(sim: Simulator) -> None:
    events = (await ask(sim, chat("m!tools=1;sloppy=calls", stream=True, tools=TOOLS))).events
    _, opening, *others, _ = [delta["tool_calls"] for delta in deltas(events)]
    assert opening[0]["function"] == {"name": "weather", "arguments": ""}
    assert "index" not in opening[0]
    assert others
    for (call,) in others:
        assert call["id"] is call["type"] is call["function"]["name"] is None
        assert "index" not in call
