import asyncio

import pytest

from trunkline.credentials.base import Credential
from trunkline.credentials.static import StaticCredential


@pytest.mark.parametrize(
    ("style", "key", "line", "shown"),
    [
        ("none", "", b"", "none"),
        ("none", "k-1", b"", "none"),
        ("bearer", "", b"", "none"),
        ("bearer", "k-1", b"authorization: Bearer k-1\r\n", "authorization"),
        ("api-key", "k-1", b"api-key: k-1\r\n", "api-key"),
        ("api-key", "", b"", "none"),
        ("X-Goog-Api-Key", "k-1", b"x-goog-api-key: k-1\r\n", "x-goog-api-key"),
        ("X-Custom", "two words", b"x-custom: two words\r\n", "x-custom"),
    ],
)
def test_how_a_key_is_sent(style: str, key: str, line: bytes, shown: str) -> None:
    credential: Credential = StaticCredential(style, key)
    assert credential.header(0.0) == line
    assert asyncio.run(credential.obtain()) == line
    assert repr(credential) == f"<StaticCredential {shown}>"


def test_by_default_nothing_is_sent() -> None:
    assert StaticCredential().header(0.0) == b""


def test_a_key_that_was_refused_stays_what_it_is() -> None:
    credential = StaticCredential("bearer", "k-1")
    assert not credential.invalidate(b"authorization: Bearer k-1\r\n")
    assert credential.header(1e9) == b"authorization: Bearer k-1\r\n"


def test_the_key_is_masked() -> None:
    assert StaticCredential("bearer", "k-1").mask(b"wrong key k-1!") == b"wrong key ***!"
    assert StaticCredential().mask(b"wrong key k-1!") == b"wrong key k-1!"


@pytest.mark.parametrize("style", ["bearer", "api-key"])
def test_a_key_cannot_add_a_header(style: str) -> None:
    with pytest.raises(ValueError, match="line break") as caught:
        StaticCredential(style, "secret\r\nx-evil: 1")
    assert "secret" not in str(caught.value)
