"""Prompts that are too long: never again at the same size, never to a smaller window, shortened only if asked for."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.failover.caller import Told
from tests.failover.harness import World, named, on_both_loops, pair, running
from trunkline.simulator.state import Entry

SMALL = named("window=60")
TINY = named("window=30")
LARGE = named("window=500")
MODELS = f"""models:
  primary: {{targets: [{{backend: sim, model: "{SMALL}"}}], SETTINGS}}
  tiny: {{targets: [{{backend: sim, model: "{TINY}"}}]}}
  large: {{targets: [{{backend: sim, model: "{LARGE}"}}]}}
"""
KNOWN = {
    "sim": f'capabilities: {{"{TINY}": {{context_window: 30}}, "{LARGE}": {{context_window: 500}}}}',
}
"""Windows that are known; the primary's is not until it refuses."""


def models(settings: str) -> str:
    """The three models, with settings of the primary."""
    return MODELS.replace("SETTINGS", settings)


def turns(number: int, words: int = 8) -> list[dict[str, Any]]:
    """A conversation of that many turns, of twice as many words each, and a last question of four."""
    say = [
        {"role": role, "content": " ".join(f"{role}{turn}w{word}" for word in range(words))}
        for turn in range(number)
        for role in ("user", "assistant")
    ]
    system = {"role": "system", "content": "You are brief."}
    return [system, *say, {"role": "user", "content": "What was that again?"}]


def messages(entry: Entry) -> list[dict[str, Any]]:
    """The messages of a request."""
    return json.loads(entry.body)["messages"]


def shrinks(entries: list[Entry]) -> bool:
    """Whether each request was smaller than the one before."""
    return all(after.body_length < before.body_length for before, after in pairwise(entries))


def refused(told: Told) -> bool:
    """Whether the caller got the upstream's refusal, as clear as it was."""
    return (told.outcome, told.status) == ("error", 400) and (
        told.error["code"] == "context_length_exceeded"
        and "maximum context length is 60" in told.error["message"]
    )


def seen(world: World) -> list[int]:
    """Requests at the small, the tiny and the large window."""
    return world.seen(SMALL, TINY, LARGE)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "settings", ["context_fallback: large, fallbacks: [tiny]", "fallbacks: [tiny, large]"]
)
@on_both_loops
async def test_a_larger_window_takes_over_and_a_smaller_one_is_not_asked(
    tmp_path: Path, settings: str, stream: bool
) -> None:
    async with running(tmp_path, models(settings), backends=KNOWN) as world:
        told = await world.call(messages=turns(5), stream=stream)
        assert (told.outcome, told.headers["x-trunkline-model"]) == ("success", "large")
        assert seen(world) == [1, 0, 1]
        assert "x-trunkline-evicted" not in told.headers
        (entry,) = world.asked(LARGE)
        assert messages(entry) == turns(5), "the whole conversation"


@on_both_loops
async def test_a_window_that_nobody_knows_is_tried(tmp_path: Path) -> None:
    async with running(tmp_path, models("fallbacks: [large]")) as world:
        told = await world.call(messages=turns(5))
        assert told.outcome == "success"
        assert seen(world) == [1, 0, 1]


@pytest.mark.parametrize("stream", [True, False])
@on_both_loops
async def test_with_nothing_larger_the_refusal_reaches_the_caller_as_it_is(
    tmp_path: Path, stream: bool
) -> None:
    async with running(tmp_path, models("fallbacks: [tiny]"), backends=KNOWN) as world:
        told = await world.call(messages=turns(5), stream=stream)
        assert refused(told)
        assert told.headers["x-should-retry"] == "false"
        assert seen(world) == [1, 0, 0]


@on_both_loops
async def test_a_prompt_that_fits_is_nobodys_concern(tmp_path: Path) -> None:
    async with running(tmp_path, models("fallbacks: [tiny], evict: true"), backends=KNOWN) as world:
        told = await world.call(messages=turns(2))
        assert told.outcome == "success"
        assert seen(world) == [1, 0, 0]
        assert "x-trunkline-evicted" not in told.headers


@pytest.mark.parametrize("stream", [True, False])
@on_both_loops
async def test_with_evict_the_oldest_turns_go_and_it_is_reported(tmp_path: Path, stream: bool) -> None:
    said = turns(6)
    async with running(tmp_path, models("evict: true, fallbacks: [tiny]"), backends=KNOWN) as world:
        told = await world.call(messages=said, stream=stream)
        assert told.outcome == "success", told.error
        entries = world.asked(SMALL)
        assert 2 <= len(entries) <= 4, "three rounds at most"
        assert shrinks(entries)
        assert seen(world)[1:] == [0, 0]
        left = messages(entries[-1])
        assert left[0] == said[0], "the system message stays"
        gone = len(said) - len(left)
        assert left[1:] == said[1 + gone :], "whole turns, oldest first, to the word"
        assert gone % 2 == 0
        assert told.headers["x-trunkline-evicted"] == f"messages={gone}, turns={gone // 2}"


@on_both_loops
async def test_evict_comes_after_a_larger_window_and_before_other_fallbacks(tmp_path: Path) -> None:
    async with running(tmp_path, models("evict: true, context_fallback: large"), backends=KNOWN) as world:
        told = await world.call(messages=turns(6))
        assert told.outcome == "success"
        assert seen(world) == [1, 0, 1]
        assert "x-trunkline-evicted" not in told.headers


@pytest.mark.parametrize("stream", [True, False])
@on_both_loops
async def test_what_cannot_be_shortened_is_a_clear_error(tmp_path: Path, stream: bool) -> None:
    said = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "word " * 80}]
    async with running(tmp_path, models("evict: true, fallbacks: [tiny]"), backends=KNOWN) as world:
        told = await world.call(messages=said, stream=stream)
        assert refused(told)
        assert seen(world) == [1, 0, 0]
        assert "x-trunkline-evicted" not in told.headers


@on_both_loops
async def test_evicted_and_still_too_long_ends_after_three_rounds(tmp_path: Path) -> None:
    """A server whose numbers do not help: what it says is too little each time."""
    spec = "status=400;code=context_length_exceeded;message=The prompt is too long."
    text = f'models:\n  primary: {{targets: [{{backend: sim, model: "{named(spec)}"}}], evict: true}}\n'
    async with running(tmp_path, text) as world:
        told = await world.call(messages=turns(30))
        assert (told.outcome, told.status, told.error["code"]) == ("error", 400, "context_length_exceeded")
        entries = world.asked(named(spec))
        assert len(entries) == 4
        assert shrinks(entries)


@pytest.mark.parametrize("form", [form for form in range(1, 18) if form != 16])  # a page that says nothing
@on_both_loops
async def test_every_servers_way_to_say_it_is_understood(tmp_path: Path, form: int) -> None:
    spec = (
        f"error_form={form};message=This model's maximum context length is 16 tokens. However, your messages "
        "resulted in 24 tokens. Please reduce the length of the messages."
    )
    async with running(tmp_path, pair(spec)) as world:
        for stream in (True, False):
            assert (await world.call(stream=stream)).outcome == "success"
        assert world.seen(named(spec), named()) == [2, 2]


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
@on_both_loops
async def test_an_answer_limit_that_is_too_high_is_lowered(tmp_path: Path, name: str) -> None:
    async with running(tmp_path, models("evict: true, fallbacks: [large]"), backends=KNOWN) as world:
        limit: dict[str, Any] = {name: 100}
        told = await world.call(messages=turns(1), **limit)
        assert told.outcome == "success"
        assert seen(world) == [2, 0, 0]
        first, second = [json.loads(entry.body) for entry in world.asked(SMALL)]
        assert first["messages"] == second["messages"]
        assert 1 <= second[name] <= 60 - 23 < first[name]
        assert "x-trunkline-evicted" not in told.headers


@on_both_loops
async def test_a_window_that_is_known_to_be_too_small_is_not_even_asked(tmp_path: Path) -> None:
    text = f"""models:
  primary: {{targets: [{{backend: sim, model: "{TINY}"}}, {{backend: sim, model: "{LARGE}"}}]}}
"""
    async with running(tmp_path, text, backends=KNOWN) as world:
        told = await world.call(messages=turns(8, 12))
        assert told.outcome == "success"
        assert world.seen(TINY, LARGE) == [0, 1]


# what is left out beforehand, by estimate

TWO = "models:\n  primary: {targets: [{backend: sim, model: sim-small}, {backend: sim, model: sim-large}]}\n"


@pytest.mark.parametrize("stream", [True, False])
@on_both_loops
async def test_an_image_does_not_fill_a_window(tmp_path: Path, stream: bool) -> None:
    backends = {"sim": "capabilities: {sim-small: {context_window: 128000}}"}
    url = {"url": "data:image/png;base64," + "A" * 3_000_000}
    content = [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": url}]
    async with running(tmp_path, TWO, backends=backends) as world:
        told = await world.call(stream=stream, messages=[{"role": "user", "content": content}])
        assert told.outcome == "success"
        assert world.seen("sim-small", "sim-large") == [1, 0]


@on_both_loops
async def test_two_names_of_one_limit_count_once(tmp_path: Path) -> None:
    backends = {"sim": "capabilities: {sim-small: {context_window: 1000}}"}
    async with running(tmp_path, TWO, backends=backends) as world:
        await world.call(max_tokens=600, max_completion_tokens=600)
        assert world.seen("sim-small", "sim-large") == [1, 0]
        await world.call(max_tokens=600, max_completion_tokens=1600)
        assert world.seen("sim-small", "sim-large") == [1, 1], "the larger of both"


@on_both_loops
async def test_what_the_upstream_counted_wins_over_the_estimate(tmp_path: Path) -> None:
    """By its length the prompt would not even fit where its tokens do."""
    text = (
        f'models:\n  primary: {{targets: [{{backend: sim, model: "{TINY}"}},'
        f' {{backend: sim, model: "{LARGE}"}}]}}\n'
    )
    known = {"sim": f'capabilities: {{"{TINY}": {{context_window: 30}}, "{LARGE}": {{context_window: 500}}}}'}
    async with running(tmp_path, text, backends=known) as world:
        say = [{"role": "user", "content": "unusuallylongwordforacounter " * 200}]
        told = await world.call(messages=say)
        assert told.outcome == "success"
        assert world.seen(TINY, LARGE) == [1, 1]
