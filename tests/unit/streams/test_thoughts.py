"""streams/thoughts.py: where the thoughts of one choice go."""

import json
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.streams.answer import AnswerSettings
from trunkline.streams.raw import encode, raw_of
from trunkline.streams.think import ThinkSettings, split_thoughts
from trunkline.streams.thoughts import Thoughts, spells
from trunkline.wire.openai import Delta

STRIP = ThinkSettings()
SPLIT = ThinkSettings(mode="split")
KEEP = ThinkSettings(mode="keep")
THINKING = {"type": "thinking", "thinking": [{"type": "text", "text": "h"}, {"type": "text", "text": "m"}, 1]}
TEXT = {"type": "text", "text": "a<think>b</think>c"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:"}}


def sorted_by(thoughts: Thoughts, fields: dict[str, Any], *, last: bool) -> dict[str, Any]:
    """The changes of a delta, as values."""
    content = fields.get("content")
    if isinstance(content, list):
        fields = fields | {"content": [raw_of(part) for part in cast("list[Any]", content)]}
    edits = thoughts.sort(Delta(**fields), last=last)
    return json.loads(encode(edits))


def sort(think: ThinkSettings | None, where: Any, fields: dict[str, Any]) -> dict[str, Any]:
    """The changes of a whole message."""
    return sorted_by(Thoughts(AnswerSettings(think=think, reasoning=where)), fields, last=True)


_MESSAGES: list[tuple[ThinkSettings | None, str, dict[str, Any], dict[str, Any]]] = [
    (STRIP, "keep", {"content": "x"}, {}),
    (STRIP, "keep", {"content": None}, {}),
    (STRIP, "keep", {"content": []}, {}),
    (STRIP, "keep", {"content": 1}, {}),
    (STRIP, "keep", {"content": "<think>h</think>x"}, {"content": "x"}),
    (STRIP, "keep", {"content": "<think>h</think>"}, {"content": ""}),
    (STRIP, "keep", {"content": "<think>h"}, {"content": ""}),
    (STRIP, "keep", {"content": "x<thi"}, {}),
    (STRIP, "keep", {"content": "x", "reasoning": "r"}, {}),
    (SPLIT, "keep", {"content": "<think>h</think>x"}, {"content": "x", "reasoning_content": "h"}),
    (
        SPLIT,
        "keep",
        {"content": "<think>h", "reasoning_content": "r"},
        {"content": "", "reasoning_content": "rh"},
    ),
    (SPLIT, "keep", {"content": "<think>h", "reasoning": "r"}, {"content": "", "reasoning": "rh"}),
    (SPLIT, "reasoning", {"content": "<think>h</think>x"}, {"content": "x", "reasoning": "h"}),
    (
        SPLIT,
        "reasoning",
        {"content": "<think>h</think>x", "reasoning_content": "r"},
        {"content": "x", "reasoning": "rh", "reasoning_content": None},
    ),
    (SPLIT, "strip", {"content": "<think>h</think>x", "reasoning": "r"}, {"content": "x", "reasoning": None}),
    (SPLIT, "wrap", {"content": "<think>h</think>x"}, {}),
    (STRIP, "wrap", {"content": "<think>h</think>x"}, {"content": "x"}),
    (STRIP, "wrap", {"content": "x", "reasoning": "r"}, {"content": "<think>r</think>x", "reasoning": None}),
    (None, "wrap", {"content": "x", "reasoning": "r"}, {"content": "<think>r</think>x", "reasoning": None}),
    (None, "wrap", {"content": None, "reasoning": "r"}, {"content": "<think>r</think>", "reasoning": None}),
    (
        None,
        "wrap",
        {"content": [IMAGE], "reasoning": "r", "reasoning_details": [1]},
        {
            "content": [{"type": "text", "text": "<think>r</think>"}, IMAGE],
            "reasoning": None,
            "reasoning_details": None,
        },
    ),
    (
        ThinkSettings(tags=[["[", "]"], ["<", ">"]]),
        "wrap",
        {"content": "x", "reasoning": "r"},
        {"content": "[r]x", "reasoning": None},
    ),
    (None, "wrap", {"content": "x"}, {}),
    (None, "strip", {"content": "x", "reasoning_content": "r"}, {"reasoning_content": None}),
    (None, "strip", {"content": "x", "reasoning_details": [{}]}, {"reasoning_details": None}),
    (None, "strip", {"content": None, "reasoning": "r"}, {"content": "", "reasoning": None}),
    (None, "strip", {"content": "x", "reasoning": ""}, {"reasoning": None}),
    (None, "reasoning", {"reasoning_content": "r"}, {"reasoning": "r", "reasoning_content": None}),
    (None, "reasoning_content", {"reasoning": "r"}, {"reasoning_content": "r", "reasoning": None}),
    (None, "reasoning_content", {"reasoning_content": "r"}, {}),
    (None, "reasoning_content", {"reasoning_content": "r", "reasoning": "r"}, {"reasoning": None}),
    (None, "reasoning_content", {"reasoning": ""}, {"reasoning": None}),
    (None, "reasoning_content", {"reasoning_details": [{}]}, {}),
    (None, "reasoning_content", {"reasoning": {"effort": 1}}, {}),  # nobody knows what it is
    (None, "keep", {"content": "<think>h</think>x", "reasoning": "r"}, {}),
    (
        KEEP,
        "reasoning",
        {"content": "<think>h</think>x", "reasoning_content": "r"},
        {"reasoning": "r", "reasoning_content": None},
    ),
    # parts
    (STRIP, "keep", {"content": [TEXT, IMAGE]}, {"content": [{**TEXT, "text": "ac"}, IMAGE]}),
    (
        SPLIT,
        "keep",
        {"content": [TEXT, "odd"]},
        {"content": [{**TEXT, "text": "ac"}, "odd"], "reasoning_content": "b"},
    ),
    (STRIP, "keep", {"content": [IMAGE]}, {}),
    (STRIP, "keep", {"content": [{"type": "text", "text": ""}]}, {}),
    (STRIP, "keep", {"content": [{"type": "text", "text": "<think>h"}]}, {"content": ""}),
    (
        STRIP,
        "keep",
        {"content": [{"type": "text", "text": "x<"}]},
        {"content": [{"type": "text", "text": "x"}, {"type": "text", "text": "<"}]},
    ),
    (STRIP, "keep", {"content": [THINKING, TEXT]}, {"content": [{**TEXT, "text": "ac"}]}),
    (SPLIT, "keep", {"content": [THINKING]}, {"content": "", "reasoning_content": "hm"}),
    (None, "reasoning", {"content": [THINKING, TEXT]}, {"content": [TEXT], "reasoning": "hm"}),
    (None, "strip", {"content": [{"type": "thinking", "thinking": "hm"}]}, {"content": ""}),
    (None, "wrap", {"content": [{"type": "thinking", "thinking": "hm"}]}, {"content": "<think>hm</think>"}),
    (None, "wrap", {"content": [{"type": "thinking", "thinking": None}, TEXT]}, {"content": [TEXT]}),
]


@pytest.mark.parametrize(("think", "reasoning", "fields", "edits"), _MESSAGES)
def test_the_changes_of_a_message(
    think: ThinkSettings | None, reasoning: str, fields: dict[str, Any], edits: dict[str, Any]
) -> None:
    assert sort(think, reasoning, fields) == edits


@pytest.mark.parametrize(
    ("think", "reasoning", "deltas", "only"),
    [
        (STRIP, "keep", [{"content": "<think>h"}], True),
        (STRIP, "keep", [{"content": "<think>h"}, {"content": "</think>\n"}], True),
        (STRIP, "keep", [{"content": "<think>h"}, {"content": "</think>x"}], False),
        (STRIP, "keep", [{"content": ""}], False),
        (STRIP, "keep", [{"content": None}], False),
        (STRIP, "keep", [{"reasoning": "r"}], False),
        (None, "strip", [{"reasoning": "r"}, {"content": "x"}], False),
        (None, "strip", [{"reasoning": "r"}, {"content": ""}], True),
        (STRIP, "strip", [{"reasoning": "r"}, {"content": "x"}], False),
        (STRIP, "strip", [{"reasoning": "r"}], True),
        (STRIP, "strip", [{"reasoning": "r"}, {"content": "<think>h</think>x"}], False),
        (None, "reasoning", [{"reasoning_content": "r"}], False),
        (STRIP, "keep", [{"content": [THINKING]}], True),
        (SPLIT, "keep", [{"content": [THINKING]}, {"content": ""}], True),
        (STRIP, "keep", [{"content": [THINKING]}, {"content": "x"}], False),
        (STRIP, "keep", [{"content": [THINKING, TEXT]}], False),
        (STRIP, "keep", [{"content": [THINKING, IMAGE]}], False),
        (None, "strip", [{"content": [THINKING]}], True),
        (None, "reasoning", [{"content": [THINKING]}], False),
    ],
)
def test_whether_there_was_nothing_but_thoughts(
    think: ThinkSettings | None, reasoning: Any, deltas: list[dict[str, Any]], only: bool
) -> None:
    thoughts = Thoughts(AnswerSettings(think=think, reasoning=reasoning))
    for fields in deltas:
        sorted_by(thoughts, fields, last=False)
    end = thoughts.sort(Delta(), last=True)
    assert thoughts.only is only
    assert end == ({"content": ""} if only else {})


def test_thoughts_that_are_wrapped_are_closed_where_the_answer_begins() -> None:
    thoughts = Thoughts(AnswerSettings(reasoning="wrap"))
    assert repr(thoughts) == "<Thoughts None to wrap>"
    assert (thoughts.condition, thoughts.marks) == (1, "")
    assert thoughts.sort(Delta(reasoning="a"), last=False) == {"reasoning": None, "content": "<think>a"}
    assert thoughts.condition == 0
    assert repr(thoughts) == "<Thoughts None to wrap, wrapping>"
    assert thoughts.sort(Delta(reasoning="b", content=""), last=False) == {"reasoning": None, "content": "b"}
    assert thoughts.sort(Delta(content=""), last=False) == {}
    assert thoughts.sort(Delta(content="x"), last=False) == {"content": "</think>x"}
    assert thoughts.sort(Delta(content="y"), last=False) == {}
    assert thoughts.sort(Delta(reasoning="c"), last=False) == {"reasoning": None, "content": "<think>c"}
    assert thoughts.sort(Delta(tool_calls=[{}]), last=False) == {"content": "</think>"}
    assert thoughts.sort(Delta(reasoning="d"), last=True) == {
        "reasoning": None,
        "content": "<think>d</think>",
    }


def test_the_condition_tells_where_text_fares_alike() -> None:
    thoughts = Thoughts(AnswerSettings(think=STRIP))
    states: list[tuple[int, str]] = []
    for text in ("a", "b<", "c", "<think>", "h", "</", "h", "</think>", "d"):
        thoughts.sort(Delta(content=text), last=False)
        states.append((thoughts.condition, thoughts.marks))
    assert [condition for condition, _ in states] == [1, 0, 1, 2, 2, 0, 2, 1, 1]
    assert {marks for _, marks in states} == {"<"}


@pytest.mark.parametrize(
    ("new", "old", "same"),
    [
        ("ab", "ab", True),
        ("<b", "b", True),
        ("", "a", False),
        ("a", "ab", False),
        ([], "a", False),
        ("a", None, False),
    ],
)
def test_logprobs_hold_for_what_they_spell(new: Any, old: Any, same: bool) -> None:
    assert spells(new, old) is same


_pieces = st.lists(
    st.sampled_from(["a", "<", "think>", "<think>", "</think>", "</th", "ink>", " ", "\n"]), max_size=9
)
_fields = st.sampled_from(["content", "reasoning", "reasoning_content", "parts", "thinking"])


@given(
    st.lists(st.tuples(_fields, _pieces.map("".join)), max_size=6),
    st.sampled_from([None, STRIP, SPLIT, KEEP]),
    st.sampled_from(["keep", "strip", "wrap", "reasoning", "reasoning_content"]),
)
def test_nothing_is_lost_and_nothing_comes_from_nowhere(
    deltas: list[tuple[str, str]], think: ThinkSettings | None, reasoning: Any
) -> None:
    """What a client has of answer and thoughts is what split_thoughts makes of the text, and their own fields."""
    thoughts = Thoughts(AnswerSettings(think=think, reasoning=reasoning))
    content, seen = "", ""
    for field, text in [*deltas, ("end", "")]:
        said: dict[str, Any] = {field: text}
        if field == "parts":
            said = {"content": [{"type": "text", "text": text}]}
        elif field == "thinking":
            said = {"content": [{"type": "thinking", "thinking": text}]}
        elif field == "end":
            said = {}
        edits = sorted_by(thoughts, said, last=field == "end")
        left = {key: value for key, value in (said | edits).items() if value is not None}
        given: str | list[dict[str, str]] = left.get("content", "")
        seen += left.get("reasoning", "") + left.get("reasoning_content", "")
        if isinstance(given, str):
            content += given
        else:
            content += "".join([part.get("text", "") for part in given])
            seen += "".join([part.get("thinking", "") for part in given])
    text = "".join([one for field, one in deltas if field in ("content", "parts")])
    own = "".join([one for field, one in deltas if field in ("reasoning", "reasoning_content")])
    filters = think is not None and think.mode != "keep"
    answer, taken = split_thoughts(text, think) if think is not None else (text, "")
    if reasoning != "wrap":
        assert content == answer
    size = len(own) * (reasoning != "strip")
    inner = sum(len(one) for field, one in deltas if field == "thinking")
    if reasoning == "keep" and not filters:
        size += inner  # they stay what they are
    elif reasoning != "strip" and (not filters or (think is not None and think.mode == "split")):
        size += inner + len(taken)
    if reasoning != "wrap":
        assert len(seen) == size
    else:
        tags = content.count("<think>") - answer.count("<think>")
        assert (seen, content.count("</think>") - answer.count("</think>")) == (
            "",
            tags,
        ) or any("think" in one for _, one in deltas)


def test_parts_stay_as_they_are_written() -> None:
    thoughts = Thoughts(AnswerSettings(think=STRIP))
    other = msgspec.Raw(b'{"type":"x","n":1.10,"big":1e999}')
    text = msgspec.Raw(b'{"type":"text","text":"a","n":1.10}')
    again = msgspec.Raw(b'{"n":1e400,"text":"<think>h</think>b", "type":"text"}')
    assert thoughts.sort(Delta(content=[other, text]), last=False) == {}
    assert encode(thoughts.sort(Delta(content=[other, again]), last=False)) == (
        b'{"content":[{"type":"x","n":1.10,"big":1e999},{"n":1e400,"text":"b","type":"text"}]}'
    )
