r"""Files of variables: quotes over lines, escapes, comments, and what is no such file."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trunkline.config.importers.dotenv import read_variables
from trunkline.config.tree import Scalar
from trunkline.errors import ConfigError


def read(folder: Path, text: str) -> dict[str, tuple[str, str]] | None:
    """By name: the value, and line and column of the name."""
    path = folder / ".env"
    path.write_bytes(text.encode())
    found = read_variables(path)
    if found is None:
        return None
    values: dict[str, tuple[str, str]] = {}
    for name, entry in found.items.items():
        assert isinstance(entry.node, Scalar)
        values[name] = entry.node.text, entry.where.removeprefix(f"{path}:")
    return values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A=b", "b"),
        ("A= b c \t# comment", "b c"),
        ("A=b#c", "b#c"),
        ("A=", ""),
        ("A=it's", "it's"),
        ("  export  A=b\r", "b"),
        ('A="b" # it is "c"', "b"),
        ('A="b"#c', "b"),
        ("A='b # c'", "b # c"),
        ('A="b\nc\n\nd"', "b\nc\n\nd"),
        ("A='b\n# c\nB=d'", "b\n# c\nB=d"),
        ('A="b \\"c\\" \\\\"', 'b "c" \\'),
        ('A="\\n\\r\\t\\x"', "\n\r\t\\x"),
        ("A='it\\'s \\n'", "it's \\n"),
        ("A='$B'", "$$B"),
        ('A="$B \\$C"', "$B $$C"),
        ("A=''", ""),
        ("A=b\u2028c", "b\u2028c"),
        ("\ufeffA=b", "b"),
    ],
)
def test_a_value(text: str, value: str, tmp_path: Path) -> None:
    assert (read(tmp_path, text) or {})["A"][0] == value
    found = read(tmp_path, f"{text}\nLAST='1'\n")
    assert found is not None
    assert (found["A"][0], found["LAST"][0]) == (value, "1"), "and the next line is another variable"


def test_places_are_those_of_the_names(tmp_path: Path) -> None:
    found = read(tmp_path, "# c\n\nA='1\n2'\n  export B=2\n\n \t# c\nC=\"\n\n\"\nD=4")
    assert found is not None
    assert {name: where for name, (_, where) in found.items()} == {
        "A": "3:1",
        "B": "5:10",
        "C": "8:1",
        "D": "11:1",
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('A=1\nB="2\nC=3\n', ":2:1: the value begins with a quote that is not closed"),
        ("A='it's'\nB=2\n", ":1:1: there is text behind the closing quote of the value"),
        ("A='\\'", ":1:1: the value begins with a quote that is not closed"),
        ('A="b"c\n', ":1:1: there is text behind the closing quote of the value"),
    ],
)
def test_quotes_that_do_not_match(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert str(caught.value) == f"{tmp_path / '.env'}{words}"


@pytest.mark.parametrize("text", ["", "\n# c\n", "a: 1\n", "A=1\nb: 2\n", "A = 1\n", "1A=1", "[A]"])
def test_what_is_no_file_of_variables(text: str, tmp_path: Path) -> None:
    assert read(tmp_path, text) is None


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_bytes(b"A=\xff\n")
    assert read_variables(path) is None


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_what_is_quoted_is_read_as_it_was(tmp_path: Path, values: list[str]) -> None:
    lines = [
        f'V{at}="{value.replace(chr(92), chr(92) * 2).replace(chr(34), chr(92) + chr(34))}"\n'
        for at, value in enumerate(values)
    ]
    found = read(tmp_path, "FIRST=1\n" + "".join(lines))
    assert found is not None
    assert [found[f"V{at}"][0] for at in range(len(values))] == values
