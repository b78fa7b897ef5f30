"""docs/explain.md: what it shows is what is printed, but for times and ids."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.contract.gateway.explaining import admin
from tests.contract.simulator.raw import get
from tests.failover.harness import World, on_both_loops, running
from trunkline.cli.main import main
from trunkline.gateway.surfaces.admin import PATHS

PAGE = (Path(__file__).parents[3] / "docs" / "explain.md").read_text()
(CONFIG,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
CONSOLE = re.findall(r"^```console\n\$ (.*?)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
REQUEST = {"model": "chat", "messages": [{"role": "user", "content": "hello"}], "stream": True}

_VARYING = (
    (r"req_[0-9a-f]+", "ID"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ UTC", "AT"),
    (r"\d+(?:\.\d+)? (?:ms|s)\b", "TIME"),
    (r"after TIME: a repeat", "at once: a repeat"),
    (r"\d+ out\b", "N out"),
    (r"\d+ bytes", "N bytes"),
    (r"\d+ \+ \d+ tokens", "N tokens"),
)


def plain(text: str) -> str:
    """A text without what differs from run to run."""
    for pattern, word in _VARYING:
        text = re.sub(pattern, word, text)
    return text.strip()


def shape(value: Any) -> Any:
    """A value without its numbers; addresses differ too."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items() if key != "address"}  # pyright: ignore[reportUnknownVariableType] # any JSON
    if isinstance(value, list):
        return [shape(item) for item in value]  # pyright: ignore[reportUnknownVariableType] # any JSON
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else value


async def printed(world: World, capsys: pytest.CaptureFixture[str], command: str) -> str:
    """What a command of the page prints at this world."""
    words = [*command.split()[1:], "--admin", f"127.0.0.1:{world.gateway.admin.port}"]
    await asyncio.to_thread(_main, words)
    return capsys.readouterr().out


def _main(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert not ended.value.code


@on_both_loops
async def test_the_examples_are_what_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    models = CONFIG[CONFIG.index("models:") :]
    backends = {"one": "max_retries: 1", "two": ""}
    assert [f"name: {name}," in CONFIG for name in backends] == [True, True]
    async with running(tmp_path, models, backends=backends) as world:
        world.sims["one"].set_fault("status=500")
        await world.call("chat")
        (tmp_path / "request.json").write_text(json.dumps(REQUEST))
        monkeypatch.chdir(tmp_path)
        for command, shown in CONSOLE:
            if command.startswith("trunkline"):
                assert plain(await printed(world, capsys, command)) == plain(shown)
            else:
                assert command == "curl -s localhost:8081/backends"
                reply = await admin(world, get("/backends"))
                assert shape(reply.json) == shape(json.loads(shown))
        assert len(CONSOLE) == 3


def test_every_path_of_the_admin_port_is_on_the_page() -> None:
    paths = [path.decode() for path in PATHS]
    assert [path for path in paths if f"`GET {path}" not in PAGE and f"`POST {path}" not in PAGE] == []
