"""Answers on their way through the filter, the fold and the unfold, with everything that can go wrong meanwhile."""

import json
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.failover.caller import Told
from tests.failover.harness import World, on_both_loops, on_one_loop, running
from tests.failover.script import CUT, SSE, Script, reply, say, stream, whole
from trunkline.streams.fold import Folder

THOUGHTFUL = ["<thi", "nk>Hm, 2 ", "and 2.</th", "ink>", "It is", " 4", "."]
THOUGHTS = "Hm, 2 and 2."
MODELS = "models: {{primary: {{targets: [{}]{}}}}}\n"


def chunk_of(value: dict[str, Any]) -> bytes:
    """An event as a chunk of a body."""
    event = b"data: %b\n\n" % json.dumps(value).encode()
    return b"%x\r\n%b\r\n" % (len(event), event)


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
    async with before(
        tmp_path, first, second, settings=f"think: {mode}", backend=", max_retries: 0"
    ) as world:
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
    more = "server: {hold_head: 0.2, sse_keep_alive: 0.2}"
    async with before(tmp_path, script, settings="think: strip", more=more) as world:
        told = await world.call()
        await world.quiet()
        assert world.record.bytes_out < world.record.attempts[0].bytes_in
    assert (told.outcome, told.done, text_of(told)[0]) == ("success", True, "4")
    assert told.comments >= 2


@pytest.mark.parametrize("cut_at", [3, 5])
@on_both_loops
async def test_thoughts_that_nobody_sees_need_not_agree(tmp_path: Path, cut_at: int) -> None:
    """Before an answer was shown another target is asked, afterwards what was shown is compared."""
    first = Script(stream(THOUGHTFUL[:cut_at], CUT))
    second = Script(stream(["<think>Quite another thought.</think>It", " is 4", "."]))
    async with before(tmp_path, first, second, settings="think: strip", backend=", max_retries: 0") as world:
        told = await world.call()
        await world.quiet()
        assert [attempt.backend for attempt in world.record.attempts] == ["a", "b"]
        assert set(told.ids) == {"x"}
    assert (told.outcome, told.done, text_of(told)) == ("success", True, ("It is 4.", ""))


@on_both_loops
async def test_a_second_answer_is_as_its_own_backend_has_it(tmp_path: Path) -> None:
    first, second = Script(stream(["It is"], CUT)), Script(stream(["It is", "<think>Hm.</think>", " 4."]))
    async with first.url() as a, second.url() as b:
        backends = {"a": f"url: {a}", "b": f"url: {b}, think: strip"}
        models = MODELS.format("{backend: a, model: m}, {backend: b, model: m}", "")
        async with running(tmp_path, models, backends=backends) as world:
            told = await world.call()
            await world.quiet()
    assert (told.outcome, told.done, text_of(told)[0]) == ("success", True, "It is 4.")


@on_one_loop
async def test_a_model_that_thinks_is_not_taken_for_one_that_does_not_begin(tmp_path: Path) -> None:
    """Its thoughts are cut out, so nothing is sent; but it works."""
    thinks = [SSE, *say(["<think>"]), *[step for _ in range(8) for step in (*say(["Hm. "]), 0.1)]]
    first, second = Script([*thinks, *stream(["</think>", "4"])[1:]]), Script(stream(["5"]))
    backend = ", timeouts: {first_token: 0.2}"
    async with before(tmp_path, first, second, settings="think: strip", backend=backend) as world:
        told = await world.call()
        await world.quiet()
    assert (told.outcome, text_of(told), len(second.asked)) == ("success", ("4", ""), 0)


@on_both_loops
async def test_a_body_that_is_told_as_a_stream_is_mended_like_one(tmp_path: Path) -> None:
    bare = whole(200, {"choices": [{"message": {"content": "<think>Hm.</think>"}}]})
    async with before(tmp_path, Script([bare]), settings="think: strip, params: {stream: false}") as world:
        told = await world.call()
        await world.quiet()
    assert (told.outcome, told.done, told.finish, text_of(told)) == ("success", True, "stop", ("", ""))
    assert told.headers["x-trunkline-note"] == "only-thoughts"
    chunks = events(told)
    assert {(chunk["id"], chunk["model"], chunk["object"]) for chunk in chunks} == {
        (chunks[0]["id"], "primary", "chat.completion.chunk")
    }
    assert chunks[-1]["usage"]["estimated"] is True


@on_both_loops
async def test_what_llama_cpp_timed_is_the_usage_where_there_is_no_other(tmp_path: Path) -> None:
    last: dict[str, Any] = {
        "id": "x",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [],
    }
    last |= {"timings": {"prompt_n": 30, "predicted_n": 40, "cache_n": 2}}
    steps = stream(["It is 4."])
    timed = [*steps[:-1], chunk_of(last), steps[-1]]
    async with before(tmp_path, Script(timed), settings="params: {temperature: 0}") as world:
        told = await world.call()
        folded = await world.call(stream=False)
        await world.quiet()
        assert world.record.usage is not None
        assert world.record.usage.source == "timings"
    for usage in (told.usage, json.loads(folded.body)["usage"]):
        assert (usage["prompt_tokens"], usage["completion_tokens"], "estimated" in usage) == (32, 40, False)


@pytest.mark.parametrize("name", ["text/plain", "application/octet-stream"])
@pytest.mark.parametrize("streamed", [True, False])
@on_both_loops
async def test_events_under_another_name_are_events(tmp_path: Path, name: str, streamed: bool) -> None:
    steps = stream(THOUGHTFUL)
    steps[0] = SSE.replace(b"text/event-stream", name.encode())
    async with before(tmp_path, Script(steps), settings="think: strip, params: {stream: true}") as world:
        told = await world.call(stream=streamed)
        await world.quiet()
    assert (told.outcome, text_of(told)[0]) == ("success", "It is 4.")
    wanted = "text/event-stream; charset=utf-8" if streamed else "application/json"
    assert told.headers["content-type"] == wanted


@on_both_loops
async def test_a_part_that_cannot_be_worked_on_does_not_pass_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of the gateway itself: its client must not take the rest for the answer."""

    def breaks(fold: Folder, events: bytes) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(Folder, "feed", breaks)
    alarms: list[str] = []
    async with before(tmp_path, Script(stream(THOUGHTFUL)), settings="params: {stream: true}") as world:

        def alarm(where: str, error: Exception) -> None:
            alarms.append(f"{where}: {error}")

        monkeypatch.setattr(world.gateway.runtime, "alarm", alarm)
        told = await world.call(stream=False)
        await world.quiet()
    assert (told.outcome, told.status, alarms) == ("error", 500, ["exchange: 'a bug'"])


@on_both_loops
async def test_an_answer_too_long_to_be_told_as_a_stream_is_an_error(tmp_path: Path) -> None:
    body = json.dumps({"choices": [{"message": {"content": "<think>x</think>" + "y" * (9 << 20)}}]}).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    steps = [head, b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)]
    async with before(tmp_path, Script(steps), settings="think: strip, params: {stream: false}") as world:
        told = await world.call()
        await world.quiet()
    assert (told.outcome, told.status) == ("error", 502)
