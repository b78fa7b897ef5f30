"""Answers on their way through the filter, the fold and the unfold, with everything that can go wrong meanwhile."""

import json
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.failover.caller import Told
from tests.failover.harness import World, on_both_loops, on_one_loop, running
from tests.failover.script import CUT, SSE, Script, reply, say, stream

THOUGHTFUL = ["<thi", "nk>Hm, 2 ", "and 2.</th", "ink>", "It is", " 4", "."]
THOUGHTS = "Hm, 2 and 2."
MODELS = "models: {{primary: {{targets: [{}]{}}}}}\n"


def events(told: Told) -> list[dict[str, Any]]:
    """The chunks that a caller got."""
    lines = [line[6:] for line in told.body.split(b"\n") if line.startswith(b"data: {")]
    return [json.loads(line) for line in lines]


def text_of(told: Told) -> tuple[str, str]:
    """The answer and the thoughts that a caller got."""
    if told.headers["content-type"] == "application/json":
        message = json.loads(told.body)["choices"][0]["message"]
        return message["content"], message.get("reasoning_content", "")
    deltas = [choice["delta"] for event in events(told) for choice in event.get("choices", ())]
    return (
        "".join(delta.get("content") or "" for delta in deltas),
        "".join(delta.get("reasoning_content") or "" for delta in deltas),
    )


@asynccontextmanager
async def before(
    folder: Path, *scripts: Script, settings: str, backend: str = "", more: str = ""
) -> AsyncGenerator[World]:
    """A gateway in front of one backend for each script; `settings`: of the model, `backend`: of each of them."""
    async with AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(script.url()) for script in scripts]
        backends = {"abc"[at]: f"url: {url}{backend}" for at, url in enumerate(urls)}
        targets = ", ".join(f"{{backend: {name}, model: m}}" for name in backends)
        models = MODELS.format(targets, f", {settings}")
        yield await stack.enter_async_context(running(folder, models, backends=backends, more=more))


@pytest.mark.parametrize("mode", ["strip", "split", "keep"])
@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("upstream", [True, False])
@on_both_loops
async def test_thoughts_fare_the_same_however_they_come(
    tmp_path: Path, mode: str, streamed: bool, upstream: bool
) -> None:
    """Whole or streamed, folded or unfolded."""
    steps = stream(THOUGHTFUL) if upstream else [reply("".join(THOUGHTFUL))]
    settings = f"think: {mode}, params: {{stream: {str(upstream).lower()}}}"
    async with before(tmp_path, Script(steps), settings=settings) as world:
        told = await world.call(stream=streamed)
        await world.quiet()
        record = world.record
    assert told.outcome == "success"
    wanted = {"strip": ("It is 4.", ""), "split": ("It is 4.", THOUGHTS), "keep": ("".join(THOUGHTFUL), "")}
    assert text_of(told) == wanted[mode]
    note = f"`stream` set to {str(upstream).lower()}"
    assert (note in record.attempts[-1].notes) == (not (streamed and upstream))
    assert (record.fault, told.done) == ("", streamed)
    if not streamed:
        assert json.loads(told.body)["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("mode", ["strip", "split"])
@on_both_loops
async def test_a_stream_is_gone_on_with_in_the_middle_of_a_thought(tmp_path: Path, mode: str) -> None:
    """What the second answer repeats is compared as the models said it, not as the client got it."""
    first, second = Script(stream(THOUGHTFUL[:3], CUT)), Script(stream(THOUGHTFUL))
    async with before(tmp_path, first, second, settings=f"think: {mode}") as world:
        told = await world.call()
        await world.quiet()
        assert [attempt.backend for attempt in world.record.attempts] == ["a", "b"]
    assert (told.outcome, told.done) == ("success", True)
    assert text_of(told) == ("It is 4.", THOUGHTS if mode == "split" else "")


@on_both_loops
async def test_what_could_have_been_a_tag_is_given_out_before_an_error(tmp_path: Path) -> None:
    script = Script([SSE, *say(["I say <th"]), CUT])
    async with before(tmp_path, script, settings="think: strip", backend=", on_cut: error") as world:
        told = await world.call()
        await world.quiet()
    assert (told.outcome, told.done, text_of(told)[0]) == ("error", False, "I say <th")


@on_both_loops
async def test_an_answer_of_thoughts_alone_says_so(tmp_path: Path) -> None:
    texts = ["<think>", "Hm, hm.", "</think>"]
    async with before(
        tmp_path, Script(stream(texts), [reply("".join(texts))]), settings="think: strip"
    ) as world:
        streamed = await world.call()
        whole = await world.call(stream=False)
        await world.quiet()
    assert text_of(streamed) == text_of(whole) == ("", "")
    assert whole.headers["x-trunkline-note"] == "only-thoughts"
    assert json.loads(whole.body)["choices"][0]["finish_reason"] == streamed.finish == "stop"
    assert [event["choices"][0]["delta"] for event in events(streamed) if event["choices"]][-1] == {
        "content": ""
    }


@on_one_loop
async def test_a_stream_that_stalls_while_it_is_gathered_fails_over(tmp_path: Path) -> None:
    """Nobody has seen a word of it."""
    stalls, good = Script([SSE, *say(["It is"]), 60.0]), Script(stream(THOUGHTFUL))
    backend = ", timeouts: {idle: 0.3}"
    async with before(
        tmp_path, stalls, good, settings="params: {stream: true}, think: strip", backend=backend
    ) as world:
        told = await world.call(stream=False)
        await world.quiet()
        assert [attempt.fault for attempt in world.record.attempts] == ["idle_timeout", ""]
    assert (told.outcome, text_of(told)) == ("success", ("It is 4.", ""))


@on_one_loop
async def test_comments_break_the_silence_of_thoughts_that_are_cut_out(tmp_path: Path) -> None:
    steps = [SSE, *say(["<think>"]), *[step for _ in range(8) for step in (*say(["Hm. "]), 0.1)]]
    script = Script([*steps, *stream(["</think>", "4"])[1:]])
    more = "server: {sse_keep_alive: 0.2}"
    async with before(tmp_path, script, settings="think: strip", more=more) as world:
        told = await world.call()
        await world.quiet()
        assert world.record.bytes_out < world.record.attempts[0].bytes_in
    assert (told.outcome, told.done, text_of(told)[0]) == ("success", True, "4")
    assert told.comments >= 2
