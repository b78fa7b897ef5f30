"""What is done with an answer by default: nothing."""

from trunkline.streams.answer import AnswerSettings


def test_by_default_nothing_is_changed() -> None:
    assert AnswerSettings() == AnswerSettings(None, "keep", "")
