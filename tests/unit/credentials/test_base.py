import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.credentials.base import header_line, mask


def test_a_header_line_ends_with_its_line_break() -> None:
    assert header_line("Api-Key", "k 1") == b"api-key: k 1\r\n"


@pytest.mark.parametrize("value", ["qq\r\nx: y", "qq\nz", " qq", "qq ", "qq\tz", "schlüssel", "qq\x7f"])
def test_a_value_that_no_header_may_hold_is_refused_without_being_quoted(value: str) -> None:
    with pytest.raises(ValueError, match="the value for `x-key` holds") as caught:
        header_line("x-key", value)
    assert value not in str(caught.value)


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\n", "ä"])
def test_a_name_that_is_no_token_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not a header name"):
        header_line(name, "v")


@given(st.text(), st.text())
def test_whatever_is_accepted_is_one_line(name: str, value: str) -> None:
    try:
        line = header_line(name, value)
    except ValueError:
        return
    assert line.count(b"\r") == line.count(b"\n") == 1
    assert line.endswith(b"\r\n")


def test_the_longest_secret_is_masked_first() -> None:
    assert mask(b"key abcdef, abc", (b"abc", b"abcdef", b"")) == b"key ***, ***"
