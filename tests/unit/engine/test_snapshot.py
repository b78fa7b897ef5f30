"""engine/snapshot.py: when a backend is still the same one, and what of a snapshot is taken over."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs

from trunkline.config.model import Settings
from trunkline.engine import snapshot as module
from trunkline.engine.snapshot import Around, Snapshot, build, is_same_state, is_same_way, stamp
from trunkline.errors import ConfigError
from trunkline.net.clock import Clock
from trunkline.net.egress import EgressSettings
from trunkline.policy.keys import KeySettings
from trunkline.routing.backend import BackendSettings, CapabilitySettings, TimeoutSettings
from trunkline.routing.breaker import BreakerSettings
from trunkline.routing.health import HealthSettings
from trunkline.routing.rules import RuleSettings

# Another value of each field, where `other` finds none.
OTHERS: dict[str, Any] = {
    "timeouts": TimeoutSettings(total=1.0),
    "health": HealthSettings(interval=1.0),
    "capabilities": {"m": CapabilitySettings(tools=True)},
    "models": ["m"],
    "headers": {"x": "y"},
    "on_cut": "error",
    "prefill": "plain",
    "max_concurrency": 1,
    "retry_404": True,
    "openai_strict": True,
}
A = BackendSettings(name="a", url="http://h")


def other(field: str) -> Any:
    if field in OTHERS:
        return OTHERS[field]
    value = getattr(A, field)
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int | float) else "other"


@pytest.mark.parametrize("field", [name for name in BackendSettings.__struct_fields__ if name != "name"])
def test_each_setting_is_of_one_kind(field: str) -> None:
    changed = structs.replace(A, **{field: other(field)})
    assert changed != A
    assert is_same_way(A, changed) == (field in module.CHOICE | module.STATE)
    assert is_same_state(A, changed) == (field not in module.STATE)
    assert not module.CHOICE & module.STATE


def test_connections_depend_on_one_timeout() -> None:
    changed = structs.replace(A, timeouts=TimeoutSettings(connect=1.0))
    assert not is_same_way(A, changed)


def test_the_settings_that_are_named_exist() -> None:
    assert set(BackendSettings.__struct_fields__) > module.CHOICE | module.STATE


def test_a_stamp_tells_a_file_from_another(tmp_path: Path) -> None:
    file = tmp_path / "f"
    assert stamp(file) is None
    assert stamp("\0") is None
    file.write_text("1")
    first = stamp(file)
    file.write_text("22")
    assert first is not None
    assert stamp(file) != first
    (tmp_path / "g").write_text("22")
    (tmp_path / "g").rename(file)
    assert stamp(file) != first


class World:
    """What snapshots are made around."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.around = Around(
            clock=Clock(loop),
            listening=list,
            abilities=lambda backend, model: CapabilitySettings(),
            slow_above=lambda backend: 0.0,
            price=lambda backend, model: None,
            on_checked=lambda name, up: None,
            warn=lambda text: None,
        )

    def build(self, before: Snapshot | None = None, **fields: Any) -> Snapshot:
        found = build(Settings(**fields), self.around, before)
        for name, state in found.states.items():  # as the runtime does
            found.board.backends[name] = state
        return found


def on_a_loop(test: Callable[..., None]) -> Callable[[Path], None]:
    """Run a test where there is an event loop; it takes a World and a folder."""

    def wrapper(tmp_path: Path) -> None:
        async def scenario() -> None:
            world = World()
            test(world, tmp_path)
            world.around.clock.stop()

        asyncio.run(scenario())

    return wrapper


@on_a_loop
def test_what_stays_of_backends(world: World, folder: Path) -> None:
    health = HealthSettings(interval=1.0)
    backends = [A, structs.replace(A, name="b", health=health), structs.replace(A, name="c")]
    first = world.build(backends=backends)
    assert (first.same, set(first.checks), first.exposes, first.leads) == (set(), {"b"}, True, False)
    second = world.build(
        first,
        backends=[
            structs.replace(A, name="d"),
            structs.replace(backends[2], url="http://h2"),
            structs.replace(backends[1], weight=2.0),
            structs.replace(A, max_retries=0),
        ],
        keys=[KeySettings(name="k", key="k")],
        rules=[RuleSettings(use="m")],
    )
    assert second.same == {"a", "b"}
    assert second.leads
    assert not second.keyring.open
    assert list(second.upstreams) == ["d", "c", "b", "a"]
    for name in ("a", "b"):
        assert second.upstreams[name].pool is first.upstreams[name].pool
        assert second.upstreams[name] is not first.upstreams[name]
    assert second.upstreams["c"].pool is not first.upstreams["c"].pool
    assert (first.upstreams["b"].settings.weight, second.upstreams["b"].settings.weight) == (1.0, 2.0)
    assert {name: second.states[name] is first.states.get(name) for name in second.states} == {
        "a": True, "b": True, "c": False, "d": False,
    }  # fmt: skip
    assert list(second.adjusted) == ["a"]
    adjusted = second.adjusted["a"]
    assert (adjusted.like.retry.max_retries, first.states["a"].retry.max_retries) == (0, 2), "not changed yet"
    assert (adjusted.health, adjusted.breaker, adjusted.slow) == (False, False, False)
    assert second.checks == {"b": first.checks["b"]}
    assert (second.board, second.ground, second.tokens) == (first.board, first.ground, first.tokens)
    assert second.choices is not first.choices
    third = world.build(second, backends=second.settings.backends)
    assert third.upstreams == second.upstreams
    assert third.adjusted == {}


@on_a_loop
def test_health_and_slowness_begin_anew_under_other_rules(world: World, folder: Path) -> None:
    health = HealthSettings(interval=1.0)
    backends = [structs.replace(A, health=health), structs.replace(A, name="b"), structs.replace(A, name="c")]
    first = world.build(backends=backends)
    second = world.build(
        first,
        backends=[
            structs.replace(A, health=HealthSettings(interval=2.0)),
            structs.replace(backends[1], latency_p95_threshold_ms=5),
            structs.replace(backends[2], health=health),
        ],
    )
    assert second.states == first.states
    found = {name: (one.health, one.breaker, one.slow) for name, one in second.adjusted.items()}
    assert found == {"a": (True, False, False), "b": (False, False, True), "c": (True, False, False)}
    assert set(second.checks) == {"a", "c"}
    assert second.checks["a"] is not first.checks["a"]
    assert world.build(second, backends=[A]).checks == {}


@on_a_loop
def test_other_rules_for_breakers_make_all_breakers_anew(world: World, folder: Path) -> None:
    first = world.build(backends=[A])
    second = world.build(first, backends=[A], breaker=BreakerSettings(failures=1))
    assert second.same == {"a"}
    assert second.states["a"] is first.states["a"]
    assert second.board is first.board
    assert second.adjusted["a"].breaker


@on_a_loop
def test_other_addresses_that_may_be_called_make_all_ways_anew(world: World, folder: Path) -> None:
    first = world.build(backends=[A])
    second = world.build(first, backends=[A], egress=EgressSettings(allow_networks=["10.0.0.0/8"]))
    assert second.same == set()
    assert second.ground is not first.ground
    assert second.ground.resolver is first.ground.resolver
    assert second.tokens is not first.tokens


@on_a_loop
def test_a_certificate_that_was_replaced_makes_the_way_anew(world: World, folder: Path) -> None:
    ca = folder / "ca.pem"
    ca.write_text("1")
    backends = [structs.replace(A, ca_bundle_path=str(ca)), structs.replace(A, name="b")]
    first = world.build(backends=backends)
    assert world.build(first, backends=backends).same == {"a", "b"}
    ca.write_text("22")
    second = world.build(first, backends=backends)
    assert second.same == {"b"}
    assert second.tokens is not first.tokens
    assert world.build(second, backends=backends).same == {"a", "b"}


@on_a_loop
def test_what_cannot_be_had_is_told_with_its_backend(world: World, folder: Path) -> None:
    backend = structs.replace(A, url="https://h", ca_bundle_path=str(folder / "none"))
    with pytest.raises(ConfigError, match=r"^backend a: ca_bundle_path"):
        world.build(backends=[backend])
    with pytest.raises(ConfigError, match=r"health\.path"):
        world.build(backends=[structs.replace(A, health=HealthSettings(interval=1.0, path="x y"))])
    with pytest.raises(ConfigError, match="router"):
        world.build(backends=[A], router="trunkline_no_such_module:f")


@on_a_loop
def test_a_router_comes_from_the_folder_of_the_configuration(world: World, folder: Path) -> None:
    (folder / "snapshot_router.py").write_text("def choose(text):\n    return 'm'\n")
    first = world.build(backends=[A], router="snapshot_router:choose", config_dir=str(folder))
    assert first.leads
    assert first.router is not None
    second = world.build(first, backends=[A], router="snapshot_router:choose", config_dir=str(folder))
    assert second.router is not first.router
    assert msgspec.structs.asdict(second)["settings"] == first.settings
