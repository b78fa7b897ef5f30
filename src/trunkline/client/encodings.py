"""OpenAI's tokenizers from what is in the package: which model has which, and loading it.

Owns the table of models, the two encodings and the check that their ranks are OpenAI's. Does not own what is counted
(count.py). tiktoken's own way to an encoding downloads its ranks at the first use; here they are files of the package
(`ranks/`, with their license), so that counting works without a network and gives the same everywhere. Loading one
takes about 0.2 s and 60 MB: that is for programs and commands, never for a worker that answers calls.
"""

import gzip
import hashlib
from base64 import b64decode
from functools import cache
from importlib.resources import files
from typing import Literal

import tiktoken

Name = Literal["o200k_base", "cl100k_base"]

NEWEST: Name = "o200k_base"
"""Of the newest models, and the best guess for one that is not known."""

SHA256: dict[Name, str] = {
    "cl100k_base": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    "o200k_base": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
}
"""Of the ranks as OpenAI publishes them; from tiktoken_ext/openai_public.py."""

PATTERNS: dict[Name, str] = {
    "cl100k_base": (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
        r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
    ),
    "o200k_base": (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
}
"""Where a text is cut before its pieces are merged; from tiktoken_ext/openai_public.py."""

# The first that fits holds. Each stands for the name itself and what begins with it and one of `_ENDS`.
_FAMILIES: tuple[tuple[str, Name], ...] = (
    ("gpt-4o", "o200k_base"),
    ("gpt-4.1", "o200k_base"),
    ("gpt-4.5", "o200k_base"),
    ("gpt-5", "o200k_base"),
    ("gpt-oss", "o200k_base"),
    ("chatgpt-4o", "o200k_base"),
    ("o1", "o200k_base"),
    ("o3", "o200k_base"),
    ("o4", "o200k_base"),
    ("gpt-4", "cl100k_base"),
    ("gpt-3.5", "cl100k_base"),
    ("gpt-35", "cl100k_base"),  # Azure's deployments may have no dot
    ("text-embedding-ada-002", "cl100k_base"),
    ("text-embedding-3", "cl100k_base"),
    ("davinci-002", "cl100k_base"),
    ("babbage-002", "cl100k_base"),
)
_ENDS = ("-", ":", "@")
_NUMBERED = "gpt-5"  # gpt-5.1 is one; gpt-4.2 would not be a gpt-4


class DamagedRanksError(Exception):
    """A file of the package is not what was put into it; `str()` says which."""


def encoding_of(model: str) -> Name | None:
    """The encoding of a model, as tiktoken/model.py has it; None for one that is not known to have either.

    A company before the name (`openai/gpt-4o`) and the mark of a fine-tuned one (`ft:gpt-4o:...`) say nothing.
    """
    name = model.rpartition("/")[2].removeprefix("ft:").lower()
    for family, encoding in _FAMILIES:
        if name.startswith(family):
            rest = name[len(family) :]
            if not rest or rest.startswith(_ENDS) or (family == _NUMBERED and rest.startswith(".")):
                return encoding
    return None


@cache
def load(name: Name) -> tiktoken.Encoding:
    """The tokenizer of this name; raises DamagedRanksError where its ranks are not OpenAI's."""
    file = f"{name}.tiktoken.gz"
    try:
        ranks = gzip.decompress(files("trunkline.client").joinpath("ranks", file).read_bytes())
    except (OSError, EOFError) as error:
        raise DamagedRanksError(f"{file} cannot be read: {error}; install the package again") from error
    if hashlib.sha256(ranks).hexdigest() != SHA256[name]:
        raise DamagedRanksError(f"{file} does not hold OpenAI's ranks; install the package again")
    return tiktoken.Encoding(
        name,
        pat_str=PATTERNS[name],
        mergeable_ranks={
            b64decode(token): int(rank)
            for token, _, rank in (line.partition(b" ") for line in ranks.splitlines())
        },
        special_tokens={},
    )
