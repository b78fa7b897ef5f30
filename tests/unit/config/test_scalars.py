from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, inspect

from trunkline.config.scalars import (
    Extra,
    Field,
    bare,
    fields_of,
    out_of_range,
    read,
    read_bool,
    read_float,
    read_int,
    read_size,
    shown,
    wanted,
)

Either = Annotated[float, Meta(gt=0)] | Literal["auto"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-7", -7),
        ("+3", 3),
        ("0123", 123),
        ("0o17", 15),
        ("0xFf", 255),
        ("1_000", None),
        ("", None),
    ],
)
def test_whole_numbers(text: str, value: int | None) -> None:
    assert read_int(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1.0),
        ("1.50", 1.5),
        (".5", 0.5),
        ("2.", 2.0),
        ("1e3", 1000.0),
        ("0x10", 16.0),
        (".inf", None),
        (".nan", None),
        ("nan", None),
        ("1e999", None),
        ("5s", None),
        ("1:30", None),
    ],
)
def test_numbers(text: str, value: float | None) -> None:
    assert read_float(text) == value


@pytest.mark.parametrize("text", ["9" * 41, "1" * 5000, "0." + "0" * 50])
def test_numbers_have_an_end(text: str) -> None:
    assert read_int(text) is None
    assert read_float(text) is None
    assert read_size(text + "KiB") is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1048576", 1048576),
        ("32MiB", 32 * 1024 * 1024),
        ("64 kib", 65536),
        ("1GB", 1_000_000_000),
        ("1.5KiB", 1536),
        ("7B", 7),
        ("2tib", 2 * 1024**4),
        ("10M", None),
        ("iB", None),
        ("5ib", None),
        ("-1MB", None),
    ],
)
def test_sizes(text: str, value: int | None) -> None:
    assert read_size(text) == value


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("FALSE", False), ("yes", None), ("on", None), ("1", None)]
)
def test_truth_values(text: str, value: bool | None) -> None:
    assert read_bool(text) is value


@given(st.integers(min_value=-(10**30), max_value=10**30))
def test_every_whole_number_is_read_back(number: int) -> None:
    assert read_int(str(number)) == number


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_is_read_back(number: float) -> None:
    assert read_float(repr(number)) == number


class Sample(msgspec.Struct, kw_only=True):
    name: Annotated[str, Meta(description="A name.", extra={"secret": True})]
    size: Annotated[int, Meta(ge=2, le=9, extra={"unit": "bytes"})] = 2
    ratio: Annotated[float, Meta(gt=0)] | None = None
    on: bool = True
    wait: Annotated[Either, Meta(description="Seconds.")] = "auto"


def test_fields_are_read_without_their_wrappers() -> None:
    fields = fields_of(Sample)
    assert fields["name"] == Field("name", inspect.StrType(), Extra(secret=True, literal_warns=True), True)
    assert fields["size"] == Field("size", inspect.IntType(ge=2, le=9), Extra(bytes=True), False)
    assert fields["ratio"].type == inspect.FloatType(gt=0)
    assert isinstance(fields["wait"].type, inspect.UnionType)


def test_a_field_is_found_by_the_name_that_a_file_uses() -> None:
    class Renamed(msgspec.Struct):
        for_: str = msgspec.field(name="for")

    assert [(key, field.name) for key, field in fields_of(Renamed).items()] == [("for", "for_")]


@pytest.mark.parametrize(
    ("field", "text", "plain", "value"),
    [
        ("name", "0123", True, "0123"),
        ("size", "4", True, 4),
        ("size", "1KiB", False, 1024),
        ("ratio", "0.5", True, 0.5),
        ("ratio", "0.5", False, None),
        ("on", "true", True, True),
        ("on", "true", False, None),
        ("wait", "auto", False, "auto"),
        ("wait", "3", True, 3.0),
        ("wait", "soon", True, None),
    ],
)
def test_a_text_means_what_its_field_makes_of_it(field: str, text: str, plain: bool, value: object) -> None:
    known = fields_of(Sample)[field]
    assert read(text, known.type, known.extra, plain) == value


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("size", 1, "must be at least 2"),
        ("size", 10, "must be at most 9"),
        ("size", 9, ""),
        ("ratio", 0.0, "must be greater than 0"),
        ("wait", -1.0, "must be greater than 0"),
        ("wait", "auto", ""),
        ("name", "x", ""),
        ("on", True, ""),
    ],
)
def test_limits(field: str, value: object, problem: str) -> None:
    assert out_of_range(value, fields_of(Sample)[field].type) == problem


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("name", "text"),
        ("size", "a size like 32MiB"),
        ("ratio", "a number"),
        ("on", "true or false"),
        ("wait", "a number or `auto`"),
    ],
)
def test_what_is_wanted_has_words(field: str, words: str) -> None:
    known = fields_of(Sample)[field]
    assert wanted(known.type, known.extra) == words


def test_a_bare_whole_number_has_words() -> None:
    assert wanted(bare(inspect.type_info(int))[0], Extra()) == "a whole number"


def test_a_shown_value_is_short_and_on_one_line() -> None:
    assert shown("a\nb") == "'a\\nb'"
    assert len(shown("x" * 1000)) < 70
