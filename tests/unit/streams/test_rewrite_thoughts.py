"""streams/rewrite.py with streams/chat.py: thoughts in real event streams, cut anywhere and escaped in any way.

What a client joins is what `split_thoughts`, the slow and obvious reader, makes of the text that the upstream joined.
"""

import json
from collections.abc import Iterable
from itertools import cycle, pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.streams.client import Client, finishes, joined, told, usages
from tests.unit.streams.events import DONE, ROLE, STOP, USAGE, USED, delta, event, rewriter
from trunkline.streams.answer import AS_IT_IS, AnswerSettings
from trunkline.streams.think import ThinkSettings, split_thoughts

HEAD: dict[str, Any] = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
STRIP = ThinkSettings()
PAIRS = [
    ["<think>", "</think>"],
    ["<คิด>", "</คิด>"],
    ["[", "]"],
    ["<seed:think>", "</seed:think>"],
    ["\\n", '"'],
]
PARTS = [
    *("<think>", "</think>", '<think lang="en">', "<คิด>", "</คิด>", "[", "]", "<seed:think>", "</seed:think>"),
    *(
        "\\n",
        "<th",
        "ink>",
        "</",
        "<",
        ">",
        "think",
        '"',
        "\\",
        "\n",
        "\n\n",
        " ",
        "a",
        "bc",
        "ä",
        "😀",
        "\u2028",
        "/",
    ),
]

_texts = st.lists(st.sampled_from(PARTS), max_size=12).map("".join)
_thinks = st.builds(
    ThinkSettings,
    mode=st.sampled_from(["strip", "split"]),
    tags=st.lists(st.sampled_from(PAIRS), min_size=1, max_size=3, unique_by=lambda pair: pair[0]),
    attributes=st.booleans(),
    implicit_open=st.booleans(),
    unclosed=st.sampled_from(["drop", "leak"]),
    trim=st.booleans(),
)
_cuts = st.lists(st.integers(0, 40), max_size=8)
_sizes = st.lists(st.integers(1, 300), min_size=1, max_size=6)
_escapes = st.sampled_from(["as it is", "ascii", "all", "as Go does"])
_line_ends = st.sampled_from([b"\n", b"\r\n", b"\r"])


def cut(text: str, cuts: list[int]) -> list[str]:
    """A text in pieces, some of them empty."""
    bounds = [0, *sorted(min(one, len(text)) for one in cuts), len(text)]
    return [text[begin:end] for begin, end in pairwise(bounds)]


def packets(data: bytes, sizes: list[int]) -> Iterable[bytes]:
    at = 0
    for size in cycle(sizes):
        if at >= len(data):
            return
        yield data[at : at + size]
        at += size


def literal(text: str, escape: str) -> bytes:
    """A text as JSON, escaped as some upstream does."""
    if escape == "all":
        units = text.encode("utf-16-be").hex()
        return ('"' + "".join([f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)]) + '"').encode()
    plain = json.dumps(text, ensure_ascii=escape == "ascii")
    if escape == "as Go does":
        for char in "<>&\u2028":
            plain = plain.replace(char, f"\\u{ord(char):04x}")
    return plain.encode()


def saying(text: str, escape: str = "as it is", *, field: str = "content", index: int = 0) -> bytes:
    """An event with a piece of text; `field`: `text` is that of completions, `parts` a list."""
    said: Any = [{"type": "text", "text": "@"}] if field == "parts" else "@"
    spoken = {"text": "@"} if field == "text" else {"delta": {"content" if field == "parts" else field: said}}
    choice = {"index": index, **spoken, "finish_reason": None}
    name = "text_completion" if field == "text" else "chat.completion.chunk"
    payload = json.dumps({**HEAD, "object": name, "choices": [choice]}, separators=(",", ":")).encode()
    return b"data: %b\n\n" % payload.replace(b'"@"', literal(text, escape))


def reads(stream: list[bytes], sizes: list[int], line_end: bytes) -> Iterable[bytes]:
    return packets(b"".join(stream).replace(b"\n", line_end), sizes)


def read_in_packets(client: Client, chunks: Iterable[bytes]) -> list[dict[str, Any]]:
    for data in chunks:
        client.read(data)
    return told(client.read_all([]).given)


@given(_texts, _thinks, _cuts, _escapes, _sizes, _line_ends, st.booleans())
@example("a<think>b</think>c", STRIP, [3, 5], "as Go does", [1], b"\r\n", False)
@example("<think>😀</think>😀", STRIP, [8], "all", [1], b"\n", True)
def test_content_is_what_split_thoughts_makes_of_it_however_it_is_cut(
    text: str,
    think: ThinkSettings,
    cuts: list[int],
    escape: str,
    sizes: list[int],
    line_end: bytes,
    held: bool,
) -> None:
    answer, thoughts = split_thoughts(text, think)
    for field, surface in (("content", "chat"), ("parts", "chat"), ("text", "completions")):
        events = [saying(piece, escape, field=field) for piece in cut(text, cuts)]
        by = rewriter(AnswerSettings(think=think), surface)
        end = saying("", field="text").replace(b"null", b'"stop"') if field == "text" else STOP
        chunks = read_in_packets(Client(by, held=held), reads([*events, end, USED, DONE], sizes, line_end))
        assert joined(chunks, "text" if field == "text" else "content") == answer
        assert joined(chunks, "reasoning_content") == (thoughts if think.mode == "split" else "")
        assert (finishes(chunks), usages(chunks)) == ([(0, "stop")], [USAGE])
        assert all({key: one[key] for key in ("id", "created", "model")} == {"id": "c", "created": 1, "model": "m"}
                   for one in chunks)  # fmt: skip


@given(_texts, _thinks, st.lists(st.integers(0, 60), max_size=20), _escapes, st.booleans(), st.booleans())
@example("ab<think>cd</think>ef" * 3, STRIP, [*range(60)], "as it is", False, False)
def test_the_short_way_changes_nothing(
    text: str, think: ThinkSettings, cuts: list[int], escape: str, held: bool, counts: bool
) -> None:
    settings = AnswerSettings(think=think, model="public")
    events = [ROLE, *[saying(piece, escape) for piece in cut(text, cuts)], STOP, *[USED][:counts], DONE]
    short = Client(rewriter(settings, include_usage=counts), held=held).read_all(events)
    slow = Client(rewriter(settings, include_usage=counts), held=held)
    assert told(short.given) == read_in_packets(slow, [b"".join(events)])
    assert short.given == slow.given
    answer, thoughts = split_thoughts(text, think)
    assert joined(told(short.given)) == answer
    assert joined(told(short.given), "reasoning_content") == (thoughts if think.mode == "split" else "")


@given(
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from(PARTS)), max_size=25),
    _thinks,
    st.booleans(),
    st.booleans(),
)
@example(
    [(1, "["), (1, "]"), (1, "a"), (1, "b"), (0, "a"), (1, "["), (1, "c")],
    ThinkSettings(tags=[["[", "]"]]),
    False,
    True,
)
def test_choices_do_not_mix(
    deltas: list[tuple[int, str]], think: ThinkSettings, together: bool, short: bool
) -> None:
    events = [saying(text, index=index) for index, text in deltas]
    if together:  # some servers tell of all choices in one chunk
        values = [json.loads(one[6:]) for one in events]
        events = [
            event({**one, "choices": one["choices"] + two["choices"]}) for one, two in pairwise(values)
        ][::2]
        deltas = [pair for at in range(0, len(deltas) - 1, 2) for pair in deltas[at : at + 2]]
    events += [delta("stop", index=index) for index in range(3)]
    client = Client(rewriter(AnswerSettings(think=think)))
    chunks = told(client.read_all(events).given) if short else read_in_packets(client, [b"".join(events)])
    for index in range(3):
        text = "".join([one for at, one in deltas if at == index])
        answer, thoughts = split_thoughts(text, think)
        assert joined(chunks, index=index) == answer
        assert joined(chunks, "reasoning_content", index) == (thoughts if think.mode == "split" else "")
    assert sorted(finishes(chunks)) == [(0, "stop"), (1, "stop"), (2, "stop")]


_pieces = st.sampled_from(PARTS)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("content"), _pieces),
            st.tuples(st.just("arguments"), _pieces),
            st.tuples(st.just("reasoning_content"), _pieces),
            st.tuples(st.just("usage"), st.just("")),
            st.tuples(st.just("new"), _pieces),
        ),
        max_size=12,
    ),
    _thinks,
    st.booleans(),
)
def test_nothing_else_is_ever_lost(deltas: list[tuple[str, str]], think: ThinkSettings, short: bool) -> None:
    def one(kind: str, text: str) -> bytes:
        if kind == "arguments":
            return delta(tool_calls=[{"index": 0, "function": {"arguments": text}}])
        if kind == "usage":
            return event({**HEAD, "choices": [], "usage": USAGE})
        fields = {"content": "<think>", "new": text} if kind == "new" else {kind: text}
        return delta(None, 0, **fields)

    events = [one(kind, text) for kind, text in deltas]
    client = Client(rewriter(AnswerSettings(think=think)))
    chunks = told(client.read_all(events).given) if short else read_in_packets(client, [b"".join(events)])
    found: list[tuple[str, str]] = []
    for chunk in chunks:
        for choice in chunk["choices"]:
            said = choice["delta"]
            found += [("arguments", call["function"]["arguments"]) for call in said.get("tool_calls", ())]
            found += [("new", said["new"])] if "new" in said else []
    assert found == [(kind, text) for kind, text in deltas if kind in ("arguments", "new")]
    assert usages(chunks) == ([USAGE] if ("usage", "") in deltas else [])
    text = "".join(
        ["<think>" if kind == "new" else text for kind, text in deltas if kind in ("content", "new")]
    )
    assert joined(chunks) == split_thoughts(text, think)[0]
    calls = any(kind == "arguments" for kind, _ in deltas)
    choices = any(kind != "usage" for kind, _ in deltas)
    assert finishes(chunks) == ([(0, "tool_calls" if calls else "stop")] if choices else [])
    if choices:
        roles = [choice["delta"].get("role") for chunk in chunks for choice in chunk["choices"]]
        assert (roles[0], set(roles[1:]) <= {None}) == ("assistant", True)


@given(_texts, _cuts, st.sampled_from(PAIRS[:4]))
def test_nothing_is_held_that_cannot_be_part_of_a_tag(text: str, cuts: list[int], pair: list[str]) -> None:
    think = ThinkSettings(tags=[pair], attributes=False)
    client = Client(rewriter(AnswerSettings(think=think)))
    client.read(ROLE)
    so_far = ""
    for piece in cut(text, cuts):
        so_far += piece
        client.read(saying(piece))
        given = joined([json.loads(line[6:]) for line in client.given.split(b"\n\n") if line])
        due = split_thoughts(so_far, think)[0]
        assert due.startswith(given)
        held = due[len(given) :]
        assert held == "" or (pair[0].startswith(held) and so_far.endswith(held))


def test_thoughts_of_two_upstreams_that_are_joined_are_one_text() -> None:
    by = rewriter(AnswerSettings(think=STRIP))
    client = Client(by).read_all([])
    assert client.given == DONE
    by = rewriter(AnswerSettings(think=STRIP))
    given = by.feed(ROLE + delta(content="a<think>b"))
    given += by.feed(delta(content="c</th")) + by.feed(delta(content="ink>d") + STOP + DONE)
    assert joined(told(given)) == "ad"


@pytest.mark.parametrize(
    ("settings", "short"),
    [
        (AS_IT_IS, 8),
        (AnswerSettings(model="public"), 8),
        (AnswerSettings(think=STRIP), 7),  # the first that can be seen changes what its filter knows
        (AnswerSettings(think=ThinkSettings(tags=[["思", "考"]])), 7),
        (AnswerSettings(think=ThinkSettings(tags=[["\ud800", "\udfff"]])), 7),
        (AnswerSettings(reasoning="strip"), 8),
    ],
)
def test_what_repeats_goes_the_short_way(settings: AnswerSettings, short: int) -> None:
    client = Client(rewriter(settings)).read_all([ROLE, *[delta(content="word")] * 9, STOP, DONE])
    assert client.short == short
    assert joined(told(client.given)) == "word" * 9


def test_thoughts_go_the_short_way_too() -> None:
    deltas = [delta(content=text) for text in ("<think>", *["hm"] * 9, "</think>", *["x"] * 9)]
    client = Client(rewriter(AnswerSettings(think=STRIP))).read_all([ROLE, *deltas, STOP, DONE])
    assert (client.short, joined(told(client.given))) == (8 + 7, "x" * 9)
    client = Client(rewriter(AnswerSettings(think=ThinkSettings(mode="split")))).read_all(
        [ROLE, *deltas, STOP, DONE]
    )
    chunks = told(client.given)
    assert (client.short, joined(chunks), joined(chunks, "reasoning_content")) == (8 + 7, "x" * 9, "hm" * 9)
