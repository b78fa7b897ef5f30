from typing import Any

import pytest

from trunkline.config.authentication import check_oauth, check_style, take_key, uses_oauth
from trunkline.providers.base import Profile

CLIENT = {"client_id": "i", "client_secret": "hunter2", "token_url": "https://t.example/token"}
ROW = Profile(name="p", title="P", kind="hosted", key_variables=("A_API_KEY", "B_API_KEY"))


class Said:
    def __init__(self) -> None:
        self.errors: list[str] = []
        self.warnings: list[str] = []

    def error(self, field: str, text: str) -> None:
        self.errors.append(f"{field}: {text}")

    def warn(self, field: str, text: str) -> None:
        self.warnings.append(f"{field}: {text}")


@pytest.mark.parametrize(
    ("values", "errors", "warnings"),
    [
        ({}, [], []),
        (CLIENT, [], []),
        (CLIENT | {"token_scope": "s"}, [], []),
        (CLIENT | {"token_url": "http://127.0.0.1:1/token"}, [], []),
        (CLIENT | {"token_url": "..."}, [], ["token_url: is a placeholder: no token can be had"]),
        (
            {"client_id": "i"},
            [
                (
                    "client_id: is one of OAuth2's settings, which work together: "
                    "`client_secret` and `token_url` are missing"
                )
            ],
            [],
        ),
        (
            {"token_scope": "s"},
            [
                (
                    "token_scope: is one of OAuth2's settings, which work together: "
                    "`client_id`, `client_secret` and `token_url` are missing"
                )
            ],
            [],
        ),
        (CLIENT | {"token_url": "t.example"}, ["token_url: has no scheme; write https://t.example"], []),
        (
            CLIENT | {"forward_authorization": True},
            ["client_id: and forward_authorization exclude each other: one credential goes upstream"],
            [],
        ),
        (
            CLIENT | {"auth": "api-key"},
            ["auth: is for keys; an OAuth2 token goes as the identity provider says"],
            [],
        ),
        (CLIENT | {"api_key": "k"}, [], ["api_key: has no effect, because OAuth2 is set up"]),
    ],
)
def test_oauth2_is_whole_or_not_at_all(
    values: dict[str, Any], errors: list[str], warnings: list[str]
) -> None:
    said = Said()
    check_oauth(values, said.error, said.warn)
    assert (said.errors, said.warnings) == (errors, warnings)
    assert "hunter2" not in repr(said.__dict__)


@pytest.mark.parametrize(
    ("values", "errors", "warnings"),
    [
        ({}, [], []),
        ({"auth": "bearer"}, [], []),
        ({"auth": "api-key"}, [], []),
        ({"auth": "X-Api-Key", "api_key": "k"}, [], []),
        ({"auth": "none"}, [], []),
        ({"auth": "none", "api_key": "k"}, [], ["api_key: has no effect, because `auth` is `none`"]),
        (
            {"auth": "Bearer"},
            ["auth: must be `bearer`, `api-key`, `none` or the name of a header for the bare key"],
            [],
        ),
        ({"auth": "a b"}, ["auth: is neither `bearer`, `api-key`, `none` nor the name of a header"], []),
        ({"auth": "Host"}, ["auth: `Host` is written by the gateway itself"], []),
    ],
)
def test_a_style_is_one_of_three_or_a_header(
    values: dict[str, Any], errors: list[str], warnings: list[str]
) -> None:
    said = Said()
    check_style(values, frozenset(("host",)), said.error, said.warn)
    assert (said.errors, said.warnings) == (errors, warnings)


@pytest.mark.parametrize(
    ("values", "environ", "key", "warnings"),
    [
        ({}, {"B_API_KEY": "b", "A_API_KEY": "a"}, "a", []),
        ({}, {"B_API_KEY": " b\n", "A_API_KEY": " "}, "b", []),
        ({"api_key": ""}, {"B_API_KEY": "b"}, "b", []),
        ({"api_key": "own"}, {"A_API_KEY": "a"}, "own", []),
        ({}, {}, "", ["api_key: is missing: set A_API_KEY, or `api_key`"]),
        ({"auth": "none"}, {"A_API_KEY": "a"}, None, []),
        ({"forward_authorization": True}, {"A_API_KEY": "a"}, None, []),
        (dict(CLIENT), {"A_API_KEY": "a"}, None, []),
    ],
)
def test_the_first_variable_that_is_set_gives_the_key(
    values: dict[str, Any], environ: dict[str, str], key: str | None, warnings: list[str]
) -> None:
    said = Said()
    take_key(values, ROW, environ, said.warn)
    assert values.get("api_key") == key
    assert said.warnings == warnings


def test_a_variable_that_the_file_names_is_the_one_to_set() -> None:
    said = Said()
    take_key({"api_key": ""}, ROW, {}, said.warn, ["MINE"])
    assert said.warnings == ["api_key: is missing: set MINE"]


def test_a_row_without_variables_takes_no_key() -> None:
    values: dict[str, Any] = {}
    take_key(values, Profile(name="p", title="P", kind="any"), {"API_KEY": "a"}, Said().warn)
    assert values == {}


def test_oauth2_needs_all_three() -> None:
    assert uses_oauth(CLIENT)
    assert not uses_oauth(CLIENT | {"client_secret": ""})
