"""docs/router.md: its examples are loaded and asked as they stand."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.gateway.harness import on_both_loops
from trunkline.engine.router import Pinned, RequestView, Router, load_router

PAGE = (Path(__file__).parents[3] / "docs" / "router.md").read_text()
SETTING = re.findall(r"^router: (\S+)$", PAGE, re.MULTILINE)
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def interpreter() -> Iterator[None]:
    """Give it back as it was."""
    path, modules = list(sys.path), dict(sys.modules)
    yield
    sys.path[:] = path
    for name in [name for name in sys.modules if name not in modules]:
        del sys.modules[name]


async def answers(folder: Path, example: str, *views: RequestView) -> list[Any]:
    (spec,) = SETTING
    (folder / f"{spec.partition(':')[0]}.py").write_text(example)
    warnings: list[str] = []
    router = Router(load_router(spec, folder), 20.0, warn=warnings.append)
    found = [await router.choose(view) for view in views]
    router.close()
    assert warnings == []
    return found


@on_both_loops
async def test_a_function_of_the_text(tmp_path: Path) -> None:
    texts = ("Help me with Programming", "hello", "word " * 20)
    views = [RequestView(model="auto", text=text) for text in texts]
    assert await answers(tmp_path, EXAMPLES[0], *views) == ["code-llama", "fast-model", "general-model"]


@on_both_loops
async def test_a_function_of_the_request(tmp_path: Path) -> None:
    views = [
        RequestView(model="gpt-4o"),
        RequestView(model="auto", images=True),
        RequestView(model="auto", headers={"x-team": "research"}),
        RequestView(model="auto", tags=("batch",)),
        RequestView(model="auto"),
    ]
    assert await answers(tmp_path, EXAMPLES[1], *views) == [
        None,
        Pinned("openai", "gpt-4o"),
        Pinned("big-box", "auto"),
        Pinned("big-box", "auto"),
        "chat",
    ]


def test_every_field_is_explained() -> None:
    explained = {
        name
        for row in re.findall(r"^\| (`[a-z_`, ]+) \|", PAGE, re.MULTILINE)
        for name in re.findall(r"`([a-z_]+)`", row)
    }
    assert {*RequestView.__struct_fields__, "messages"} <= explained
