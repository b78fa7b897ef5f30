"""streams/trimming.py: the blanks behind a block, in pieces and whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.streams.trimming import MOST_BLANKS, Trim, dropped


def whole(text: str, *, visible: bool) -> str:
    begin, end = dropped(text, visible=visible)
    return text[:begin] + text[end:]


@pytest.mark.parametrize(
    ("text", "first", "later"),
    [
        ("", "", ""),
        ("x", "x", "x"),
        (" x", "x", " x"),
        ("\n\nx", "x", "\nx"),
        ("\n\n  x\n\ny", "x\n\ny", "\n  x\n\ny"),
        (" \r\n \r\n\tx", "x", " \r\n\tx"),
        (" y\n\nx", "y\n\nx", " y\n\nx"),
        ("\n\n", "", "\n"),
        (" ", "", " "),
        ("\n\n  ", "", "\n  "),
        ("\n" + " " * MOST_BLANKS + "\nx", "x", "\nx"),
        ("\n" + " " * (MOST_BLANKS + 1) + "\nx", "x", "\n" + " " * (MOST_BLANKS + 1) + "\nx"),
    ],
)
def test_behind_a_first_block_and_behind_a_later_one(text: str, first: str, later: str) -> None:
    assert whole(text, visible=False) == first
    assert whole(text, visible=True) == later


@given(
    st.lists(st.sampled_from(["x", " ", "\n", "\r\n", "\t ", "\n\n", " " * 200, "x\n", "\u2003"])),
    st.booleans(),
)
def test_pieces_are_trimmed_as_the_whole_is(parts: list[str], visible: bool) -> None:
    trim = Trim()
    trim.begin(visible=visible)
    out: list[str] = []
    for part in parts:
        kept = part
        if trim.active:
            kept = trim.keep(part)
        out.append(kept)
    text = "".join(parts)
    given_out = "".join(out)
    assert given_out + trim.end() == whole(text, visible=visible)
    assert not trim.active


def test_blanks_are_held_no_longer_than_they_must_be() -> None:
    trim = Trim()
    assert not trim.active
    assert repr(trim) == "<Trim nothing>"
    trim.begin(visible=True)
    assert trim.keep("  ") == "  "
    assert repr(trim) == "<Trim line>"
    assert trim.keep("\n") == "\n"
    assert trim.keep(" ") == ""
    assert trim.keep("x") == " x"
    assert not trim.active
    assert trim.end() == ""
