"""streams/divergence.py: three differences in a row save ten minutes of splices."""

from trunkline.streams.divergence import Divergences


def test_three_in_a_row_are_skipped_for_ten_minutes() -> None:
    known = Divergences()
    for at in (0.0, 1.0):
        known.observe("m", "t", at, diverged=True)
        assert not known.skipped("m", "t", at)
    known.observe("m", "t", 2.0, diverged=True)
    assert known.skipped("m", "t", 601.9)
    assert not known.skipped("m", "other", 3.0)
    assert not known.skipped("other", "t", 3.0)
    assert not known.skipped("m", "t", 602.0)
    assert repr(known) == "<Divergences of 1 pairs>"


def test_then_one_more_difference_is_enough() -> None:
    known = Divergences()
    for at in (0.0, 1.0, 2.0, 700.0):
        known.observe("m", "t", at, diverged=True)
    assert known.skipped("m", "t", 1299.0)
    assert not known.skipped("m", "t", 1300.0)


def test_one_that_agrees_ends_the_row() -> None:
    known = Divergences()
    for diverged in (True, True, False, True, True):
        known.observe("m", "t", 0.0, diverged=diverged)
    assert not known.skipped("m", "t", 0.0)
    known.observe("m", "t", 0.0, diverged=False)
    known.observe("never seen", "t", 0.0, diverged=False)
    assert repr(known) == "<Divergences of 0 pairs>"


def test_the_memory_is_bounded() -> None:
    known = Divergences()
    for _ in range(3):
        known.observe("old", "t", 0.0, diverged=True)
    for number in range(4096):
        known.observe(f"m{number}", "t", 0.0, diverged=True)
    assert repr(known) == "<Divergences of 4096 pairs>"
    assert not known.skipped("old", "t", 0.0)
