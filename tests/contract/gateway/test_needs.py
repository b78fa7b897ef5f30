"""What requests need and targets lack: who is left out for it, and when that is no reason."""

from typing import Any

import pytest

from tests.contract.gateway.harness import chat, on_both_loops, running
from tests.contract.gateway.test_routing import AT_A, AT_B, PICTURE, SCHEMA, TOOL, answered, said
from trunkline.routing.backend import CapabilitySettings


@pytest.mark.parametrize(
    ("known", "fields"),
    [
        ({"vision": False}, {"messages": PICTURE}),
        ({"tools": False}, {"tools": [TOOL]}),
        ({"json_schema": False}, {"response_format": SCHEMA}),
        ({"context_window": 500}, said("word " * 1000)),
        ({"context_window": 500}, {"max_tokens": 600}),
    ],
)
@on_both_loops
async def test_who_is_known_to_lack_what_is_needed_is_left_out(
    known: dict[str, Any], fields: dict[str, Any]
) -> None:
    config = {"m": {"targets": [AT_A, AT_B]}, "alone": {"targets": [AT_A]}}
    backends = [{"capabilities": {"sim-*": CapabilitySettings(**known)}}, {}]
    async with running(None, None, models=config, backends=backends) as world:
        assert answered(await world.ask(chat("m"))) == (200, "m", "a")
        assert answered(await world.ask(chat("m", **fields))) == (200, "m", "b")
        assert (await world.ask(chat("alone", **fields))).headers["x-trunkline-backend"] == "a", (
            "if nobody has it, the upstream's own words say so"
        )


@on_both_loops
async def test_the_size_of_a_picture_is_not_the_length_of_a_prompt() -> None:
    backends = [{"capabilities": {"sim-*": CapabilitySettings(context_window=8000)}}, {}]
    url = {"url": "data:image/png;base64," + "A" * 200_000}
    talk = [{"role": "user", "content": [{"type": "image_url", "image_url": url}]}]
    async with running(None, None, models={"m": {"targets": [AT_A, AT_B]}}, backends=backends) as world:
        assert answered(await world.ask(chat("m", messages=talk))) == (200, "m", "a")
        assert answered(await world.ask(chat("m", **said("word " * 20_000)))) == (200, "m", "b")


@pytest.mark.parametrize("stream", [False, True])
@on_both_loops
async def test_after_a_failure_too_only_those_who_are_able_are_asked(stream: bool) -> None:
    config = {"m": {"targets": [AT_A, AT_B], "fallbacks": ["f"]}, "f": {"targets": [{"backend": "c"}]}}
    blind = {"capabilities": {"*": CapabilitySettings(vision=False)}}
    async with running("status=500", None, None, models=config, backends=[{}, blind, {}]) as world:
        reply = await world.ask(chat("m", messages=PICTURE, stream=stream))
        assert answered(reply) == (200, "f", "c")
        assert world.counts == [1, 0, 1]
        assert answered(await world.ask(chat("m", stream=stream))) == (200, "m", "b")


@on_both_loops
async def test_with_one_candidate_nothing_of_the_request_is_looked_at() -> None:
    small = {"capabilities": {"*": CapabilitySettings(vision=False, context_window=5)}}
    async with running(None, models={"m": {"targets": [AT_A]}}, backends=[small]) as world:
        assert answered(await world.ask(chat("m", messages=PICTURE, max_tokens=9))) == (200, "m", "a")
        choice = world.gateway.runtime.choices.known()["m"]
        assert choice.target is not None
        assert not choice.reads
