"""How long is waited, and for what.

For a first token only while someone else could give it; for an answer in one piece until the total.
"""

from pathlib import Path

import pytest

from tests.contract.net.dialling import blackhole
from tests.failover.harness import OK, named, on_one_loop, pair, running

QUICK = {"sim": "timeouts: {first_token: 0.2, idle: 0.2}"}
ALONE = 'models:\n  primary: {{targets: [{{backend: sim, model: "{0}"}}]}}\n'


@pytest.mark.parametrize("spec", ["delay_head=0.8", "stall=0.8;after=0", "stall=0.8;after=30"])
@on_one_loop
async def test_an_answer_in_one_piece_may_take_its_time(tmp_path: Path, spec: str) -> None:
    """Four times the limits for streams, with a fallback at hand: the first one answers, asked once."""
    async with running(tmp_path, pair(spec), backends=QUICK) as world:
        told = await world.call(stream=False)
        await world.quiet()
        assert told.outcome == "success"
        assert told.total >= 0.8
        assert told.headers["x-trunkline-model"] == "primary"
        assert told.headers["x-trunkline-attempts"] == "1"
        assert world.seen(named(spec), named()) == [1, 0]


@pytest.mark.parametrize(
    "spec", ["delay_head=forever", "stall;after=0", "role_stall", "role_stall;comments=0.1"]
)
@on_one_loop
async def test_a_stream_without_a_first_token_is_left_for_the_fallback(tmp_path: Path, spec: str) -> None:
    backends = {"sim": "timeouts: {first_token: 0.2}"}
    async with running(tmp_path, pair(spec), backends=backends) as world:
        want = (await world.direct()).text
        told = await world.call()
        await world.quiet()
        assert (told.outcome, told.text) == ("success", want)
        assert world.seen(named(spec), named()) == [1, 1], "and not asked again, who had its time"
        assert world.faults == ["first_token_timeout", ""]
        entry = world.asked(named(spec))[0]
        assert entry.outcome == "client_closed"


@on_one_loop
async def test_signs_of_life_are_worth_some_patience(tmp_path: Path) -> None:
    spec = "role_stall;comments=0.1"
    backends = {"sim": "timeouts: {first_token: 0.2}"}
    async with running(tmp_path, pair(spec), backends=backends) as world:
        await world.call()
        entry = world.asked(named(spec))[0]
        assert entry.client_closed is not None
        assert 0.4 < entry.client_closed - entry.received < 2.5


@pytest.mark.parametrize("stream", [True, False])
@on_one_loop
async def test_with_nobody_else_to_ask_the_first_token_is_waited_for(tmp_path: Path, stream: bool) -> None:
    spec = "delay_head=0.6"
    async with running(tmp_path, ALONE.format(named(spec)), backends=QUICK) as world:
        told = await world.call(stream=stream)
        assert told.outcome == "success"
        assert world.seen(named(spec)) == [1]


@on_one_loop
async def test_an_ejected_fallback_is_nobody_else(tmp_path: Path) -> None:
    spec = "delay_head=0.6"
    backends = {"sim": "timeouts: {first_token: 0.2}, max_retries: 0"}
    async with running(tmp_path, pair(spec), backends=backends) as world:
        world.sim.set_fault("status=500", model=named())
        for _ in range(5):
            await world.call("ok")
        world.sim.reset()
        told = await world.call()
        assert (told.outcome, told.headers["x-trunkline-model"]) == ("success", "primary")
        assert world.seen(named(spec), named()) == [1, 0]


@on_one_loop
async def test_who_has_failed_for_this_call_is_nobody_else(tmp_path: Path) -> None:
    backends = {"a": "max_retries: 0", "b": "timeouts: {first_token: 0.2}"}
    models = pair("status=500", "delay_head=0.6", backends=("a", "b"))
    async with running(tmp_path, models, backends=backends) as world:
        told = await world.call()
        await world.quiet()
        assert (told.outcome, told.headers["x-trunkline-backend"]) == ("success", "b")
        assert world.faults == ["server_error", ""]


@on_one_loop
async def test_who_is_not_able_is_nobody_else(tmp_path: Path) -> None:
    """Nor is one who could be asked other things."""
    backends = {"a": "timeouts: {first_token: 0.2}", "b": "capabilities: {sim-small: {tools: false}}"}
    tools = [{"type": "function", "function": {"name": "f"}}]
    async with running(tmp_path, pair("delay_head=0.6", backends=("a", "b")), backends=backends) as world:
        told = await world.call(tools=tools)
        assert (told.outcome, told.headers["x-trunkline-backend"]) == ("success", "a")
        assert world.asked(OK, "b") == []
        told = await world.call()
        assert (told.outcome, told.headers["x-trunkline-backend"]) == ("success", "b")


@on_one_loop
async def test_with_nobody_else_silence_after_the_role_is_no_silence_between_events(tmp_path: Path) -> None:
    spec = "stall=0.8;after=1;delay_chunk=0"
    backends = {"sim": "timeouts: {idle: 0.3, first_token: 0.2}"}
    async with running(tmp_path, ALONE.format(named(spec)), backends=backends) as world:
        assert (await world.call()).outcome == "success"
        assert world.seen(named(spec)) == [1]


@on_one_loop
async def test_comments_for_ever_are_no_answer_that_goes_on(tmp_path: Path) -> None:
    """After content they extend the limit three times at most; then the rest comes from elsewhere."""
    spec = "delay_chunk=0;comments=0.05;stall;after=9"
    async with running(tmp_path, pair(spec), backends={"sim": "timeouts: {idle: 0.3}"}) as world:
        want = await world.direct()
        told = await world.call(limit=10)
        await world.quiet()
        assert (told.outcome, told.text) == ("success", want.text)
        assert world.faults == ["idle_timeout", ""]


@on_one_loop
async def test_a_caller_is_kept_alive_while_attempts_go_on(tmp_path: Path) -> None:
    """Its head is sent before anybody has answered; what comes then still is the fallback's whole answer."""
    backends = {"sim": "timeouts: {first_token: 0.5}"}
    models = pair("delay_head=forever", "delay_head=0.3")
    async with running(tmp_path, models, backends=backends, more="server: {hold_head: 0.2}") as world:
        want = (await world.direct()).text
        told = await world.call()
        assert (told.outcome, told.text, told.done) == ("success", want, True)
        assert told.comments >= 1
        assert told.body.startswith(b":")
        assert world.seen(named("delay_head=forever"), named("delay_head=0.3")) == [1, 1]


@on_one_loop
async def test_after_the_head_a_final_failure_is_told_in_the_stream(tmp_path: Path) -> None:
    backends = {"sim": "timeouts: {first_token: 0.6}, max_retries: 0"}
    models = pair("delay_head=forever", "status=503;retry_after=9")
    async with running(tmp_path, models, backends=backends, more="server: {hold_head: 0.2}") as world:
        told = await world.call()
        assert (told.outcome, told.status, told.done) == ("error", 200, False)
        assert told.error["message"]
        assert world.seen(named("delay_head=forever"), named("status=503;retry_after=9")) == [1, 1]


@pytest.mark.parametrize("stream", [True, False])
@on_one_loop
async def test_one_limit_holds_for_all_attempts(tmp_path: Path, stream: bool) -> None:
    """A pause that would end after it is not begun, and what does not end is ended."""
    backends = {"sim": "timeouts: {total: 0.5}"}
    async with running(
        tmp_path, pair("status=429;retry_after=3", "delay_head=forever"), backends=backends
    ) as world:
        told = await world.call(stream=stream)
        assert (told.outcome, told.status) == ("error", 504)
        assert told.error["code"] == "upstream_timeout"
        assert 0.4 <= told.total < 3
        assert world.seen(named("status=429;retry_after=3"), named("delay_head=forever")) == [1, 1]


@on_one_loop
async def test_a_stream_that_has_begun_may_be_longer_than_the_total(tmp_path: Path) -> None:
    spec = "delay_chunk=0.04"
    backends = {"sim": "timeouts: {total: 0.5}"}
    async with running(tmp_path, pair(spec), backends=backends) as world:
        told = await world.call()
        assert told.outcome == "success"
        assert told.total > 0.8
        assert world.seen(named(spec), named()) == [1, 0]


@on_one_loop
async def test_a_connection_that_is_not_made_is_left_in_time(tmp_path: Path) -> None:
    """A full accept queue: the kernel drops what comes, and nothing answers."""
    with blackhole() as port:
        models = pair("", backends=("silent", "sim"))
        backends = {"silent": f"url: http://127.0.0.1:{port}, timeouts: {{connect: 0.2}}", "sim": ""}
        async with running(tmp_path, models, backends=backends) as world:
            told = await world.call()
            await world.quiet()
            assert (told.outcome, told.headers["x-trunkline-backend"]) == ("success", "sim")
            assert world.faults == ["connect_timeout", ""], "and it is not tried twice"
