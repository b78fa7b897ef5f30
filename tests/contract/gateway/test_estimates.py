"""Calls whose upstream counts no tokens: what they used is estimated, and never taken for a count."""

import pytest

from tests.contract.gateway.harness import World, chat, on_both_loops, post, running

TEXT = "text=" + "many%20words%20of%20an%20answer%20" * 12
WORDS = "words " * 100
SAID = 12 * len("many words of an answer ")


async def estimated(world: World) -> tuple[int, int]:
    """What the last call used, after a look at everything that shows it."""
    await world.quiet()
    record = world.record
    usage = record.usage
    assert usage is not None
    assert (usage, usage.source) == (record.attempts[-1].usage, "estimated")
    (listed,) = (await world.ask_admin("/calls?limit=1")).json["calls"]
    call = (await world.ask_admin(f"/calls/{record.request_id}")).json
    assert listed["usage"] == call["usage"] == call["attempts"][-1]["usage"]
    assert listed["usage"]["source"] == "estimated"
    page = (await world.ask_admin("/metrics")).body.decode()
    assert f'trunkline_estimated_tokens_total{{backend="a",kind="prompt"}} {usage.prompt_tokens}.0' in page
    assert "\ntrunkline_tokens_total{" not in page
    return usage.prompt_tokens, usage.completion_tokens


@pytest.mark.parametrize("stream", [True, False])
@on_both_loops
async def test_chats(stream: bool) -> None:
    async with running(f"usage=never;{TEXT}") as world:
        request = chat(stream=stream)
        assert (await world.ask(request)).status == 200
        prompt, completion = await estimated(world)
        assert prompt == pytest.approx(len(request.partition(b"\r\n\r\n")[2]) / 4, abs=1)
        assert completion == pytest.approx(SAID / 4, rel=0.02 if stream else 0.6)


@on_both_loops
async def test_completions() -> None:
    async with running(f"usage=never;{TEXT}") as world:
        assert (
            await world.ask(post("/v1/completions", {"model": "sim-small", "prompt": WORDS}))
        ).status == 200
        prompt, completion = await estimated(world)
        assert 150 <= prompt <= 175
        assert completion > 0


@on_both_loops
async def test_a_client_that_left_after_content() -> None:
    async with running(f"usage=never;stall_after=8;{TEXT}") as world:
        client = await world.open()
        client.send(chat(stream=True))
        await client.until(b"many")
        await client.leave()
        prompt, completion = await estimated(world)
        assert world.faults == [("a", "client_gone")]
        assert prompt > 0
        assert 0 < completion < SAID / 4


@on_both_loops
async def test_an_upstream_that_counts_teaches_for_the_times_when_it_does_not() -> None:
    async with running(TEXT) as world:
        request = post(
            "/v1/chat/completions",
            {"model": "sim-small", "messages": [{"role": "user", "content": WORDS}], "stream": True}
            | {"stream_options": {"include_usage": True}},
        )
        for _ in range(8):
            await world.ask(request)
            await world.quiet()
            assert world.record.usage is not None
            assert world.record.usage.source == "upstream"
        size = len(request.partition(b"\r\n\r\n")[2])
        rates = world.gateway.runtime.rates
        assert rates.estimate("sim-small", "completion", SAID) == pytest.approx(SAID / 8, rel=0.1), (
            "its pieces"
        )
        assert rates.estimate("sim-small", "prompt", size) == pytest.approx(100, abs=5), (
            "its tokens are words"
        )
        assert rates.estimate("never-seen", "prompt", size) == pytest.approx(size / 4, abs=1)


@on_both_loops
async def test_what_was_never_answered_is_not_estimated() -> None:
    async with running("status=500") as world:
        await world.ask(chat())
        await world.quiet()
        assert world.record.usage is None
        assert "trunkline_estimated_tokens_total{" not in (await world.ask_admin("/metrics")).body.decode()
