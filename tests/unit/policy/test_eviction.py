"""policy/eviction.py: oldest turns first, calls with their results, and what stays is not touched."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.policy.eviction import Eviction, evict, render

WORD = "x" * 388  # with the 3 tokens of a message 100 tokens, at 4 characters each


def message(role: str, content: Any = WORD, **fields: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **fields}


def call(*names: str, **fields: Any) -> dict[str, Any]:
    calls = [{"id": name, "type": "function", "function": {"name": "f", "arguments": "{}"}} for name in names]
    return message("assistant", None, tool_calls=calls, **fields)


def result(name: str | None = None, role: str = "tool") -> dict[str, Any]:
    return message(role) if name is None else message(role, tool_call_id=name)


SYSTEM, USER, ANSWER = message("system"), message("user"), message("assistant")


def run(messages: list[Any], tokens: int = 10**9) -> Eviction | None:
    return evict(msgspec.Raw(json.dumps(messages).encode()), tokens, chars_per_token=4.0)


def gone(messages: list[Any], tokens: int = 10**9) -> list[int]:
    """The indexes of what went."""
    found = run(messages, tokens)
    return [] if found is None else [i for start, end in found.ranges for i in range(start, end + 1)]


CHAT = [SYSTEM, USER, ANSWER, USER, ANSWER, USER]


@pytest.mark.parametrize(
    ("tokens", "expected"), [(1, [1, 2]), (200, [1, 2]), (201, [1, 2, 3, 4]), (999, [1, 2, 3, 4])]
)
def test_whole_turns_go_oldest_first_until_it_is_enough(tokens: int, expected: list[int]) -> None:
    assert gone(CHAT, tokens) == expected
    found = run(CHAT, tokens)
    assert found is not None
    assert (found.tokens, found.turns) == (100 * len(expected), len(expected) // 2)
    assert (found.evicted, found.enough) == (len(expected), tokens < 999)
    assert msgspec.json.decode(found.messages) == [CHAT[i] for i in range(len(CHAT)) if i not in expected]


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        # nothing can go
        ([], []),
        ([USER], []),
        ([SYSTEM, USER, ANSWER], []),
        ([ANSWER, USER], []),
        ([USER, USER, USER], []),
        ([SYSTEM, ANSWER], []),
        # who was not answered stays, and so do instructions wherever they stand
        ([USER, USER, ANSWER, USER], [1, 2]),
        ([USER, SYSTEM, ANSWER, message("developer"), USER], [0, 2]),
        # calls inside a turn go with it, and results behind its last answer too
        ([USER, call("a"), result("a"), ANSWER, USER], [0, 1, 2, 3]),
        ([USER, ANSWER, call("a", "b"), result("b"), result("a"), USER], [0, 1, 2, 3, 4]),
        (
            [USER, message("assistant", None, function_call={"name": "f"}), result(None, "function"), USER],
            [0, 1, 2],
        ),
        # a result in a later turn
        ([USER, call("a"), USER, result("a"), ANSWER, USER], [0, 1, 2, 3, 4]),
        ([USER, call("a"), USER, result("a"), USER], [0, 1, 3]),
        # one that is protected holds back its call, and that its turn
        ([USER, call("a"), USER, result("a")], []),
        ([USER, call("a"), USER, ANSWER, USER, result("a")], [2, 3]),
        # ids that are used again
        ([USER, call("0"), result("0"), ANSWER, USER, call("0"), result("0")], [0, 1, 2, 3]),
        # the last turn: pairs, but for the most recent answer
        ([USER, call("a"), result("a"), call("b"), result("b")], [1, 2]),
        ([USER, call("a"), result("a"), call("b"), result("b"), ANSWER], [1, 2, 3, 4]),
        ([USER, call("a"), result("a"), SYSTEM, result("a"), ANSWER], [1, 2, 4]),
        ([USER, call("a"), ANSWER, ANSWER], []),
        ([call("a"), result("a"), ANSWER], [0, 1]),
        # odd ones
        ([USER, call("a"), result("a"), result("odd"), ANSWER], [1, 2, 3]),
        ([USER, message("assistant", tool_calls="odd"), message("tool", tool_call_id=7), ANSWER], [1, 2]),
        ([USER, message("assistant", tool_calls=["odd", {"id": 1}]), result(None), ANSWER], [1, 2]),
        ([result("a"), {"role": 1}, USER, ANSWER, USER], [2, 3]),
    ],
)
def test_what_goes_at_most(messages: list[Any], expected: list[int]) -> None:
    assert gone(messages) == expected


def test_pairs_of_the_last_turn_go_only_when_turns_are_not_enough() -> None:
    messages = [USER, ANSWER, USER, call("a"), result("a"), ANSWER]
    assert gone(messages, 200) == [0, 1]
    assert gone(messages, 201) == [0, 1, 3, 4]
    found = run(messages, 201)
    assert found is not None
    assert found.ranges == ((0, 1), (3, 4))
    assert (found.turns, found.evicted) == (1, 4)


def test_what_stays_is_not_touched() -> None:
    kept = [b'{"content" : "\\u00e4",  "role":"user","x":1.0}', b'{"role":"user","content":[ ]}']
    raw = b'[ %b , {"role":"user"},{"role":"assistant"}, %b ]' % (kept[0], kept[1])
    found = evict(msgspec.Raw(raw), 1, chars_per_token=4.0)
    assert found is not None
    assert bytes(found.messages) == b"[%b,%b]" % (kept[0], kept[1])


def test_sizes() -> None:
    def size(**fields: Any) -> int:
        found = run([{"role": "user", "content": ""}, {"role": "assistant", **fields}, USER])
        assert found is not None
        return found.tokens - 6

    assert size() == 0
    assert size(content=None) == 0
    assert size(content="x" * 40) == 10
    assert size(content="ä" * 40) == 10
    assert size(content=[{"type": "text", "text": "x" * 40}, "x" * 40]) == 20
    assert size(content=[{"type": "image_url", "image_url": {"url": "data:" + "x" * 9999}}, 7]) == 170
    assert size(tool_calls=["x" * 36]) == 10
    assert size(function_call="x" * 38) == 10


def test_the_upstreams_own_count_tells_how_long_a_token_is() -> None:
    raw = msgspec.Raw(json.dumps(CHAT).encode())
    for counted, tokens in ((6 * (388 + 3), 782), (10**9, 2 * (776 + 3)), (1, 83)):
        found = evict(raw, 1, chars_per_token=4.0, prompt_tokens=counted)
        assert found is not None
        assert found.tokens == tokens


@pytest.mark.parametrize("raw", [b"", b"{}", b"null", b"[1]", b"[{]", b'["x"]', b"[" * 9999, b'[{"role":[[['])
def test_other_things_than_messages(raw: bytes) -> None:
    assert evict(msgspec.Raw(raw), 1, chars_per_token=4.0) is None


def test_what_all_rounds_took() -> None:
    first, second = run(CHAT, 1), run(CHAT[3:])
    assert first is not None
    assert second is not None
    assert render([first, second]) == b"messages=4, turns=2"


@st.composite
def chats(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Any messages; results may answer any earlier call, or none."""
    messages: list[dict[str, Any]] = []
    ids = ["none"]
    for _ in range(draw(st.integers(0, 14))):
        kind = draw(st.sampled_from(("system", "user", "assistant", "call", "tool", "tool")))
        if kind == "call":
            names = draw(st.lists(st.sampled_from("abcd"), min_size=1, max_size=2, unique=True))
            ids += names
            messages.append(call(*names))
        elif kind == "tool":
            messages.append(result(draw(st.sampled_from(ids))))
        else:
            messages.append(message(kind, "x" * draw(st.integers(0, 200))))
    return messages


@given(chats(), st.integers(1, 500))
def test_eviction_keeps_its_rules(messages: list[dict[str, Any]], tokens: int) -> None:
    found = run(messages, tokens)
    out = set(gone(messages, tokens))
    users = [i for i, value in enumerate(messages) if value["role"] == "user"]
    assert not out & set(users[-1:])
    assert not [i for i in out if messages[i]["role"] == "system"]
    callers: dict[str, int] = {}
    for index, value in enumerate(messages):
        for made in value.get("tool_calls", ()):
            callers[made["id"]] = index
        caller = callers.get(value.get("tool_call_id", ""))
        assert caller is None or (index in out) == (caller in out)
    if found is not None:
        left = [value for index, value in enumerate(messages) if index not in out]
        assert msgspec.json.decode(found.messages) == left
        assert (found.evicted, found.enough) == (len(out), found.tokens >= tokens)
        assert found.evicted > 0
        assert found.enough or gone(messages) == sorted(out)
