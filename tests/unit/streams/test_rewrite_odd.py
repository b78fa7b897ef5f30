"""streams/rewrite.py and chat.py: chunks that are not quite what they should be are mended and filtered too."""

import json

import pytest

from tests.unit.streams.client import Client, finishes, joined, told
from tests.unit.streams.events import DONE, ROLE, STOP, delta, event, relayed, rewriter
from trunkline.streams.answer import AS_IT_IS, AnswerSettings
from trunkline.streams.fold import Folder
from trunkline.streams.think import ThinkSettings

STRIP = AnswerSettings(think=ThinkSettings())


def said(text: bytes) -> bytes:
    """A chunk with a text as it is written in JSON."""
    return delta(content="TEXT").replace(b'"TEXT"', b'"%b"' % text)


def test_an_emoji_in_two_chunks_stays_as_it_is_where_nothing_is_changed() -> None:
    halves = [said(rb"\ud83d"), said(rb"\ude00 ok")]
    for settings in (AS_IT_IS, STRIP):
        inspector = relayed(ROLE, delta(content="x"), by=rewriter(settings))
        assert [inspector.feed(half) for half in halves] == halves
        assert inspector.malformed == 0
    by = rewriter(STRIP)
    assert by.feed(ROLE + delta(content="x") + b"".join(halves)).endswith(b"".join(halves))
    fold = Folder("chat")
    fold.feed(ROLE + b"".join(halves) + STOP)
    assert json.loads(fold.result())["choices"][0]["message"]["content"] == "\ufffd\ufffd ok"


@pytest.mark.parametrize("held", [False, True])
def test_thoughts_beside_an_odd_value_are_filtered(held: bool) -> None:
    hidden = b"<think>h</think>"
    stream = [
        ROLE,
        said(hidden + rb"a\ud83d"),
        said(hidden + b"b").replace(b'"index":0', b'"index":"0"'),
        said(hidden + b"c").replace(b'"choices":[', b'"choices":[null,'),
        said(hidden + b"d").replace(b'"finish_reason":null', b'"finish_reason":0,"logprobs":NaN'),
        said(hidden + b"e").replace(b'"finish_reason":null', b'"finish_reason":null,"n":1e999'),
        STOP,
        DONE,
    ]
    client = Client(rewriter(STRIP, include_usage=False), held=held).read_all(stream)
    chunks = told(client.given)
    assert (joined(chunks), finishes(chunks)) == ("a\ufffdbcde", [(0, "stop")])
    assert {choice["index"] for chunk in chunks for choice in chunk["choices"]} == {0}


def test_calls_with_numbers_that_fit_nowhere_are_not_lost() -> None:
    call = b'{"choices":[{"index":0,"delta":{"tool_calls":[{"function":{"name":"f","arguments":{"x":1e999}}}]}}]}'
    given = Client(rewriter(include_usage=False)).read_all([ROLE, event(call), STOP, DONE]).given
    calls = [choice["delta"].get("tool_calls") for chunk in told(given) for choice in chunk["choices"]]
    assert calls[1][0]["function"] == {"name": "f", "arguments": '{"x":1e999}'}
    fold = Folder("chat")
    fold.feed(ROLE + event(call) + STOP)
    (folded,) = json.loads(fold.result())["choices"][0]["message"]["tool_calls"]
    assert folded["function"] == {"name": "f", "arguments": '{"x":1e999}'}
