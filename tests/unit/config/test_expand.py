from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.config.expand import expand, has_reference, is_literal, variables
from trunkline.errors import ConfigError

ENVIRON = {"A": "one", "B": "two", "EMPTY": "", "TRICKY": "${A} $$ : {"}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain", "plain"),
        ("${A}", "one"),
        ("x-${A}-${B}", "x-one-two"),
        ("${MISSING:-default}", "default"),
        ("${MISSING:-}", ""),
        ("${EMPTY:-default}", ""),
        ("${EMPTY}", ""),
        ("${A:?needed}", "one"),
        ("${TRICKY}", "${A} $$ : {"),
        ("$$", "$"),
        ("$${A}", "${A}"),
        ("$$$${A}", "$${A}"),
        ("$A $ 5$", "$A $ 5$"),
        ("${MISSING:-http://h:1/?a=b}", "http://h:1/?a=b"),
    ],
)
def test_references_are_replaced(text: str, result: str) -> None:
    assert expand(text, ENVIRON, Path()) == result


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${MISSING}", "MISSING is not set; set it, or write ${MISSING:-} for an empty default"),
        ("${MISSING:?ask the team}", "MISSING is not set: ask the team"),
        ("${EMPTY:?}", "EMPTY is not set: it is required"),
        ("secret${", "malformed reference"),
        ("secret${}", "malformed reference"),
        ("secret${1A}", "malformed reference"),
        ("secret${A-b}", "malformed reference"),
        ("secret${A:-${B}}", "malformed reference"),
        ("${file:gone}", "gone cannot be read: No such file or directory"),
    ],
)
def test_what_cannot_be_replaced_is_named_without_the_text(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        expand(text, ENVIRON, Path())
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_file_is_read_without_its_last_line_end(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-1\n")
    assert expand("${file:key}", {}, tmp_path) == "sk-1"
    assert expand(f"${{file:{tmp_path}/key}}", {}, Path()) == "sk-1"


def test_a_file_must_be_text(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="key is not UTF-8 text"):
        expand("${file:key}", {}, tmp_path)


@given(st.text())
def test_doubled_dollars_give_any_text_back(text: str) -> None:
    assert expand(text.replace("$", "$$"), {}, Path()) == text


@given(st.text(), st.text(alphabet="ab: {}[]#$&*!|>'\"%@`"))
def test_a_value_is_never_read_again(before: str, value: str) -> None:
    assert expand(before.replace("$", "$$") + "${V}", {"V": value}, Path()) == before + value


@pytest.mark.parametrize(
    ("text", "reference", "literal"),
    [
        ("sk-1", False, True),
        ("$$A", False, True),
        ("${A}", True, False),
        ("${A:-}", True, False),
        ("${A:-sk-1}", True, True),
        ("${file:/run/key}", True, False),
        ("sk-${A}", True, False),
    ],
)
def test_what_is_written_down_is_told_from_what_comes_from_elsewhere(
    text: str, reference: bool, literal: bool
) -> None:
    assert has_reference(text) is reference
    assert is_literal(text) is literal


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("plain $A $${B}", []),
        ("${A}x${B:-}${C:?why}", ["A", "B", "C"]),
        ("${file:/a}${} ${0} ${", []),
    ],
)
def test_the_variables_that_are_named(text: str, names: list[str]) -> None:
    assert variables(text) == names
