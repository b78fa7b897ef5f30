"""streams/think.py: thoughts are told from the answer, however the text comes."""

import msgspec
import pytest

from trunkline.streams.think import MAX_TAG, ThinkSettings, problems


def test_settings_are_written_as_lists_of_pairs() -> None:
    settings = msgspec.json.decode(b'{"mode": "split", "tags": [["a", "b"], ["c", "d"]]}', type=ThinkSettings)
    assert settings.tags == [["a", "b"], ["c", "d"]]
    assert msgspec.json.decode(msgspec.json.encode(settings), type=ThinkSettings) == settings
    assert ThinkSettings().tags == [["<think>", "</think>"]]
    assert (ThinkSettings().mode, ThinkSettings().unclosed) == ("strip", "drop")


@pytest.mark.parametrize(
    ("tags", "word"),
    [
        ([["<think>", "</think>"]], ""),
        ([["a", "b"], ["b", "a"]], ""),
        ([["x" * MAX_TAG, "y"]], ""),
        ([], "at least one pair"),
        ([["a", "b"], ["a"]], "tags[1]: a pair is"),
        ([["a", "b", "c"]], "not 3 texts"),
        ([["", "b"]], "tags[0]: a tag must not be empty"),
        ([["a", ""]], "must not be empty"),
        ([["x" * (MAX_TAG + 1), "y"]], "at most 256"),
        ([["a", "a"]], "the same"),
        ([["a", "b"], ["a", "c"]], "tags[1]: the start tag stands in an earlier pair"),
    ],
)
def test_tags_that_cannot_work_are_named(tags: list[list[str]], word: str) -> None:
    found = problems(ThinkSettings(tags=tags))
    assert word in found
    assert bool(found) == bool(word)
