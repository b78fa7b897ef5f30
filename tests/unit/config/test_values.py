"""config/values.py: scalars of a configuration as JSON."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.config.values import json_of, number_of


@pytest.mark.parametrize(
    ("text", "json_text"),
    [
        ("0.7", "0.7"),
        ("1.0", "1.0"),
        ("1", "1"),
        ("-0.50", "-0.50"),
        ("+1", "1"),
        ("007", "7"),
        ("00", "0"),
        (".5", "0.5"),
        ("-.5", "-0.5"),
        ("1.", "1.0"),
        ("1e400", "1e400"),
        ("1.5E+3", "1.5E+3"),
        ("0x1F", "31"),
        ("0o17", "15"),
        ("123456789012345678901234567890123456789012345", "123456789012345678901234567890123456789012345"),
        ("true", "true"),
        ("False", "false"),
        ("null", "null"),
        ("~", "null"),
        ("", "null"),
        ("yes", '"yes"'),
        ("2024-06-01", '"2024-06-01"'),
        ("1.2.3", '"1.2.3"'),
        ("1_000", '"1_000"'),
        (".", '"."'),
        ("-", '"-"'),
        ("e5", '"e5"'),
        ("٣", '"٣"'),
        ("0x" + "f" * 60, '"0x' + "f" * 60 + '"'),
        ('a "b"\n', r'"a \"b\"\n"'),
    ],
)
def test_what_is_not_quoted_is_typed(text: str, json_text: str) -> None:
    assert json_of(text, plain=True).decode() == json_text


@pytest.mark.parametrize("text", ["0.7", "true", "null", "", ".inf"])
def test_what_is_quoted_is_text(text: str) -> None:
    assert json.loads(json_of(text, plain=False)) == text


@pytest.mark.parametrize("text", [".inf", "-.Inf", ".NaN"])
def test_what_no_json_can_say_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no number in JSON"):
        json_of(text, plain=True)


def test_text_that_cannot_be_sent_is_refused() -> None:
    with pytest.raises(ValueError, match="not UTF-8"):
        json_of("\udcff", plain=True)


@given(st.from_regex(r"[-+]?[0-9]{0,30}(\.[0-9]{0,30})?([eE][-+]?[0-9]{1,3})?", fullmatch=True))
def test_a_number_is_one_for_every_json_parser(text: str) -> None:
    found = number_of(text)
    try:
        value = float(text)
    except ValueError:
        assert found == b""
    else:
        assert json.loads(found) == value or float(json.loads(found)) == value
