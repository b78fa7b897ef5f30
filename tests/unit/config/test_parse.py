import os
from pathlib import Path

import pytest

from trunkline.config import parse as module
from trunkline.config.parse import parse_file, parse_yaml
from trunkline.config.tree import Mapping, Node, Scalar, Sequence
from trunkline.errors import ConfigError


def plain(node: Node) -> object:
    if isinstance(node, Mapping):
        return {key: plain(entry.node) for key, entry in node.items.items()}
    return [plain(item) for item in node.items] if isinstance(node, Sequence) else node.text


def test_scalars_keep_their_text_and_place() -> None:
    (root,) = parse_yaml("version: 2024-06-01\nlist:\n  - 1.10\n  - 'yes'\n  - 0123\n", "f")
    assert plain(root) == {"version": "2024-06-01", "list": ["1.10", "yes", "0123"]}
    assert isinstance(root, Mapping)
    entry = root.items["list"]
    assert entry.where == "f:2:1"
    assert isinstance(entry.node, Sequence)
    assert entry.node.items[1] == Scalar(text="yes", where="f:4:5", plain=False)


def test_documents_anchors_and_merges() -> None:
    documents = parse_yaml("a: &x {k: 1, l: 2}\nb: {<<: *x, l: 3}\nc: {<<: [*x, *x]}\n---\n\n---\nd:\n", "f")
    assert [plain(document) for document in documents] == [
        {"a": {"k": "1", "l": "2"}, "b": {"l": "3", "k": "1"}, "c": {"k": "1", "l": "2"}},
        {"d": ""},
    ]


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_nothing_is_no_document(text: str) -> None:
    assert parse_yaml(text, "f") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: b: c", "f:1:5: mapping values are not allowed here"),
        ("a: 1\nb: 2\na: 3", "f:3:1: duplicate key `a`, first on line 1"),
        ("x:\n  url: 1\n  url: 2", "f:3:3: duplicate key `url`, first on line 2"),
        ("a: *hidden", "f:1:4: undefined alias; a text that starts with `*` needs quotes"),
        ("a: !hidden x", "f:1:4: tags are not supported; a text that starts with `!` needs quotes"),
        ("&a [*a]", "f:1:1: an alias inside its own anchor"),
        ("a: 1\nb: x\x07y", "f:2:5: a control character that YAML does not allow"),
        ("? [a]\n: b", "f:1:3: a key must be text"),
        ("[" * 1500 + "]" * 1500, "f:1:1: nested too deeply"),
        ("a: {<<: 1}", "f:1:4: `<<` merges mappings only"),
    ],
)
def test_mistakes_have_a_place_and_show_no_value(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "f")
    assert str(caught.value) == message


def test_a_reference_without_quotes_in_braces_gets_a_hint() -> None:
    with pytest.raises(ConfigError, match=r'^f:1:14: .*a reference needs quotes: "\$\{NAME\}"$'):
        parse_yaml("keys: {key: ${A}}", "f")


def test_a_quote_in_a_default_needs_quotes_around_it() -> None:
    with pytest.raises(ConfigError, match="a reference needs quotes"):
        parse_yaml("key: ${A:?set it: now}", "f")


def test_repeated_keys_at_the_root_mean_several_backends() -> None:
    with pytest.raises(ConfigError, match="one stanza per document: put a line `---` between them"):
        parse_yaml("url: http://a\nurl: http://b\n", "f")


def test_json_is_read_with_tabs_escapes_and_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    path.write_bytes(b'\xef\xbb\xbf{\n\t"a": "\\u00e9\\/\\n",\n\t"b": [1.50, true, null]\n}')
    (root,) = parse_file(path)
    assert plain(root) == {"a": "\u00e9/\n", "b": ["1.50", "true", "null"]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("f.json", b'{"a": 1,}', r"f\.json:1:\d+: not valid JSON: "),
        ("f.json", b"a: 1", r"f\.json:1:1: not valid JSON: Expecting value"),
        ("f.yaml", b"a: 1\nb: \xff", r"f\.yaml:2:1: not UTF-8 text"),
        ("f.toml", b"a = ", r"f\.toml:1:1: not valid TOML: Invalid value"),
    ],
)
def test_a_file_that_is_not_what_its_name_says(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        parse_file(tmp_path / name)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.yaml: cannot be read: No such file"):
        parse_file(tmp_path / "gone.yaml")


def test_only_a_file_is_read_and_not_too_much_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    for name in ("pipe", "endless", "."):
        with pytest.raises(ConfigError, match="cannot be read: not a regular file"):
            parse_file(tmp_path / name)
    (tmp_path / "link.yaml").symlink_to("f.yaml")
    (tmp_path / "f.yaml").write_text("a: 1234\n")
    monkeypatch.setattr(module, "MAX_SIZE", 8)
    assert [plain(document) for document in parse_file(tmp_path / "link.yaml")] == [{"a": "1234"}]
    (tmp_path / "f.yaml").write_text("a: 12345\n")
    with pytest.raises(ConfigError, match=r"link\.yaml: cannot be read: larger than 0 MiB"):
        parse_file(tmp_path / "link.yaml")


def test_toml_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "f.toml"
    path.write_text("a = 1\n[t]\nb = 2024-06-01\n")
    assert [plain(document) for document in parse_file(path)] == [{"a": "1", "t": {"b": "2024-06-01"}}]
