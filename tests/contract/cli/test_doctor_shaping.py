"""trunkline doctor: backends whose requests and answers the settings shape."""

from pathlib import Path
from typing import Any

import pytest

from tests.contract.cli.examining import LIST, answer, examined, failure, site, states
from tests.contract.gateway.harness import on_both_loops
from trunkline.simulator.app import start


@on_both_loops
async def test_what_shapes_requests_and_answers_makes_no_good_backend_fail(tmp_path: Path) -> None:
    shaping: list[dict[str, Any]] = [
        {"params": {"stream": False}},
        {"params": {"stream": True, "max_tokens": 1}, "defaults": {"stream": True}},
        {"params": {"stream": None, "max_tokens": None}, "reasoning": "strip", "rename": True},
        {"think": "strip"},
        {"think": {"mode": "split", "implicit_open": True}, "append_to_last_user_message": "/no_think"},
    ]
    async with await start(seed=7) as sim:
        for provider in ("openai_compat", "ollama"):
            for settings in shaping:
                native = {"native": "always"} if provider == "ollama" else {}
                steps = await examined(tmp_path, url=sim.url, provider=provider, **native, **settings)
                assert not {"fail", "warn"} & {*states(steps).values()}, (provider, settings)


@on_both_loops
@pytest.mark.parametrize("stream", [False, None])
async def test_a_server_that_cannot_stream_is_well_where_it_never_has_to(
    tmp_path: Path, stream: bool | None
) -> None:
    async with site() as server:
        plain = await examined(tmp_path, url=server.url)
        assert (plain["completion"].state, plain["streaming"].state) == ("ok", "fail")
        steps = await examined(tmp_path, url=server.url, params={"stream": stream})
        assert (steps["completion"].state, steps["streaming"].state) == ("ok", "skipped")
        assert steps["streaming"].says == "`params` asks for no streams: they are made of whole answers"


@on_both_loops
async def test_a_server_that_only_streams_is_well_where_it_always_does(tmp_path: Path) -> None:
    event = '{"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":"stop"}]}'
    streamed = answer(f"data: {event}\n\ndata: [DONE]\n\n", kind="text/event-stream")
    async with site(chat=streamed) as server:
        assert (await examined(tmp_path, url=server.url))["completion"].state == "fail"
        steps = await examined(tmp_path, url=server.url, params={"stream": True})
        assert (steps["completion"].state, steps["streaming"].state) == ("skipped", "ok")
    async with site({"/api/v1/models": answer(LIST)}) as server:
        steps = await examined(tmp_path, url=server.url, models=["m"], params={"stream": True})
        assert failure(steps).fix == f"there is an API at {server.url}/api: write that in `url`"
