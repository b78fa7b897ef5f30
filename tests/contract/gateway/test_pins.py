"""A backend of the caller's choice: `x-trunkline-backend`."""

import pytest

from tests.contract.gateway.harness import chat, on_both_loops, running
from tests.contract.gateway.test_routing import AT_A, AT_B, answered, asked
from trunkline.policy.keys import KeySettings

PIN_B = "x-trunkline-backend: b\r\n"


@on_both_loops
async def test_a_pinned_backend_is_the_only_one_that_is_asked() -> None:
    config = {
        "m": {"targets": [AT_A, AT_B], "fallbacks": ["f"]},
        "f": {"targets": [AT_A, {"backend": "b", "model": "sim-embed"}]},
    }
    async with running(None, "status=500", models=config) as world:
        assert answered(await world.ask(chat("m"))) == (200, "m", "a")
        reply = await world.ask(chat("m", headers=PIN_B))
        assert answered(reply) == (500, "f", "b")
        assert asked(world) == [(0, "sim-small"), (1, "sim-large"), (1, "sim-embed")]
        assert world.sims[1].log[-1].header("x-trunkline-backend") is None


@on_both_loops
async def test_a_key_must_be_allowed_to_choose_the_backend() -> None:
    keys = [KeySettings(name="ops", key="k1", pin=True), KeySettings(name="app", key="k2")]
    async with running(None, None, keys=keys) as world:
        for key, status, counts in (("k1", 200, [0, 1]), ("k2", 403, [0, 1])):
            reply = await world.ask(chat(headers=f"authorization: Bearer {key}\r\n{PIN_B}"))
            assert (reply.status, world.counts) == (status, counts)
        assert reply.json["error"]["code"] == "backend_not_allowed"


@pytest.mark.parametrize(
    ("headers", "model", "code"),
    [
        ("x-trunkline-backend: nobody\r\n", "m", "backend_not_found"),
        ("x-trunkline-backend:\r\n", "m", "backend_not_found"),
        (PIN_B, "m", "model_not_found"),
    ],
)
@on_both_loops
async def test_a_backend_that_cannot_be_had_is_the_callers_mistake(
    headers: str, model: str, code: str
) -> None:
    async with running(None, None, models={"m": {"targets": [AT_A]}}) as world:
        reply = await world.ask(chat(model, headers=headers))
        assert (reply.status, reply.json["error"]["code"]) == (400, code)
        assert world.counts == [0, 0]


@on_both_loops
async def test_pins_that_are_made_up_are_not_remembered() -> None:
    async with running(None, None) as world:
        choices = world.gateway.runtime.choices
        assert (await world.ask(chat(headers=PIN_B))).status == 200
        before = set(choices._routes)
        for at in range(20):
            reply = await world.ask(chat(headers=f"x-trunkline-backend: p{at}\r\n"))
            assert (reply.status, reply.json["error"]["code"]) == (400, "backend_not_found")
        assert set(choices._routes) == before
        assert world.counts == [0, 1]
