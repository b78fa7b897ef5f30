from typing import Any

import pytest

from trunkline.config.bind import Report
from trunkline.config.parse import parse_yaml
from trunkline.config.shapes import Shape, collect
from trunkline.config.tree import Mapping, Node, Sequence


def plain(node: Node) -> object:
    if isinstance(node, Mapping):
        return {key: plain(entry.node) for key, entry in node.items.items()}
    return [plain(item) for item in node.items] if isinstance(node, Sequence) else node.text


def shaped(text: str) -> tuple[Shape, list[str]]:
    report = Report()
    return collect(parse_yaml(text, "f"), "f:1:1", report), report.errors


SHAPES: list[tuple[str, Any, bool]] = [
    ("", {}, False),
    ("server: {port: 1}", {"server": {"port": "1"}}, False),
    ("backends: [{url: a}]", {"backends": [{"url": "a"}]}, False),
    ("backends: x", {"backends": "x"}, False),
    ("backends: [x]", {"backends": ["x"]}, False),
    ("backend: [{url: a}]", {"backend": [{"url": "a"}]}, False),
    ("url: a", {"backends": [{"url": "a"}]}, True),
    ("client_id: a", {"backends": [{"client_id": "a"}]}, True),
    ("url: a\nfoo: 1", {"backends": [{"url": "a", "foo": "1"}]}, True),
    ("url: a\nserver: {port: 1}", {"server": {"port": "1"}, "backends": [{"url": "a"}]}, True),
    ("url: a\nmodels: [m]", {"backends": [{"url": "a", "models": ["m"]}]}, True),
    ("url: a\nmodels: {m: {}}", {"models": {"m": {}}, "backends": [{"url": "a"}]}, True),
    ("url: a\n---\nurl: b", {"backends": [{"url": "a"}, {"url": "b"}]}, True),
    ("server: {}\n---\nurl: b", {"server": {}, "backends": [{"url": "b"}]}, True),
    (
        "type: openai_compatible\nconfig: {provider: groq, api_key: k}",
        {"backends": [{"provider": "groq", "api_key": "k"}]},
        True,
    ),
    (
        "type: groq\nname: a\nconfig: {api_key: k}",
        {"backends": [{"type": "groq", "name": "a", "api_key": "k"}]},
        True,
    ),
    ("type: openai_compatible\nprovider: groq", {"backends": [{"provider": "groq"}]}, True),
    ("type: openai_compatible\nconfig:", {"backends": [{}]}, True),
    ("backends: [{type: openai_compat, config: {url: a}}]", {"backends": [{"url": "a"}]}, False),
    ("type: ollama\nprovider: groq", {"backends": [{"type": "ollama", "provider": "groq"}]}, True),
]


@pytest.mark.parametrize(("text", "root", "flat"), SHAPES)
def test_every_shape_becomes_one(text: str, root: object, flat: bool) -> None:
    shape, errors = shaped(text)
    assert errors == []
    assert (plain(shape.root), shape.flat) == (root, flat)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("- a", "f:1:1: expected keys and values like `backends:`"),
        ("just text", "f:1:1: expected keys and values like `backends:`"),
        ("server: {}\n---\nserver: {}", "f:3:1: `server` stands in an earlier document already"),
        (
            "url: a\nbackends: []",
            "f:1:1: backend keys at the root beside `backends:`; move them into the list",
        ),
        ("url: a\nconfig: {url: b}", "f:2:10: `url` stands beside `config:` already"),
        ("config: x", "f:1:9: config: expected keys and values, not a single value"),
    ],
)
def test_shapes_that_mean_nothing(text: str, error: str) -> None:
    assert shaped(text)[1] == [error]


def test_a_list_below_config_is_left_to_the_check_of_keys() -> None:
    shape, errors = shaped("url: a\nconfig: [b]")
    assert errors == []
    assert plain(shape.root) == {"backends": [{"url": "a", "config": ["b"]}]}
