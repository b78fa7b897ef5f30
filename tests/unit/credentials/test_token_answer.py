from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.credentials.token_answer import DEFAULT_LIFETIME, MAX_LIFETIME, Granted, read_answer
from trunkline.errors import Answer

SECRET = "p+q/s3cr3t&=%"


def answer(body: bytes | dict[str, Any], status: int = 200) -> Answer:
    return Answer(status, [], body if isinstance(body, bytes) else msgspec.json.encode(body))


def granted(**fields: Any) -> Granted:
    read = read_answer(answer({"access_token": "t-1", **fields}), ())
    assert isinstance(read, Granted), read
    return read


def refused(body: bytes | dict[str, Any], status: int = 200) -> str:
    read = read_answer(answer(body, status), (SECRET.encode(),))
    assert isinstance(read, str)
    return read


@pytest.mark.parametrize(
    ("said", "lifetime"),
    [
        (b"3600", 3600.0),
        (b"60", 60.0),
        (b"0", 0.0),
        (b"0.5", 0.5),
        (b"1799.9", 1799.9),
        (b'"3599"', 3599.0),
        (b'" 3599 "', 3599.0),
        (b'"3599.0"', 3599.0),
        (b"3.6e3", 3600.0),
        (b"-5", 0.0),
        (b'"-1"', 0.0),
        (b"1e999", MAX_LIFETIME),
        (b"31536000000", MAX_LIFETIME),
        (b"9" * 300, MAX_LIFETIME),
        (b"null", DEFAULT_LIFETIME),
        (b"true", DEFAULT_LIFETIME),
        (b'""', DEFAULT_LIFETIME),
        (b'"soon"', DEFAULT_LIFETIME),
        (b'"nan"', DEFAULT_LIFETIME),
        (b'"inf"', DEFAULT_LIFETIME),
        (b'"1_000"', DEFAULT_LIFETIME),
        (b"[3600]", DEFAULT_LIFETIME),
        (b"{}", DEFAULT_LIFETIME),
    ],
)
def test_how_long_a_token_is_good(said: bytes, lifetime: float) -> None:
    read = read_answer(answer(b'{"access_token": "t-1", "expires_in": ' + said + b"}"), ())
    assert isinstance(read, Granted)
    assert read.lifetime == lifetime


def test_what_the_server_leaves_out() -> None:
    assert granted() == Granted("Bearer t-1", 3600.0)


@pytest.mark.parametrize("status", [200, 201, 203])
def test_every_2xx_can_bring_a_token(status: int) -> None:
    assert isinstance(read_answer(answer({"access_token": "t"}, status), ()), Granted)


@pytest.mark.parametrize(
    ("kind", "value"),
    [("bearer", "bearer t-1"), ("MAC", "MAC t-1"), ("", "Bearer t-1"), (None, "Bearer t-1")],
)
def test_the_token_type_is_sent_as_the_server_wrote_it(kind: str | None, value: str) -> None:
    assert granted(token_type=kind).value == value


@pytest.mark.parametrize("kind", ["Bearer\r\nx-evil: 1", "a b", "Bearer:", "B" * 65, 7, ["Bearer"]])
def test_a_token_type_that_is_no_word_is_refused(kind: Any) -> None:
    assert "token_type is not a word" in refused({"access_token": "t-1", "token_type": kind})


@pytest.mark.parametrize("token", ["", None, 7, ["t"]])
def test_an_answer_without_a_token(token: Any) -> None:
    assert refused({"access_token": token}) == "the answer has no access_token"
    assert refused({}) == "the answer has no access_token"


@pytest.mark.parametrize("token", ["t\r\nx-evil: 1", "a b", "tökn", "t\x00", "t\x7f", "t" * 16385])
def test_a_token_that_no_header_may_hold(token: str) -> None:
    reason = refused({"access_token": token})
    assert reason == "the access_token is too long or holds characters that no header may hold"


def test_a_long_token() -> None:
    assert granted(access_token="t" * 16384).value == "Bearer " + "t" * 16384


def test_a_form_is_refused_as_one() -> None:
    reason = refused(b"access_token=gho_16C7e42F&scope=repo%2Cgist&token_type=bearer")
    assert reason.startswith("the answer is a form, not JSON; ")
    assert "gho_" not in reason


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'"t"', b"\xff", b"[" * 60000, b'{"access_token": "t"']
)
def test_what_is_no_json_object(body: bytes) -> None:
    assert refused(body).startswith("the answer is not a JSON object; `token_url` must name")


def test_an_endless_answer() -> None:
    assert refused(b" " * 65537) == "the answer is longer than 64 KiB"
    assert refused(b" " * 65537, 400) == "the answer is longer than 64 KiB"


@pytest.mark.parametrize("status", [301, 302, 307, 308, 399])
def test_redirects_are_not_followed(status: int) -> None:
    assert refused({"access_token": "t"}, status).startswith(
        f"the answer is {status}: redirects are not followed"
    )


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (401, {"error": "invalid_client", "error_description": "Unknown client."},
         "invalid_client: Unknown client (status 401); check `client_id` and `client_secret`"),
        (400, {"error": "invalid_scope"}, "invalid_scope (status 400); check `token_scope`"),
        (400, {"error": "unauthorized_client", "error_description": 7},
         "unauthorized_client (status 400); this client may not use the client credentials grant"),
        (400, {"error": "unsupported_grant_type"},
         "unsupported_grant_type (status 400); `token_url` does not give tokens for client credentials"),
        (400, {"error": "odd"}, "odd (status 400)"),
        (400, {"error": {"message": "nested"}}, "nested (status 400)"),
        (403, {"message": "elsewhere"}, "elsewhere (status 403)"),
        (404, b"<html>not here</html>", "(status 404); check `token_url`"),
        (405, b"", "(status 405); check `token_url`"),
        (500, b"boom\r\nx-evil: 1\x00", "boom x-evil: 1 (status 500)"),
        (200, {"error": "incorrect_client_credentials", "error_description": "wrong"},
         "incorrect_client_credentials: wrong (status 200)"),
        (503, {"access_token": "t-1"}, "(status 503)"),
        (100, {"access_token": "t-1"}, "(status 100)"),
    ],
)  # fmt: skip
def test_the_reason_is_the_identity_providers(status: int, body: bytes | dict[str, Any], reason: str) -> None:
    assert refused(body, status) == reason


def test_a_token_beside_an_error_is_a_token() -> None:
    assert granted(error="").value == "Bearer t-1"
    assert granted(error="deprecated").value == "Bearer t-1"


@pytest.mark.parametrize(
    "body",
    [
        {"error": f"bad {SECRET}", "error_description": f"client_secret={SECRET} is wrong"},
        {"error": {"message": f"{SECRET} is wrong"}},
        {"error": "x" * 290 + SECRET},
        {"error": "odd", "error_description": "t-canary was given", "access_token": "t-canary"},
        f"{SECRET} is wrong".encode(),
        b'{"message": "\\u0070+q\\/s3cr3t\\u0026=%"}',
        b"e" * 8180 + SECRET.encode(),
        (SECRET * 630 + "!").encode(),
    ],
)
def test_secrets_are_masked_before_the_reason_is_cut(body: bytes | dict[str, Any]) -> None:
    reason = refused(body, 401)
    assert SECRET[:4] not in reason
    assert "t-canary" not in reason
    assert len(reason) < 400


def test_what_was_granted_does_not_show_the_token() -> None:
    assert repr(granted(access_token="t-canary")) == "<Granted for 3600 s>"
    assert "t-canary" not in str(granted(access_token="t-canary").__rich_repr__())


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
FIELDS = ("access_token", "token_type", "expires_in", "error", "error_description")


@given(
    st.one_of(
        st.binary(),
        st.dictionaries(st.sampled_from(FIELDS), JSON).map(msgspec.json.encode),
        JSON.map(msgspec.json.encode),
    ),
    st.integers(100, 599),
)
def test_any_answer_is_read_and_none_breaks_a_line(body: bytes, status: int) -> None:
    read = read_answer(answer(body, status), (b"s3cr3t",))
    if isinstance(read, Granted):
        assert 0 <= read.lifetime <= MAX_LIFETIME
        assert read.value.isascii()
        assert read.value.isprintable()
    else:
        assert read.isprintable()
        assert len(read) < 500
