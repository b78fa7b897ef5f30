"""What the gateway says about itself at its start and at its end."""

import asyncio
from typing import Any

from tests.contract.gateway.harness import chat, on_both_loops, running


@on_both_loops
async def test_the_ready_line_shows_names_and_globs_in_the_order_of_asking() -> None:
    cases: list[tuple[list[dict[str, Any]], str]] = [
        ([{}], "any"),
        ([{"models": ["llama3*"]}], "llama3*"),
        ([{"models": ["llama3*", "gpt-4o"]}], "llama3* and gpt-4o"),
        ([{"models": ["a", "b*"], "priority": 2}, {"models": ["c", "a"]}], "c, a and b*"),
        ([{"models": ["a", "b"]}, {}], "a, b and any other"),
        ([{"models": list("abcdefgh")}], "a, b, c, d, e, f, g and h"),
        ([{"models": [*"abcdefgh", "i*", "j"]}], "a, b, c, d, e, f, g, h and 2 more"),
        ([{"models": [*"abcdefgh", "i*", "j"]}, {}], "a, b, c, d, e, f, g, h, 2 more and any other"),
    ]
    for backends, shown in cases:
        async with running(*[None for _ in backends], backends=backends) as world:
            assert world.gateway.ready_line().endswith(f", models: {shown}")


@on_both_loops
async def test_what_is_waited_for_is_said() -> None:
    async with running(server={"drain_timeout": 2.5}) as world:
        assert world.gateway.farewell() == ""
        clients = [await world.open() for _ in range(2)]
        for count, calls in (
            (1, "1 call, up to 2.5 s; Ctrl-C again to cut it"),
            (2, "2 calls, up to 2.5 s;"),
        ):
            clients[count - 1].send(chat("sim-small!delay_head=forever"))
            while len(world.gateway.runtime.live) < count:
                await asyncio.sleep(0.005)
            assert world.gateway.farewell().startswith(f"finishing {calls}")
