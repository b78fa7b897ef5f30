"""The first look at a file: how much it may be, aliases counted at each place. Work is counted, never timed."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.config.importers.importing import Made
from trunkline.config.importers import stanza
from trunkline.config.importers.run import SYSTEMS, import_file
from trunkline.config.importers.source import below
from trunkline.config.importers.stanza import MOST_VALUES, documents_of, stanzas_of, values_in
from trunkline.config.parse import parse_yaml
from trunkline.config.tree import Entry, Mapping, Node, Scalar, Sequence
from trunkline.errors import ConfigError

# Ten lines of ten aliases each.
BOMB = "".join(f"a{at}: &a{at} [{', '.join(['x' if at == 0 else f'*a{at - 1}'] * 10)}]\n" for at in range(10))


class Counted(list[Node]):
    """Members that tell how often somebody went through them."""

    looks = 0

    def __iter__(self) -> Iterator[Node]:
        self.looks += 1
        return super().__iter__()

    def __reversed__(self) -> Iterator[Node]:
        self.looks += 1
        return super().__reversed__()


def ladder(steps: int) -> list[Counted]:
    """Lists of which each holds the one before twice: 2 ** steps ways lead to the first."""
    lists = [Counted([Scalar(text="x", where=""), mapping("deep")])]
    for _ in range(steps):
        one = Sequence(items=lists[-1], where="")
        lists.append(Counted([one, one]))
    return lists


def mapping(*keys: str) -> Mapping:
    where = ""
    return Mapping(
        items={key: Entry(where=where, node=Scalar(text="", where=where)) for key in keys}, where=where
    )


def test_values_behind_aliases_are_counted_at_each_and_looked_at_once() -> None:
    lists = ladder(64)
    assert values_in(Sequence(items=lists[-1], where=""), {}) == 2**64 * 4 + 2**64 - 1
    # A list of the ladder is one object for two places: `Sequence` is made once for both.
    assert [one.looks for one in lists] == [1] * len(lists)


def test_names_below_are_found_with_one_look_at_each_alias() -> None:
    lists = ladder(64)
    assert below(Sequence(items=lists[-1], where="")) == "`deep`"
    assert [one.looks for one in lists] == [1] * len(lists)


def test_names_below_are_in_the_order_written() -> None:
    node = parse_yaml("a: {b: [{c: 1}, {d: {e: 1}}], f: 1}\ng: {b: 1, h: 1}\n", "")[0]
    assert below(node) == "`a`, `g`, `b`, `f`, `c`, `d`, `e`, `h`"


@pytest.mark.parametrize("system", SYSTEMS)
def test_aliases_of_aliases_are_refused_before_anybody_goes_through_them(
    system: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "source.yaml"
    path.write_text(BOMB + "model_list: []\nbackends: []\nvariants: {}\n")
    counted: list[Node] = []
    values = stanza.values_in

    def count(node: Node, known: dict[int, int]) -> int:
        counted.append(node)
        return values(node, known)

    monkeypatch.setattr(stanza, "values_in", count)
    with pytest.raises(ConfigError) as caught:
        import_file(system, path, {}, str)
    assert str(caught.value) == (
        f"{path}:1:1: more than {MOST_VALUES} values, those behind an alias counted at each place where it stands"
    )
    assert len(counted) < 200, "each value of the file, and one question for each alias"


def test_stanzas_that_follow_each_other_have_the_same_limit(tmp_path: Path) -> None:
    path = tmp_path / "source.yaml"
    path.write_text(f"type: a\n{BOMB}type: b\n")
    with pytest.raises(ConfigError, match="more than 200000 values"):
        stanzas_of(path)


def test_as_many_values_as_there_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "source.yaml"
    path.write_text("a: &a [x, x]\nb: *a\n")
    monkeypatch.setattr(stanza, "MOST_VALUES", 7)
    assert len(documents_of(path)) == 1
    monkeypatch.setattr(stanza, "MOST_VALUES", 6)
    with pytest.raises(ConfigError, match="more than 6 values"):
        documents_of(path)


def test_what_takes_over_from_too_many_others_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "source.yaml"
    variants = {f"v{at}": {"base_off": f"v{at + 1}"} for at in range(sys.getrecursionlimit())}
    path.write_text(json.dumps({"variants": variants}))
    with pytest.raises(ConfigError) as caught:
        import_file("cot_proxy", path, {}, str)
    assert str(caught.value) == f"{path}:1:1: nested too deeply"


def test_a_few_aliases_are_what_they_are_for(tmp_path: Path) -> None:
    text = (
        "base: &base {api_base: http://h, temperature: 0.1}\nmodel_list:\n"
        "  - {model_name: a, litellm_params: {<<: *base, model: hosted_vllm/x}}\n"
        "  - {model_name: b, litellm_params: {<<: *base, model: hosted_vllm/y}}\n"
    )
    made: Any = Made(tmp_path, "litellm", text)
    assert made.rows() == [("vllm-h", "vllm", "http://h")]
    assert list(made.settings.models) == ["a", "b"]
