"""streams/think.py: thoughts are told from the answer, however the text comes."""

from itertools import pairwise
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.streams import think
from trunkline.streams.tags import MAX_TAG, Tags
from trunkline.streams.think import Room, ThinkFilter, ThinkSettings, pieces, problems, split_thoughts


def run(filter_: ThinkFilter, chunks: list[str]) -> tuple[str, str]:
    """All that a filter gives for a text in pieces."""
    parts = [filter_.feed(chunk) for chunk in chunks] + [filter_.flush()]
    return "".join(answer for answer, _ in parts), "".join(thoughts for _, thoughts in parts)


def both(text: str, **options: Any) -> tuple[str, str]:
    """What both readers say of a text, in one piece and in single characters."""
    settings = ThinkSettings(**options)
    whole = split_thoughts(text, settings)
    assert run(ThinkFilter.of(settings), [text]) == whole
    assert run(ThinkFilter.of(settings), list(text)) == whole
    return whole


# --- settings


def test_settings_are_written_as_lists_of_pairs() -> None:
    settings = msgspec.json.decode(b'{"mode": "split", "tags": [["a", "b"], ["c", "d"]]}', type=ThinkSettings)
    assert settings.tags == [["a", "b"], ["c", "d"]]
    assert msgspec.json.decode(msgspec.json.encode(settings), type=ThinkSettings) == settings
    assert ThinkSettings().tags == [["<think>", "</think>"]]
    assert (ThinkSettings().mode, ThinkSettings().unclosed) == ("strip", "drop")


def test_tags_that_cannot_work_are_a_problem() -> None:
    assert problems(ThinkSettings()) == ""
    assert problems(ThinkSettings(tags=[["a", "a"]])) == "tags[0]: start and end are the same"
    assert problems(ThinkSettings(tags=[])) == "tags: at least one pair of tags is needed"
    with pytest.raises(ValueError, match="must not be empty"):
        ThinkFilter("", "x")


# --- the table: chunks, what is left with `leak`, what is left with `drop` if that differs

TABLE = [
    (["This is a simple chunk."], "This is a simple chunk.", None),
    (["Hello <think>some thoughts</think> world!"], "Hello  world!", None),
    (["Hello <th", "ink>some thoughts</th", "ink> world!"], "Hello  world!", None),
    (["Part1 ", "<th", "ink>Hidden Content</th", "ink>", " Part2"], "Part1  Part2", None),
    (["A<think>1</think>B<think>2</think>C"], "ABC", None),
    (["Prefix <think>t1</think> Infix <think>t2</think> Suffix"], "Prefix  Infix  Suffix", None),
    (["Text before <thi", "nk>thought</think> and after."], "Text before  and after.", None),
    (["Text <think>thought1</th", "ink> and after."], "Text  and after.", None),
    (["<think>content</think>"], "", None),
    (["<think>"], "<think>", ""),
    (["</think>"], "</think>", None),
    (["Content <think partial"], "Content <think partial", None),
    (["<think>content</thin"], "<think>content</thin", ""),
    (["<think>outer<think>inner</think>outer_end</think>"], "outer_end</think>", None),
    (["a" * 2000], "a" * 2000, None),
    (["<think>" + "a" * 5000], "<think>" + "a" * 5000, ""),
    (["A<think>1</think>B<think>2"], "AB<think>2", "AB"),
    ([""], "", None),
]


@pytest.mark.parametrize(("chunks", "leaked", "dropped"), TABLE)
def test_what_is_left_of_a_text(chunks: list[str], leaked: str, dropped: str | None) -> None:
    dropped = leaked if dropped is None else dropped
    assert run(ThinkFilter(unclosed="leak"), chunks)[0] == leaked
    assert run(ThinkFilter(), chunks)[0] == dropped
    assert both("".join(chunks), unclosed="leak")[0] == leaked
    assert both("".join(chunks))[0] == dropped


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("<custom_start>", "</custom_end>"),
        ("<คิด>", "</คิด>"),
        ("<seed:think>", "</seed:think>"),
        ("[THINK]", "[/THINK]"),
        ("<|channel>", "<|message>"),
        ("◁think▷", "◁/think▷"),
        ("\ud83d", "\ude00"),
        ("a", "b"),
    ],
)
def test_any_text_is_a_tag(start: str, end: str) -> None:
    text = f"12{start}34{end}56{end}7"
    assert run(ThinkFilter(start, end), list(text)) == (f"1256{end}7", "34")
    assert both(text, tags=[[start, end]]) == (f"1256{end}7", "34")


def test_each_pair_ends_with_its_own_end() -> None:
    pairs = [["<think>", "</think>"], ["[THINK]", "[/THINK]"]]
    text = "a<think>1[/THINK]2</think>b[THINK]3</think>[/THINK]c"
    assert both(text, tags=pairs) == ("abc", "1[/THINK]23</think>")
    assert run(ThinkFilter("x", "y", tags=pairs), [text])[0] == "abc"


def test_tags_with_attributes() -> None:
    text = 'a<think lang="en">1</think>b'
    assert both(text) == ("ab", "1")
    assert both(text, attributes=False) == (text, "")
    longest = "a<think " + "x" * MAX_TAG
    assert ThinkFilter().feed(longest) == (longest, "")
    assert both(longest + ">1</think>b")[1] == ""


def test_the_modes_differ_in_what_callers_do_with_thoughts() -> None:
    text = "a<think>1</think>b"
    assert run(ThinkFilter(mode="strip"), [text]) == run(ThinkFilter(mode="split"), [text]) == ("ab", "1")
    assert both(text, mode="keep", implicit_open=True, unclosed="leak", trim=True) == (text, "")
    kept = ThinkFilter(mode="keep")
    assert kept.feed("a<th") == ("a<th", "")
    assert (kept.outside, kept.marks, kept.any_thoughts) == (True, "", False)


# --- what is given out when


def test_text_that_cannot_be_part_of_a_tag_is_given_out_at_once() -> None:
    filter_ = ThinkFilter()
    assert filter_.feed("a" * 2000) == ("a" * 2000, "")
    assert filter_.feed("x <") == ("x ", "")
    assert filter_.feed("b") == ("<b", "")
    assert filter_.feed("<think>one</th") == ("", "one")
    assert filter_.feed("ree</think") == ("", "</three")
    assert filter_.feed("> two") == (" two", "")


@pytest.mark.parametrize("unit", ["<", "<think ", "<think>", "</think>", "<think></think>", "<think x=</th"])
@pytest.mark.parametrize("options", [{}, {"unclosed": "leak"}, {"implicit_open": True}, {"trim": True}])
def test_a_flood_of_tags_in_tiny_pieces_is_looked_at_once(unit: str, options: dict[str, Any]) -> None:
    text = unit * 2000
    looked_at: list[int] = []
    find = Tags.find

    def counting(tags: Tags, text: str, at: int, *, final: bool) -> Any:
        looked_at.append(len(text) - at)
        return find(tags, text, at, final=final)

    settings = ThinkSettings(**options)
    with patch.object(Tags, "find", counting):
        found = run(ThinkFilter.of(settings), list(text))
    assert max(looked_at) <= MAX_TAG
    assert len(looked_at) <= 2 * len(text) + 2
    assert found == split_thoughts(text, settings)


# --- implicit opening


@pytest.mark.parametrize(
    ("text", "answer", "thoughts"),
    [
        ("thought</think>answer", "answer", "thought"),
        ("</think>answer", "answer", ""),
        ("thought</think>a</think>b", "a</think>b", "thought"),
        ("thought</think>a<think>2</think>b", "ab", "thought2"),
        ("no tag at all", "no tag at all", ""),
        ("no tag </thin", "no tag </thin", ""),
        ("said<think>1</think>a</think>b", "saida</think>b", "1"),
        ("said<think>1", "said", "1"),
        ("<think>1</think>a", "a", "1"),
    ],
)
def test_thoughts_before_the_first_end_tag(text: str, answer: str, thoughts: str) -> None:
    assert both(text, implicit_open=True) == (answer, thoughts)


def test_the_end_tag_of_any_pair_is_one() -> None:
    pairs = [["<think>", "</think>"], ["[THINK]", "[/THINK]"]]
    assert both("1[/THINK]a", tags=pairs, implicit_open=True) == ("a", "1")
    # What begins a block and ends another begins one.
    assert both("1b2c3", tags=[["a", "b"], ["b", "c"]], implicit_open=True) == ("13", "2")


def test_a_text_is_held_until_it_is_known_what_it_is_and_no_longer() -> None:
    filter_ = ThinkFilter(implicit_open=True)
    assert (filter_.outside, filter_.inside, filter_.marks) == (False, False, "<")
    assert filter_.feed("thinking") == ("", "")
    assert filter_.feed("</think>a") == ("a", "thinking")
    assert filter_.outside
    said = ThinkFilter("[", "]", implicit_open=True)
    assert said.marks == "[]"
    assert said.feed("a[b") == ("a", "b")
    assert said.marks == "]"
    assert said.feed("]") == ("", "")
    assert said.marks == "["


def test_a_long_text_without_tags_is_answer() -> None:
    filter_ = ThinkFilter(implicit_open=True)
    assert filter_.feed("a" * (think.MAX_HELD - 1)) == ("", "")
    assert filter_.feed("bc</th") == ("a" * (think.MAX_HELD - 1) + "bc</th", "")
    assert filter_.feed("ink>d") == ("ink>d", "")
    assert filter_.outside
    whole = split_thoughts("x" * think.MAX_HELD + "</think>", ThinkSettings(implicit_open=True))
    assert whole[1] == ""
    assert run(ThinkFilter(implicit_open=True), ["x" * (think.MAX_HELD - 1) + "</think>"])[0] == ""


# --- unclosed blocks


def test_an_unclosed_block_that_is_dropped_is_thoughts_all_along() -> None:
    filter_ = ThinkFilter()
    assert filter_.feed("a<think>12") == ("a", "12")
    assert filter_.any_thoughts
    assert filter_.feed("3</thi") == ("", "3")
    assert filter_.flush() == ("", "</thi")
    assert filter_.flush() == ("", "")


def test_an_unclosed_block_that_leaks_is_held() -> None:
    filter_ = ThinkFilter(unclosed="leak")
    assert filter_.feed("<think a>12") == ("", "")
    assert (filter_.any_thoughts, filter_.inside, filter_.outside) == (False, False, False)
    assert filter_.flush() == ("<think a>12", "")
    assert (filter_.any_thoughts, filter_.any_answer) == (False, True)
    closed = ThinkFilter(unclosed="leak")
    assert closed.feed("<think>12") == ("", "")
    assert closed.feed("</think>") == ("", "12")
    assert closed.any_thoughts


def test_a_long_block_cannot_be_leaked_any_more() -> None:
    filter_ = ThinkFilter(unclosed="leak")
    long = "x" * (think.MAX_HELD - len("<think>"))
    assert filter_.feed("<think>" + long[1:]) == ("", "")
    assert filter_.feed("y") == ("", long[1:] + "y")
    assert (filter_.any_thoughts, filter_.inside) == (True, True)
    assert filter_.feed("z") == ("", "z")
    assert filter_.flush() == ("", "")
    assert split_thoughts("<think>" + long, ThinkSettings(unclosed="leak")) == ("", long)
    assert split_thoughts("<think>" + long[1:], ThinkSettings(unclosed="leak"))[1] == ""


# --- trimming


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>1</think>\n\nHello", "Hello"),
        ("<think>1</think>\n\n", ""),
        ("<think>1</think> \n <think>2</think>\n a\n\nb", "a\n\nb"),
        ("\n<think>1</think>\n\nHello", "\nHello"),
        ("A<think>1</think> b", "A b"),
        ("A\n<think>1</think>\n\n  B\n\nC", "A\n\n  B\n\nC"),
        ("A<think>1</think>\n\n <think>2</think>\n\nB", "A\n \nB"),
        ("\n\nHello", "\n\nHello"),
        ("<think>1</think>\n\n<think>2", ""),
    ],
)
def test_trim(text: str, answer: str) -> None:
    assert both(text, trim=True)[0] == answer


def test_trim_behind_thoughts_that_were_not_opened() -> None:
    assert both("1</think>\n\nHello", trim=True, implicit_open=True) == ("Hello", "1")


# --- what the hot path asks


def test_states_of_a_plain_answer() -> None:
    filter_ = ThinkFilter(trim=True)
    assert (filter_.outside, filter_.inside, filter_.marks) == (False, False, "<")
    assert filter_.feed(" \n") == (" \n", "")
    assert (filter_.outside, filter_.any_answer) == (False, False)
    filter_.feed("a")
    assert (filter_.outside, filter_.any_answer, filter_.any_thoughts) == (True, True, False)
    filter_.feed("<t")
    assert not filter_.outside
    filter_.feed("hink>")
    assert (filter_.outside, filter_.inside, filter_.marks) == (False, True, "<")
    filter_.feed("</")
    assert not filter_.inside
    filter_.feed("think>\n")
    assert (filter_.outside, filter_.inside) == (False, False)
    filter_.feed("\nb")
    assert filter_.outside
    assert repr(filter_) == "<ThinkFilter outside, next <Tags from '<'>>"


def test_an_answer_of_thoughts_only() -> None:
    filter_ = ThinkFilter()
    run(filter_, ["\n<think>1", "</think>\n"])
    assert (filter_.any_thoughts, filter_.any_answer) == (True, False)


# --- any text, any tags, any settings, any chunking

PAIRS = [
    [["<think>", "</think>"]],
    [["<think>", "</think>"], ["<thinking>", "</thinking>"], ["[T]", "[/T]"]],
    [["<t>", "</t>"], ["<t>t", "t"]],
    [["a", "b"], ["b", "a"]],
    [["aab", "baa"], ["ab", "aba"]],
    [["◁คิด▷", "◁/คิด▷"], ["<|x|>", "\ud83d"]],
]
tags_of_any_kind = st.sampled_from(PAIRS) | st.lists(
    st.tuples(st.text("ab<>", min_size=1, max_size=4), st.text("ab<>/", min_size=1, max_size=4)).map(list),
    min_size=1,
    max_size=3,
).filter(lambda pairs: not problems(ThinkSettings(tags=pairs)))
settings_of_any_kind = st.builds(
    ThinkSettings,
    mode=st.sampled_from(["strip", "split", "split", "keep"]),
    tags=tags_of_any_kind,
    attributes=st.booleans(),
    implicit_open=st.booleans(),
    unclosed=st.sampled_from(["drop", "leak"]),
    trim=st.booleans(),
)
limits = st.sampled_from([1, 3, 12, 40, 1 << 20])


@st.composite
def texts(draw: st.DrawFn, settings: ThinkSettings) -> str:
    """Text that is rich in tags, and in what is nearly one."""
    tags = [tag for pair in settings.tags for tag in pair]
    near = [tag[:-1] for tag in tags] + [tag[1:] for tag in tags] + [f"{tag[:-1]} a{tag[-1]}" for tag in tags]
    blanks = ["\n", " ", "\n\n", " \n "]
    fragment = st.sampled_from([*tags, *tags, *near, *blanks, "a", "b", "<", ">", "/", "\ud83d", "x" * 300])
    return "".join(draw(st.lists(fragment, max_size=20)))


@st.composite
def chunked(draw: st.DrawFn, text: str) -> list[str]:
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=30)))
    return [text[begin:end] for begin, end in pairwise([0, *cuts, len(text)])]


@given(st.data(), settings_of_any_kind, limits)
def test_any_chunking_gives_what_the_whole_text_gives(
    data: st.DataObject, settings: ThinkSettings, limit: int
) -> None:
    text = data.draw(texts(settings))
    with patch.object(think, "MAX_HELD", limit):
        whole = split_thoughts(text, settings)
        filter_ = ThinkFilter.of(settings)
        assert run(filter_, data.draw(chunked(text))) == whole
        assert run(ThinkFilter.of(settings), list(text)) == whole
        parts = pieces(text, settings)
    assert "".join(part for _, part in parts) == text
    assert filter_.any_answer == bool(whole[0].strip())
    assert filter_.any_thoughts == any(kind == "tag" for kind, _ in parts)


@given(st.data(), settings_of_any_kind, limits)
def test_what_is_said_of_the_next_text_is_true(
    data: st.DataObject, settings: ThinkSettings, limit: int
) -> None:
    """A reader that skips the filter as it may sees the same, and no more is held back than may be."""
    text = data.draw(texts(settings))
    with patch.object(think, "MAX_HELD", limit):
        whole = split_thoughts(text, settings)
        filter_ = ThinkFilter.of(settings)
        answer = thoughts = ""
        for chunk in data.draw(chunked(text)):
            assert not (filter_.outside and filter_.inside)
            skipped = (filter_.outside or filter_.inside) and not set(chunk) & set(filter_.marks)
            more = ("", "")
            if not skipped:
                more = filter_.feed(chunk)
            elif filter_.outside:
                more = (chunk, "")
            else:
                more = ("", chunk)
            answer, thoughts = answer + more[0], thoughts + more[1]
            assert whole[1].startswith(thoughts)
            assert whole[0].startswith(answer)
            assert len(filter_._rest) < MAX_TAG
            assert sum(map(len, filter_._held)) < limit
            if skipped:
                assert filter_.feed(chunk[:0]) == ("", "")
        more = filter_.flush()
    assert (answer + more[0], thoughts + more[1]) == whole


def test_choices_hold_no_more_than_there_is_room_for_all() -> None:
    room = Room()
    filters = [ThinkFilter(implicit_open=True, unclosed="leak", room=room) for _ in range(40)]
    for filter_ in filters:
        assert filter_.feed("x" * (think.MAX_HELD - 1))[0] in ("", "x" * (think.MAX_HELD - 1))
    assert room.used <= think.MAX_ROOM
    assert repr(room) == f"<Room, {room.used} of {think.MAX_ROOM} used>"
    assert sum(len(filter_.flush()[0]) for filter_ in filters) > 0
    assert room.used == 0
    tiny = ThinkFilter(unclosed="leak", room=room)
    tiny.feed("<think>")
    with patch.object(think, "MAX_ROOM", 1000):
        assert "".join([tiny.feed("y")[1] for _ in range(20)]) == "y" * 20
    assert room.used == 0
