"""streams/tags.py: which pairs work, where a tag is, and what may yet become one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.streams.tags import MAX_TAG, Tags, tags_of, wrong_tags

THINK = (("<think>", "</think>"),)
NAMED = "<think " + "a" * (MAX_TAG - 8)  # one character short of a tag as long as may be


def opening(*pairs: tuple[str, str], attributes: bool = True) -> Tags:
    return tags_of(pairs, attributes=attributes)[0]


def found(tags: Tags, text: str, *, final: bool = False) -> tuple[int, str]:
    stop, tag = tags.find(text, 0, final=final)
    return stop, tag.group() if tag else ""


@pytest.mark.parametrize(
    ("pairs", "word"),
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
def test_pairs_that_cannot_work_are_named(pairs: list[list[str]], word: str) -> None:
    problem = wrong_tags(pairs)
    assert word in problem
    assert bool(problem) == bool(word)
    if word and pairs:
        with pytest.raises(ValueError, match="tags"):
            tags_of(tuple(map(tuple, pairs)), attributes=True)


@pytest.mark.parametrize(
    ("text", "stop", "tag"),
    [
        ("plain", 5, ""),
        ("a < b", 5, ""),
        ("a <think>b", 2, "<think>"),
        ("a <thi", 2, ""),
        ("a <thin.", 8, ""),
        ("a <", 2, ""),
        ("<<<think", 2, ""),
        ("<Think>", 7, ""),
        ('<think lang="en">x', 0, '<think lang="en">'),
        ("<think\n>", 0, "<think\n>"),
        ("<think lang", 0, ""),
        ("<thinking>", 10, ""),
        ("<think/>", 8, ""),
        ("<think />", 9, ""),
        ("<think a/>b<think>", 11, "<think>"),
        ("<think <think>", 7, "<think>"),
        (NAMED, 0, ""),
        (NAMED + ">", 0, NAMED + ">"),
        (NAMED + "a", MAX_TAG, ""),
        (NAMED + "a>", MAX_TAG + 1, ""),
        (NAMED + "a<", MAX_TAG, ""),
    ],
)
def test_one_tag(text: str, stop: int, tag: str) -> None:
    assert found(opening(*THINK), text) == (stop, tag)
    assert found(opening(*THINK), text, final=True) == (stop if tag else len(text), tag)


def test_attributes_are_for_start_tags_that_end_in_an_angle_bracket() -> None:
    assert found(opening(*THINK, attributes=False), "<think a>") == (9, "")
    assert found(opening(("[THINK]", "[/THINK]")), "[THINK a]") == (9, "")
    either = tags_of(THINK, attributes=True)[1]
    assert found(either, "</think a>") == (10, "")
    assert found(opening((">", "<")), " x>") == (2, ">")
    longest = "<" + "x" * (MAX_TAG - 2) + ">"
    assert found(opening((longest, "y")), longest[:-1] + " >") == (MAX_TAG + 1, "")
    assert found(opening((longest, "y")), longest) == (0, longest)


def test_the_longest_of_several_wins_and_is_waited_for() -> None:
    tags = opening(("<t>", "1"), ("<t>more", "2"), ("<t a>b", "3"))
    assert found(tags, "<t>") == (0, "")
    assert found(tags, "<t>", final=True) == (0, "<t>")
    assert found(tags, "<t>mo") == (0, "")
    assert found(tags, "<t>mo", final=True) == (0, "<t>")
    assert found(tags, "<t>more") == (0, "<t>more")
    assert found(tags, "<t>x") == (0, "<t>")
    assert found(tags, "<t a>") == (0, "")
    assert found(tags, "<t a>", final=True) == (0, "<t a>")
    assert found(tags, "<t a>b") == (0, "<t a>b")


def test_an_earlier_beginning_wins_over_a_tag_inside_of_it() -> None:
    tags = opening(("abcd", "1"), ("bc", "2"))
    assert found(tags, "xabc") == (1, "")
    assert found(tags, "xabc", final=True) == (2, "bc")
    assert found(tags, "xabcd") == (1, "abcd")
    assert found(tags, "xabce") == (2, "bc")


def test_a_tag_that_repeats_its_own_beginning_is_not_missed() -> None:
    tags = opening(("aab", "1"))
    assert found(tags, "aaa") == (1, "")
    assert found(tags, "aaab") == (1, "aab")


def test_characters_that_mean_something_to_patterns_are_plain() -> None:
    for tag in ("^[a-z]&&\\d||~~--", "]", ".*", "(?:", "<|channel>", "◁think▷", "<คิด>", "\ud83d", "\n", "$"):
        assert found(opening((tag, "end of it")), f"x{tag}y") == (1, tag)
    both = opening(("]x", "1"), ("^x", "2"), ("-x", "3"))
    assert both.first == "-]^"
    assert found(both, "]^-x") == (2, "-x")
    assert repr(both) == "<Tags from '-]^'>"


def test_what_comes_after_a_tag() -> None:
    start, either = tags_of((("<a>", "</a>"), ("[b]", "[/b]"), ("[/b]", "c")), attributes=True)
    expected = {"<a>": "<", "<a x>": "<", "[b]": "[", "[/b]": "c"}
    for tag, first in expected.items():
        match = start.find(tag, 0, final=True)[1]
        assert match
        following = start.after(match)
        assert following
        assert following.first == first
    match = either.find("</a>", 0, final=True)[1]
    assert match
    assert either.after(match) is None
    assert either.first == "<[c"


def test_without_pairs_nothing_is_a_tag() -> None:
    start, either = tags_of((), attributes=True)
    assert (start.first, either.first) == ("", "")
    assert found(start, "<think>") == (7, "")


# --- the same, said slowly: each tag is tried at each place


def at_place(text: str, tags: dict[str, bool]) -> str:
    """The tag at the beginning of a text; `tags`: each with whether it may have attributes."""
    written = [tag for tag in tags if text.startswith(tag)]
    named = [tag for tag, attributes in tags.items() if attributes and text.startswith(tag[:-1])]
    for tag in sorted(named, key=len, reverse=True):
        inner, bracket, _ = text[len(tag) - 1 :].partition(">")
        written += (
            []
            if written or not bracket or not is_inner(inner) or inner[-1] == "/"
            else [tag[:-1] + inner + ">"]
        )
    return max(written, key=len, default="")


def is_inner(text: str) -> bool:
    return text[:1].isspace() and "<" not in text and ">" not in text


def may_become_one(text: str, tags: dict[str, bool]) -> bool:
    return any(tag != text and tag.startswith(text) for tag in tags) or any(
        attributes and text.startswith(tag[:-1]) and is_inner(text[len(tag) - 1 :])
        for tag, attributes in tags.items()
    )


_names = st.text("<>tx /", min_size=1, max_size=4)


@given(
    st.lists(st.tuples(_names, _names), min_size=1, max_size=3).filter(lambda pairs: not wrong_tags(pairs)),
    st.booleans(),
    st.lists(st.sampled_from(["<t", "<t>", "<t x", "<", ">", "t", "x", " ", "/"]), max_size=12).map("".join),
)
def test_search_and_waiting_are_those_of_the_slow_way(
    pairs: list[tuple[str, str]], attributes: bool, text: str
) -> None:
    starts = {start: attributes and start.endswith(">") and len(start) > 1 for start, _ in pairs}
    either = {end: False for _, end in pairs} | starts
    for tags, slow in zip(tags_of(tuple(pairs), attributes=attributes), (starts, either), strict=True):
        places = [at for at in range(len(text)) if at_place(text[at:], slow)]
        stop = places[0] if places else len(text)
        assert found(tags, text, final=True) == (stop, at_place(text[stop:], slow))
        waits = [at for at in range(len(text)) if may_become_one(text[at:], slow)]
        if waits and waits[0] <= stop:
            assert found(tags, text) == (waits[0], "")
        else:
            assert found(tags, text) == (stop, at_place(text[stop:], slow))
