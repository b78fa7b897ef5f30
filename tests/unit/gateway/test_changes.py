"""gateway/changes.py: what a reload changed, in words, and what must wait for a restart."""

from typing import Any

import pytest
from msgspec import structs

from trunkline.config.model import AdminSettings, Settings
from trunkline.gateway.changes import differences, pending
from trunkline.net.listener import ServerSettings
from trunkline.policy.keys import KeySettings
from trunkline.routing.backend import BackendSettings
from trunkline.routing.models import ModelSettings, TargetSettings


def settings(**fields: Any) -> Settings:
    return Settings(**fields)


def backend(name: str, **fields: Any) -> BackendSettings:
    return BackendSettings(name=name, url="http://h", **fields)


def model(**fields: Any) -> ModelSettings:
    return ModelSettings(targets=[TargetSettings(backend="a")], **fields)


A, B = backend("a"), backend("b")
KEYS = [KeySettings(name="k", key="1"), KeySettings(name="l", key="2")]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ({}, {}, ""),
        ({"backends": [A]}, {"backends": [A]}, ""),
        ({"backends": [A]}, {"backends": [A, B]}, "backends +1"),
        ({"backends": [A, B]}, {"backends": [backend("b", weight=2.0)]}, "backends -1 ~1"),
        ({"backends": [A]}, {"backends": [B]}, "backends +1 -1"),
        ({"backends": [A, B]}, {"backends": [B, A]}, "backends in another order"),
        ({"models": {"m": model()}}, {"models": {"m": model(evict=True), "n": model()}}, "models +1 ~1"),
        ({"keys": KEYS}, {"keys": []}, "keys -2"),
        ({}, {"router": "m:f", "server": ServerSettings(max_body=1)}, "server, router"),
        ({"backends": [A]}, {"backends": [B], "router_timeout": 1.0}, "backends +1 -1, router_timeout"),
    ],
)
def test_what_changed(old: dict[str, Any], new: dict[str, Any], said: str) -> None:
    assert differences(settings(**old), settings(**new)) == said


def test_backends_that_are_reached_anew_have_changed() -> None:
    both = settings(backends=[A, B])
    assert differences(both, both, ["a"]) == "backends ~1"
    assert differences(both, settings(backends=[B]), ["a"]) == "backends -1"


def test_what_is_bound_at_the_start_stays_and_is_named() -> None:
    now = settings(server=ServerSettings(port=1, max_body=1), data_dir="here")
    wanted = settings(
        server=ServerSettings(port=2, host="::1", reuse_port=True, max_connections=5, max_body=2),
        admin=AdminSettings(port=3, host="localhost"),
        data_dir="there",
        keys=KEYS,
    )
    found, names = pending(now, wanted)
    assert names == [
        "server.host", "server.port", "server.max_connections", "server.reuse_port",
        "admin.host", "admin.port", "data_dir",
    ]  # fmt: skip
    assert found == settings(server=structs.replace(now.server, max_body=2), data_dir="here", keys=KEYS)
    assert pending(found, found) == (found, [])


def test_another_certificate_can_be_had_but_tls_or_not_is_settled_at_the_start() -> None:
    plain = settings()
    one, other = (
        settings(server=ServerSettings(tls_cert_path=path, tls_key_path=path)) for path in ("1", "2")
    )
    assert pending(one, other) == (other, [])
    assert pending(plain, one) == (plain, ["server.tls_cert_path"])
    assert pending(one, plain) == (one, ["server.tls_cert_path"])
