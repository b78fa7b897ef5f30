"""engine/patience.py: how long an upstream may be silent, by its row, its model and the prompt."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.engine.world import World, call, user
from trunkline.engine.patience import (
    AUTO_FIRST_TOKEN,
    AUTO_PATIENT_FIRST_TOKEN,
    REASONING_IDLE,
    first_token,
    idle,
)

Make = Callable[..., World]
THINKS = {"capabilities": {"m": {"reasoning": True}}}
NOT = {"capabilities": {"m": {"reasoning": False}}}


def first(world: World, characters: int = 0) -> float:
    return first_token(
        world.upstreams["a"], world.board.target("a", "m"), call(messages=user("x" * characters))
    )


@pytest.mark.parametrize(
    ("backend", "patient"),
    [
        ({}, False),
        ({"provider": "openai"}, False),
        ({"provider": "ollama"}, True),
        ({"provider": "llama.cpp", "url": "https://far.example.com"}, True),
        ({"provider": "vllm", "url": "http://10.0.0.1:8000"}, True),
        ({"provider": "vllm", "url": "https://vllm.example.com"}, False),
        (THINKS, True),
        (NOT, False),
    ],
)
def test_local_servers_and_models_that_think_get_more_time(
    make: Make, backend: dict[str, Any], patient: bool
) -> None:
    least = AUTO_PATIENT_FIRST_TOKEN if patient else AUTO_FIRST_TOKEN
    assert least <= first(make(backend)) < least + 0.1


def test_a_long_prompt_gets_a_second_for_each_thousand_tokens(make: Make) -> None:
    hosted, local = make({}), make({"provider": "ollama"})
    for tokens in (4_000, 50_000, 200_000):
        expected = AUTO_FIRST_TOKEN + tokens / 1000
        assert first(hosted, 4 * tokens) == pytest.approx(expected, abs=0.1)
        assert first(local, 4 * tokens) == pytest.approx(max(expected, AUTO_PATIENT_FIRST_TOKEN), abs=0.1)


@pytest.mark.parametrize("backend", [{}, {"provider": "ollama"}, THINKS])
def test_a_number_in_the_settings_holds_as_it_is(make: Make, backend: dict[str, Any]) -> None:
    assert first(make(backend | {"timeouts": {"first_token": 3.0}}), 400_000) == 3.0


def test_thoughts_may_take_longer_between_two_events_unless_a_number_is_set(make: Make) -> None:
    for backend, expected in (
        ({}, 30.0),
        (NOT, 30.0),
        (THINKS, REASONING_IDLE),
        (THINKS | {"timeouts": {"idle": 7.0}}, 7.0),
        ({"timeouts": {"idle": 200.0}}, 200.0),
    ):
        world = make(backend)
        assert idle(world.upstreams["a"], world.board.target("a", "m")) == expected
