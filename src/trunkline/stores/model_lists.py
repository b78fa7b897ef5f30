"""The last good list of models of each backend, kept over a restart: one JSON file in the data directory.

Owns the file's format and its safe writing and reading. Does not own when that happens (engine/discovery.py).

    {"version": 1, "lists": {"<backend>": {"at": 1790000000.0, "models": [{"id": ..., "traits": ..., "fields": ...}]}}}

A file is replaced whole: written beside, readable by its owner only, then renamed. What cannot be read is nothing:
lists are asked for again anyway. Lists of backends that are not configured here stay for a while, because several
gateways of one user share the file.
"""

import os
import tempfile
from pathlib import Path

import msgspec

from trunkline.providers.model_list import ListedModel

FILE = "models.json"
VERSION = 1
MAX_FILE = 64 * 1024 * 1024  # bytes; more is not ours
MAX_AGE = 30 * 86400.0  # seconds after which a list that nobody renews is dropped


class KeptList(msgspec.Struct, frozen=True):
    """One backend's list and when the backend said it (seconds since 1970)."""

    at: float
    models: list[ListedModel]


class _File(msgspec.Struct, frozen=True):
    version: int
    lists: dict[str, KeptList]


_decoder = msgspec.json.Decoder(_File)


def read(directory: Path) -> dict[str, KeptList]:
    """All lists by backend; none if there is no file, or one that cannot be understood. Never raises."""
    path = directory / FILE
    try:
        if path.stat().st_size > MAX_FILE:
            return {}
        found = _decoder.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError, UnicodeError, RecursionError):
        return {}
    return found.lists if found.version == VERSION else {}


def write(directory: Path, lists: dict[str, KeptList], now: float) -> None:
    """Keep these lists, and those of others that are not too old. Raises OSError."""
    others = {name: kept for name, kept in read(directory).items() if now - kept.at < MAX_AGE}
    body = msgspec.json.encode(_File(VERSION, others | lists))
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    # mkstemp makes a file that nobody else can read (0600).
    descriptor, name = tempfile.mkstemp(dir=directory, prefix=f".{FILE}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, directory / FILE)  # noqa: PTH105 # Path.replace is the same and hides the atomic rename
    except BaseException:
        os.unlink(name)  # noqa: PTH108 # as above
        raise
