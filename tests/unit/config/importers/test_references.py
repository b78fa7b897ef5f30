"""References of other systems, as ours; and what they come to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.config.importers.references import References, literal

ENVIRON = {"SET": "value", "EMPTY": ""}


def references() -> References:
    return References(ENVIRON, lambda: "new")


@pytest.mark.parametrize(
    ("text", "ours"),
    [
        ("${SET}", "${SET}"),
        ("${UNSET}", "${UNSET:-}"),
        ("${EMPTY}", "${EMPTY}"),
        ("${SET:-x}", "${SET:-x}"),
        ("a${UNSET}b${SET}$", "a${UNSET:-}b${SET}$$"),
        ("$SET", "$SET"),
        ("$$", "$$$$"),
        ("${no name}", "$${no name}"),
        ("Bearer ${UNSET:-}", "Bearer ${UNSET:-}"),
    ],
)
def test_curly(text: str, ours: str) -> None:
    assert references().curly(text) == ours


@pytest.mark.parametrize(
    ("text", "ours", "now"),
    [
        ("${SET}", "${SET}", "value"),
        ("$SET/x", "${SET}/x", "value/x"),
        ("$UNSET", "${UNSET:-}", ""),
        ("${UNSET-x}", "${UNSET:-x}", "x"),
        ("${UNSET:-x}", "${UNSET:-x}", "x"),
        ("${UNSET:?message}", "${UNSET:-}", ""),
        ("${SET:+x}", "x", "x"),
        ("${UNSET+x}", "", ""),
        ("a$$b", "a$$b", "a$b"),
        ("5$", "5$", "5$"),
    ],
)
def test_compose(text: str, ours: str, now: str) -> None:
    found = references()
    assert found.compose(text) == ours
    assert found.now(ours) == now


@pytest.mark.parametrize(
    ("text", "ours"),
    [
        ("os.environ/SET", "${SET}"),
        ("os.environ/UNSET", "${UNSET:-}"),
        ("see os.environ/SET", "see os.environ/SET"),
        ("${SET}", "$${SET}"),
        ("os.environ/GIVEN", "${GIVEN:-g}"),
        ("os.environ/OTHER", "${SET}"),
        ("os.environ/BRACES", "{x}"),
    ],
)
def test_os_environ(text: str, ours: str) -> None:
    found = references()
    found.given |= {"GIVEN": "g", "OTHER": "${SET}", "BRACES": "{x}"}
    assert found.os_environ(text) == ours


@pytest.mark.parametrize(
    ("text", "what", "filled"),
    [
        ("${UNSET:-}", "url", "${UNSET:-https://unset.invalid}"),
        ("${EMPTY}", "key", "${EMPTY:-new}"),
        ("${UNSET:-}", "client_id", "${UNSET:-...}"),
        ("${SET}", "url", "${SET}"),
        ("${UNSET:-x}", "url", "${UNSET:-x}"),
        ("${A:-}${B:-}", "url", "${A:-}${B:-}"),
    ],
)
def test_what_must_not_be_empty(text: str, what: str, filled: str) -> None:
    assert references().filled(text, what) == filled


def test_what_was_not_set_is_kept_apart_from_what_something_stands_in_for() -> None:
    found = references()
    found.filled(found.to("URL"), "url")
    found.to("KEY")
    assert (list(found.unset), found.stood_in) == (["KEY"], {"URL": "url"})


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://0.0.0.0:80/v1", "http://127.0.0.1:80/v1"),
        ("0.0.0.0", "127.0.0.1"),
        ("http://0.0.0.0.example", "http://0.0.0.0.example"),
    ],
)
def test_an_address_that_cannot_be_called(url: str, address: str) -> None:
    assert references().address(url) == address


@given(st.text(alphabet="a${}:-/"))
def test_text_without_references_comes_back(text: str) -> None:
    found = references()
    assert found.now(literal(text)) == text
    assert found.now(found.os_environ(text)) == text
