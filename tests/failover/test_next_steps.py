"""What is asked next, and what is not: who counts as able, what may be done twice, who has the last word."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.failover.caller import call, request
from tests.failover.harness import OK, named, on_both_loops, on_one_loop, pair, running
from tests.failover.script import CUT, Ask, Script, Step, reply, stream, whole, words
from trunkline.config.load import load
from trunkline.engine.exchange import Exchange
from trunkline.engine.relay import Relay
from trunkline.errors import CLIENT_GONE, Fault
from trunkline.gateway.app import Gateway

BROKEN = whole(500, {"error": {"message": "broken"}})


def public(*lines: str) -> str:
    """`models:` of these lines."""
    return "models:\n" + "".join(f"  {line}\n" for line in lines)


@on_both_loops
async def test_a_target_that_another_model_watches_fails_over_as_before(tmp_path: Path) -> None:
    """A model under `latency` is first asked for when the plain choice of another has long been made."""
    broken = f'{{backend: a, model: "{named("status=500")}"}}'
    models = public(
        f"primary: {{targets: [{broken}], fallbacks: [ok]}}",
        f"ok: {{targets: [{{backend: b, model: {OK}}}]}}",
        f"quick: {{strategy: latency, targets: [{broken}, {{backend: b, model: {OK}}}]}}",
    )
    async with running(tmp_path, models, backends={"a": "max_retries: 0", "b": ""}) as world:
        for name in ("primary", "quick", "primary", "quick", "primary"):
            for stream_asked in (True, False):
                told = await world.call(name, stream=stream_asked)
                assert (told.outcome, told.headers["x-trunkline-backend"]) == ("success", "b")
        await world.quiet()
        assert all(state.inflight == 0 for state in world.gateway.runtime.board.backends.values())


STRICT = "provider: groq, strict_params: true"
REFUSED: dict[str, Any] = {"logit_bias": {"1": 1}}
"""What groq does not take."""


@pytest.mark.parametrize("stream", [True, False])
@on_both_loops
async def test_a_target_that_cannot_be_sent_the_request_leads_on(tmp_path: Path, stream: bool) -> None:
    models = public(
        f'primary: {{targets: [{{backend: a, model: "{named("status=503")}"}}], fallbacks: [strict, ok]}}',
        f"strict: {{targets: [{{backend: b, model: {OK}}}]}}",
        f"ok: {{targets: [{{backend: a, model: {OK}}}]}}",
    )
    backends = {"a": "max_retries: 0", "b": STRICT}
    async with running(tmp_path, models, backends=backends) as world:
        told = await world.call(stream=stream, **REFUSED)
        await world.quiet()
        assert (told.outcome, told.headers["x-trunkline-model"]) == ("success", "ok")
        assert world.asked(OK, "b") == []
        assert world.faults == ["server_error", "unfit", ""]


@pytest.mark.parametrize("stream", [True, False])
@on_both_loops
async def test_with_nobody_behind_it_the_caller_gets_the_first_failure(tmp_path: Path, stream: bool) -> None:
    models = pair("status=503;message=out of order", backends=("a", "b"))
    async with running(tmp_path, models, backends={"a": "max_retries: 0", "b": STRICT}) as world:
        told = await world.call(stream=stream, **REFUSED)
        assert (told.status, told.error["message"]) == (503, "out of order")
        told = await world.call("ok", stream=stream, **REFUSED)
        assert told.status == 400, "alone it is the caller's own mistake"
        assert "logit_bias" in told.error["message"]


@pytest.mark.parametrize("stream", [True, False])
@on_both_loops
async def test_what_nobody_has_is_no_reason_to_leave_anybody_out(tmp_path: Path, stream: bool) -> None:
    """Neither at first, nor after a failure."""
    lacks = "capabilities: {'*': {json_schema: false, context_window: 5}}, max_retries: 0"
    schema: dict[str, Any] = {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}}
    models = pair("status=500", backends=("a", "b"))
    async with running(tmp_path, models, backends={"a": lacks, "b": lacks}) as world:
        told = await world.call(stream=stream, response_format=schema)
        await world.quiet()
        assert (told.outcome, told.headers["x-trunkline-backend"]) == ("success", "b")
        assert world.faults == ["server_error", ""]


@on_both_loops
async def test_the_refusal_for_length_is_told_though_a_fallback_failed_otherwise(tmp_path: Path) -> None:
    small = named("window=60")
    models = public(
        f'primary: {{targets: [{{backend: sim, model: "{small}"}}], fallbacks: [broken]}}',
        f'broken: {{targets: [{{backend: sim, model: "{named("status=503")}"}}]}}',
    )
    async with running(tmp_path, models, backends={"sim": "max_retries: 0"}) as world:
        for stream_asked in (True, False):
            told = await world.call(
                stream=stream_asked, messages=[{"role": "user", "content": "word " * 200}]
            )
            assert (told.status, told.error["code"]) == (400, "context_length_exceeded")
        assert world.seen(small, named("status=503")) == [2, 2]


# places and breakers


@on_one_loop
async def test_a_repeat_takes_no_place_that_another_call_has(tmp_path: Path) -> None:
    """After its pause it waits like all others."""
    failed = False

    def answer(ask: Ask) -> list[Step]:
        nonlocal failed
        if ask["messages"][0]["content"] == "fail" and not failed:
            failed = True
            return [whole(500, {"error": {"message": "broken"}}, "retry-after: 0.1\r\n")]
        return [0.3, reply("w0")]

    script = Script(by=answer)
    models = public("primary: {targets: [{backend: a, model: m}]}")
    async with (
        script.url() as url,
        running(tmp_path, models, backends={"a": f"url: {url}, max_concurrency: 1"}) as world,
    ):
        fail: list[Any] = [{"role": "user", "content": "fail"}]
        told = await asyncio.gather(
            world.call(stream=False, messages=fail), *(world.call(stream=False) for _ in range(3))
        )
        await world.quiet()
        assert [one.outcome for one in told] == ["success"] * 4
        assert len(script.asked) == 5
        assert script.most == 1


@on_both_loops
async def test_a_stale_connection_is_replaced_in_the_place_that_its_call_has(tmp_path: Path) -> None:
    """Others wait for that place, and do not get it in between."""
    script = Script([reply("w0")], [CUT], [0.1, reply("w0")])
    models = public("primary: {targets: [{backend: a, model: m}]}")
    async with (
        script.url() as url,
        running(tmp_path, models, backends={"a": f"url: {url}, max_concurrency: 1"}) as world,
    ):
        assert (await world.call(stream=False)).outcome == "success"
        told = await asyncio.gather(*(world.call(stream=False) for _ in range(3)))
        await world.quiet()
        assert [one.outcome for one in told] == ["success"] * 3
        assert (len(script.asked), script.most) == (5, 1)
        faults = [attempt.fault for one in world.gateway.runtime.records for attempt in one.attempts]
        assert sorted(faults) == ["", "", "", "", "stale_connection"]


@on_one_loop
async def test_after_a_pause_an_ejected_target_is_not_asked_while_there_is_another(tmp_path: Path) -> None:
    """Twenty calls fail together, which ejects it: none of them comes back."""
    spec = "delay_head=0.3;status=503"
    async with running(tmp_path, pair(spec, backends=("a", "b")), backends={"a": "", "b": ""}) as world:
        told = await asyncio.gather(*(world.call(stream=at % 2 == 0) for at in range(20)))
        assert {(one.outcome, one.headers["x-trunkline-backend"]) for one in told} == {("success", "b")}
        asked = world.asked(named(spec), "a")
        assert len(asked) <= 22, "a pause may be over before the fifth has failed"


@on_both_loops
async def test_a_caller_who_leaves_as_a_pause_begins_leaves_one_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its leaving is seen in the same turn of the loop as the failure."""
    settled = Exchange.settled

    def and_left(self: Exchange, relay: Relay, fault: Fault | None) -> None:
        settled(self, relay, fault)
        self.on_gone(Fault(CLIENT_GONE, "left"))

    async with running(tmp_path, pair("status=500")) as world:
        with monkeypatch.context() as patched:
            patched.setattr(Exchange, "settled", and_left)
            task = asyncio.get_running_loop().create_task(world.call(stream=False))
            await world.arrived(named("status=500"))
            await world.quiet()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (world.record.status, world.record.fault) == (499, "client_gone")
        assert world.faults == ["server_error"]
        assert world.seen(named("status=500"), named()) == [1, 0]


# what may be done twice


@pytest.mark.parametrize(
    ("method", "status", "requests"),
    [
        ("POST", 500, 1),
        ("POST", 502, 1),
        ("POST", 503, 2),
        ("POST", 429, 2),
        ("PATCH", 500, 1),
        ("GET", 500, 2),
        ("DELETE", 500, 2),
    ],
)
@on_both_loops
async def test_an_operation_that_nobody_knows_is_done_once(
    tmp_path: Path, method: str, status: int, requests: int
) -> None:
    """Unless it is harmless twice, or was refused: a job that was made is not made again."""
    script = Script([whole(status, {"error": {"message": "broken"}}, "retry-after: 0\r\n")], [reply("done")])
    async with script.url() as url, running(tmp_path, "", backends={"a": f"url: {url}"}) as world:
        body = b"{}" if method in ("POST", "PATCH") else b""
        head = f"{method} /v1/batches HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        told = await call(world.port, head.encode() + b"content-length: %d\r\n\r\n%b" % (len(body), body))
        assert told.status == (status if requests == 1 else 200)
        assert len(script.asked) == requests


@on_both_loops
async def test_a_job_that_may_have_been_made_is_not_made_elsewhere(tmp_path: Path) -> None:
    """But where nobody took the request another backend gets it."""
    head = b"POST /v1/batches HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n"
    job = head + b"content-type: application/json\r\n\r\n{}"
    cuts, makes = Script([CUT]), Script([reply("made")])
    async with cuts.url() as cutting, makes.url() as making:
        backends = {"a": "url: 'http://127.0.0.1:1', priority: 1", "b": f"url: {making}, priority: 2"}
        async with running(tmp_path, "", backends=backends) as world:
            assert (await call(world.port, job)).status == 200
            await world.quiet()
            assert world.faults == ["connect", ""]
        backends["a"] = f"url: {cutting}, priority: 1"
        async with running(tmp_path, "", backends=backends) as world:
            assert (await call(world.port, job)).status == 502
            await world.quiet()
            assert world.faults == ["reset"]
    assert (len(cuts.asked), len(makes.asked)) == (1, 1)


@on_both_loops
async def test_what_is_only_passed_through_is_neither_repeated_nor_gone_on_with() -> None:
    script = Script([BROKEN], stream(words(0, 5), CUT), [reply("late")])
    async with script.url() as url:
        gateway = Gateway(load(None, {"TARGET_BASE_URL": url}, {"server.port": 0, "admin.port": 0}).settings)
        await gateway.start()
        try:
            told = await call(gateway.server.port, request("m", stream=False))
            assert (told.status, told.error) == (500, {"message": "broken"})
            told = await call(gateway.server.port, request("m"))
            assert (told.texts, told.done) == (words(0, 5), False)
            assert len(script.asked) == 2
        finally:
            await gateway.stop()
