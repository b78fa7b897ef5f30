"""Where a cut answer and what came after it meet: odd second answers, what is told, what is recorded.

The usual cuts are in test_cut_streams.py; whom a second answer is asked of is in test_second_answers.py.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.failover.harness import on_both_loops, pair, running
from tests.failover.script import CUT, SSE, Ask, Script, Step, complaint, reply, say, stream, whole, words
from tests.failover.test_cut_streams import cut

ALONE = "models:\n  primary: {targets: [{backend: a, model: m}]}\n"
WITH_OK = """models:
  primary: {targets: [{backend: a, model: m}], fallbacks: [ok]}
  ok: {targets: [{backend: b, model: m}]}
"""


@pytest.mark.parametrize("second", ["events", "whole"])
@on_both_loops
async def test_a_stream_that_nobody_asked_for_is_made_one_answer_or_none(tmp_path: Path, second: str) -> None:
    """Its client was sent nothing of the first when that was cut: the second answer is all that it gets."""
    again, texts = (
        (stream(words(0, 10)), words(0, 10)) if second == "events" else ([reply("w0 w1")], ["w0 w1"])
    )
    script = Script(stream(words(0, 5), CUT), again)
    async with script.url() as url, running(tmp_path, ALONE, backends={"a": f"url: {url}"}) as world:
        told = await world.call(stream=False)
        await world.quiet()
        assert (told.outcome, told.text) == ("success", "".join(texts))
        assert told.headers["content-type"].startswith("application/json")
        assert told.body.count(b"w0") == 1
        assert b"[DONE]" not in told.body
        assert b"HTTP/1.1" not in told.body
        assert len(script.asked) == 2
        assert world.faults == ["cut", ""]


@on_both_loops
async def test_of_streams_that_nobody_asked_for_and_that_are_all_cut_nothing_is_told(tmp_path: Path) -> None:
    script = Script(*[stream(words(0, 5), CUT)] * 9)
    async with script.url() as url, running(tmp_path, ALONE, backends={"a": f"url: {url}"}) as world:
        told = await world.call(stream=False)
        await world.quiet()
        assert (told.outcome, told.status) == ("error", 502)
        assert b"w0" not in told.body
        assert world.record.fault == "cut"


CONTINUES = "on_cut: continue, prefill: plain"


@on_both_loops
async def test_what_was_joined_is_not_asked_for_again_whatever_it_ends_with(tmp_path: Path) -> None:
    refusal = complaint(400, "no prefill here")
    script = Script(
        stream(words(0, 14), CUT), stream(words(14, 18), refusal, 0.02, CUT), stream(words(0, 20))
    )
    async with (
        script.url() as url,
        running(tmp_path, ALONE, backends={"a": f"url: {url}, {CONTINUES}"}) as world,
    ):
        told = await world.call()
        await world.quiet()
        assert (told.outcome, told.done) == ("error", False)
        assert told.texts == words(0, 18), "no word twice"
        assert len(script.asked) == 2
        assert world.faults == ["cut", "invalid_request"]


@on_both_loops
async def test_a_prefill_that_is_refused_inside_the_stream_leads_to_one_from_the_start(
    tmp_path: Path,
) -> None:
    refusal: list[Step] = [SSE, complaint(400, "no prefill here"), 0.02, CUT]
    script = Script(stream(words(0, 14), CUT), refusal, stream(words(0, 20)))
    async with (
        script.url() as url,
        running(tmp_path, ALONE, backends={"a": f"url: {url}, {CONTINUES}"}) as world,
    ):
        told = await world.call()
        assert (told.outcome, told.texts) == ("success", words(0, 20))
        assert len(script.asked) == 3


@on_both_loops
async def test_a_second_answer_that_gets_no_connection_is_not_waited_for_without_end(tmp_path: Path) -> None:
    """The only connection goes to a call that was waiting for it."""

    def answer(ask: Ask) -> list[Step]:
        if ask["messages"][0]["content"] == "long":
            return [SSE, *say(["hi"]), 60.0]
        return [SSE, *say(words(0, 5)), 0.2, CUT]

    script = Script(by=answer)
    settings = "max_connections: 1, timeouts: {idle: 60, first_token: 0.3}"
    async with (
        script.url() as url,
        running(tmp_path, ALONE, backends={"a": f"url: {url}, {settings}"}) as world,
    ):
        loop = asyncio.get_running_loop()
        first = loop.create_task(world.call(limit=10))
        while not script.asked:
            await asyncio.sleep(0.005)
        say_long: list[Any] = [{"role": "user", "content": "long"}]
        second = loop.create_task(world.call(messages=say_long))
        told = await first
        assert (told.outcome, told.texts) == ("error", words(0, 5)), "and not a hang"
        assert told.error["code"] in ("upstream_timeout", "upstream_error")
        assert not second.done()
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        await world.quiet()


@on_both_loops
async def test_what_the_caller_is_told_is_the_first_answers_error(tmp_path: Path) -> None:
    busy = complaint("rate_limit_exceeded", "the second one's own words")
    script = Script(stream(words(0, 5), CUT), stream(words(0, 1), 0.01, busy, 0.05, CUT))
    async with script.url() as url, running(tmp_path, ALONE, backends={"a": f"url: {url}"}) as world:
        told = await world.call()
        await world.quiet()
        assert told.texts == words(0, 5)
        assert told.error["code"] == "upstream_error"
        assert b"the second one's" not in told.body
        assert world.record.fault == "cut"
        assert world.faults == ["cut", "rate_limit"]


@on_both_loops
async def test_the_upstreams_own_words_of_a_cut_are_kept_though_a_second_answer_failed(
    tmp_path: Path,
) -> None:
    own = complaint("engine_dead", "the first one's own words")
    script = Script(stream(words(0, 5), own, 0.05, CUT), [whole(500, {"error": {"message": "later"}})])
    async with script.url() as url, running(tmp_path, ALONE, backends={"a": f"url: {url}"}) as world:
        told = await world.call()
        assert told.texts == words(0, 5)
        assert (told.error["code"], told.error["message"]) == ("engine_dead", "the first one's own words")
        assert len(script.asked) == 2


@on_both_loops
async def test_a_target_that_cannot_be_sent_the_request_is_no_second_answer(tmp_path: Path) -> None:
    script = Script(stream(words(0, 5), CUT))
    async with script.url() as url:
        backends = {"a": f"url: {url}", "b": f"url: {url}, provider: groq, strict_params: true"}
        async with running(tmp_path, WITH_OK, backends=backends) as world:
            told = await world.call(logit_bias={"1": 1})
            await world.quiet()
            assert (told.outcome, told.texts, told.done) == ("error", words(0, 5), False)
            assert told.error["code"] == "upstream_error"
            assert world.record.fault == "cut"
            assert len(script.asked) == 1


@pytest.mark.parametrize("on_cut", ["error", "splice"])
@on_both_loops
async def test_what_a_cut_stream_may_have_cost_is_its_whole_prompt(tmp_path: Path, on_cut: str) -> None:
    spec = cut("close=body;after=9")
    async with running(tmp_path, pair(spec), backends={"sim": f"on_cut: {on_cut}"}) as world:
        say_much = [{"role": "user", "content": "x " * 4000}]
        await world.call(messages=say_much)
        await world.quiet()
        assert world.record.attempts[0].fault == "cut"
        assert 1000 <= world.record.attempts[0].maybe_billed <= 4000


@on_both_loops
async def test_bytes_of_both_answers_are_counted_once(tmp_path: Path) -> None:
    """Of the second one only what the client got; the framing of what went the short way counts with it."""
    async with running(tmp_path, pair("delay_chunk=0.002;close=body;after=100"), words=120) as world:
        told = await world.call()
        await world.quiet()
        assert (told.outcome, len(told.text.split())) == ("success", 120)
        assert len(world.faults) == 2
        framing = 7 * told.body.count(b"\n\n")  # three digits and two line ends
        assert len(told.body) <= world.record.bytes_out <= len(told.body) + framing


@on_both_loops
async def test_a_second_answer_of_the_same_target_keeps_the_place_of_the_first(tmp_path: Path) -> None:
    script = Script(stream(words(0, 5), CUT), stream(words(0, 20)))
    settings = "max_concurrency: 1"
    async with (
        script.url() as url,
        running(tmp_path, ALONE, backends={"a": f"url: {url}, {settings}"}) as world,
    ):
        told = await asyncio.gather(*(world.call() for _ in range(3)))
        await world.quiet()
        assert [(one.outcome, one.texts) for one in told] == [("success", words(0, 20))] * 3
        assert (len(script.asked), script.most) == (4, 1)
        assert world.gateway.runtime.board.backends["a"].inflight == 0


@on_both_loops
async def test_a_full_fallback_is_not_waited_for_in_the_middle_of_a_stream(tmp_path: Path) -> None:
    """Its client reads: the same target is asked at once."""
    script = Script(stream(words(0, 5), CUT), stream(words(0, 20)))
    async with script.url() as url:
        backends = {"a": f"url: {url}", "b": "max_concurrency: 1"}
        async with running(
            tmp_path, WITH_OK.replace("b, model: m", "b, model: sim-small"), backends=backends
        ) as world:
            world.sim.set_fault("stall=forever;after=0")
            other = asyncio.get_running_loop().create_task(world.call("ok"))
            await world.arrived("sim-small")
            told = await world.call()
            assert (told.outcome, told.texts) == ("success", words(0, 20))
            assert (len(script.asked), len(world.asked("sim-small"))) == (2, 1)
            other.cancel()
            await asyncio.gather(other, return_exceptions=True)
            await world.quiet()
