"""`trunkline count` as it is typed."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from trunkline.cli.main import main
from trunkline.client import encodings
from trunkline.client.encodings import load


class Typed:
    """One run of the verb: its exit code and what it wrote."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> None:
        with pytest.raises(SystemExit) as ended:
            main(["count", *arguments])
        self.code = ended.value.code or 0
        self.out, self.err = capsys.readouterr()


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put bytes on the standard input."""

    def pipe(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))

    return pipe


CHAT = b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "hello world"}]}'


@pytest.mark.parametrize("arguments", [(), ("-",)])
def test_a_text_that_is_piped_in(
    capsys: pytest.CaptureFixture[str], piped: Any, arguments: tuple[str, ...]
) -> None:
    piped(b"hello world")
    typed = Typed(capsys, "--model", "gpt-4", *arguments)
    assert (typed.code, typed.out, typed.err) == (0, "2 tokens (cl100k_base)\n", "")


def test_a_file_and_a_model_that_is_not_known(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    typed = Typed(capsys, str(tmp_path / "text"), "--model", "llama3")
    assert typed.out.splitlines() == [
        "1 token (o200k_base)",
        "note: the tokenizer of `llama3` is not known: this is what OpenAI's newest models would count",
    ]


def test_a_request_and_a_list_of_messages(capsys: pytest.CaptureFixture[str], piped: Any) -> None:
    piped(CHAT)
    assert Typed(capsys, "--request").out == "9 tokens (o200k_base)\n"
    piped(CHAT)
    assert Typed(capsys, "--request", "--model", "gpt-4").out == "9 tokens (cl100k_base)\n"
    piped(b'[{"role": "user", "content": "hello world"}]')
    assert Typed(capsys, "--request", "--model", "gpt-4o").out == "9 tokens (o200k_base)\n"
    piped(CHAT)
    assert json.loads(Typed(capsys, "--request", "--json").out) == {
        "tokens": 9,
        "model": "gpt-4o",
        "encoding": "o200k_base",
        "exact": True,
        "left_out": [],
        "notes": [],
    }


@pytest.mark.parametrize(
    ("data", "arguments", "says"),
    [
        (b"{", ("--request",), "<stdin> is no request: "),
        (b"[" * 100_000, ("--request",), "<stdin> is no request: it is nested too deeply\n"),
        (b'{"a":' * 100_000, ("--request",), "<stdin> is no request: it is nested too deeply\n"),
        (b'{"messages": [1]}', ("--request",), "<stdin> is no request: `messages[0]` must be an object\n"),
        (b'{"model": "x"}', ("--request",), "<stdin> is no request: there is nothing to count"),
        (b"7", ("--request",), "<stdin> is no request: `messages` must be a list\n"),
        (b"\xff\xfe", ("--request",), "<stdin> is no request: "),
        (b"ab\xff", (), "<stdin> is no text: byte 2 is not UTF-8\n"),
    ],
)
def test_what_cannot_be_counted(
    capsys: pytest.CaptureFixture[str], piped: Any, data: bytes, arguments: tuple[str, ...], says: str
) -> None:
    piped(data)
    typed = Typed(capsys, *arguments)
    assert (typed.code, typed.out) == (1, "")
    assert typed.err.startswith(says)


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    typed = Typed(capsys, str(tmp_path / "gone"))
    assert (typed.code, typed.out) == (2, "")
    assert "No such file" in typed.err


def test_a_damaged_package(
    capsys: pytest.CaptureFixture[str], piped: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def here(package: str) -> Path:
        return tmp_path

    load.cache_clear()
    monkeypatch.setattr(encodings, "files", here)
    piped(b"hello")
    typed = Typed(capsys)
    assert (typed.code, typed.out) == (1, "")
    assert typed.err.startswith("o200k_base.tiktoken.gz cannot be read: ")
