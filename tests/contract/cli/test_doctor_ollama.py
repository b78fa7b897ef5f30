"""trunkline doctor: a backend whose chats are asked for in an API of its own."""

from pathlib import Path
from typing import Any

from tests.contract.cli.examining import examined
from tests.contract.gateway.harness import on_both_loops
from trunkline.simulator.app import start


@on_both_loops
async def test_ollama_is_asked_where_calls_are(tmp_path: Path) -> None:
    async with await start(seed=7) as sim:
        ollama: dict[str, Any] = {"url": sim.url, "provider": "ollama", "native": "always"}
        steps = await examined(tmp_path, **ollama)
        assert (steps["completion"].state, steps["streaming"].state) == ("ok", "ok")
        assert [entry.target for entry in sim.log if entry.method == "POST"][-2:] == ["/api/chat"] * 2
        broken = await examined(tmp_path, **ollama, headers={"x-sim-fault": "no_done"})
        assert (broken["completion"].state, broken["streaming"].state) == ("ok", "fail")
