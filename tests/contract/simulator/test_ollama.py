"""Ollama's surface: the same words as /chat/completions has, in lines of JSON."""

import json
from typing import Any

import pytest

from tests.contract.simulator.raw import Reply, ask, ask_to_end, chat, get, on_both_loops, post
from trunkline.simulator.app import Simulator

SAY = [{"role": "user", "content": "hello there"}]
TOOLS: list[dict[str, Any]] = [
    {"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": {}}}}}
]


def native(*, spec: str = "", **fields: Any) -> bytes:
    value = {"model": "sim-small", "messages": SAY} | fields
    return post("/api/chat", value, headers=f"x-sim-fault: {spec}\r\n")


def lines(reply: Reply) -> list[Any]:
    return [json.loads(line) for line in reply.body.splitlines() if line.strip()]


def said(reply: Reply, part: str = "content") -> str:
    return "".join(line["message"].get(part, "") for line in lines(reply))


@on_both_loops
async def test_it_streams_unless_told_not_to(sim: Simulator) -> None:
    plain = (await ask(sim, chat())).json
    text = plain["choices"][0]["message"]["content"]
    streamed = await ask(sim, native(stream=True))
    assert (await ask(sim, native())).body == streamed.body
    assert streamed.headers["content-type"] == "application/x-ndjson"
    assert said(streamed) == text
    assert [line["done"] for line in lines(streamed)] == [False] * (len(lines(streamed)) - 1) + [True]
    last = lines(streamed)[-1]
    assert last["done_reason"] == "stop"
    assert last["prompt_eval_count"] == plain["usage"]["prompt_tokens"]
    assert last["eval_count"] == plain["usage"]["completion_tokens"]
    whole = await ask(sim, native(stream=False))
    assert whole.headers["content-type"] == "application/json"
    assert whole.json == lines(streamed)[-1] | {"message": {"role": "assistant", "content": text}}


@on_both_loops
async def test_limits_tools_and_thoughts(sim: Simulator) -> None:
    for stream in (False, True):
        cut = lines(await ask(sim, native(stream=stream, options={"num_predict": 3})))
        assert (cut[-1]["done_reason"], cut[-1]["eval_count"]) == ("length", 3)
        free = lines(await ask(sim, native(stream=stream, options={"num_predict": -1})))
        assert free[-1]["done_reason"] == "stop"
        called = lines(await ask(sim, native(stream=stream, tools=TOOLS, spec="tools=1")))
        (call,) = next(line["message"]["tool_calls"] for line in called if "tool_calls" in line["message"])
        assert call["function"]["name"] == "f"
        assert call["function"]["arguments"].keys() == {"a"}
        assert called[-1]["done_reason"] == "stop"
        thought = await ask(sim, native(stream=stream, spec="reasoning=reasoning"))
        assert said(thought, "thinking")
        assert said(thought)
        silent = await ask(sim, native(stream=stream, spec="reasoning=reasoning", think=False))
        assert not said(silent, "thinking")
        uncounted = lines(await ask(sim, native(stream=stream, spec="usage=never")))
        assert "eval_count" not in uncounted[-1]


@on_both_loops
async def test_its_errors_are_texts(sim: Simulator) -> None:
    for request, status in (
        (native(spec="status=503;message=busy"), 503),
        (native(messages=[]), 400),
        (native(messages=3), 400),
        (native(spec="window=1"), 400),
    ):
        reply = await ask(sim, request)
        assert reply.status == status
        assert isinstance(reply.json["error"], str)
    assert (await ask(sim, get("/api/chat"))).status == 405
    assert (await ask(sim, get("/api/version"))).json["version"]


@pytest.mark.parametrize("spec", ["drip", "crlf", "comments;delay_chunk=0", "http10"])
@on_both_loops
async def test_forms_on_the_wire(sim: Simulator, spec: str) -> None:
    plain = await ask(sim, native())
    reply = (
        await ask_to_end(sim, native(spec=spec)) if spec == "http10" else await ask(sim, native(spec=spec))
    )
    assert lines(reply) == lines(plain)
    assert (b"\n\n" in reply.body) is ("comments" in spec)
    assert (b"\r\n" in reply.body) is (spec == "crlf")


@on_both_loops
async def test_what_breaks_inside_a_stream(sim: Simulator) -> None:
    plain = lines(await ask(sim, native()))
    failed = lines(await ask(sim, native(spec="error_event=2")))
    assert failed[:2] == plain[:2]
    assert isinstance(failed[2]["error"], str)
    cut = (await ask(sim, native(spec="malformed_event=1"))).body.splitlines()
    assert [json.loads(line) for line in (cut[0], *cut[2:])] == plain
    assert cut[1].startswith(b'{"model":')
    assert lines(await ask(sim, native(spec="no_done"))) == plain[:-1]
    empty = await ask(sim, native(spec="empty_stream"))
    assert (empty.headers["content-type"], empty.body) == ("application/x-ndjson", b"")
    broken = await ask_to_end(sim, native(spec="close=body;after=2"))
    assert not broken.complete
    assert lines(broken) == plain[:2]
