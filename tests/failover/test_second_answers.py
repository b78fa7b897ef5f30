"""Which cut answers are gone on with by a second one, by whom, and how that one is asked."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.failover.harness import named, on_both_loops, pair, running
from tests.failover.test_cut_streams import assert_cut, cut

SPEC = cut("close=body;after=13")
APART = ("first", "second")
"""Backends of the primary and of the fallback."""


@on_both_loops
async def test_the_setting_of_the_backend_that_was_cut_holds(tmp_path: Path) -> None:
    for number, (first, second) in enumerate([("on_cut: error", ""), ("", "on_cut: error")]):
        folder = tmp_path / str(number)
        folder.mkdir()
        backends = {"first": first, "second": second}
        async with running(folder, pair(SPEC, backends=APART), backends=backends) as world:
            want = await world.direct()
            told = await world.call()
            if first:
                assert_cut(told, want)
            else:
                assert (told.outcome, told.text) == ("success", want.text)
            assert len(world.asked(named(), "second")) == (0 if first else 1)


@pytest.mark.parametrize(
    ("style", "added"),
    [
        ("plain", {}),
        ("prefix", {"prefix": True}),
        ("continue_final_message", {"continue_final_message": True, "add_generation_prompt": False}),
    ],
)
@on_both_loops
async def test_a_server_is_asked_for_the_rest_as_it_wants_to_be(
    tmp_path: Path, style: str, added: dict[str, Any]
) -> None:
    models = pair(SPEC, "prefill=continue", backends=APART)
    backends = {"first": "on_cut: continue", "second": f"prefill: {style}"}
    async with running(tmp_path, models, backends=backends) as world:
        want = await world.direct()
        told = await world.call(max_tokens=30)
        assert (told.outcome, told.text) == ("success", want.text)
        (entry,) = world.asked(named("prefill=continue"), "second")
        body: dict[str, Any] = json.loads(entry.body)
        last: dict[str, Any] = body["messages"][-1]
        assert last["role"] == "assistant"
        assert last["content"].split() == want.text.split()[:12]
        assert {key: value for key, value in (body | last).items() if key in added} == added
        assert ("prefix" in last) == (style == "prefix")
        assert ("continue_final_message" in body) == (style == "continue_final_message")
        assert body["max_tokens"] == 18, "what was spent is spent"


@on_both_loops
async def test_a_fallback_that_always_says_something_else_is_not_asked_for_ever(tmp_path: Path) -> None:
    async with running(tmp_path, pair(SPEC, model="sim-large"), more="breaker: {failures: 50}") as world:
        want = await world.direct()
        for _ in range(5):
            assert_cut(await world.call(), want)
        assert len(world.asked("sim-large")) == 3


@pytest.mark.parametrize(("temperature", "joined"), [(1, False), (0, True)])
@on_both_loops
async def test_a_long_prompt_is_sent_twice_only_where_the_answer_is_bound_to_be_the_same(
    tmp_path: Path, temperature: int, joined: bool
) -> None:
    say = [{"role": "user", "content": "word " * 9000}]
    async with running(tmp_path, pair(SPEC)) as world:
        want = await world.direct(messages=say)
        told = await world.call(messages=say, temperature=temperature)
        if joined:
            assert (told.outcome, told.text) == ("success", want.text)
        else:
            assert_cut(told, want)
        assert world.seen(named(SPEC), named()) == [1, int(joined)]


@on_both_loops
async def test_a_long_answer_is_not_made_a_second_time(tmp_path: Path) -> None:
    spec = "delay_chunk=0;words=1800;close=body;after=1700"
    async with running(tmp_path, pair(spec, "words=1800")) as world:
        want = await world.direct(named("words=1800"))
        assert_cut(await world.call(), want)
        assert world.seen(named(spec), named("words=1800")) == [1, 0]


@on_both_loops
async def test_with_nobody_else_the_same_one_is_asked(tmp_path: Path) -> None:
    """What was cut once may not be cut twice."""
    spec = cut("close=body;after=13;times=1")
    models = f'models:\n  primary: {{targets: [{{backend: sim, model: "{named(spec)}"}}]}}\n'
    async with running(tmp_path, models) as world:
        want = await world.direct()
        told = await world.call()
        assert (told.outcome, told.text) == ("success", want.text)
        assert world.seen(named(spec)) == [2]
