"""A world that is taken down at the end of its test."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.unit.engine.world import World


@pytest.fixture
def make() -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def make_world(*backends: dict[str, Any], **more: Any) -> World:
        made.append(World(*backends, **more))
        return made[-1]

    yield make_world
    for one in made:
        one.close()
