import pytest

from trunkline.config.parse_toml import parse_toml
from trunkline.config.tree import Mapping, Node, Scalar, Sequence
from trunkline.errors import ConfigError

TEXT = """\
url = "http://h"
version = 2024-06-01

[server]
port = 9000
ratio = 1.50
open = true
"quoted key" = "x"
timeouts.connect = 3

[[keys]]
name = "a"

[[keys]]
name = "b"
models = ["m", "n"]

[keys.more]
deep = { inline = 1 }
"""


def at(node: Node, *keys: str | int) -> Node:
    for key in keys:
        if isinstance(key, int):
            assert isinstance(node, Sequence)
            node = node.items[key]
        else:
            assert isinstance(node, Mapping)
            node = node.items[key].node
    return node


@pytest.mark.parametrize(
    ("path", "scalar"),
    [
        (["url"], Scalar(text="http://h", where="f:1:1", plain=False)),
        (["version"], Scalar(text="2024-06-01", where="f:2:1")),
        (["server", "port"], Scalar(text="9000", where="f:5:1")),
        (["server", "ratio"], Scalar(text="1.50", where="f:6:1")),
        (["server", "open"], Scalar(text="true", where="f:7:1")),
        (["server", "quoted key"], Scalar(text="x", where="f:8:1", plain=False)),
        (["server", "timeouts", "connect"], Scalar(text="3", where="f:9:1")),
        (["keys", 0, "name"], Scalar(text="a", where="f:12:1", plain=False)),
        (["keys", 1, "models", 1], Scalar(text="n", where="f:16:1", plain=False)),
        (["keys", 1, "more", "deep", "inline"], Scalar(text="1", where="f:19:1")),
    ],
)
def test_values_keep_their_text_and_get_their_place(path: list[str | int], scalar: Scalar) -> None:
    assert at(parse_toml(TEXT, "f"), *path) == scalar


def test_tables_have_places() -> None:
    root = parse_toml(TEXT, "f")
    assert (root.where, at(root, "server").where, at(root, "keys").where) == ("f:1:1", "f:4:1", "f:11:1")
    assert [at(root, "keys", place).where for place in (0, 1)] == ["f:11:1", "f:14:1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = 1\nb = x", "f:2:5: not valid TOML: "),
        ("a = 1\na = 2", "f:2:1: not valid TOML: "),
        ("\na =", "f:2:1: not valid TOML: "),
    ],
)
def test_mistakes_have_a_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_toml(text, "f")
    assert str(caught.value).startswith(message)
