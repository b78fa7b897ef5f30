"""Until content was sent every failure of an upstream leads on: to one sound answer, or to one honest error."""

import asyncio
from pathlib import Path

import pytest

from tests.failover.caller import Told
from tests.failover.harness import World, named, on_both_loops, pair, running, scripted

BOTH = (
    *(
        "status=500",
        "status=500;body=empty",
        "status=502;body=html",
        "status=503",
        "status=503;retry_after=7",
    ),
    *(
        "status=504;body=text",
        "status=529;body=flat",
        "status=429",
        "status=429;retry_after=60",
        "status=408",
    ),
    *("status=401", "status=402", "status=403", "status=404;message=The model `x` does not exist"),
    *("error_200", "error_200;body=flat", "error_200;body=string", "error_200;body=anthropic"),
    "redirect=http://elsewhere.test/",
    *("reset=accept", "reset=head", "close=before_head", "close=head"),
)
STREAMED = (
    *(
        "error_event=0",
        "error_event=1",
        "error_form=17",
        "empty_stream",
    ),
    *("close=body;after=0", "close=body;after=1", "reset=body;after=1", "broken_chunk;after=1"),
    *("http10;close=body;after=1", "gzip;close=body;after=1", "malformed_event=1;close=body;after=1"),
    "comments;close=body;after=1",
)
WHOLE = (
    *(
        "close=body;after=20",
        "reset=body;after=20",
        "broken_chunk;after=20",
        "lying_length=+10",
        "lying_length=-10",
    ),
    *("http10;close=body;after=20", "gzip;close=body;after=20;no_length"),
)
ASKED_ONCE = (
    "status=401",
    "status=402",
    "status=403",
    "status=404;",
    "redirect",
    "status=503;r",
    "status=429;r",
    "broken_chunk",
    "lying_length=-",
)
"""What would be the same again, or not be over soon: the primary is not asked a second time."""


@pytest.mark.parametrize("stream", [True, False])
@on_both_loops
async def test_each_fault_is_rescued_by_the_fallback(tmp_path: Path, stream: bool) -> None:
    specs = BOTH + (STREAMED if stream else WHOLE)

    async def one(at: int, spec: str) -> tuple[str, str]:
        folder = tmp_path / str(at)
        folder.mkdir()
        models = pair(spec, backends=("first", "second"))
        backends = {"first": "api_key: k, backoff_max: 0.2", "second": "api_key: k"}
        async with running(folder, models, backends=backends) as world:
            want = (await world.direct(stream=stream)).text
            told = await world.call(stream=stream)
            await world.quiet()
            return spec, mistakes(world, told, spec, want)

    found = await asyncio.gather(*(one(at, spec) for at, spec in enumerate(specs)))
    wrong = [f"{spec}: {what}" for spec, what in found if what]
    assert not wrong, "\n".join(wrong)


def mistakes(world: World, told: Told, spec: str, want: str) -> str:
    """What is not as it should be, from either side."""
    primary, fallback = len(world.asked(named(spec))), len(world.asked(named(), "second"))
    once = spec.startswith(ASKED_ONCE)
    if told.outcome != "success" or told.text != want:
        return f"{told.outcome} {told.status} {told.text!r} {told.error}"
    if fallback != 1 or primary != (1 if once else 3):
        return f"{primary} requests to the primary, {fallback} to the fallback"
    if told.headers.get("x-trunkline-model") != "ok":
        return f"headers {told.headers}"
    if world.faults[-1] or not all(world.faults[:-1]) or len(world.faults) != primary + fallback:
        return f"recorded as {world.faults}"
    return ""


@on_both_loops
async def test_a_fallback_that_fails_too_leads_to_the_next_one(tmp_path: Path) -> None:
    specs = (
        "status=503;retry_after=30",
        "close=head",
        "error_event=1",
        "close=body;after=1",
        "empty_stream",
    )
    names = [f"f{at}" for at in range(len(specs))]
    models = pair("status=500").replace("[ok]", f"[{', '.join(names)}, ok]")
    for name, spec in zip(names, specs, strict=True):
        models += f'  {name}: {{targets: [{{backend: sim, model: "{named(spec)}"}}]}}\n'
    async with running(tmp_path, models, backends={"sim": "max_retries: 0"}) as world:
        want = await world.direct()
        told = await world.call()
        assert (told.outcome, told.text, told.ids[:1]) == ("success", want.text, told.ids[:1])
        assert len(set(told.ids)) == 1, "nothing of a failed attempt was shown"
        assert world.seen(named("status=500"), *map(named, specs), named()) == [1] * 7
        assert told.headers["x-trunkline-attempts"] == "7"


@pytest.mark.parametrize("stream", [True, False])
@on_both_loops
async def test_when_all_fail_the_caller_gets_an_error_and_no_stream(tmp_path: Path, stream: bool) -> None:
    async with running(
        tmp_path,
        pair("status=500", "status=503;retry_after=7;message=no luck"),
        backends={"sim": "max_retries: 0"},
    ) as world:
        told = await world.call(stream=stream)
        assert (told.outcome, told.status) == ("error", 503)
        assert told.headers["content-type"] == "application/json"
        assert told.error["message"] == "no luck"
        assert told.headers["x-should-retry"] == "false"
        assert told.headers["retry-after"] == "7"


@on_both_loops
async def test_nobody_there_at_all_is_an_error_of_the_gateway(tmp_path: Path) -> None:
    backends = {"sim": "max_retries: 0, url: http://127.0.0.1:1"}
    async with running(tmp_path, pair("", ""), backends=backends) as world:
        told = await world.call()
        assert (told.outcome, told.status, told.error["code"]) == ("error", 502, "upstream_error")


@on_both_loops
async def test_a_closed_port_is_left_for_the_fallback_and_ejected(tmp_path: Path) -> None:
    models = pair("", backends=("gone", "sim"))
    async with running(tmp_path, models, backends={"gone": "url: http://127.0.0.1:1", "sim": ""}) as world:
        for _ in range(6):
            told = await world.call()
            assert (told.outcome, told.headers["x-trunkline-backend"]) == ("success", "sim")
        await world.quiet()
        assert world.faults == [""], "five refused connections were enough"


@pytest.mark.parametrize("status", [400, 404, 405, 409, 413, 415, 422])
@on_both_loops
async def test_the_callers_own_mistake_is_passed_on_and_asked_once(tmp_path: Path, status: int) -> None:
    spec = f"status={status};message=this is your mistake;code=wrong_thing"
    async with running(tmp_path, pair(spec)) as world:
        for stream in (True, False):
            told = await world.call(stream=stream)
            assert (told.outcome, told.status, told.error["code"]) == ("error", status, "wrong_thing")
            assert told.headers["x-should-retry"] == "false"
        assert world.seen(named(spec), named()) == [2, 0]


@pytest.mark.parametrize(
    ("settings", "asked"),
    [
        ("provider: ollama", [2, 0]),  # it may be loading
        ("provider: ollama, retry_404: false", [1, 1]),
        ("provider: vllm", [1, 1]),
        ("retry_404: true", [2, 0]),
    ],
)
@on_both_loops
async def test_a_missing_model_is_asked_for_again_where_it_may_appear(
    tmp_path: Path, settings: str, asked: list[int]
) -> None:
    spec = "status=404;message=model 'x' not found;times=1"
    async with running(tmp_path, pair(spec), backends={"sim": f"{settings}, backoff_max: 0.2"}) as world:
        assert (await world.call()).outcome == "success"
        assert world.seen(named(spec), named()) == asked


@on_both_loops
async def test_only_thoughts_count_as_content_too(tmp_path: Path) -> None:
    """What the caller was shown of a thought cannot be taken back by another attempt."""
    thought = b'data: {"choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}\n\n'
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head + b"%x\r\n%b\r\n" % (len(thought), thought))
        await writer.drain()

    async with scripted(play) as url:
        models = pair("", backends=("thinking", "sim"))
        backends = {"thinking": f"url: {url}, on_cut: error", "sim": ""}
        async with running(tmp_path, models, backends=backends) as world:
            told = await world.call()
            assert (told.outcome, told.status, told.done) == ("error", 200, False)
            assert told.error["code"] == "upstream_error"
            assert world.seen(named()) == [0]


@on_both_loops
async def test_a_reused_connection_that_was_closed_is_replaced_and_counts_for_nothing(tmp_path: Path) -> None:
    """An upstream that closes idle connections does not cost the primary its call."""
    answer = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}'
    served: list[int] = []

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for turn in range(2):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0] or b"0")
            await reader.readexactly(length)
            if turn:
                return  # closed with the request in it
            if b"POST" in head:
                served.append(1)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n")
            writer.write(b"content-length: %d\r\n\r\n%b" % (len(answer), answer))

    async with scripted(play) as url:
        models = pair("", backends=("closing", "sim"))
        async with running(tmp_path, models, backends={"closing": f"url: {url}", "sim": ""}) as world:
            for _ in range(8):
                told = await world.call(stream=False)
                assert (told.outcome, told.text) == ("success", "hi")
            assert len(served) == 8
            assert world.seen(named()) == [0]
