from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta

from trunkline.config.bind import INVALID, Binder, Report, entry, suggestion
from trunkline.config.parse import parse_yaml
from trunkline.config.tree import Scalar, Sequence, replaced
from trunkline.net.listener import ServerSettings

ENVIRON = {"PORT": "9000", "WORD": "yes", "EMPTY": "", "SECRET": "hunter2"}


class Inner(msgspec.Struct, kw_only=True, frozen=True):
    name: str
    at: int = 1


class Sample(msgspec.Struct, kw_only=True, frozen=True):
    text: str = "default"
    port: Annotated[int, Meta(ge=1, le=65535)] = 1
    ratio: float | None = None
    on: bool = False
    tags: list[str] | None = None
    inner: Inner | None = None
    many: list[Inner] = []
    key: Annotated[str, Meta(extra={"secret": True})] = ""
    headers: Annotated[dict[str, str], Meta(extra={"secret": True})] = {}


def bound(text: str, cls: type = Sample) -> tuple[Any, Report]:
    report = Report()
    (root,) = parse_yaml(text, "f")
    return Binder(ENVIRON, Path(), report).struct(root, cls, ""), report


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("text: 2024-06-01", Sample(text="2024-06-01")),
        ("text: 1.10", Sample(text="1.10")),
        ("text: yes", Sample(text="yes")),
        ("text: 0123", Sample(text="0123")),
        ("text: 'null'", Sample(text="null")),
        ("text: ${WORD}", Sample(text="yes")),
        ("port: 0x50", Sample(port=80)),
        ("port: ${PORT}", Sample(port=9000)),
        ("{port: '${PORT}'}", Sample(port=9000)),
        ("{port: '${NONE:-7}'}", Sample(port=7)),
        ("port: ${EMPTY}", Sample()),
        ("{text: '', port: , ratio: ~, tags: null, many: null, headers: , inner: }", Sample()),
        ("ratio: 3", Sample(ratio=3.0)),
        ("on: true", Sample(on=True)),
        ("tags: [1, no, '', '${EMPTY}', '${WORD}']", Sample(tags=["1", "no", "", "", "yes"])),
        ("tags: []", Sample(tags=[])),
        ("inner: {name: x}", Sample(inner=Inner(name="x"))),
        ("many: [{name: x, at: 2}]", Sample(many=[Inner(name="x", at=2)])),
        ("headers: {A: 1, B: '', C: $$x}", Sample(headers={"A": "1", "B": "", "C": "$x"})),
    ],
)
def test_values_are_read_by_the_type_of_their_field(text: str, result: Sample) -> None:
    value, report = bound(text)
    assert report.errors == []
    assert value == result


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        ("prot: 1", ["f:1:1: unknown key `prot`; did you mean `port`?"]),
        (
            "inner: {nam: 1}",
            ["f:1:9: unknown key `inner.nam`; did you mean `name`?", "f:1:8: inner.name: is required"],
        ),
        ("xyzzy: 1", ["f:1:1: unknown key `xyzzy`"]),
        ("port: high", ["f:1:7: port: expected a whole number, not 'high'"]),
        ("port: 1.5", ["f:1:7: port: expected a whole number, not '1.5'"]),
        ("port: '80'", ["f:1:7: port: expected a whole number, not '80'; leave the quotes out"]),
        ("port: 0", ["f:1:7: port: must be at least 1, not '0'"]),
        ("port: 70000", ["f:1:7: port: must be at most 65535, not '70000'"]),
        ("port: [1]", ["f:1:7: port: expected a whole number, not a list"]),
        ("ratio: .nan", ["f:1:8: ratio: expected a number, not '.nan'"]),
        ("on: yes", ["f:1:5: on: expected true or false, not 'yes'"]),
        ("text: {a: 1}", ["f:1:7: text: expected text, not keys and values"]),
        (
            "text: ${NONE}",
            [
                "f:1:7: text: environment variable NONE is not set; set it, or write ${NONE:-} for an empty default"
            ],
        ),
        ("tags: x", ["f:1:7: tags: expected a list, not a single value"]),
        ("tags: [a, [b]]", ["f:1:11: tags[1]: expected text, not a list"]),
        ("tags: [null]", ["f:1:8: tags[0]: expected text, not null (quote it to mean text)"]),
        ("headers: [a]", ["f:1:10: headers: expected keys and values, not a list"]),
        ("headers: {a: }", ["f:1:13: headers.a: expected text, not null (quote it to mean text)"]),
        ("headers: {a: {b: c}}", ["f:1:14: headers.a: expected text, not keys and values"]),
        ("many: [{at: 1}]", ["f:1:8: many[0].name: is required"]),
        ("many: [null]", ["f:1:8: many[0]: expected keys and values, not null (quote it to mean text)"]),
        ("inner: x", ["f:1:8: inner: expected keys and values, not a single value"]),
        ("[a]", ["f:1:1: the file: expected keys and values, not a list"]),
    ],
)
def test_every_mistake_has_a_place_and_a_path(text: str, errors: list[str]) -> None:
    _, report = bound(text)
    assert report.errors == errors


def test_what_has_a_mistake_in_it_is_not_made() -> None:
    assert bound("port: high")[0] is INVALID
    assert bound("many: [{name: x}, {}]")[0] is INVALID
    assert bound("[a]")[0] is INVALID


@pytest.mark.parametrize(
    "text",
    ["key: [hunter2]", "key: {hunter2: 1}", "headers: hunter2", "key: x${hunter2", "key: ${file:x}hunter2"],
)
def test_a_secret_is_in_no_message(text: str) -> None:
    _, report = bound(text)
    assert report.errors
    assert "hunter2" not in "".join(report.errors + report.warnings + report.literal_secrets)


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("key: sk-1", ["f:1:6: key"]),
        ("key: ${SECRET}", []),
        ("key: ${NONE:-}", []),
        ("key: ${NONE:-sk-1}", ["f:1:6: key"]),
        ("key: ''", []),
        ("headers: {Authorization: Bearer x, X-Team: a}", ["f:1:26: headers.Authorization"]),
        ("headers: {X-Api-Key: '${SECRET}'}", []),
    ],
)
def test_secrets_that_are_written_down_are_noted(text: str, places: list[str]) -> None:
    assert bound(text)[1].literal_secrets == places


def test_a_value_of_the_environment_is_not_expanded_and_may_be_a_list() -> None:
    (root,) = parse_yaml("text: a", "f")
    root = replaced(root, ["text"], Scalar(text="${WORD}", where="V", literal=True))
    root = replaced(root, ["tags"], Scalar(text='["a", "b"]', where="V", literal=True))
    root = replaced(root, ["headers"], Scalar(text="{A: b}", where="V", literal=True))
    root = replaced(root, ["key"], Scalar(text="sk-1", where="V", literal=True))
    root = replaced(root, ["many"], Scalar(text="# nothing", where="V", literal=True))
    report = Report()
    value = Binder(ENVIRON, Path(), report).struct(root, Sample, "")
    assert report.errors == ["V: many: expected a list, not a single value"]
    assert value is INVALID
    root = replaced(root, ["many"], Scalar(text="[]", where="V", literal=True))
    value = Binder(ENVIRON, Path(), Report()).struct(root, Sample, "")
    assert value == Sample(text="${WORD}", tags=["a", "b"], headers={"A": "b"}, key="sk-1")


@pytest.mark.parametrize("text", ["workers: 1", "workers:", "workers: ${EMPTY}"])
def test_a_planned_key_that_asks_for_nothing_is_accepted(text: str) -> None:
    value, report = bound(text, ServerSettings)
    assert (value, report.errors) == (ServerSettings(), [])


@pytest.mark.parametrize("text", ["workers: 2", "workers: [1]", "workers: ${NONE}"])
def test_a_planned_key_is_refused(text: str) -> None:
    _, report = bound(text, ServerSettings)
    assert report.errors == ["f:1:1: `workers` is not supported in this version"]


def test_nothing_where_a_struct_stands_gives_no_values() -> None:
    report = Report()
    assert Binder(ENVIRON, Path(), report).fields(Scalar(text="", where="f:1:1"), Sample, "a") == {}
    assert report.errors == []


def test_a_report_says_each_error_once() -> None:
    report = Report()
    report.error("f:1:1", "x")
    report.error("f:1:1", "x")
    report.warn("f:1:1", "y")
    assert (report.errors, report.warnings) == (["f:1:1: x"], ["f:1:1: y"])


def test_suggestions_ignore_case() -> None:
    assert suggestion("Api_Key", ["api_key", "url"]) == "; did you mean `api_key`?"
    assert suggestion("zzz", ["api_key"]) == ""


def test_only_a_mapping_has_entries() -> None:
    (root,) = parse_yaml("a: 1", "f")
    found = entry(root, "a")
    assert found is not None
    assert found.where == "f:1:1"
    assert entry(Sequence(items=[], where="f"), "a") is None
