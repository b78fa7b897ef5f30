"""client/encodings.py: the tokenizers are OpenAI's to the byte, and come from the package alone."""

import gzip
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiktoken.model
import tiktoken_ext.openai_public as published

from trunkline.client import encodings
from trunkline.client.encodings import PATTERNS, SHA256, DamagedRanksError, Name, encoding_of, load

NAMES: list[Name] = ["cl100k_base", "o200k_base"]


@pytest.mark.parametrize("name", NAMES)
def test_patterns_and_hashes_are_those_that_tiktoken_publishes(
    name: Name, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes: list[str] = []

    def downloaded(url: str, expected_hash: str) -> dict[bytes, int]:
        assert url.endswith(f"/{name}.tiktoken")
        hashes.append(expected_hash)
        return {}

    monkeypatch.setattr(published, "load_tiktoken_bpe", downloaded)
    made: dict[str, Any] = getattr(published, name)()
    assert (made["pat_str"], hashes) == (PATTERNS[name], [SHA256[name]])


@pytest.mark.parametrize(
    ("name", "text", "tokens"),
    [
        # From tiktoken's own tests and README.
        ("cl100k_base", "hello world", [15339, 1917]),
        ("cl100k_base", "rer", [38149]),
        ("cl100k_base", "'rer", [2351, 81]),
        ("cl100k_base", "today\n ", [31213, 198, 220]),
        ("o200k_base", "hello world", [24912, 2375]),
        ("o200k_base", "", []),
    ],
)
def test_known_tokens(name: Name, text: str, tokens: list[int]) -> None:
    assert load(name).encode_ordinary(text) == tokens
    assert load(name) is load(name), "it is loaded once"


@pytest.mark.parametrize("name", NAMES)
def test_every_rank_is_there(name: Name) -> None:
    tokenizer = load(name)
    assert (
        tokenizer.max_token_value
        == tokenizer.n_vocab - 1
        == {"cl100k_base": 100255, "o200k_base": 199997}[name]
    )
    text = "Ünïcödé — 漢字 🙂 \ud7ff <|endoftext|>\r\n\t" + "x" * 500
    assert tokenizer.decode(tokenizer.encode_ordinary(text)) == text


_QUIET = """
import sys
def hook(event, arguments):
    if event.startswith(("socket.", "urllib.", "http.")):
        raise SystemExit(f"{event}{arguments}")
sys.addaudithook(hook)
from trunkline.client.count import count
print(count("hello world", "gpt-4"), count("hello world", "gpt-4o"), "requests" in sys.modules)
"""


def test_no_socket_is_touched() -> None:
    done = subprocess.run([sys.executable, "-I", "-c", _QUIET], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("2 2 False\n", "", 0)


@pytest.fixture
def empty_cache() -> Iterator[None]:
    load.cache_clear()
    yield
    load.cache_clear()


@pytest.mark.usefixtures("empty_cache")
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            gzip.compress(b"IQ== 0\n", mtime=0),
            "o200k_base.tiktoken.gz does not hold OpenAI's ranks; install the package again",
        ),
        (b"no gzip", "o200k_base.tiktoken.gz cannot be read: "),
        (gzip.compress(b"IQ== 0\n", mtime=0)[:-9], "o200k_base.tiktoken.gz cannot be read: "),
        (None, "o200k_base.tiktoken.gz cannot be read: "),
    ],
)
def test_ranks_that_were_damaged_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, says: str
) -> None:
    (tmp_path / "ranks").mkdir()
    if content is not None:
        (tmp_path / "ranks" / "o200k_base.tiktoken.gz").write_bytes(content)

    def here(package: str) -> Path:
        return tmp_path

    monkeypatch.setattr(encodings, "files", here)
    with pytest.raises(DamagedRanksError) as raised:
        load("o200k_base")
    assert str(raised.value).startswith(says)


def _known() -> list[tuple[str, str]]:
    """Names of models and their encodings as tiktoken has them, where it is one of the two."""
    names = {**tiktoken.model.MODEL_TO_ENCODING}
    names |= {f"{prefix}x": encoding for prefix, encoding in tiktoken.model.MODEL_PREFIX_TO_ENCODING.items()}
    return [(name, encoding) for name, encoding in names.items() if encoding in NAMES]


@pytest.mark.parametrize(("model", "encoding"), _known())
def test_models_that_tiktoken_knows(model: str, encoding: str) -> None:
    if model == "gpt-5x":  # it takes any name that begins so
        assert encoding_of(model) is None
    else:
        assert encoding_of(model.removesuffix("x") if "ft:" in model else model) == encoding


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        ("openai/gpt-4o-mini", "o200k_base"),
        ("openrouter/openai/gpt-4-turbo", "cl100k_base"),
        ("GPT-4o", "o200k_base"),
        ("gpt-5.1-codex", "o200k_base"),
        ("gpt-4o:extended", "o200k_base"),
        ("ft:gpt-4o-mini-2024-07-18:org::id", "o200k_base"),
        ("ft:gpt-3.5-turbo-0125:org::id", "cl100k_base"),
        ("gpt-oss-120b", "o200k_base"),
        ("gpt-4.2", None),
        ("o11", None),
        ("llama3", None),
        ("text-davinci-003", None),
        ("", None),
    ],
)
def test_other_names(model: str, encoding: Name | None) -> None:
    assert encoding_of(model) == encoding
