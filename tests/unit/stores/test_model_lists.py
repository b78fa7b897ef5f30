"""stores/model_lists.py: the file of the last good lists."""

import os
import stat
from pathlib import Path

import pytest

from trunkline.providers.model_list import ListedModel
from trunkline.providers.model_traits import Traits
from trunkline.stores import model_lists
from trunkline.stores.model_lists import KeptList, read, write

KEPT = KeptList(
    1000.0,
    [
        ListedModel("m", Traits(8192, True), {"owned_by": "x", "deep": {"a": [1, None]}}),
        ListedModel("n", Traits(), {}),
    ],
)


def test_what_is_written_is_read_again_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "trunkline"
    write(directory, {"a": KEPT}, 1000.0)
    assert read(directory) == {"a": KEPT}
    assert stat.S_IMODE((directory / "models.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    write(directory, {"a": KeptList(1001.0, [])}, 1001.0)
    assert read(directory) == {"a": KeptList(1001.0, [])}
    assert [item.name for item in directory.iterdir()] == ["models.json"], "nothing is left beside it"


def test_lists_of_others_stay_until_they_are_old(tmp_path: Path) -> None:
    write(tmp_path, {"other": KEPT}, 1000.0)
    write(tmp_path, {"own": KEPT}, 1000.0 + model_lists.MAX_AGE - 1)
    assert read(tmp_path).keys() == {"own", "other"}
    write(tmp_path, {"own": KEPT}, 1000.0 + model_lists.MAX_AGE)
    assert read(tmp_path).keys() == {"own"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"version":2,"lists":{}}',
        b'{"version":1,"lists":{"a":{"at":1,"models":[{"id":7}]}}}',
        b'{"version":1,"lists":{"a":7}}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_a_file_that_cannot_be_understood_is_none_and_is_replaced(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "models.json").write_bytes(body)
    assert read(tmp_path) == {}
    write(tmp_path, {"a": KEPT}, 1000.0)
    assert read(tmp_path) == {"a": KEPT}


def test_a_huge_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"a": KEPT}, 1000.0)
    monkeypatch.setattr(model_lists, "MAX_FILE", 10)
    assert read(tmp_path) == {}


def test_no_directory_and_a_file_in_its_place_are_no_lists_and_an_error(tmp_path: Path) -> None:
    assert read(tmp_path / "none") == {}
    (tmp_path / "file").write_text("")
    assert read(tmp_path / "file") == {}
    with pytest.raises(OSError, match="file"):
        write(tmp_path / "file", {"a": KEPT}, 1000.0)


def test_a_write_that_fails_leaves_the_last_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"a": KEPT}, 1000.0)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write(tmp_path, {"a": KeptList(1.0, [])}, 1000.0)
    assert read(tmp_path) == {"a": KEPT}
    assert [item.name for item in tmp_path.iterdir()] == ["models.json"]
