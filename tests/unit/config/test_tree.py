import pytest

from trunkline.config import tree
from trunkline.config.parse import parse_yaml
from trunkline.config.tree import Mapping, Node, Scalar, Sequence, is_null, key_at, replaced, value_at
from trunkline.errors import ConfigError

VALUE = Scalar(text="new", where="VARIABLE", literal=True)


def root_of(text: str) -> Node:
    return parse_yaml(text, "f")[0]


def at(node: Node, *keys: str | int) -> Node:
    for key in keys:
        if isinstance(key, int):
            assert isinstance(node, Sequence)
            node = node.items[key]
        else:
            assert isinstance(node, Mapping)
            node = node.items[key].node
    return node


@pytest.mark.parametrize("text", ["", "~", "null", "Null", "NULL"])
def test_null_has_five_spellings(text: str) -> None:
    assert is_null(Scalar(text=text, where="f"))
    assert not is_null(Scalar(text=text, where="f", plain=False))


def test_a_list_is_not_null() -> None:
    assert not is_null(Sequence(items=[], where="f"))


@pytest.mark.parametrize(
    ("text", "keys", "path"),
    [
        ("a: 1", ["a"], ["a"]),
        ("a: 1", ["b", "c"], ["b", "c"]),
        ("a: {b: 1}", ["a", "c"], ["a", "c"]),
        ("a:", ["a", "c"], ["a", "c"]),
        ("a: [{b: 1}, {b: 2}]", ["a", "1", "b"], ["a", 1, "b"]),
    ],
)
def test_one_value_is_replaced(text: str, keys: list[str], path: list[str | int]) -> None:
    before = root_of(text)
    after = replaced(before, keys, VALUE)
    assert at(after, *path) == VALUE
    assert before == root_of(text)


def test_what_is_not_named_stays() -> None:
    after = replaced(root_of("a: {b: 1, c: [x, y]}"), ["a", "c", "0"], VALUE)
    assert at(after, "a", "b") == Scalar(text="1", where="f:1:8")
    assert at(after, "a", "c", 1) == Scalar(text="y", where="f:1:18")


@pytest.mark.parametrize(
    ("path", "value", "key"),
    [
        ([], "f:1:1", "f:1:1"),
        (["a"], "f:1:4", "f:1:1"),
        (["a", "b.c"], "f:1:10", "f:1:5"),
        (["a", "b.c", 1], "f:1:14", "f:1:14"),
        (["a", "b.c", 2], "f:1:10", "f:1:5"),
        (["a", "b.c", "x"], "f:1:10", "f:1:5"),
        (["a", "b.c", 1, "x"], "f:1:14", "f:1:14"),
        (["a", 0], "f:1:4", "f:1:1"),
        (["x", "y"], "f:1:1", "f:1:1"),
    ],
)
def test_a_place_is_that_of_the_nearest_thing_written(path: list[str | int], value: str, key: str) -> None:
    root = root_of("a: {b.c: [x, y]}")
    assert value_at(root, *path) == value
    assert key_at(root, *path) == key


@pytest.mark.parametrize(
    ("text", "keys", "message"),
    [
        ("a: [x]", ["a", "1"], "VARIABLE: there is no item 1 in a list of 1"),
        ("a: [x]", ["a", "b"], "VARIABLE: there is no item b in a list of 1"),
        ("a: x", ["a", "b"], "VARIABLE: `b` would be inside a single value"),
    ],
)
def test_a_path_that_leads_nowhere(text: str, keys: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        replaced(root_of(text), keys, VALUE)
    assert str(caught.value) == message


def test_values_are_found_by_keys_and_indexes() -> None:
    root = root_of("a: [x]\n")
    assert tree.at(root, "a", 0) is at(root, "a", 0)
    assert tree.at(root) is root
    assert tree.at(root, "a", 1) is tree.at(root, "b") is tree.at(root, "a", 0, "c") is None
