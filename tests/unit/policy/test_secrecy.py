"""policy/secrecy.py: what is likely a secret, and what came from a variable."""

import msgspec
import pytest

from trunkline.policy.secrecy import Params, holds_secret, names_secret, referenced


@pytest.mark.parametrize("name", ["api_key", "Authorization", "X-Token", "client_secret", "passwd", "cookie"])
def test_names_of_secrets(name: str) -> None:
    assert names_secret(name)


@pytest.mark.parametrize(
    "name",
    ["max_tokens", "max_completion_tokens", "stop_token_ids", "prompt_cache_key", "temperature", "user"],
)
def test_names_of_parameters_are_none(name: str) -> None:
    assert not names_secret(name)


@pytest.mark.parametrize(
    ("name", "value", "holds"),
    [
        ("api_key", '"x"', True),
        ("api_key", "null", True),
        ("headers", '{"authorization":"x"}', True),
        ("extra", '[1,{"a":[{"api_key":1}]}]', True),
        ("stop", '["api_key"]', False),
        ("options", '{"num_ctx":1,"b":[{"c":"token"}]}', False),
        ("user", '"api_key"', False),
        ("broken", '{"a', True),
        ("deep", "[" * 100_000, True),
    ],
)
def test_values_that_are_called_like_secrets(name: str, value: str, holds: bool) -> None:
    assert holds_secret(name, msgspec.Raw(value.encode())) is holds


def test_what_came_from_elsewhere_is_known_where_a_configuration_was_read() -> None:
    fields = {"a": msgspec.Raw(b"1")}
    assert referenced(fields) == frozenset()
    params = Params(fields, frozenset("a"))
    assert params == fields
    assert referenced(params) == {"a"}
