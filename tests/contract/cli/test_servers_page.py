"""docs/servers.md: every server has its section, and every block of settings works as it is written there."""

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.contract.cli.examining import examined, states
from tests.contract.gateway.harness import on_both_loops
from tests.contract.providers.dialects import DIALECTS
from trunkline.providers.registry import PROVIDERS
from trunkline.simulator.app import start

PAGE = (Path(__file__).parents[3] / "docs" / "servers.md").read_text()
BLOCKS: list[dict[str, Any]] = [
    YAML(typ="safe").load(text)["backends"][0]
    for text in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
]
SECTIONS = re.findall(r"^## (.*)$", PAGE, re.MULTILINE)


def test_every_server_has_a_section() -> None:
    rows = {name for name, row in PROVIDERS.items() if row.kind in ("server", "gateway")}
    assert rows - {block["provider"] for block in BLOCKS} == set()
    assert len(SECTIONS) == len(BLOCKS)


def test_no_server_of_the_page_has_the_gateway_s_own_port() -> None:
    assert [block["name"] for block in BLOCKS if str(block.get("url", "")).endswith((":8080", ":8081"))] == []


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block["name"])
@on_both_loops
async def test_the_settings_of_a_block_work(block: dict[str, Any], tmp_path: Path) -> None:
    names = tuple(block.get("models", ["sim-small"]))
    shape = DIALECTS[block["provider"]].models or "openai"
    key = "key-of-this-server" if "api_key" in block else None
    async with await start(seed=7, models=names, model_list=shape, api_key=key) as sim:
        variables = re.findall(r"\$\{(\w+):-\}", block.get("api_key", ""))
        settings = {**block, "url": sim.url}
        steps = await examined(tmp_path, environ=dict.fromkeys(variables, "key-of-this-server"), **settings)
        assert {*states(steps).values()} == {"ok", "skipped"}, steps
        assert steps["completion"].says == f"`{names[0]}` answers"
