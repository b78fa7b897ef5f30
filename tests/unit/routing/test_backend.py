"""routing/backend.py: defaults, limits, and a repr that tells no secret."""

from typing import Any

import msgspec
import pytest

from trunkline.routing.backend import BackendSettings, TimeoutSettings

PLAIN: dict[str, Any] = {"name": "a", "url": "http://a"}


def test_the_defaults_of_the_documented_file() -> None:
    backend = msgspec.convert(PLAIN, BackendSettings)
    assert backend == BackendSettings(name="a", url="http://a")
    assert (backend.provider, backend.api_key, backend.priority) == ("openai_compat", "", 99)
    assert (backend.models, backend.headers, backend.ssl_verify) == (None, {}, True)
    assert backend.timeouts == TimeoutSettings(connect=5.0, first_token="auto", idle=30.0, total=600.0)
    assert not backend.forward_authorization
    assert (backend.auth, backend.proxy, backend.token_refresh_margin) == (None, None, 60.0)
    assert (backend.strict_params, backend.openai_strict, backend.default_model) == (False, None, None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"nam": "x"},
        {"name": None},
        {"priority": "1"},
        {"max_connections": 0},
        {"models": "x"},
        {"headers": {"x": 1}},
        {"token_refresh_margin": -1},
        {"strict_params": "yes"},
        {"timeouts": {"connect": 0}},
        {"timeouts": {"first_token": "soon"}},
        {"timeouts": {"first_token": -1}},
        {"timeouts": {"idle": -1}},
        {"timeouts": {"total": 0}},
        {"timeouts": {"read": 1}},
    ],
)
def test_what_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**PLAIN, **wrong}, BackendSettings)


def test_first_token_is_seconds_or_auto() -> None:
    for value in (0.1, 12, "auto"):
        timeouts = msgspec.convert({"first_token": value}, TimeoutSettings)
        assert timeouts.first_token == value


def test_two_backends_do_not_share_their_headers() -> None:
    one, two = BackendSettings(**PLAIN), BackendSettings(**PLAIN)
    assert one.headers is not two.headers


def test_the_repr_tells_no_secret() -> None:
    backend = BackendSettings(
        name="a",
        url="http://user:hunter2@a",
        api_key="hunter2",
        headers={"x-key": "hunter2"},
        priority=3,
        client_secret="hunter2",
        proxy="http://u:hunter2@p",
    )
    assert repr(backend) == "<BackendSettings a (openai_compat), priority 3>"
    assert "hunter2" not in repr([backend]) + repr(backend.__rich_repr__())
